//! The built-in user context: what a connection and a device class say by definition.
//!
//! Network, from the "Table of effective connection types" of the Network Information API (WICG
//! draft, <https://wicg.github.io/netinfo/>; the same figures in MDN, "Effective connection
//! type"): `rtt_min_ms` is the smallest round-trip time of the class, milliseconds, and
//! `downlink_max_mbps` its largest downlink, megabits per second; 4g, the fastest class, has no
//! bounds (null). They are bounds of the class, not measurements. `type` is that API's connection
//! type. 5g is cellular and of the fastest class there is. wifi and ethernet do not imply a class.
//!
//! Device: the class only. Memory, cores and model are known from a table or not at all. Nothing
//! here says where a user is: a location comes from a table.

/// Compact JSON of the network behind a `connection`, if it is one of the documented words.
pub fn network(connection: &str) -> Option<&'static str> {
    const NETWORKS: [(&str, &str); 9] = [
        ("4g", r#"{"type":null,"effective_type":"4g","rtt_min_ms":null,"downlink_max_mbps":null}"#),
        ("wifi", r#"{"type":"wifi","effective_type":null,"rtt_min_ms":null,"downlink_max_mbps":null}"#),
        ("3g", r#"{"type":null,"effective_type":"3g","rtt_min_ms":270,"downlink_max_mbps":0.7}"#),
        ("5g", r#"{"type":"cellular","effective_type":"4g","rtt_min_ms":null,"downlink_max_mbps":null}"#),
        ("2g", r#"{"type":null,"effective_type":"2g","rtt_min_ms":1400,"downlink_max_mbps":0.07}"#),
        ("slow-2g", r#"{"type":null,"effective_type":"slow-2g","rtt_min_ms":2000,"downlink_max_mbps":0.05}"#),
        ("ethernet", r#"{"type":"ethernet","effective_type":null,"rtt_min_ms":null,"downlink_max_mbps":null}"#),
        ("cellular", r#"{"type":"cellular","effective_type":null,"rtt_min_ms":null,"downlink_max_mbps":null}"#),
        ("bluetooth", r#"{"type":"bluetooth","effective_type":null,"rtt_min_ms":null,"downlink_max_mbps":null}"#),
    ];
    NETWORKS.iter().find(|(name, _)| name.eq_ignore_ascii_case(connection)).map(|(_, json)| *json)
}

/// Compact JSON of the specs behind a `device`, if it is one of the known classes.
pub fn device_specs(device: &str) -> Option<&'static str> {
    const DEVICES: [(&str, &str); 3] = [
        ("mobile", r#"{"class":"mobile","memory_gb":null}"#),
        ("desktop", r#"{"class":"desktop","memory_gb":null}"#),
        ("tablet", r#"{"class":"tablet","memory_gb":null}"#),
    ];
    DEVICES.iter().find(|(name, _)| name.eq_ignore_ascii_case(device)).map(|(_, json)| *json)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_table() {
        for (name, rtt, downlink) in [
            ("slow-2g", Some(2000), Some(0.05)),
            ("2g", Some(1400), Some(0.07)),
            ("3g", Some(270), Some(0.7)),
            ("4g", None, None),
        ] {
            let json: serde_json::Value = serde_json::from_str(network(name).unwrap()).unwrap();
            assert_eq!(json["effective_type"], name);
            assert_eq!(json["rtt_min_ms"].as_i64(), rtt);
            assert_eq!(json["downlink_max_mbps"].as_f64(), downlink);
        }
        assert_eq!(network("carrier pigeon"), None);
    }

    #[test]
    fn json_is_as_a_row_would_carry_it() {
        let texts = ["4g", "wifi", "3g", "5g", "2g", "slow-2g", "ethernet", "cellular", "bluetooth"].map(network);
        for text in texts.into_iter().chain(["mobile", "Desktop", "tablet"].map(device_specs)) {
            let text = text.unwrap();
            let fields: std::collections::BTreeMap<String, serde_json::Value> = serde_json::from_str(text).unwrap();
            assert!(!fields.is_empty() && !text.contains(' '), "{text}");
        }
    }
}
