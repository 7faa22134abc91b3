//! Running programs: their output is the user's to see, their failure is ours to explain.

use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The repository's root.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(PathBuf::new, PathBuf::from)
}

/// Cargo's target directory.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir))
}

/// Runs a command to its end; anything but success is an error that shows the command.
pub fn run(command: &mut Command) -> Result<()> {
    let shown = show(command);
    eprintln!("$ {shown}");
    let status = command.status().with_context(|| format!("`{shown}` could not be started"))?;
    match status.success() {
        true => Ok(()),
        false => bail!("`{shown}` failed: {status}"),
    }
}

/// Runs a command, passing its standard output on and showing each line to `see`; did it succeed?
pub fn stream(command: &mut Command, see: &mut dyn FnMut(&str)) -> Result<bool> {
    let shown = show(command);
    eprintln!("$ {shown}");
    let started = command.stdout(Stdio::piped()).spawn();
    let mut child = started.with_context(|| format!("`{shown}` could not be started"))?;
    if let Some(output) = child.stdout.take() {
        // Bytes, since a test may print anything.
        for line in BufReader::new(output).split(b'\n') {
            let line = line?;
            let line = String::from_utf8_lossy(&line);
            println!("{line}");
            see(&line);
        }
    }
    Ok(child.wait()?.success())
}

/// Does the command succeed? Its output is not shown.
pub fn succeeds(command: &mut Command) -> bool {
    command.output().is_ok_and(|o| o.status.success())
}

/// What a command prints, if it succeeds.
pub fn output(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|o| o.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_string())
}

/// The program of that name on PATH.
pub fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file())
}

/// The cargo that runs this xtask, in the environment of a user's own `cargo`.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // `cargo xtask` describes the package xtask in its environment. Build scripts look there, and would build
    // everything anew each time xtask follows a plain `cargo`, or the other way round.
    let of_xtask = |name: &str| ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|of| name.starts_with(of));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(of_xtask)) {
        command.env_remove(name);
    }
    command.current_dir(root());
    command
}

/// The pipelines that are shipped, in order of name, as paths below the root.
pub fn pipelines() -> Vec<PathBuf> {
    let entries = root().join("pipelines").read_dir().into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries
        .map(|entry| Path::new("pipelines").join(entry.file_name()))
        .filter(|path| path.extension().is_some_and(|e| e == "yaml" || e == "yml"))
        .collect();
    files.sort();
    files
}

/// The command as one would type it at the root.
pub fn show(command: &Command) -> String {
    let root = format!("{}/", root().display());
    let name = |text: &std::ffi::OsStr| text.to_string_lossy().replace(&root, "");
    // The path of the cargo that runs us says nothing that `cargo` does not.
    let program = match std::env::var_os("CARGO") {
        Some(cargo) if cargo == command.get_program() => "cargo".into(),
        _ => name(command.get_program()),
    };
    command.get_args().fold(program, |text, arg| format!("{text} {}", name(arg)))
}
