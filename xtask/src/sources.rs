//! What something was built of: checksums of the repository's files.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::Error;
use crate::program;

/// Of all files below these directories of the repository but texts, a line each.
///
/// # Errors
///
/// [`Error::Io`] if they cannot be read.
pub(crate) fn checksums(directories: &[&str]) -> Result<String, Error> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut files = Vec::new();
    for directory in directories {
        walk(&repository.join(directory), &mut files)?;
    }
    // What a guest prints is compared with, not built.
    files.retain(|path| path.extension().is_none_or(|extension| extension != "txt" && extension != "md"));
    files.sort();
    let sums = program::output(Command::new("sha256sum").arg("--").args(&files))?;
    let sums = String::from_utf8_lossy(&sums);
    // Without the names, which begin with where the repository is.
    Ok(sums.lines().filter_map(|line| line.split(' ').next()).collect::<Vec<_>>().join("\n"))
}

fn walk(directory: &Path, files: &mut Vec<PathBuf>) -> Result<(), Error> {
    for entry in fs::read_dir(directory).map_err(Error::io(directory))? {
        let path = entry.map_err(Error::io(directory))?.path();
        if path.is_dir() {
            walk(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}
