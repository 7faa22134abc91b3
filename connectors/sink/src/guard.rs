//! Where a request may go: the guard against requests that the user's network would not want.
//!
//! https alone, no user information in the URL, no loopback, private, link-local, shared,
//! documentation, multicast or unique-local address, unless the receiver allows it. An address that
//! is written as a host (`0x7f.1`, `2130706433`) is parsed as reqwest does and checked here; a name
//! is resolved by [`Resolver`], and the connection goes to the addresses that were checked.

use anyhow::{Context, Result, bail};
#[cfg(feature = "deliver")]
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use url::{Host, Url};

/// Reads a URL and checks all that can be known without looking its host up. Errors do not repeat it.
pub fn check_url(text: &str, allow_http: bool, allow_private: bool) -> Result<Url> {
    let url = Url::parse(text).map_err(|error| anyhow::anyhow!("this is not a URL: {error}"))?;
    match url.scheme() {
        "https" => {}
        "http" if allow_http => {}
        "http" => bail!("expected `https`, found `http` (set `allow_http: true` if nobody can listen in between)"),
        _ => bail!("expected a URL that begins with `https://`"),
    }
    if !url.username().is_empty() || url.password().is_some() {
        bail!("a user name in the URL; put secrets in `headers`");
    }
    let address = match url.host().context("expected a host in the URL")? {
        Host::Domain(_) => None,
        Host::Ipv4(ip) => Some(IpAddr::V4(ip)),
        Host::Ipv6(ip) => Some(IpAddr::V6(ip)),
    };
    if let Some(ip) = address.filter(|ip| !allow_private && !is_public(*ip)) {
        bail!("{ip} is not a public address (set `allow_private: true` to allow it)");
    }
    Ok(url)
}

/// Is it an address of the open internet?
pub fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let refused = ip.is_loopback()
        || ip.is_private()
        || ip.is_link_local()
        || ip.is_multicast()
        || ip.is_documentation()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b)) // shared, RFC 6598
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99) // 6to4 relays
        || (a == 198 && (b == 18 || b == 19)); // benchmarks
    !refused
}

/// Only 2000::/3 is given out; of that not what carries an IPv4 address or is for documentation.
fn is_public_v6(ip: Ipv6Addr) -> bool {
    let s = ip.segments();
    let global = s[0] & 0xe000 == 0x2000;
    let documentation = s[0] == 0x2001 && s[1] == 0xdb8 || s[0] == 0x3fff && s[1] < 0x1000;
    let teredo_and_the_like = s[0] == 0x2001 && s[1] < 0x200;
    let six_to_four = s[0] == 0x2002;
    global && !documentation && !teredo_and_the_like && !six_to_four
}

/// Looks names up and gives public addresses alone.
#[cfg(feature = "deliver")]
#[derive(Debug, Clone, Copy)]
pub struct Resolver {
    /// Any address will do
    pub allow_private: bool,
}

#[cfg(feature = "deliver")]
impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let allow_private = self.allow_private;
        Box::pin(async move {
            // Port 0 is replaced by the URL's.
            let found: Vec<_> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            // One private address among public ones is a trick, not a service.
            if let Some(address) = found.iter().find(|address| !allow_private && !is_public(address.ip())) {
                return Err(format!("the host has the address {}, which is not public", address.ip()).into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_are_not_public() {
        for ip in [
            "127.0.0.1",
            "127.9.9.9",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "240.0.0.1",
            "198.18.0.1",
            "192.0.2.1",
            "192.0.0.1",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001::1",
            "2001:db8::1",
        ] {
            assert!(!is_public(ip.parse().unwrap()), "{ip}");
        }
        for ip in ["1.1.1.1", "8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00:1450::1"] {
            assert!(is_public(ip.parse().unwrap()), "{ip}");
        }
    }

    #[test]
    fn urls_that_are_refused() {
        for url in [
            "http://example.com/",
            "ftp://example.com/",
            "file:///etc/passwd",
            "example.com",
            "https://",
            "https://127.0.0.1/",
            "https://2130706433/",
            "https://0177.0.0.1/",
            "https://0x7f.1/",
            "https://127.1/",
            "https://[::1]/",
            "https://[::ffff:127.0.0.1]/",
            "https://0.0.0.0/",
            "https://169.254.169.254/latest",
            "https://example.com@127.0.0.1/",
            "https://user@example.com/",
            "https://user:pass@example.com/",
        ] {
            assert!(check_url(url, false, false).is_err(), "{url}");
        }
        assert!(check_url("https://example.com/x", false, false).is_ok());
        assert!(check_url("http://127.0.0.1:8080/", true, true).is_ok());
        assert!(check_url("http://127.0.0.1:8080/", true, false).is_err());
    }

    #[test]
    fn a_name_with_a_private_address_is_refused() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let look_up = |allow_private| {
            let name: Name = "localhost".parse().unwrap();
            runtime.block_on(Resolver { allow_private }.resolve(name)).map(Iterator::count)
        };
        assert!(look_up(false).unwrap_err().to_string().contains("not public"));
        assert!(look_up(true).unwrap() > 0);
    }
}
