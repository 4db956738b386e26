//! Mapped files as buffers.
//!
//! A map is the natural source of cold pages: nothing is read until somebody, a CPU or a device, touches it.
//!
//! A file can be truncated under its map by anyone. The pages are then gone: a device reports a fault that
//! cannot be resolved, and the CPU engine catches the `SIGBUS`; either way the operation ends in an error.
//! Looking at the bytes of such a map directly still kills the process, which is why [`FileMap`] does not hand
//! out slices in its own methods and why [`IoBuf::bytes`] is left to the runtime.
//!
//! UNSAFETY: memory maps.
#![expect(unsafe_code, reason = "mapping a file is unsafe in memmap2: others may change the file")]

use std::fs::File;
use std::io;

use memmap2::{Mmap, MmapMut, MmapOptions};

use super::{IoBuf, IoBufMut};

/// A file, or a range of it, mapped for reading.
#[derive(Debug)]
pub struct FileMap(Mmap);

impl FileMap {
    /// Maps the whole of `file`. No page of it is read yet. An empty file makes an empty map.
    ///
    /// # Errors
    ///
    /// What `fstat` and `mmap` say; a directory is `EISDIR` or `ENODEV`.
    pub fn open(file: &File) -> io::Result<Self> {
        let len = file.metadata()?.len();
        Self::range(file, 0, len)
    }

    /// Maps `len` bytes of `file` from `offset` on; `offset` need not be aligned.
    ///
    /// # Errors
    ///
    /// What `mmap` says; a length that does not fit the address space.
    pub fn range(file: &File, offset: u64, len: u64) -> io::Result<Self> {
        let len = usize::try_from(len).map_err(io::Error::other)?;
        // SAFETY: the bytes are only read by the engines, which treat them as bytes that may change or vanish
        // at any time: devices through translations, the CPU engine under its `SIGBUS` guard.
        let map = unsafe { MmapOptions::new().offset(offset).len(len).map(file) }?;
        Ok(Self(map))
    }

    /// Bytes mapped.
    pub fn len(&self) -> u64 {
        self.0.len() as u64
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

// SAFETY: the mapping is owned by the value and its address is not part of the value. That a file's bytes can
// change underneath is the documented exception every engine is written for.
unsafe impl IoBuf for FileMap {
    fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A file, or a range of it, mapped shared and writable: what is written goes to the file.
#[derive(Debug)]
pub struct FileMapMut(MmapMut);

impl FileMapMut {
    /// Maps `len` bytes of `file` from `offset` on. The file must be open for reading and writing and already
    /// be that long: it is not grown here.
    ///
    /// # Errors
    ///
    /// What `mmap` says; `UnexpectedEof` when the file is shorter.
    pub fn range(file: &File, offset: u64, len: u64) -> io::Result<Self> {
        let end = offset.checked_add(len).ok_or_else(|| io::Error::other("range wraps"))?;
        if file.metadata()?.len() < end {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file is shorter than the range"));
        }
        let len = usize::try_from(len).map_err(io::Error::other)?;
        // SAFETY: as in `FileMap::range`.
        let map = unsafe { MmapOptions::new().offset(offset).len(len).map_mut(file) }?;
        Ok(Self(map))
    }

    /// Starts writing the changes to the file's storage, or waits for it.
    ///
    /// # Errors
    ///
    /// What `msync` says: the place where a full disk shows.
    pub fn flush(&self) -> io::Result<()> {
        self.0.flush()
    }

    /// Bytes mapped.
    pub fn len(&self) -> u64 {
        self.0.len() as u64
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

// SAFETY: as for `FileMap`.
unsafe impl IoBuf for FileMapMut {
    fn bytes(&self) -> &[u8] {
        &self.0
    }
}

// SAFETY: the mapping is writable and owned by the value.
unsafe impl IoBufMut for FileMapMut {
    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_map_shows_the_file() -> io::Result<()> {
        let mut file = tempfile::tempfile()?;
        file.write_all(&[3; 5000])?;
        let map = FileMap::open(&file)?;
        assert_eq!(map.len(), 5000);
        assert_eq!(map.bytes(), &[3; 5000]);
        Ok(())
    }

    #[test]
    fn an_empty_file_maps_to_nothing() -> io::Result<()> {
        assert!(FileMap::open(&tempfile::tempfile()?)?.is_empty());
        Ok(())
    }

    #[test]
    fn a_writable_map_past_the_end_is_refused() -> io::Result<()> {
        let file = tempfile::tempfile()?;
        file.set_len(4096)?;
        let error = FileMapMut::range(&file, 0, 4097).expect_err("too long");
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        Ok(())
    }
}
