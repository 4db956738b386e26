//! `guest kernel`: the kernel of tier 2, with its SVA and page-fault path in Rust.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::cache::Cache;
use crate::error::Error;

/// What `guest kernel` is told.
#[derive(Debug, Args)]
pub(crate) struct Kernel {}

/// Builds it.
pub(crate) fn run(_: &Kernel) -> Result<ExitCode, Error> {
    let cache = Cache::open()?;
    image(&cache).map(|path| {
        println!("{}", path.display());
        ExitCode::SUCCESS
    })
}

/// The kernel image: `$SVALA_KERNEL`, else what `guest kernel` built.
///
/// # Errors
///
/// [`Error::Missing`] with the command that builds it.
pub(crate) fn image(cache: &Cache) -> Result<PathBuf, Error> {
    if let Some(path) = std::env::var_os("SVALA_KERNEL") {
        return Ok(PathBuf::from(path));
    }
    let built = cache.root().join("kernel/bzImage");
    if built.is_file() {
        Ok(built)
    } else {
        Err(Error::missing(format!("the kernel, {}", built.display()), "set SVALA_KERNEL to a bzImage"))
    }
}
