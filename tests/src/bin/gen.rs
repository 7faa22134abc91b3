//! Writes the generated files that are stale, and names them: `cargo xtask gen`.

use anyhow::{Context, Result};
use std::path::Path;

fn main() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("no folder above")?;
    let files = perfstream::docs::generated(root);
    let mut written = 0;
    for (path, text) in &files {
        if std::fs::read_to_string(path).is_ok_and(|old| old == *text) {
            continue;
        }
        std::fs::write(path, text).with_context(|| path.display().to_string())?;
        println!("wrote {}", path.strip_prefix(root).unwrap_or(path).display());
        written += 1;
    }
    println!("{written} of {} generated files were stale", files.len());
    Ok(())
}
