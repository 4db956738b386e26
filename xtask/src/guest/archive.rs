//! The file system that a guest begins with: archives in the kernel's form, one behind the other.

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::path::Path;

use cpio::newc::Builder;

/// An archive that is being written. Directories come by themselves.
#[derive(Debug)]
pub(crate) struct Archive {
    bytes: Vec<u8>,
    directories: BTreeSet<String>,
    inode: u32,
}

const DIRECTORY: u32 = 0o040_755;
const FILE: u32 = 0o100_000;
const LINK: u32 = 0o120_777;
const DEVICE: u32 = 0o020_600;

impl Archive {
    pub(crate) const fn new() -> Self {
        Self { bytes: Vec::new(), directories: BTreeSet::new(), inode: 0 }
    }

    fn entry(&mut self, path: &str, mode: u32, content: &[u8]) -> io::Result<()> {
        self.inode += 1;
        let size = u32::try_from(content.len()).map_err(io::Error::other)?;
        let entry = Builder::new(path).ino(self.inode).mode(mode).nlink(1);
        let mut writer = entry.write(&mut self.bytes, size);
        writer.write_all(content)?;
        writer.finish().map(|_| ())
    }

    fn parents(&mut self, path: &str) -> io::Result<()> {
        let parents: Vec<_> = Path::new(path).ancestors().skip(1).filter_map(Path::to_str).collect();
        for parent in parents.into_iter().rev().filter(|parent| !parent.is_empty()) {
            self.directory(parent)?;
        }
        Ok(())
    }

    /// A directory, and those above it.
    pub(crate) fn directory(&mut self, path: &str) -> io::Result<()> {
        if self.directories.contains(path) {
            return Ok(());
        }
        self.parents(path)?;
        self.directories.insert(path.to_owned());
        self.entry(path, DIRECTORY, &[])
    }

    /// A file, with its permission bits.
    pub(crate) fn file(&mut self, path: &str, mode: u32, content: &[u8]) -> io::Result<()> {
        self.parents(path)?;
        self.entry(path, FILE | mode, content)
    }

    /// A symbolic link.
    pub(crate) fn link(&mut self, path: &str, target: &str) -> io::Result<()> {
        self.parents(path)?;
        self.entry(path, LINK, target.as_bytes())
    }

    /// A character device.
    pub(crate) fn device(&mut self, path: &str, major: u32, minor: u32) -> io::Result<()> {
        self.parents(path)?;
        self.inode += 1;
        let entry = Builder::new(path).ino(self.inode).mode(DEVICE).nlink(1);
        entry.rdev_major(major).rdev_minor(minor).write(&mut self.bytes, 0).finish().map(|_| ())
    }

    /// All of it.
    pub(crate) fn finish(self) -> io::Result<Vec<u8>> {
        cpio::newc::trailer(self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Read back by the crate's reader; the kernel reads it in every boot.
    #[test]
    fn directories_come_before_what_is_in_them() {
        let mut archive = Archive::new();
        archive.file("usr/bin/true", 0o755, b"#!\n").unwrap();
        archive.link("usr/bin/yes", "true").unwrap();
        let bytes = archive.finish().unwrap();
        let mut rest = io::Cursor::new(bytes);
        let mut names = Vec::new();
        loop {
            let reader = cpio::newc::Reader::new(rest).unwrap();
            if reader.entry().is_trailer() {
                break;
            }
            names.push((reader.entry().name().to_owned(), reader.entry().mode()));
            rest = reader.finish().unwrap();
        }
        let modes = [
            ("usr", DIRECTORY),
            ("usr/bin", DIRECTORY),
            ("usr/bin/true", FILE | 0o755),
            ("usr/bin/yes", LINK),
        ];
        assert_eq!(names, modes.map(|(name, mode)| (name.to_owned(), mode)));
    }
}
