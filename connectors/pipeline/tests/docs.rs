//! Generated files are not stale. `UPDATE=1 cargo test` writes them anew, as `cargo xtask gen` does.

use perfstream::docs::generated;
use std::path::Path;

#[test]
fn generated_files_are_fresh() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let files = generated(&root);
    assert!(files.len() >= 6, "{} files", files.len());
    let mut stale = Vec::new();
    for (path, text) in files {
        if std::fs::read_to_string(&path).unwrap_or_default() == text {
            continue;
        }
        match std::env::var_os("UPDATE") {
            Some(_) => std::fs::write(&path, text).expect("written"),
            None => stale.push(path.display().to_string()),
        }
    }
    assert!(stale.is_empty(), "stale: {stale:#?}\n(`cargo xtask gen` writes them anew)");
}
