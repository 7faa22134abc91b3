//! Who may send, and how often: origin, rate of the address, token, rate of the token.

use crate::options::Options;
use crate::refusal::Refusal;
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::{HeaderMap, StatusCode, Uri};
use governor::clock::{Clock, QuantaClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use subtle::ConstantTimeEq;

/// Header of a public token; `token` in the query does the same, for `navigator.sendBeacon` has no
/// headers.
pub(crate) const TOKEN_HEADER: &str = "x-perfstream-token";

/// Header of a public token in Faro's requests.
pub(crate) const API_KEY_HEADER: &str = "x-api-key";

/// Addresses that may send within two seconds; above that all are refused until some are forgotten.
const ADDRESSES: usize = 100_000;

/// What a request may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Write what browsers send
    Browser,
    /// Write what servers send
    Server,
}

/// A token as its hash: all are of one length, and comparing takes the same time for each.
type Hashed = [u8; 32];

/// The checks of a collector.
pub(crate) struct Guard {
    /// None: any name
    hosts: Option<Vec<String>>,
    any_origin: bool,
    origins: Vec<String>,
    tokens: Vec<Hashed>,
    server_tokens: Vec<Hashed>,
    addresses: Rate<IpAddr>,
    by_token: Rate<Hashed>,
    address_header: Option<String>,
}

impl Guard {
    pub(crate) fn new(options: &Options) -> Guard {
        let hash = |tokens: &[String]| tokens.iter().map(|token| hashed(token)).collect();
        let hosts: Vec<String> = options.hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
        let bound = options.listen.ip().is_loopback() || !hosts.is_empty();
        Guard {
            hosts: bound.then_some(hosts),
            any_origin: options.origins.iter().any(|origin| origin == "*"),
            origins: options.origins.clone(),
            tokens: hash(&options.tokens),
            server_tokens: hash(&options.server_tokens),
            addresses: Rate::new(options.rate_per_address),
            by_token: Rate::new(options.rate_per_token),
            address_header: options.address_header.clone(),
        }
    }

    /// Refuses a request that was meant for another host. A page of the web can have its own name point
    /// to a loopback address (DNS rebinding); its origin is then the collector's own, but its name is
    /// not. An address is no name, so nobody can have it point elsewhere.
    pub(crate) fn host(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        // HTTP/1.0 has no Host, and no browser speaks it.
        let (Some(hosts), Some(host)) = (&self.hosts, headers.get(HOST)) else { return Ok(()) };
        let host = host.to_str().unwrap_or_default().to_ascii_lowercase();
        let name = name_of_host(&host);
        let local = name == "localhost" || name.ends_with(".localhost");
        if local || name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() || hosts.iter().any(|known| known == name) {
            return Ok(());
        }
        let found = format!("the host `{}`", name.chars().take(200).collect::<String>());
        let allowed = "localhost, an address, and the names of --allow-host";
        Err(Refusal::new(StatusCode::MISDIRECTED_REQUEST, "host", found, allowed))
    }

    /// Refuses what may not send, or not now.
    pub(crate) fn check(&self, access: Access, peer: IpAddr, headers: &HeaderMap, uri: &Uri) -> Result<(), Refusal> {
        self.origin(headers)?;
        let address = network(self.client_address(peer, headers));
        self.addresses.take(&address).map_err(|after| too_many("this address", after))?;
        if let Some(token) = self.token(access, headers, uri)? {
            self.by_token.take(&token).map_err(|after| too_many("this token", after))?;
        }
        Ok(())
    }

    /// A browser says where a page is from; what is not allowed is refused, not only hidden from it.
    fn origin(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let Some(origin) = headers.get(ORIGIN) else { return Ok(()) };
        let origin = origin.to_str().unwrap_or_default();
        let host = headers.get(HOST).and_then(|host| host.to_str().ok());
        let own = origin.split_once("://").is_some_and(|(_, authority)| Some(authority) == host);
        if own || self.any_origin || self.origins.iter().any(|allowed| allowed == origin) {
            return Ok(());
        }
        let found = format!("the origin `{}`", origin.chars().take(200).collect::<String>());
        Err(Refusal::new(StatusCode::FORBIDDEN, "origin", found, "the origins of --allow-origin"))
    }

    /// The token of a request, where one is asked for.
    fn token(&self, access: Access, headers: &HeaderMap, uri: &Uri) -> Result<Option<Hashed>, Refusal> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let bearer = text(AUTHORIZATION.as_str()).and_then(|value| value.strip_prefix("Bearer "));
        let (allowed, given, how) = match access {
            Access::Server if self.server_tokens.is_empty() => return Ok(None),
            Access::Server => (&self.server_tokens, bearer, "a server token as `Authorization: Bearer TOKEN`"),
            Access::Browser if self.tokens.is_empty() => return Ok(None),
            Access::Browser => {
                let given = text(TOKEN_HEADER).or_else(|| text(API_KEY_HEADER)).or_else(|| query_token(uri)).or(bearer);
                (&self.tokens, given, "a token in the header `x-perfstream-token` or `x-api-key`, or as `?token=`")
            }
        };
        let Some(given) = given else {
            return Err(Refusal::new(StatusCode::UNAUTHORIZED, "token", "no token", how));
        };
        let given = hashed(given);
        match is_one_of(&given, allowed) {
            true => Ok(Some(given)),
            false => Err(Refusal::new(StatusCode::UNAUTHORIZED, "token", "a token that is not known", how)),
        }
    }

    fn client_address(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let Some(name) = &self.address_header else { return peer };
        // The last element is the proxy's own word; those before it the client may have written.
        let last = headers.get_all(name.as_str()).iter().next_back().and_then(|value| value.to_str().ok());
        let last = last.and_then(|value| value.rsplit(',').next());
        last.and_then(|text| text.trim().parse().ok()).unwrap_or(peer)
    }
}

