//! Who may look: names that the page answers to, and the token.

use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, HOST, ORIGIN};
use axum::http::{HeaderMap, StatusCode};
use std::net::SocketAddr;
use subtle::ConstantTimeEq;

/// Cookie with the token; only this page reads it, no script does.
pub const COOKIE_NAME: &str = "perfstream_page";

/// The checks of a page.
#[derive(Debug, Clone)]
pub struct Guard {
    address: SocketAddr,
    hosts: Vec<String>,
    token: Option<[u8; 32]>,
}

/// Why a request is refused: the status, and a line for whoever sent it.
pub type Refused = (StatusCode, &'static str);

impl Guard {
    /// For a page at `address`, which also answers to the names `hosts`.
    pub fn new(address: SocketAddr, hosts: &[String], token: Option<&str>) -> Guard {
        let hosts = hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
        Guard { address, hosts, token: token.map(hashed) }
    }

    /// Refuses names that are not the page's. A site whose name is made to point at this machine (DNS
    /// rebinding) would otherwise read what is here.
    pub fn host(&self, headers: &HeaderMap) -> Result<(), Refused> {
        let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        let name = without_port(host).to_ascii_lowercase();
        let ip = self.address.ip();
        let own = name.trim_matches(['[', ']']).parse() == Ok(ip) || (ip.is_loopback() && is_loopback(&name));
        match own || self.hosts.contains(&name) {
            true => Ok(()),
            false => Err((StatusCode::MISDIRECTED_REQUEST, "the page does not go by this name; see --page-host")),
        }
    }

    /// Is the token known, if one is asked for?
    pub fn token(&self, headers: &HeaderMap) -> Result<(), Refused> {
        let Some(token) = &self.token else { return Ok(()) };
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let cookies = text(COOKIE).split(';').filter_map(|pair| pair.trim().split_once('='));
        let cookie = cookies.filter(|(name, _)| *name == COOKIE_NAME).map(|(_, value)| value).next();
        let given = text(AUTHORIZATION).strip_prefix("Bearer ").or(cookie).unwrap_or_default();
        match hashed(given).ct_eq(token).into() {
            true => Ok(()),
            false => Err((StatusCode::UNAUTHORIZED, "open the page once as /?token=TOKEN")),
        }
    }

    /// Is this the token?
    pub fn is_token(&self, given: &str) -> bool {
        self.token.as_ref().is_some_and(|token| hashed(given).ct_eq(token).into())
    }

    /// Refuses to change anything for other sites: they cannot send this content type without asking.
    pub fn change(&self, headers: &HeaderMap) -> Result<(), Refused> {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        if !text(CONTENT_TYPE).is_some_and(|value| value.starts_with("application/json")) {
            return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, "expected application/json"));
        }
        let own = |origin: &str| origin.split_once("://").is_some_and(|(_, authority)| Some(authority) == text(HOST));
        match text(ORIGIN).is_none_or(own) {
            true => Ok(()),
            false => Err((StatusCode::FORBIDDEN, "another site's page may not do this")),
        }
    }
}

fn hashed(token: &str) -> [u8; 32] {
    *blake3::hash(token.as_bytes()).as_bytes()
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.is_empty() => name,
        _ => host,
    }
}

fn is_loopback(name: &str) -> bool {
    name == "localhost" || name.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value"))).collect()
    }

    fn page(address: &str) -> Guard {
        Guard::new(address.parse().expect("an address"), &["Perf.Example".into()], Some("secret"))
    }

    #[test]
    fn other_names_are_refused() {
        for (address, host, good) in [
            ("127.0.0.1:80", "127.0.0.1", true),
            ("127.0.0.1:80", "localhost:8080", true),
            ("127.0.0.1:80", "[::1]:80", true),
            ("127.0.0.1:80", "perf.example:80", true),
            ("127.0.0.1:80", "evil.example", false),
            ("127.0.0.1:80", "", false),
            ("10.0.0.1:80", "10.0.0.1:80", true),
            ("10.0.0.1:80", "localhost", false),
            ("[::1]:80", "[::1]", true),
        ] {
            assert_eq!(page(address).host(&headers(&[("host", host)])).is_ok(), good, "{address} {host}");
        }
    }

    #[test]
    fn a_token_comes_in_a_header_or_a_cookie() {
        let page = page("127.0.0.1:80");
        for (name, value, good) in [
            ("authorization", "Bearer secret", true),
            ("cookie", "a=b; perfstream_page=secret", true),
            ("cookie", "perfstream_page=other", false),
            ("authorization", "secret", false),
        ] {
            assert_eq!(page.token(&headers(&[(name, value)])).is_ok(), good, "{name}: {value}");
        }
        assert!(page.is_token("secret") && !page.is_token(""));
        assert!(Guard::new(page.address, &[], None).token(&HeaderMap::new()).is_ok());
    }

    #[test]
    fn other_sites_change_nothing() {
        let page = page("127.0.0.1:80");
        let json = ("content-type", "application/json");
        assert!(page.change(&headers(&[json, ("host", "localhost:80")])).is_ok());
        assert!(page.change(&headers(&[json, ("host", "localhost:80"), ("origin", "http://localhost:80")])).is_ok());
        assert!(page.change(&headers(&[json, ("host", "localhost:80"), ("origin", "http://evil.example")])).is_err());
        assert!(page.change(&headers(&[("content-type", "text/plain"), ("host", "localhost:80")])).is_err());
    }
}
