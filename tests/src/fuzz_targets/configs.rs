//! The stages under test: each with a config that uses most of what it can.

/// `$call!(Stage, number)` for the stage of that number, of [`CONFIGS`].
macro_rules! stage_of {
    ($n:expr, $run:ident($($arg:expr),*)) => {
        match $n {
            0 => $run::<perfstream_core::filter::Filter>($($arg),*),
            1 => $run::<perfstream_core::enrich::Enrich>($($arg),*),
            2 => $run::<perfstream_core::sessionize::Sessionize>($($arg),*),
            3 => $run::<perfstream_core::aggregate::Aggregate>($($arg),*),
            4 => $run::<perfstream_core::classify::Classify>($($arg),*),
            5 => $run::<perfstream_core::alert::AlertStage>($($arg),*),
            6 => $run::<perfstream_core::detect::DetectStage>($($arg),*),
            7 => $run::<perfstream_core::dashboard::Dashboard>($($arg),*),
            8 => $run::<perfstream_core::forecast::ForecastStage>($($arg),*),
            9 => $run::<perfstream_core::correlate::CorrelateStage>($($arg),*),
            _ => $run::<perfstream_core::respond::RespondStage>($($arg),*),
        }
    };
}
pub(super) use stage_of;

/// Number of stages.
pub(super) const STAGES: usize = 11;

/// `with:` of each stage, as JSON.
pub(super) const CONFIGS: [&str; STAGES] = [
    r#"{"schema":{"value":{"type":"number","required":false}},
        "dedupe":{"key":["id"],"horizon":"10s","max_keys":4},
        "where":"value >= 0 OR value IS NULL",
        "criteria":[{"field":"page","operator":"in","values":["/health"],"action":"exclude"}]}"#,
    r#"{"rename":{"p":"page"},"default":{"connection":"4g"},"source":"user-context",
        "fields":["location","network","device-specs"],
        "tables":{"user-context":{"rows":[{"sessionId":"s1","location":{"country":"NO"}}],"max_rows":4},
                  "pages":{"key":["page"],"rows":[{"page":"/a","team":"x"}],"max_rows":3}},
        "lookups":[{"table":"pages","fields":["team"],"prefix":"page_"}],
        "derive":["hour-of-day","day-of-week","rating","browser","os"],
        "time_zone":"Europe/Berlin","metric":"LCP","drop":["junk"]}"#,
    r#"{"key":"sessionId","timeout":"5s","max_length":"20s","method":"cls","max_sessions":3,"max_navigations":2,
        "functions":{"n":{"type":"count"},"cls":{"type":"cls-with-session-gaps"},
                     "pages":{"type":"collect-list","field":"page","distinct":true,"limit":3},
                     "sum":{"type":"sum","field":"value"},"low":{"type":"min","field":"value"},
                     "high":{"type":"max","field":"value"},"last":{"type":"last","field":"browser"}}}"#,
    r#"{"group_by":["page","browser"],"max_groups":3,"windows":[
        {"name":"t","type":"tumbling","size":"5s","allowed_lateness":"3s","functions":{
            "n":{"type":"count"},"p":{"type":"percentile","parameter":75,"field":"value"},
            "slow":{"type":"ratio","where":"value > 1000"},"share":{"type":"expression","expression":"slow / n"}}},
        {"name":"s","type":"sliding","size":"20s","slide":"5s","trigger":"processing-time","output_interval":"10s","functions":{
            "line":{"type":"linear-regression","field":"value"},"mean":{"type":"mean","field":"value"},
            "sd":{"type":"stddev","field":"value"},"sum":{"type":"sum","field":"value"},
            "pages":{"type":"collect-list","field":"page","distinct":true,"limit":3},
            "odd":{"type":"isolation-forest","features":["value","browser"],"trees":3,"sub_sample":4,"min_training":2,"min_scored":1}}},
        {"name":"v","type":"session","gap":"4s","max_length":"12s","allowed_lateness":"2s","functions":{
            "cls":{"type":"cls-with-session-gaps"},"low":{"type":"min","field":"value"},
            "high":{"type":"max","field":"value"},"rate":{"type":"rate"}}}]}"#,
    r#"{"field":"value","as":"stability","ranges":[{"max":0.1,"label":"good"},{"min":0.1,"max":0.25,"label":"fair"},{"min":0.25,"label":"poor"}]}"#,
    r#"{"group_by":["page"],"max_alerts":3,"emit_pending":true,"kinds":["event","window","session"],"rules":[
        {"name":"slow","condition":"value > 1000 OR p > 1000","severity":"warning","notification":["slack"],
         "throttle":"5s","for":"2s","resolve_after":"3s","summary":"{page}: {value}","labels":{"team":"web"}},
        {"name":"odd","condition":"odd > 0.8 OR high > 5000 OR cls > 0.25","severity":"critical","notification":["pagerduty"],"throttle":"1s"}],
        "escalation":{"enabled":true,"levels":[{"duration":"3s","severity":"error"},{"duration":"9s","severity":"critical"}]}}"#,
    r#"{"detector":{"id":"d","document":{"algorithm":{"methods":[
            {"name":"isolation-forest","parameters":{"trees":3,"sub_sample":4}},
            {"name":"statistical-threshold"},{"name":"trend-analysis"},{"name":"seasonal"},
            {"name":"novelty","parameters":{"warm_up":20,"rest":2}}],"voting_strategy":"max","threshold":0.3},
          "metrics":["value","high"],"baselines":{"segmentation":["page"],"window":"1m","update_frequency":"2s"},
          "adaptation":{"frequency":"hourly"},"validation":{"min_count":1,"fold":"3s"},"sensitivity":1}},
        "detail":true,"expected":true,"max_segments":3,"mix":["odd"]}"#,
    r#"{"id":"d","refreshRate":"2s","visualizations":[
        {"type":"current","field":"p","metric":"value","window":"t"},
        {"type":"time-series","field":"value","group_by":["page","browser","p"]},{"type":"timeline"}]}"#,
    r#"{"field":"value","kinds":["event","window","session"],"group_by":["page"],"step":"1s","horizons":["1s","5s"],
        "season":"10s","season_slots":3,"threshold":1000,"max_series":3}"#,
    r#"{"shared":["page"],"dependencies":[{"from":"web","to":"db"}],"traces":{"from":"browser","to":"page"},
        "kinds":{"cpu":"saturation","rate":"traffic"},"window":"10s","lag":"5s","memory":"1h","update_every":"1s",
        "resolve_after":"1m","max_incidents":2,"max_members":3,"max_series":3,"max_pairs":3}"#,
    r#"{"dry_run":false,"max_actions":3,"rules":[
        {"name":"out","on":"alert","where":"severity = 'critical'","target":"{labels.page}","cooldown":"2s",
         "action":{"kind":"scale","receiver":"k8s","name":"{labels.page}","replicas":4},"verify":{"within":"10s"},
         "rollback":{"kind":"record","topic":"ops","body":{"page":"{labels.page}"}}},
        {"name":"flag","on":"incident","target":"{cause}","approval":{"timeout":"1m"},"verify":{"within":"10s","recovered":"open = 0"},
         "action":{"kind":"feature-flag","receiver":"flags","flag":"hero","value":false}}]}"#,
];

