//! A compiler for `wasm32-unknown-unknown`: the first of three ways that works.
//!
//! The current toolchain has the target; or rustup adds it; or the distribution's compiler builds
//! the standard library from its source. `PERFSTREAM_WASM_TOOLCHAIN=rustup` allows the first two
//! only, `=distribution` the third only.

use crate::command::{on_path, output, succeeds};
use crate::debian;
use anyhow::{Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "wasm32-unknown-unknown";
const CHOICE: &str = "PERFSTREAM_WASM_TOOLCHAIN";

/// How to compile to WASM.
pub enum Toolchain {
    /// The current toolchain has the target.
    Current,
    /// The distribution's compiler builds the standard library itself.
    Distribution {
        /// rustc's path
        rustc: PathBuf,
        /// cargo's path
        cargo: PathBuf,
        /// A linker for WASM
        linker: PathBuf,
    },
}

impl Toolchain {
    /// Finds one; installs what is missing.
    pub fn find() -> Result<Toolchain> {
        let wanted = std::env::var(CHOICE).unwrap_or_default();
        let found = match wanted.as_str() {
            "" => current().or_else(|| {
                eprintln!("rustup cannot; trying the distribution's compiler and its library source");
                installed_distribution()
            }),
            "rustup" => current(),
            "distribution" => installed_distribution(),
            other => bail!("{CHOICE}={other}: expected rustup or distribution, or leave it unset"),
        };
        match found {
            Some(found) => Ok(found),
            None => bail!(
                "no compiler for {TARGET} was found{}.\n\
                 Fix it in one of these ways, then run the command again:\n  \
                 rustup target add {TARGET}\n  \
                 sudo apt-get install rustc-web cargo-web rust-web-src lld   (Debian, where rustup has no network)",
                if wanted.is_empty() { String::new() } else { format!(" ({CHOICE}={wanted})") }
            ),
        }
    }

    /// `cargo build` for WASM with this toolchain.
    pub fn cargo_build(&self) -> Command {
        let mut command = match self {
            Toolchain::Current => crate::command::cargo(),
            Toolchain::Distribution { cargo, .. } => {
                let mut command = Command::new(cargo);
                command.current_dir(crate::command::root());
                command
            }
        };
        command.args(["build", "--target", TARGET]);
        if let Toolchain::Distribution { rustc, linker, .. } = self {
            // What rustup's cargo left in the environment would bring its own compiler back.
            for name in ["CARGO", "RUSTC", "RUSTDOC", "RUSTUP_TOOLCHAIN", "RUSTC_WRAPPER", "RUSTFLAGS"] {
                command.env_remove(name);
            }
            command.arg("-Zbuild-std=std,panic_abort");
            command.env("RUSTC", rustc).env("RUSTC_BOOTSTRAP", "1");
            command.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
        }
        // The engine that Fluvio embeds has SIMD on.
        command.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS", "-Ctarget-feature=+simd128");
        command
    }
}

/// The current toolchain, once it has the target.
fn current() -> Option<Toolchain> {
    if has_target() {
        return Some(Toolchain::Current);
    }
    eprintln!("the target {TARGET} is not installed; asking rustup for it");
    (succeeds(Command::new("rustup").args(["target", "add", TARGET])) && has_target()).then_some(Toolchain::Current)
}

fn installed_distribution() -> Option<Toolchain> {
    distribution().or_else(|| {
        debian::install(&["rustc-web", "cargo-web", "rust-web-src"]);
        if wasm_linker().is_none() {
            debian::install(&["lld"]);
        }
        distribution()
    })
}

fn has_target() -> bool {
    let lib = output(Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET]));
    lib.is_some_and(|dir| Path::new(&dir).read_dir().is_ok_and(|mut d| d.next().is_some()))
}

fn distribution() -> Option<Toolchain> {
    let (rustc, cargo) = (PathBuf::from("/usr/bin/rustc"), PathBuf::from("/usr/bin/cargo"));
    let sysroot = output(Command::new(&rustc).args(["--print", "sysroot"]))?;
    let source = Path::new(&sysroot).join("lib/rustlib/src/rust/library/std");
    (cargo.exists() && source.exists()).then_some(())?;
    Some(Toolchain::Distribution { rustc, cargo, linker: wasm_linker()? })
}

/// `rust-lld` of the rustup toolchain, or the distribution's `wasm-ld`.
fn wasm_linker() -> Option<PathBuf> {
    let sysroot = output(Command::new("rustc").args(["--print", "sysroot"])).unwrap_or_default();
    let host = output(Command::new("rustc").args(["--print", "host-tuple"])).unwrap_or_default();
    let bundled = Path::new(&sysroot).join("lib/rustlib").join(host).join("bin/rust-lld");
    if bundled.exists() {
        return Some(bundled);
    }
    ["wasm-ld", "wasm-ld-19", "wasm-ld-16", "wasm-ld-14"].into_iter().find_map(on_path)
}