fn hashed(token: &str) -> Hashed {
    *blake3::hash(token.as_bytes()).as_bytes()
}

/// Looks at all of them, whichever it is.
fn is_one_of(given: &Hashed, allowed: &[Hashed]) -> bool {
    allowed.iter().fold(subtle::Choice::from(0), |found, token| found | token.ct_eq(given)).into()
}

fn query_token(uri: &Uri) -> Option<&str> {
    uri.query()?.split('&').find_map(|pair| pair.strip_prefix("token="))
}

/// A host without port and without the dot at the end.
fn name_of_host(host: &str) -> &str {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    name.strip_suffix('.').unwrap_or(name)
}

/// What one customer has: an IPv4 address, or the /64 of an IPv6 one.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 => v4,
    }
}

fn too_many(who: &str, after_s: u64) -> Refusal {
    let allowed = "fewer requests; several events may be in one";
    Refusal::new(StatusCode::TOO_MANY_REQUESTS, "rate", format!("too many requests of {who}"), allowed)
        .retry_after(after_s)
}

/// Requests per second by key; None: any number.
struct Rate<K: Clone + Hash + Eq>(Option<DefaultKeyedRateLimiter<K>>, QuantaClock);

impl<K: Clone + Hash + Eq> Rate<K> {
    fn new(per_second: u32) -> Rate<K> {
        let burst = NonZeroU32::new(per_second.saturating_mul(2));
        let quota = NonZeroU32::new(per_second).zip(burst).map(|(n, burst)| Quota::per_second(n).allow_burst(burst));
        Rate(quota.map(RateLimiter::keyed), QuantaClock::default())
    }

    /// Counts a request, or says after how many seconds there is room.
    fn take(&self, key: &K) -> Result<(), u64> {
        let Some(limiter) = &self.0 else { return Ok(()) };
        if limiter.len() >= ADDRESSES {
            limiter.retain_recent();
            if limiter.len() >= ADDRESSES {
                return Err(1);
            }
        }
        limiter.check_key(key).map_err(|not| not.wait_time_from(self.1.now()).as_secs() + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    #[test]
    fn addresses_of_one_customer() {
        let text = |address: &str| network(address.parse().unwrap()).to_string();
        assert_eq!(text("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!((text("::ffff:10.0.0.1"), text("10.0.0.1")), ("10.0.0.1".into(), "10.0.0.1".into()));
    }

    #[test]
    fn hosts() {
        let asked = |options: &Options, host: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, host.parse().unwrap());
            Guard::new(options).host(&headers).is_ok()
        };
        let local = Options { hosts: vec!["Collector.example".into()], ..Options::default() };
        let good = [
            "localhost",
            "LOCALHOST:8090",
            "a.localhost.",
            "127.0.0.1:1",
            "[::1]:8090",
            "[::1]",
            "collector.example:80",
        ];
        for host in good {
            assert!(asked(&local, host), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:8090",
            "localhost.evil.example",
            "xcollector.example",
            "127.0.0.1.evil.example",
            "",
        ] {
            assert!(!asked(&local, host), "{host}");
        }
        let open = Options { listen: SocketAddr::from(([0, 0, 0, 0], 8090)), ..Options::default() };
        assert!(asked(&open, "any.example"), "who binds elsewhere has a name that we do not know");
        let named = Options { hosts: vec!["a.example".into()], ..open };
        assert!(asked(&named, "a.example") && !asked(&named, "b.example") && asked(&named, "10.0.0.1:80"));
        assert!(Guard::new(&local).host(&HeaderMap::new()).is_ok());
    }

    #[test]
    fn the_proxy_says_the_address() {
        let options = Options { address_header: Some("x-forwarded-for".into()), ..Options::default() };
        let guard = Guard::new(&options);
        let mut headers = HeaderMap::new();
        let peer = IpAddr::from([127, 0, 0, 1]);
        assert_eq!(guard.client_address(peer, &headers), peer);
        headers.append("x-forwarded-for", "1.1.1.1, 2.2.2.2".parse().unwrap());
        assert_eq!(guard.client_address(peer, &headers), IpAddr::from([2, 2, 2, 2]));
        assert_eq!(Guard::new(&Options::default()).client_address(peer, &headers), peer);
    }

    #[test]
    fn a_rate_lets_a_burst_pass() {
        let rate = Rate::new(1);
        let taken: Vec<bool> = (0..4).map(|_| rate.take(&1).is_ok()).collect();
        assert_eq!(taken, [true, true, false, false]);
        assert!(rate.take(&2).is_ok());
        assert!(Rate::new(0).take(&1).is_ok());
    }
}
