//! Where things are kept that take minutes to make: outside the repository, shared by all its clones.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::Error;

/// A directory of the cache.
#[derive(Clone, Debug)]
pub(crate) struct Cache {
    root: PathBuf,
}

impl Cache {
    /// `$SVALA_CACHE`, else `svala` in `$XDG_CACHE_HOME` or `~/.cache`. It is made if it is not there.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] without any of the variables, [`Error::Io`] if it cannot be made.
    pub(crate) fn open() -> Result<Self, Error> {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let root = variable("SVALA_CACHE")
            .or_else(|| variable("XDG_CACHE_HOME").map(|cache| cache.join("svala")))
            .or_else(|| variable("HOME").map(|home| home.join(".cache/svala")))
            .ok_or_else(|| Error::missing("a cache directory", "set SVALA_CACHE, XDG_CACHE_HOME or HOME"))?;
        fs::create_dir_all(&root).map_err(Error::io(&root))?;
        Ok(Self { root })
    }

    /// The directory itself.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// A directory in it, made if it is not there.
    pub(crate) fn dir(&self, name: impl AsRef<Path>) -> Result<PathBuf, Error> {
        let path = self.root.join(name);
        fs::create_dir_all(&path).map_err(Error::io(&path))?;
        Ok(path)
    }
}
