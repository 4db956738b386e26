//! Addresses of the process, as the device sees them too: with SVA they are the same numbers.
//!
//! An address here is data, not a borrow: it is printed, compared and written into descriptors. Turning one
//! back into a reference is the business of whoever owns the memory.

use std::fmt;

/// Bytes in the smallest page Linux maps, and the unit of a device page fault.
pub const PAGE_BYTES: u64 = 4096;

/// A virtual address of this process.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VirtAddr(u64);

impl VirtAddr {
    /// Takes a raw address.
    pub const fn new(addr: u64) -> Self {
        Self(addr)
    }

    /// The address of what `pointer` points to.
    pub fn of<T>(pointer: *const T) -> Self {
        Self(pointer.expose_provenance() as u64)
    }

    /// The raw number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The address as a pointer that may be handed to the kernel or a device, but not dereferenced.
    #[expect(clippy::cast_possible_truncation, reason = "svala is for 64-bit Linux, see below")]
    pub const fn as_ptr<T>(self) -> *const T {
        std::ptr::without_provenance(self.0 as usize)
    }

    /// `self + bytes`, or the last address when that would wrap.
    #[must_use]
    pub const fn add(self, bytes: u64) -> Self {
        Self(self.0.saturating_add(bytes))
    }

    /// The start of the page the address lies in.
    #[must_use]
    pub const fn page(self) -> Self {
        Self(self.0 & !(PAGE_BYTES - 1))
    }
}

impl fmt::Debug for VirtAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl fmt::Display for VirtAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl fmt::LowerHex for VirtAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::LowerHex::fmt(&self.0, f)
    }
}

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
compile_error!("svala is for 64-bit Linux");

/// `len` bytes from `addr` on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Span {
    /// First byte.
    pub addr: VirtAddr,
    /// Bytes; may be 0.
    pub len: u64,
}

impl Span {
    /// `len` bytes from `addr` on.
    pub const fn new(addr: VirtAddr, len: u64) -> Self {
        Self { addr, len }
    }

    /// First address after the span (saturating, so a hostile length cannot wrap).
    pub const fn end(self) -> VirtAddr {
        self.addr.add(self.len)
    }

    /// Whether `addr` lies in one of the pages the span touches.
    pub const fn touches_page_of(self, addr: VirtAddr) -> bool {
        self.len != 0 && addr.page().get() >= self.addr.page().get() && addr.page().get() < self.end().get()
    }

    /// Whether the two share a byte.
    pub const fn overlaps(self, other: Self) -> bool {
        self.len != 0
            && other.len != 0
            && self.addr.get() < other.end().get()
            && other.addr.get() < self.end().get()
    }

    /// The part of the span from byte `offset` on, at most `len` bytes of it.
    #[must_use]
    pub const fn part(self, offset: u64, len: u64) -> Self {
        let offset = if offset < self.len { offset } else { self.len };
        let left = self.len - offset;
        Self { addr: self.addr.add(offset), len: if len < left { len } else { left } }
    }

    /// The span grown to whole pages.
    #[must_use]
    pub const fn pages(self) -> Self {
        if self.len == 0 {
            return Self { addr: self.addr.page(), len: 0 };
        }
        let start = self.addr.page();
        let last = VirtAddr(self.end().get() - 1).page();
        Self { addr: start, len: last.get() - start.get() + PAGE_BYTES }
    }

    /// Pages the span touches.
    pub const fn page_count(self) -> u64 {
        self.pages().len / PAGE_BYTES
    }
}

/// What a device does to memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// It reads.
    Read,
    /// It writes.
    Write,
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Write => "write",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_a_span_cover_its_first_and_last_byte() {
        let span = Span::new(VirtAddr::new(0x1fff), 2);
        assert_eq!(span.pages(), Span::new(VirtAddr::new(0x1000), 0x2000));
        assert_eq!(span.page_count(), 2);
        assert_eq!(Span::new(VirtAddr::new(0x1fff), 0).page_count(), 0);
    }

    #[test]
    fn a_part_never_leaves_its_span() {
        let span = Span::new(VirtAddr::new(100), 10);
        assert_eq!(span.part(4, 100), Span::new(VirtAddr::new(104), 6));
        assert_eq!(span.part(11, 1), Span::new(VirtAddr::new(110), 0));
    }

    #[test]
    fn an_empty_span_touches_and_overlaps_nothing() {
        let empty = Span::new(VirtAddr::new(0x1000), 0);
        assert!(!empty.touches_page_of(VirtAddr::new(0x1000)));
        assert!(!empty.overlaps(Span::new(VirtAddr::new(0), 0x10000)));
    }
}
