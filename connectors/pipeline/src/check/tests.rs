//! The checks on texts made here; word for word outputs are in `tests/cases/check/`.

use super::*;
use crate::registry::STAGES;
use proptest::prelude::*;

#[test]
fn schemas_can_be_compiled() {
    assert!(PIPELINE.is_usable() && FRAMEWORK.is_usable());
    for stage in STAGES {
        assert!(stages::schema(stage.name).unwrap().is_usable(), "{}", stage.name);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn any_text_is_checked(text in "(?s).{0,300}") {
        let report = check_text("f", &text);
        report.render(true);
        report.json();
    }

    #[test]
    fn a_mutated_pipeline_is_checked(at in 0usize..3000, cut in 0usize..40, insert in "[ -~\n\té]{0,6}") {
        let mut text = include_str!("tests/lcp.yaml").to_string();
        let floor = |text: &str, mut at: usize| { while !text.is_char_boundary(at) { at -= 1 } at };
        let start = floor(&text, at.min(text.len()));
        let end = floor(&text, (start + cut).min(text.len())).max(start);
        text.replace_range(start..end, &insert);
        let report = check_text("f", &text);
        report.render(false);
        report.json();
    }
}

#[test]
fn the_example_is_clean() {
    let report = check_text("lcp.yaml", include_str!("tests/lcp.yaml"));
    // The shared border is a doubt that classify states.
    assert!(report.diagnostics.iter().all(|d| d.code == "W103"), "{}", report.render(false));
    assert_eq!(report.into_pipelines().len(), 1);
}

#[test]
fn the_example_of_the_design_is_clean() {
    let report = check_text("design.yaml", include_str!("tests/design.yaml"));
    assert!(!report.is_error(), "{}", report.render(false));
}

/// Codes of what is found in a text of at most a mebibyte made of `unit`, and how much.
fn flood(unit: &str) -> (Vec<&'static str>, usize) {
    let text = unit.repeat((MAX_FILE_BYTES as usize - 1) / unit.len());
    let report = check_text("f", &text);
    report.render(false);
    let mut codes: Vec<_> = report.diagnostics.iter().map(|d| d.code).collect();
    codes.dedup();
    (codes, report.diagnostics.len())
}

#[test]
fn a_flood_of_faults_is_cut() {
    for unit in [
        "kind: Pipeline\n---\n",
        "a: 1\n",
        "- a\n",
        "[",
        "{a: ",
        "a: [b]\n---\n",
        "kind: Detector\nmeta: {name: d}\n---\n",
        "? ",
        "&a ",
        "- - - ",
    ] {
        let (codes, count) = flood(unit);
        assert!(!codes.is_empty() && count < 4 * MAX_FINDINGS, "{unit:?}: {count} of {codes:?}");
    }
    let mut text = String::from("kind: Pipeline\n");
    (0..60_000).for_each(|n| text.push_str(&format!("k{n}: {n}\n")));
    assert!(check_text("f", &text).diagnostics.len() < 2 * MAX_FINDINGS);
    let text = "a".repeat(MAX_FILE_BYTES as usize + 1);
    assert_eq!(check_text("f", &text).diagnostics[0].code, "E032");
    assert!(flood("kind: Pipeline\n---\n").0.contains(&"E034"));
}
