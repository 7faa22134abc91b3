//! Programs that tests need and Debian has.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The program of that name on PATH, installed from the packages if it is not there and that can be done;
/// else why not.
pub fn program(name: &str, packages: &[&str]) -> Result<PathBuf, String> {
    if let Some(path) = find(name) {
        return Ok(path);
    }
    let apt = find("apt-get").ok_or("it is not installed, and there is no apt-get")?;
    if !is_root() {
        return Err(format!("it is not installed; `apt-get install {}`", packages.join(" ")));
    }
    println!("installing {}", packages.join(" "));
    let run = |args: &[&str]| {
        let mut command = Command::new(&apt);
        command.args(args).env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null()).stdout(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    let mut install = vec!["install", "--yes", "--no-install-recommends"];
    install.extend(packages);
    if !(run(&install) || run(&["update"]) && run(&install)) {
        return Err(format!("`apt-get install {}` failed", packages.join(" ")));
    }
    find(name).ok_or_else(|| format!("the packages {} do not bring it", packages.join(" ")))
}

fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file())
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    Path::new("/proc/self").metadata().is_ok_and(|of| of.uid() == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_there_is_found() {
        assert!(program("sh", &[]).is_ok_and(|path| path.is_file()));
    }
}
