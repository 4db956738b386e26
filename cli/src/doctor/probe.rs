//! What no file says and only trying shows.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use idxd_emu::{Presence, ProcessMemory};
use nix::errno::Errno;

use super::finding::Evidence;

/// What came of trying.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It works.
    Worked,
    /// The system said no.
    Refused(Errno),
    /// Another machine's tree, which does not tell.
    NotTried,
}

impl Answer {
    /// As a captured tree has it: `ok`, or the error's number.
    pub(crate) fn parse(text: Option<&str>) -> Self {
        match text {
            Some("ok") => Self::Worked,
            Some(text) => text.parse().map_or(Self::NotTried, |raw| Self::Refused(Errno::from_raw(raw))),
            None => Self::NotTried,
        }
    }

    /// As evidence: `what` is the system call.
    pub(crate) fn evidence(self, what: impl Into<String>) -> Evidence {
        match self {
            Self::Worked => Evidence::new(what, "works"),
            Self::Refused(errno) => Evidence::refused(what, &errno.into()),
            Self::NotTried => Evidence::new(what, "not tried"),
        }
    }
}

impl From<io::Result<()>> for Answer {
    fn from(result: io::Result<()>) -> Self {
        match result {
            Ok(()) => Self::Worked,
            Err(error) => {
                error.raw_os_error().map_or(Self::NotTried, |raw| Self::Refused(Errno::from_raw(raw)))
            }
        }
    }
}

/// ECX of CPUID leaf 7, subleaf 0.
pub(crate) fn cpuid_7_ecx() -> Option<u32> {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{__cpuid, __cpuid_count};
        (__cpuid(0).eax >= 7).then(|| __cpuid_count(7, 0).ecx)
    }
    #[cfg(not(target_arch = "x86_64"))]
    None
}

/// Whether this process may have an io_uring.
pub(crate) fn io_uring() -> Answer {
    io_uring::IoUring::new(1).map(drop).into()
}

/// Whether the kernel answers `PAGEMAP_SCAN`.
pub(crate) fn pagemap_scan() -> Answer {
    match ProcessMemory::open() {
        Ok(memory) if memory.presence() == Presence::PagemapScan => Answer::Worked,
        Ok(_) => Answer::Refused(Errno::ENOTTY),
        Err(_) => Answer::Refused(Errno::EACCES),
    }
}

/// Opens a work queue's node, which binds this process's address space to the device, and closes it.
pub(crate) fn open(node: &Path) -> Answer {
    let opened = node.metadata().and_then(|metadata| match metadata.file_type().is_char_device() {
        true => OpenOptions::new().read(true).write(true).open(node).map(drop),
        false => Err(Errno::ENODEV.into()),
    });
    opened.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_ok_or_a_number() {
        assert_eq!(Answer::parse(Some("ok")), Answer::Worked);
        assert_eq!(Answer::parse(Some("95")), Answer::Refused(Errno::EOPNOTSUPP));
        assert_eq!(Answer::parse(Some("perhaps")), Answer::NotTried);
        assert_eq!(Answer::parse(None), Answer::NotTried);
    }

    #[test]
    fn what_is_no_device_is_not_opened() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(open(file.path()), Answer::Refused(Errno::ENODEV));
        assert_eq!(open(Path::new("/nowhere/wq0.0")), Answer::Refused(Errno::ENOENT));
    }
}
