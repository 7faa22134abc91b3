//! The SmartModules, then the binary that carries them.

use crate::command::{cargo, root, run, target};
use crate::toolchain::Toolchain;
use anyhow::{Context, Result, ensure};
use std::path::PathBuf;

/// Every crate under `smartmodules/` that is a module.
pub fn modules() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in root().join("smartmodules").read_dir()? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().join("Cargo.toml").exists() && name != "core" && name != "sdk" {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// Where the built modules lie.
pub fn modules_dir() -> PathBuf {
    target().join("modules")
}

/// Builds the `.wasm` files into [`modules_dir`].
pub fn wasm() -> Result<PathBuf> {
    let toolchain = Toolchain::find()?;
    let target_dir = target().join("wasm");
    let mut command = toolchain.cargo_build();
    command.args(["--locked", "--profile", "release-wasm"]).arg("--target-dir").arg(&target_dir);
    let names = modules()?;
    for name in &names {
        command.args(["--package", &format!("perfstream-{name}")]);
    }
    run(&mut command)?;
    let dir = modules_dir();
    std::fs::create_dir_all(&dir)?;
    for name in &names {
        let built = target_dir.join(format!("wasm32-unknown-unknown/release-wasm/perfstream_{name}.wasm"));
        let bytes = std::fs::read(&built).with_context(|| format!("{} was not built", built.display()))?;
        let to = dir.join(format!("{name}.wasm"));
        // An unchanged module must not make the binary build again.
        if std::fs::read(&to).ok().as_deref() != Some(&bytes) {
            std::fs::write(&to, &bytes)?;
        }
    }
    Ok(dir)
}

/// Builds `tests/naive`, the module by Fluvio's macro that tests compare with, into
/// `target/test-modules`. A cargo run of its own: the macro's `alloc` must not get into the others.
pub fn naive() -> Result<()> {
    let target_dir = target().join("wasm");
    let mut command = Toolchain::find()?.cargo_build();
    command.args(["--locked", "--profile", "release-wasm", "--package", "perfstream-naive", "--target-dir"]);
    run(command.arg(&target_dir))?;
    let dir = target().join("test-modules");
    std::fs::create_dir_all(&dir)?;
    let built = target_dir.join("wasm32-unknown-unknown/release-wasm/perfstream_naive.wasm");
    std::fs::copy(&built, dir.join("naive.wasm")).with_context(|| format!("{} was not built", built.display()))?;
    Ok(())
}

/// Builds the modules and `target/release/perfstream` around them; returns the binary.
pub fn all() -> Result<PathBuf> {
    let dir = wasm()?;
    run(cargo().args(["build", "--locked", "--release", "--package", "perfstream"]).env("PERFSTREAM_MODULES", &dir))?;
    let binary = target().join("release/perfstream");
    eprintln!("built {}", binary.display());
    Ok(binary)
}

/// Builds the modules, and perfstream as tests of the workspace run it: none of our crates is built once more
/// without its failpoints.
pub fn tested() -> Result<PathBuf> {
    wasm()?;
    program("perfstream", "check")
}

/// Builds the program `name` of `tests/src/bin`; returns it.
pub fn of_tests(name: &str) -> Result<PathBuf> {
    program(name, "kill_collector")
}

/// Builds a program by building a test of its package, so with all of the workspace's features, as
/// `cargo test --workspace` does: another choice would build everything anew.
fn program(name: &str, test: &str) -> Result<PathBuf> {
    let mut command = cargo();
    command.args(["test", "--workspace", "--release", "--locked", "--no-run", "--quiet", "--test", test]);
    run(command.env("PERFSTREAM_MODULES", modules_dir()))?;
    let binary = target().join("release").join(name);
    ensure!(binary.exists(), "{} was not built", binary.display());
    Ok(binary)
}
