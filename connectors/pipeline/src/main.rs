//! The command `perfstream`.

mod cli;

use clap::Parser;
use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args = cli::Args::parse_from(as_connector(std::env::args_os()));
    match cli::run(args) {
        Ok(code) => code,
        // A reader that went away (`| head`) is no error of ours.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(1)
        }
    }
}

/// Fluvio starts a connector as `perfstream --config FILE`: that is `perfstream run --config FILE`.
fn as_connector(args: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut args: Vec<OsString> = args.collect();
    if args.get(1).is_some_and(|first| first == "--config" || first == "--secrets") {
        args.insert(1, "run".into());
    }
    args
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .any(|e| e.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe))
}