/// Records that every stage finds something in.
pub(super) const LINES: [&str; 20] = [
    r#"{"timestamp":"2026-01-01T00:00:00Z","id":"a","value":2600,"page":"/a","browser":"chrome","sessionId":"s1","device":"tablet"}"#,
    r#"{"timestamp":"2026-01-01T00:00:01.5Z","id":"b","value":0.25,"page":"/b","browser":"firefox","sessionId":"s2","sources":["x"],"startTime":100}"#,
    r#"{"timestamp":"2026-01-01T00:00:02Z","id":"a","value":7000,"page":"/a","browser":"chrome","sessionId":"s1","navigationId":"n2"}"#,
    r#"{"timestamp":"2026-01-01T00:00:03Z","id":"c","value":null,"page":"/health","browser":"chrome","sessionId":"s3"}"#,
    r#"{"timestamp":"2026-01-01T00:00:06Z","id":7,"value":-1,"p":"/c","userAgent":"Mozilla/5.0 (X11; Linux x86_64) Firefox/130.0"}"#,
    r#"{"timestamp":"2026-01-01T00:00:01Z","id":"d","value":9000.5,"page":"/a","browser":"safari","sessionId":"s4","reset":"back-forward-cache"}"#,
    r#"{"kind":"anomaly","timestamp":"2026-01-01T00:00:05Z","anomaly_id":"x","state":"open","pipeline":"p","metric":"cpu","segment":{"service":"db"},"started_at":"2026-01-01T00:00:04Z","value":95,"expected":40,"range":[30,50],"events":7}"#,
    r#"{"kind":"anomaly","timestamp":"2026-01-01T00:00:05Z","anomaly_id":"y","state":"open","pipeline":"p","metric":"rate","segment":{"service":"web","page":"/a"},"started_at":"2026-01-01T00:00:04Z","value":5,"expected":40,"range":[30,50]}"#,
    r#"{"kind":"window","timestamp":"2026-01-01T00:00:10Z","window":"t","page":"/a","p":7000,"odd":0.9,"high":9000,"detection_expected":{"value":{"value":1,"low":0,"high":2}}}"#,
    r#"{"timestamp":"2026-01-01T00:00:11Z","id":"e","value":1500,"page":"/d","browser":"edge","sessionId":"s1"}"#,
    r#"{"timestamp":"2026-01-01T00:00:12Z","id":"f","value":100,"page":"/e","browser":"edge","sessionId":"s5","sources":["y","x"],"startTime":900}"#,
    r#"{"kind":"session","timestamp":"2026-01-01T00:00:13Z","page":"/a","cls":0.5,"value":0.2}"#,
    r#"{"timestamp":"2026-01-01T00:00:21Z","id":"g","value":"text","page":"/a","browser":"chrome","sessionId":"s2"}"#,
    r#"{"timestamp":"2026-01-01T00:00:25Z","id":"h","value":3,"page":"/a","browser":"chrome","sessionId":"s6"}"#,
    r#"{"kind":"anomaly","timestamp":"2026-01-01T00:00:28Z","anomaly_id":"z","state":"open","metric":"lcp","page":"/a"}"#,
    r#"{"kind":"anomaly","timestamp":"2026-01-01T00:00:40Z","anomaly_id":"x","state":"closed","ended_at":"2026-01-01T00:00:39Z","value":97,"expected":40}"#,
    r#"{"kind":"alert","timestamp":"2026-01-01T00:00:41Z","id":"r1","alert_id":"al","state":"firing","severity":"critical","labels":{"page":"/a"}}"#,
    r#"{"kind":"incident","timestamp":"2026-01-01T00:00:42Z","id":"r2","incident_id":"in","state":"open","cause":"db","open":2}"#,
    r#"{"kind":"alert","timestamp":"2026-01-01T00:00:50Z","id":"r3","alert_id":"al","state":"resolved","reason":"no_data"}"#,
    r#"{"kind":"incident","timestamp":"2026-01-01T00:00:51Z","id":"r4","incident_id":"in","state":"resolved","reason":"merged","merged_into":"io"}"#,
];

/// 2026-01-01T00:00:00Z in microseconds.
pub(super) const START_US: i64 = 1_767_225_600_000_000;
