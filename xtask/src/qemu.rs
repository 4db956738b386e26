//! `guest qemu`: a QEMU with the device in it, from a source archive.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::cache::Cache;
use crate::error::Error;

/// What `guest qemu` is told.
#[derive(Debug, Args)]
pub(crate) struct Qemu {}

/// Builds it.
pub(crate) fn run(_: &Qemu) -> Result<ExitCode, Error> {
    Err(Error::missing("the QEMU device", "set SVALA_QEMU to a qemu-system-x86_64 with the device idxd"))
}

/// The program: `$SVALA_QEMU`, else what `guest qemu` built.
///
/// # Errors
///
/// [`Error::Missing`] with the command that builds it.
pub(crate) fn program(cache: &Cache) -> Result<PathBuf, Error> {
    if let Some(path) = std::env::var_os("SVALA_QEMU") {
        return Ok(PathBuf::from(path));
    }
    let built = cache.root().join("qemu/qemu-system-x86_64");
    if built.is_file() {
        Ok(built)
    } else {
        Err(Error::missing(format!("QEMU with the device, {}", built.display()), "cargo xtask guest qemu"))
    }
}
