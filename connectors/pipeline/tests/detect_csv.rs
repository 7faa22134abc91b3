//! `perfstream detect --csv` as a command: a series outside of any pipeline, through the modules.

use std::path::Path;
use std::process::{Command, Output};

fn detect(dir: &Path, text: &[u8], more: &[&str]) -> Output {
    std::fs::write(dir.join("in.csv"), text).expect("a file");
    Command::new(env!("CARGO_BIN_EXE_perfstream"))
        .current_dir(dir)
        .args(["detect", "--csv", "in.csv", "--time", "when", "--value", "load", "--out", "scores.csv"])
        .args(more)
        .output()
        .expect("a run")
}

/// Windows of five minutes whose level doubles after 800; every thirteenth has no value.
fn series(rows: usize) -> Vec<(String, String)> {
    let value = |n: usize| match n % 13 {
        7 => String::new(),
        _ => format!("{}", (100 + n * 37 % 11) * if n >= 800 { 2 } else { 1 }),
    };
    (0..rows).map(|n| (format!("{}", 1_767_571_200 + 300 * n), value(n))).collect()
}

#[test]
fn a_row_in_is_a_row_out_whatever_the_file_looks_like() {
    let dir = tempfile::tempdir().expect("a directory");
    let rows = series(1000);
    // Windows line ends, quotes, a comma and a quote inside of them, another column, spaces in the header, a mark at its
    // beginning.
    let mut text = String::from("\u{feff}host, when ,load\r\n");
    rows.iter().for_each(|(time, value)| text += &format!("\"a, \"\"b\"\"\",\"{time}\",{value}\r\n"));
    for (preset, plot) in [("best", "best.svg"), ("ensemble", "ensemble.svg")] {
        let out = detect(dir.path(), text.as_bytes(), &["--preset", preset, "--plot", plot]);
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        let scores = std::fs::read_to_string(dir.path().join("scores.csv")).expect("scores");
        let lines: Vec<Vec<&str>> = scores.lines().map(|line| line.split(',').collect()).collect();
        assert_eq!((lines.len(), &lines[0][..]), (1001, &["timestamp", "value", "anomaly_score"][..]));
        let mut highest = (0.0, 0);
        for (n, (line, (time, value))) in lines[1..].iter().zip(&rows).enumerate() {
            assert_eq!((line[0], line[1]), (time.as_str(), value.as_str()));
            let score: f64 = line[2].parse().expect("a score");
            assert!((0.0..=1.0).contains(&score) && (score == 0.0 || n >= 16 && !value.is_empty()), "{n} {score}");
            highest = if score > highest.0 { (score, n) } else { highest };
        }
        assert!((800..820).contains(&highest.1) || preset == "ensemble", "{highest:?}");
        let svg = std::fs::read_to_string(dir.path().join(plot)).expect("a picture");
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
    }
}

#[test]
fn what_cannot_be_meant_is_told() {
    let dir = tempfile::tempdir().expect("a directory");
    let told = |text: &str, status: bool| {
        let out = detect(dir.path(), text.as_bytes(), &[]);
        assert_eq!(out.status.success(), status, "{text:.60}");
        String::from_utf8_lossy(&out.stderr).into_owned()
    };
    let mut text = String::from("when,load\n");
    series(30).iter().for_each(|(time, value)| text += &format!("{time},{value}\n"));
    let stray = text.replacen(",110\n", ",\"110\n", 1);
    assert_ne!(stray, text);
    assert!(told(&stray, false).contains("is a `\"` not closed?"));
    let comma = told("when,load\n2026-01-05,\"103,8\"\n2026-01-06,\"104,1\"\n", true);
    assert!(comma.contains("2 of 2 values are no numbers") && comma.contains("written with a point"), "{comma}");
    let times = told("when,load\n5. January,1\n2026-01-06,2\n", true);
    assert!(times.contains("1 of 2 times are none") && times.contains("`5. January`"), "{times}");
    assert!(told("at,load\n1,2\n", false).contains("there is no column `when`; it has at, load"));
    let unknown = Command::new(env!("CARGO_BIN_EXE_perfstream"))
        .args(["detect", "--detector", "nobody", "--topic", "windows", "--data"])
        .arg(dir.path())
        .output()
        .expect("a run");
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("Detector not found: nobody"));
}
