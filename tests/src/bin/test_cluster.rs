//! A Fluvio cluster for tests that are not written in Rust (`tests/browser`): prints `HOST:PORT` of its system
//! controller and keeps it up until standard input ends, which also comes when the test dies. Exit status 3:
//! there is no server binary.

use anyhow::Result;
use perfstream_log::testing::TestCluster;
use std::process::ExitCode;

const NO_SERVER: u8 = 3;

fn main() -> Result<ExitCode> {
    let Some(cluster) = TestCluster::start() else { return Ok(ExitCode::from(NO_SERVER)) };
    println!("{}", cluster.address());
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    Ok(ExitCode::SUCCESS)
}
