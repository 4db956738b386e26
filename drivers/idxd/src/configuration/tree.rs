//! Where configuration is read from and written to.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use crate::sysfs::{Sysfs, read_attribute};

/// Attributes by path under the bus: `devices/dsa0/wq0.1/size`, `drivers/user/bind`.
///
/// A write happens whole or not at all. What it changes besides is the kernel's business.
pub trait Tree {
    /// An attribute's value, without the line's end.
    ///
    /// # Errors
    ///
    /// The kernel's; `NotFound` for an attribute that is not there.
    fn read(&mut self, path: &str) -> io::Result<String>;

    /// Writes an attribute.
    ///
    /// # Errors
    ///
    /// The kernel's.
    fn write(&mut self, path: &str, value: &str) -> io::Result<()>;
}

/// A tree of files.
#[derive(Clone, Debug)]
pub struct SysfsTree {
    bus: PathBuf,
}

impl SysfsTree {
    /// The tree that discovery reads.
    #[must_use]
    pub fn new(sysfs: &Sysfs) -> Self {
        Self { bus: sysfs.bus().to_owned() }
    }
}

impl Tree for SysfsTree {
    fn read(&mut self, path: &str) -> io::Result<String> {
        let bytes = read_attribute(&self.bus.join(path))?;
        String::from_utf8(bytes)
            .map(|text| text.trim().to_owned())
            .map_err(|_| io::ErrorKind::InvalidData.into())
    }

    fn write(&mut self, path: &str, value: &str) -> io::Result<()> {
        // The same care as with reading; a file cannot come to be by it. Sysfs ignores the truncation.
        let flags = libc::O_NONBLOCK | libc::O_NOFOLLOW | libc::O_CLOEXEC;
        let path = self.bus.join(path);
        let mut file = OpenOptions::new().write(true).truncate(true).custom_flags(flags).open(path)?;
        let line = format!("{value}\n");
        // In one call: each call is a write of its own to the kernel.
        match file.write(line.as_bytes())? {
            written if written == line.len() => Ok(()),
            _ => Err(io::ErrorKind::WriteZero.into()),
        }
    }
}
