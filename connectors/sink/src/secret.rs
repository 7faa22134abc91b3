//! Secrets: `${{ secrets.NAME }}` in a file stands for an environment variable or a file.
//!
//! A resolved secret is a [`Secret`], which prints as `***`. Errors name the secret, never its text.

use anyhow::{Context, Result, bail};
use std::fmt;
use std::path::{Path, PathBuf};

const OPEN: &str = "${{";
const CLOSE: &str = "}}";

/// A text that must not be shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The text itself, for the one place that sends it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Where secrets come from.
#[derive(Debug, Clone, Default)]
pub struct Secrets {
    /// Directory with one file per secret; without it environment variables
    pub dir: Option<PathBuf>,
}

impl Secrets {
    /// Puts secrets in the place of their names.
    pub fn resolve(&self, text: &str) -> Result<Secret> {
        let (mut whole, mut rest) = (String::new(), text);
        while let Some((before, behind)) = rest.split_once(OPEN) {
            let (inner, after) = behind.split_once(CLOSE).context("`${{` without `}}`")?;
            whole.push_str(before);
            whole.push_str(&self.get(name_of(inner)?)?);
            rest = after;
        }
        whole.push_str(rest);
        Ok(Secret(whole))
    }

    fn get(&self, name: &str) -> Result<String> {
        let text = match &self.dir {
            Some(dir) => from_file(&dir.join(name)).with_context(|| format!("secret {name}"))?,
            // The error of `var` would show a text that is not UTF-8.
            None => match std::env::var(name) {
                Ok(text) => text,
                Err(_) => bail!("secret {name}: there is no environment variable of that name"),
            },
        };
        let text = text.trim();
        if text.is_empty() || text.contains(char::is_control) {
            bail!("secret {name} is empty or holds control characters");
        }
        Ok(text.into())
    }
}

/// Does a text name a secret and hold nothing else?
pub fn is_only_a_reference(text: &str) -> bool {
    let inner = text.trim().strip_prefix(OPEN).and_then(|rest| rest.strip_suffix(CLOSE));
    inner.is_some_and(|inner| name_of(inner).is_ok())
}

/// What is wrong with the references in a text.
pub fn check_references(text: &str) -> Result<(), String> {
    let mut rest = text;
    while let Some((_, behind)) = rest.split_once(OPEN) {
        let (inner, after) = behind.split_once(CLOSE).ok_or("`${{` without `}}`")?;
        name_of(inner).map_err(|error| error.to_string())?;
        rest = after;
    }
    Ok(())
}

/// Does a text name a secret?
pub fn has_reference(text: &str) -> bool {
    text.contains(OPEN)
}

fn name_of(inner: &str) -> Result<&str> {
    let name = inner.trim().strip_prefix("secrets.").unwrap_or_default();
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-') {
        bail!("expected `${{{{ secrets.NAME }}}}` with a name of letters, digits, `_` and `-`");
    }
    Ok(name)
}

fn from_file(path: &Path) -> Result<String> {
    let metadata = std::fs::metadata(path)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        if metadata.permissions().mode() & 0o077 != 0 {
            bail!("{} can be read by others; give it mode 0600 or less", path.display());
        }
    }
    if metadata.len() > 64 << 10 {
        bail!("{} has more than 64 KiB", path.display());
    }
    Ok(std::fs::read_to_string(path)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_shown() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("TOKEN");
        std::fs::write(&path, "canary-7\n").unwrap();
        let secrets = Secrets { dir: Some(dir.path().into()) };
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
            let error = format!("{:#}", secrets.resolve("${{ secrets.TOKEN }}").unwrap_err());
            assert!(error.contains("0600") && !error.contains("canary"), "{error}");
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        }
        let secret = secrets.resolve("Bearer ${{ secrets.TOKEN }}").unwrap();
        assert_eq!(secret.reveal(), "Bearer canary-7");
        assert_eq!(format!("{secret} {secret:?} {secret:#?}"), "*** *** ***");
        assert!(secrets.resolve("${{ secrets.OTHER }}").unwrap_err().to_string().contains("OTHER"));
    }

    #[test]
    fn references() {
        assert!(is_only_a_reference(" ${{ secrets.A_1 }}"));
        for text in ["plain", "x ${{ secrets.A }}", "${{ secrets. }}", "${{ A }}", "${{ secrets.../x }}"] {
            assert!(!is_only_a_reference(text), "{text}");
        }
        assert!(check_references("a ${{ secrets.A }} b").is_ok());
        assert!(check_references("a ${{ secrets.A b").is_err());
        assert!(check_references("${{ env.A }}").is_err());
    }
}
