//! Pinned memory and its limit, for a user without privileges and for root.
//!
//! iommufd counts pinned pages by user, against the limit of the process that pins. A container counts them as locked by the
//! process. Both exempt a process that has CAP_IPC_LOCK.

use anyhow::{Result, bail, ensure};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use svala_qat::{Error, QatQueueConfig, Registered};

use super::edu::Edu;
use super::reach::pages;
use crate::Test;

pub(crate) const TESTS: &[Test] =
    &[("vfio_memory_lock_limit", |_| limit()), ("vfio_memory_lock_limit_of_root", |_| limit_of_root())];

const LIMIT: u64 = 2 << 20;

fn pinned() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let kib = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()).unwrap_or(0)
    };
    Ok((kib("VmPin:") + kib("VmLck:")) << 10)
}

fn limit() -> Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_MEMLOCK)?;
    setrlimit(Resource::RLIMIT_MEMLOCK, LIMIT, hard)?;
    for bytes in [4 << 20, QatQueueConfig::default().arena_bytes] {
        match Edu::with_arena(bytes) {
            Err(error) => match error.downcast_ref::<Error>() {
                Some(Error::MemoryLock { need, limit, .. }) => {
                    ensure!((*need, *limit) == (bytes, LIMIT), "{need} and {limit}");
                    println!("{error}");
                }
                _ => return Err(error.context("not for want of memory to lock")),
            },
            Ok(_) => bail!("{bytes} bytes were pinned with a limit of {LIMIT}"),
        }
    }
    ensure!(pinned()? == 0, "{} bytes stay pinned", pinned()?);
    // What fits is pinned, and counted.
    let (_edu, arena) = Edu::with_arena(1 << 20)?;
    ensure!(pinned()? == 1 << 20, "{} bytes pinned for an arena of 1 MiB", pinned()?);
    // Registration beyond it fails with the buffer, and leaves no trace; only with an IOMMU that has such addresses.
    match Registered::new(&arena, pages(2 << 20)?) {
        Err(failed) => {
            match &failed.error {
                Error::MemoryLock { need, locked, .. } => {
                    ensure!((*need, *locked) == (2 << 20, 1 << 20), "{}", failed.error);
                }
                Error::Map { .. } if svala::IoBuf::span(&failed.buffer).addr.get() >> 39 != 0 => {}
                other => bail!("{other}"),
            }
            println!("{}", failed.error);
        }
        Ok(_) => bail!("3 MiB pinned with a limit of {LIMIT}"),
    }
    ensure!(pinned()? == 1 << 20, "{} bytes pinned after a refusal", pinned()?);
    drop(arena);
    println!("refused beyond the limit, given back as a whole");
    Ok(())
}

/// Who may lock memory, as root may, is exempt, by iommufd as by a container: the arena of a queue with its usual settings.
fn limit_of_root() -> Result<()> {
    let bytes = QatQueueConfig::default().arena_bytes;
    let (_, hard) = getrlimit(Resource::RLIMIT_MEMLOCK)?;
    setrlimit(Resource::RLIMIT_MEMLOCK, LIMIT, hard)?;
    let (edu, arena) = Edu::with_arena(bytes)?;
    edu.check()?;
    drop((edu, arena));
    ensure!(pinned()? == 0, "{} bytes stay pinned", pinned()?);
    println!("{bytes} bytes by root, with a limit of {LIMIT}");
    Ok(())
}
