//! Embeds the SmartModules, if they are built; without them the binary says so when it needs one.

use std::path::{Path, PathBuf};

fn main() -> anyhow::Result<()> {
    println!("cargo::rerun-if-env-changed=PERFSTREAM_MODULES");
    let dir = match std::env::var_os("PERFSTREAM_MODULES") {
        Some(dir) => PathBuf::from(dir),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/modules"),
    };
    println!("cargo::rerun-if-changed={}", dir.display());
    let mut entries = String::new();
    let mut files: Vec<PathBuf> = match dir.read_dir() {
        Ok(dir) => dir.filter_map(|e| e.ok().map(|e| e.path())).collect(),
        Err(_) => Vec::new(),
    };
    files.sort();
    for file in files.iter().filter(|f| f.extension().is_some_and(|e| e == "wasm")) {
        println!("cargo::rerun-if-changed={}", file.display());
        let name = file.file_stem().unwrap_or_default().to_string_lossy();
        let path = file.canonicalize()?;
        entries.push_str(&format!("    ({name:?}, include_bytes!({path:?})),\n"));
    }
    let code = format!(
        "/// (stage, WASM) of every module built in.\npub static EMBEDDED: &[(&str, &[u8])] = &[\n{entries}];\n"
    );
    std::fs::write(PathBuf::from(std::env::var("OUT_DIR")?).join("modules.rs"), code)?;
    Ok(())
}
