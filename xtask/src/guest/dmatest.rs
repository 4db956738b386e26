//! `guest dmatest`: the kernel's test of its DMA engines as a module for the guest's kernel.
//!
//! Debian builds its kernels without it. Its source is in the package that tier 2's kernel is made of, and the guest's
//! kernel has its headers in the archive: in the Debian sid root of `guest kernel --prepare` the two become a module.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};

use crate::cache::Cache;
use crate::error::Error;
use crate::guest::packages::Packages;
use crate::kernel::root::{Root, run};

/// The module's file.
pub(crate) const MODULE: &str = "dmatest.ko";

/// `$1` is the kernel's release, `$2` where to build.
const SCRIPT: &str = r"
set -e
headers=/usr/src/linux-headers-$1
if [ ! -d $headers ]; then
    apt-get -q -o Acquire::Check-Valid-Until=false update
    apt-get -q -o Acquire::Check-Valid-Until=false install -y --no-install-recommends linux-headers-$1
fi
rm -rf $2
mkdir -p $2
tar -xJf /usr/src/linux-source-7.2.tar.xz -C $2 --wildcards --strip-components=3 '*/drivers/dma/dmatest.c'
echo 'obj-m := dmatest.o' >$2/Makefile
make -C $headers M=$2 modules
";

/// Where it is kept.
pub(crate) fn place(cache: &Cache, release: &str) -> PathBuf {
    cache.root().join("guest/dmatest").join(release).join(MODULE)
}

/// Builds it.
pub(crate) fn build() -> Result<ExitCode, Error> {
    let cache = Cache::open()?;
    let packages = Packages::get(&cache)?;
    let root = Root::open(&cache)?;
    let inside = format!("/build/dmatest-{}", packages.release);
    let mut command = root.command("sh");
    command.env("DEBIAN_FRONTEND", "noninteractive").args([
        "-c",
        SCRIPT,
        "dmatest",
        &packages.release,
        &inside,
    ]);
    run(command.stdout(Stdio::null()))?;
    let to = place(&cache, &packages.release);
    let directory = to.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(directory).map_err(Error::io(directory))?;
    let built = root.file(&format!("{inside}/{MODULE}"));
    fs::copy(&built, &to).map_err(Error::io(&built))?;
    println!("{}", to.display());
    Ok(ExitCode::SUCCESS)
}
