//! What the headers of a request say about who sent it.
//!
//! Words are those of the recorded events: browsers in lower case (`chrome`), devices `desktop`,
//! `mobile`, `tablet`, `bot`. Client hints come first, as browsers freeze what the User-Agent
//! says; but a hint `?0` (not mobile) does not tell a tablet or a bot from a desktop, the
//! User-Agent may.

use http::HeaderMap;
use http::header::{REFERER, USER_AGENT};
use perfstream_core::enrich::Agents;
use std::borrow::Cow;
use std::sync::{Mutex, PoisonError};
use url::Url;

/// Longest path of a page, bytes; the rest is cut off.
const PAGE_BYTES: usize = 512;

/// Where something is not known.
pub const UNKNOWN: &str = "unknown";

/// The sender of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// `chrome`, `safari`, …
    pub browser: String,
    /// `desktop`, `mobile`, `tablet`, `bot`, …
    pub device: String,
    /// `4g`, `3g`, …
    pub connection: String,
    /// As the proxy's header has it
    pub country: Option<String>,
    /// Path of the page it was sent from
    pub page: Option<String>,
}

impl Client {
    /// Reads the headers; `country_header` is a name that a proxy sets.
    pub fn new(headers: &HeaderMap, agents: &mut Agents, country_header: Option<&str>) -> Client {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let agent = agents.get(text(USER_AGENT.as_str()).unwrap_or_default());
        let hinted = text("sec-ch-ua").and_then(brand);
        let browser = hinted.or_else(|| agent.browser.as_deref().map(str::to_lowercase));
        let device = match (text("sec-ch-ua-mobile"), agent.device) {
            (_, Some("bot")) => "bot",
            (Some("?1"), _) => "mobile",
            (Some("?0"), Some("tablet")) => "tablet",
            (Some("?0"), _) => "desktop",
            (_, device) => device.unwrap_or(UNKNOWN),
        };
        let country = country_header.and_then(text).filter(|text| is_country(text)).map(str::to_uppercase);
        Client {
            browser: browser.unwrap_or_else(|| UNKNOWN.into()),
            device: device.into(),
            connection: text("sec-ch-ect").or(text("ect")).and_then(connection).unwrap_or(UNKNOWN).into(),
            country,
            page: text(REFERER.as_str()).and_then(page),
        }
    }
}

/// Who sent a request, and when it came.
pub struct Sender<'a> {
    /// By the headers
    pub client: &'a Client,
    /// Known User-Agents
    pub agents: &'a Mutex<Agents>,
    /// Microseconds since the epoch
    pub received_us: i64,
}

impl Sender<'_> {
    /// The client; browser and device are those of `agent` where the request hands on another's User-Agent.
    pub fn client_of(&self, agent: Option<&str>) -> Cow<'_, Client> {
        let Some(agent) = agent else { return Cow::Borrowed(self.client) };
        let mut agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
        let agent = agents.get(agent);
        Cow::Owned(Client {
            browser: agent.browser.as_deref().map_or_else(|| UNKNOWN.into(), str::to_lowercase),
            device: agent.device.unwrap_or(UNKNOWN).into(),
            ..self.client.clone()
        })
    }
}

/// The path of a page's address: no query, no fragment, percent-encoded, at most 512 bytes. None if
/// it is no address of a page.
pub fn page(address: &str) -> Option<String> {
    let base = Url::parse("http://page.invalid").ok()?;
    let url = base.join(address.trim()).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
    // Percent-encoded, so every byte is a character.
    let path = url.path();
    Some(path.get(..PAGE_BYTES).unwrap_or(path).to_owned())
}

/// An effective connection type, or another word that the stages know.
pub fn connection(text: &str) -> Option<&'static str> {
    const WORDS: [&str; 9] = ["slow-2g", "2g", "3g", "4g", "5g", "wifi", "ethernet", "cellular", "bluetooth"];
    let text = text.trim().trim_matches('"');
    WORDS.into_iter().find(|word| word.eq_ignore_ascii_case(text))
}

fn is_country(text: &str) -> bool {
    (2..=3).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// The browser in a list of brands (`sec-ch-ua`): the first that is neither the engine nor the
/// made-up name that is there to keep readers honest.
fn brand(list: &str) -> Option<String> {
    // Quoted texts stand at the odd places: the brand and its version by turns.
    let brands: Vec<&str> = list.split('"').skip(1).step_by(4).take(16).collect();
    let made_up =
        |brand: &str| brand.to_ascii_lowercase().contains("not") && brand.to_ascii_lowercase().contains("brand");
    let mut real = brands.into_iter().filter(|brand| !brand.is_empty() && brand.len() <= 64 && !made_up(brand));
    let first = real.next()?;
    let chosen = if first == "Chromium" { real.next().unwrap_or(first) } else { first };
    Some(match chosen {
        "Google Chrome" | "Chromium" | "HeadlessChrome" => "chrome".into(),
        "Microsoft Edge" => "edge".into(),
        other => other.to_lowercase(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(pairs: &[(&str, &str)]) -> Client {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(http::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        Client::new(&headers, &mut Agents::default(), Some("cf-ipcountry"))
    }

    #[test]
    fn hints_come_first() {
        let firefox = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:133.0) Gecko/20100101 Firefox/133.0";
        let found =
            client(&[("user-agent", firefox), ("cf-ipcountry", "de"), ("referer", "https://x.example/a/b?q=1")]);
        assert_eq!((&*found.browser, &*found.device, &*found.connection), ("firefox", "desktop", "unknown"));
        assert_eq!((found.country.as_deref(), found.page.as_deref()), (Some("DE"), Some("/a/b")));
        for (list, want) in [
            (r#""Chromium";v="131", "Not_A Brand";v="24", "Google Chrome";v="131""#, "chrome"),
            (r#""Not(A:Brand";v="99", "Microsoft Edge";v="133", "Chromium";v="133""#, "edge"),
            (r#""Chromium";v="131", "Not?A_Brand";v="8""#, "chrome"),
            (r#""Opera";v="115", "Chromium";v="130""#, "opera"),
        ] {
            let hints =
                [("user-agent", firefox), ("sec-ch-ua", list), ("sec-ch-ua-mobile", "?1"), ("sec-ch-ect", "\"3g\"")];
            let found = client(&hints);
            assert_eq!((&*found.browser, &*found.device, &*found.connection), (want, "mobile", "3g"), "{list}");
        }
        let nothing = client(&[]);
        assert_eq!((&*nothing.browser, &*nothing.device, nothing.page), ("unknown", "unknown", None));
    }

    #[test]
    fn a_page_is_a_path() {
        for (address, want) in [
            ("https://shop.example/cart?id=1#x", Some("/cart")),
            ("/a?token=secret", Some("/a")),
            ("https://shop.example", Some("/")),
            ("a/../b", Some("/b")),
            ("/ä", Some("/%C3%A4")),
            ("about:blank", None),
            ("http://[", None),
        ] {
            assert_eq!(page(address).as_deref(), want, "{address}");
        }
        assert_eq!(page(&format!("/{}", "é".repeat(2000))).map(|p| p.len()), Some(PAGE_BYTES));
    }
}
