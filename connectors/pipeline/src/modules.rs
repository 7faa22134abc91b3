//! The SmartModules' bytes: built in, or from a directory.

use anyhow::{Context, Result, bail};
use std::borrow::Cow;
use std::path::{Path, PathBuf};

include!(concat!(env!("OUT_DIR"), "/modules.rs"));

/// Where modules come from.
#[derive(Debug, Clone, Default)]
pub struct Modules {
    dir: Option<PathBuf>,
}

impl Modules {
    /// Those in the binary, or `dir/STAGE.wasm` where a directory is given.
    pub fn new(dir: Option<&Path>) -> Modules {
        Modules { dir: dir.map(Path::to_path_buf) }
    }

    /// The bytes of a stage's module.
    pub fn load(&self, stage: &str) -> Result<Cow<'static, [u8]>> {
        if let Some(dir) = &self.dir {
            let path = dir.join(format!("{stage}.wasm"));
            let bytes = std::fs::read(&path).with_context(|| format!("module {}", path.display()))?;
            return Ok(Cow::Owned(bytes));
        }
        match EMBEDDED.iter().find(|(name, _)| *name == stage) {
            Some((_, bytes)) => Ok(Cow::Borrowed(bytes)),
            None if EMBEDDED.is_empty() => bail!(
                "this binary was built without its SmartModules.\n\
                 Build it with `cargo xtask build`, or point at built modules with `--modules DIR`"
            ),
            None => {
                bail!("the SmartModule of the stage `{stage}` is not built into this binary; `--modules DIR` adds one")
            }
        }
    }
}
