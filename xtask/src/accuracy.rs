//! `cargo xtask accuracy`: the presets of `perfstream detect` on labelled series, beside peers.
//!
//! Python does the arithmetic (`tests/accuracy/run.py`, and `forecast.py` for forecasts), in a virtual environment below the target
//! directory that holds the peers from PyPI; scores of ours come through the binary and its WASM.

use crate::build;
use crate::command::{cargo, root, run, target};
use anyhow::{Result, bail};
use std::path::PathBuf;
use std::process::Command;

/// Options of `cargo xtask accuracy`.
#[derive(clap::Args)]
pub struct Args {
    /// Folder of Microsoft's cloud-monitoring-dataset: data/KIND/NAME.csv, columns TimeStamp,Value,Label
    #[arg(long)]
    mscloud: Option<PathBuf>,
    /// Folder of NAB files: data/CATEGORY/NAME.csv, labels.json and its scorer score.py
    #[arg(long)]
    nab: Option<PathBuf>,
    /// Also what each detector finds on each series
    #[arg(long)]
    per_series: bool,
    /// Also the NAB score of `best` over warm-ups 100 to 400 and each number of `novelty` by 0.7 and 1.3
    #[arg(long, requires = "nab")]
    sweep: bool,
    /// Of the stage `forecast` instead: its errors against the seasonal naive forecast, on --mscloud and on
    /// generated web vitals
    #[arg(long, conflicts_with_all = ["nab", "per_series", "sweep"])]
    forecast: bool,
}

/// Builds, installs the peers, and prints the tables.
pub fn accuracy(args: &Args) -> Result<()> {
    if args.mscloud.is_none() && args.nab.is_none() && !args.forecast {
        bail!("nothing to measure on: give --mscloud DIR, --nab DIR or both");
    }
    let perfstream = build::all()?;
    let work = target().join("accuracy");
    // Forecasts are compared with what the series was a day before, which needs no packages.
    let (python, script) = match args.forecast {
        true => ("python3".into(), "tests/accuracy/forecast.py"),
        false => (environment(&work)?, "tests/accuracy/run.py"),
    };
    let mut command = Command::new(python);
    command.current_dir(root()).arg(script).arg("--perfstream").arg(perfstream);
    command.arg("--work").arg(&work);
    for (name, folder) in [("--mscloud", &args.mscloud), ("--nab", &args.nab)] {
        if let Some(folder) = folder {
            command.arg(name).arg(std::path::absolute(folder)?);
        }
    }
    if args.per_series {
        command.arg("--per-series");
    }
    if args.sweep {
        run(cargo().args([
            "build",
            "--release",
            "--locked",
            "--package",
            "perfstream-core",
            "--example",
            "novelty_sweep",
        ]))?;
        command.arg("--sweep").arg(target().join("release/examples/novelty_sweep"));
    }
    run(&mut command)
}

/// The Python of a virtual environment with `tests/accuracy/requirements.txt` in it.
fn environment(work: &std::path::Path) -> Result<PathBuf> {
    let folder = work.join("venv");
    let python = folder.join("bin/python");
    if !python.exists() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    }
    let list = root().join("tests/accuracy/requirements.txt");
    run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "--requirement"]).arg(list))?;
    Ok(python)
}
