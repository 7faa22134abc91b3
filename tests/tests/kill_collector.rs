//! A few rounds of `cargo xtask kill --collector`, and that the harness sees what is lost.

use std::process::Command;

fn rounds(args: &[&str]) {
    let output = Command::new(env!("CARGO_BIN_EXE_kill_collector")).args(args).output().expect("the harness runs");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn what_was_acknowledged_survives_a_kill() {
    rounds(&["--rounds", "5"]);
}

/// It ends well when the run fails.
#[test]
fn the_harness_sees_what_is_lost() {
    rounds(&["--rounds", "3", "--without", "commit"]);
}

#[test]
#[ignore = "needs a Fluvio server"]
fn what_was_acknowledged_is_in_the_topics_of_a_cluster() {
    rounds(&["--rounds", "5", "--cluster"]);
}
