//! Programs that Debian has and builds or tests need.

use crate::command::{on_path, output, run, succeeds};
use std::path::PathBuf;
use std::process::Command;

/// The program of that name on PATH, installed from the packages if it is not there and we are root; else
/// why not.
pub fn program(name: &str, packages: &[&str]) -> Result<PathBuf, String> {
    if let Some(path) = on_path(name) {
        return Ok(path);
    }
    if !is_root() {
        return Err(format!("it is not installed; `apt-get install {}`", packages.join(" ")));
    }
    install(packages);
    on_path(name).ok_or_else(|| format!("the packages {} could not be installed", packages.join(" ")))
}

/// Debian's packages, as root or by a sudo that does not ask; without these or apt this does nothing.
pub fn install(packages: &[&str]) {
    let root = is_root();
    let apt = |args: &[&str]| {
        let mut command = if root { Command::new("apt-get") } else { Command::new("sudo") };
        if !root {
            command.args(["-n", "apt-get"]);
        }
        command.args(args).env("DEBIAN_FRONTEND", "noninteractive");
        run(&mut command)
    };
    if !succeeds(Command::new("apt-get").arg("--version")) {
        return;
    }
    // An old list is no reason to stop: the install says what it cannot find.
    drop(apt(&["update", "-qq"]));
    drop(apt(&[&["install", "-y", "-qq"], packages].concat()));
}

fn is_root() -> bool {
    output(Command::new("id").arg("-u")).as_deref() == Some("0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_there_is_found() {
        assert!(program("sh", &[]).is_ok_and(|path| path.is_file()));
    }
}
