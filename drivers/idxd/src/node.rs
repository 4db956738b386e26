//! The device node of a work queue, and who may open it.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::fcntl::AT_FDCWD;
use nix::libc;
use nix::unistd::{AccessFlags, faccessat};

/// `/dev/dsa/wq0.1` or `/dev/iax/wq1.0`. The kernel makes it when the queue is enabled for processes.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct DeviceNode {
    /// Where it is.
    pub path: PathBuf,
    /// Permission bits, as 0o660.
    pub mode: u32,
    /// User that owns it.
    pub uid: u32,
    /// Group that owns it.
    pub gid: u32,
    /// Whether it is a character device, as it should be.
    pub is_device: bool,
    /// Major number.
    pub major: u64,
    /// Minor number.
    pub minor: u64,
    /// Whether this process may open it for reading and writing, which a queue needs.
    pub openable: bool,
}

impl DeviceNode {
    /// Looks at a node without opening it. None if there is nothing.
    ///
    /// # Errors
    ///
    /// The kernel's, for a path that cannot be looked at.
    pub fn look(path: &Path) -> io::Result<Option<Self>> {
        match std::fs::metadata(path) {
            Ok(metadata) => Ok(Some(Self::of(path, &metadata))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn of(path: &Path, metadata: &Metadata) -> Self {
        let device = metadata.rdev();
        let wanted = AccessFlags::R_OK | AccessFlags::W_OK;
        Self {
            path: path.to_owned(),
            mode: metadata.mode() & 0o7777,
            uid: metadata.uid(),
            gid: metadata.gid(),
            is_device: metadata.file_type().is_char_device(),
            major: u64::from(libc::major(device)),
            minor: u64::from(libc::minor(device)),
            openable: faccessat(AT_FDCWD, path, wanted, nix::fcntl::AtFlags::AT_EACCESS).is_ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_described_without_being_opened() {
        let node = DeviceNode::look(Path::new("/dev/null")).unwrap().expect("/dev/null");
        assert_eq!((node.major, node.minor, node.is_device), (1, 3, true));
        assert!(node.openable && node.mode == 0o666);
        assert_eq!(DeviceNode::look(Path::new("/dev/none-such")).unwrap(), None);
    }
}
