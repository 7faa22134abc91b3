//! User-Agent text to browser, device and operating system, by the library woothee.
//!
//! The words are woothee's, but for these: its categories pc, smartphone and mobilephone read
//! desktop and mobile; an iPad, and an Android that does not say `Mobile`, is a tablet; a crawler
//! is a bot; iPhone, iPad and iPod run iOS; Mac OSX is macOS. Fails where User-Agents lie: an
//! iPad that asks for desktop pages says it is a Mac, and Windows 11 says Windows 10. Cost: 7 µs
//! per new text (woothee's own benchmark), a tree lookup for a known one; [`CACHE`] are kept.

use std::collections::BTreeMap;
use woothee::parser::{Parser, WootheeResult};

/// Texts kept; when they are used up the cache starts afresh. It never shows in the output.
const CACHE: usize = 2048;

/// A longer text is cut here, at a character.
const TEXT_BYTES: usize = 1024;

/// What a User-Agent says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Agent {
    /// `Chrome`, `Safari`, `Googlebot`, …
    pub browser: Option<Box<str>>,
    /// `desktop`, `mobile`, `tablet`, `bot`, `appliance`, `other`
    pub device: Option<&'static str>,
    /// `Windows 10`, `macOS`, `iOS`, `Android`, `Linux`, …
    pub os: Option<Box<str>>,
}

/// Reads User-Agents.
// A tree, not a hash map: the texts come from the web, and nobody can make them collide.
#[derive(Debug, Default)]
pub struct Agents {
    known: BTreeMap<Box<str>, Agent>,
}

impl Agents {
    /// What the text says.
    pub fn get(&mut self, text: &str) -> &Agent {
        let text = text.get(..text.floor_char_boundary(TEXT_BYTES)).unwrap_or_default();
        if self.known.len() >= CACHE && !self.known.contains_key(text) {
            self.known.clear();
        }
        if !self.known.contains_key(text) {
            self.known.insert(text.into(), read(text));
        }
        static NOTHING: Agent = Agent { browser: None, device: None, os: None };
        self.known.get(text).unwrap_or(&NOTHING)
    }
}

fn read(text: &str) -> Agent {
    let Some(found) = Parser::new().parse(text) else {
        return Agent::default();
    };
    let known = |name: &str| (name != woothee::woothee::VALUE_UNKNOWN && !name.is_empty()).then(|| name.into());
    let os = match found.os {
        "iPhone" | "iPad" | "iPod" => "iOS",
        "Mac OSX" => "macOS",
        other => other,
    };
    Agent { browser: known(found.name), device: device(&found, text), os: known(os) }
}

fn device(found: &WootheeResult<'_>, text: &str) -> Option<&'static str> {
    Some(match found.category {
        "pc" => "desktop",
        "smartphone" if found.os == "iPad" => "tablet",
        "smartphone" if found.os == "Android" && !text.contains("Mobile") => "tablet",
        "smartphone" | "mobilephone" => "mobile",
        "crawler" => "bot",
        "appliance" => "appliance",
        "misc" => "other",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn current_browsers() {
        let webkit = "AppleWebKit/537.36 (KHTML, like Gecko)";
        for (text, want) in [
            (format!("Mozilla/5.0 (Windows NT 10.0; Win64; x64) {webkit} Chrome/131.0.0.0 Safari/537.36"), ("Chrome", "desktop", "Windows 10")),
            (format!("Mozilla/5.0 (Windows NT 10.0; Win64; x64) {webkit} Chrome/131.0.0.0 Safari/537.36 Edg/131.0.0.0"), ("Edge", "desktop", "Windows 10")),
            (format!("Mozilla/5.0 (X11; Linux x86_64) {webkit} HeadlessChrome/131.0.0.0 Safari/537.36"), ("Chrome", "desktop", "Linux")),
            (format!("Mozilla/5.0 (Linux; Android 10; K) {webkit} Chrome/131.0.0.0 Mobile Safari/537.36"), ("Chrome", "mobile", "Android")),
            (format!("Mozilla/5.0 (Linux; Android 10; K) {webkit} Chrome/131.0.0.0 Safari/537.36"), ("Chrome", "tablet", "Android")),
            ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Safari/605.1.15".into(), ("Safari", "desktop", "macOS")),
            ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1".into(), ("Safari", "mobile", "iOS")),
            ("Mozilla/5.0 (iPad; CPU OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1".into(), ("Safari", "tablet", "iOS")),
            ("Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:133.0) Gecko/20100101 Firefox/133.0".into(), ("Firefox", "desktop", "Windows 10")),
        ] {
            let agent = read(&text);
            let got = (agent.browser.as_deref(), agent.device, agent.os.as_deref());
            assert_eq!(got, (Some(want.0), Some(want.1), Some(want.2)), "{text}");
        }
        let bot = read("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)");
        assert_eq!((bot.browser.as_deref(), bot.device, bot.os), (Some("Googlebot"), Some("bot"), None));
        for nothing in ["", "-", "no browser at all"] {
            assert_eq!(read(nothing), Agent::default(), "{nothing}");
        }
    }

    #[test]
    fn the_cache_is_bounded_and_does_not_show() {
        let mut agents = Agents::default();
        for n in 0..CACHE * 2 {
            let text = format!("Mozilla/5.0 (Windows NT 10.0; rv:{n}.0) Gecko/20100101 Firefox/{n}.0");
            assert_eq!(*agents.get(&text), read(&text));
            assert!(agents.known.len() <= CACHE);
        }
        let long = "é".repeat(5000);
        agents.get(&long);
        assert!(agents.known.keys().all(|k| k.len() <= TEXT_BYTES));
    }
}
