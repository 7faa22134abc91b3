//! `perfstream check` on any text: diagnostics, never a panic, and they can be shown.

use perfstream::check::check_text;

/// See the module.
pub fn pipeline_yaml(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let report = check_text("fuzz.yaml", text);
    let shown = report.render(false);
    assert!(report.diagnostics.is_empty() || !shown.is_empty());
    let json = report.json().to_string();
    assert!(json.len() > 1);
    let pipelines = report.documents.iter().filter(|d| d.kind == perfstream::model::DocumentKind::Pipeline);
    if !report.is_error() {
        assert!(pipelines.into_iter().all(|d| d.pipeline.is_some()), "no error and no pipeline");
    }
}
