//! Memory of the driver's own that the function reaches from the beginning: rings, bounce buffers, buffers of callers.
//!
//! One anonymous mapping at an address that the IOMMU can map to itself, which a 39-bit one cannot for what `malloc`
//! returns. It is not inherited by children: after a fork, writing would give the parent other pages than the device has.
//!
//! UNSAFETY: maps, hands out and unmaps memory. [`Inner`] says what holds.
#![expect(unsafe_code, reason = "one mapping, its parts handed out one by one")]

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::num::NonZeroUsize;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap_anonymous, munmap};
use parking_lot::{Mutex, RwLock};
use svala::{IoBuf, IoBufMut, Span, VirtAddr};

use super::free::{Free, UNIT};
use super::limit;
use crate::error::Error;
use crate::function::VirtualFunction;

/// Places tried for the arena.
const PLACES_MAX: u32 = 64;
/// The lowest address that is tried: below it lie executables and their heaps.
const LOWEST: u64 = 0x10_0000_0000;

/// Memory of a function: its arena, and what is registered besides.
///
/// Cheap to clone. The function stays open as long as any of its memory is in use.
#[derive(Clone)]
pub struct Arena(Arc<Inner>);

/// # Invariants
///
/// `start` and `len` are a mapping of this process, readable and writable, mapped for the function; both until this is
/// dropped. Parts of it that are not in `free` belong to one [`Piece`] each.
struct Inner {
    function: Arc<dyn VirtualFunction>,
    start: NonNull<u8>,
    len: u64,
    free: Mutex<Free>,
    /// Registered buffers: address to length.
    registered: RwLock<BTreeMap<u64, u64>>,
    registered_count: AtomicUsize,
    /// The process it was made in.
    process: u32,
}

// SAFETY: the mapping is plain memory, and who may touch which part is decided by `Piece`s, which are handed out under a
// lock.
unsafe impl Send for Inner {}
// SAFETY: likewise.
unsafe impl Sync for Inner {}

impl Arena {
    /// Maps and pins `bytes`, rounded up to pages, within what the IOMMU can map. A queue makes its own.
    ///
    /// # Errors
    ///
    /// [`Error::Aperture`], [`Error::MemoryLock`], [`Error::Map`].
    pub fn new(function: Arc<dyn VirtualFunction>, bytes: u64) -> Result<Self, Error> {
        let len = bytes.max(UNIT).next_multiple_of(UNIT);
        let start = place(&function.aperture(), len)?;
        let span = Span::new(VirtAddr::of(start.as_ptr().cast_const()), len);
        // INVARIANT: mapped just now; unmapped only in `drop`, or right below where nothing knows of it yet.
        // SAFETY: as said; only pieces of it are used, by whoever the piece belongs to.
        if let Err(source) = unsafe { function.map(span) } {
            let error = limit::error(span, source);
            unmap(start, len);
            return Err(error);
        }
        Ok(Self(Arc::new(Inner {
            function,
            start,
            len,
            free: Mutex::new(Free::new(len)),
            registered: RwLock::default(),
            registered_count: AtomicUsize::new(0),
            process: std::process::id(),
        })))
    }

    /// A buffer of `len` bytes, all zero, that the function reaches without a copy.
    ///
    /// A child process does not have this memory: what was allocated before a fork ends it when touched.
    ///
    /// # Errors
    ///
    /// [`Error::ArenaFull`]; [`Error::Forked`] in a child.
    pub fn allocate(&self, len: usize) -> Result<ArenaBuf, Error> {
        if self.is_forked() {
            return Err(Error::Forked { process: self.0.process });
        }
        let bytes = len as u64;
        let full = || Error::ArenaFull { bytes, arena_bytes: self.0.len };
        let mut piece = self.take(bytes, UNIT).ok_or_else(full)?;
        piece.bytes_mut()[..len].fill(0);
        Ok(ArenaBuf { piece, len })
    }

    /// Bytes that are free.
    pub fn free_bytes(&self) -> u64 {
        self.0.free.lock().bytes()
    }

    /// Bytes of it.
    pub fn bytes(&self) -> u64 {
        self.0.len
    }

    /// Whether this is a child of the process it was made in: nothing of the function may be touched.
    pub(crate) fn is_forked(&self) -> bool {
        self.0.is_forked()
    }

    pub(crate) fn function(&self) -> &Arc<dyn VirtualFunction> {
        &self.0.function
    }

    /// A piece of at least `bytes`, aligned.
    pub(crate) fn take(&self, bytes: u64, align: u64) -> Option<Piece> {
        let len = bytes.max(1).checked_next_multiple_of(UNIT)?;
        let offset = self.0.free.lock().take(len, align.max(UNIT))?;
        Some(Piece { arena: Arc::clone(&self.0), offset, len })
    }

    /// Whether the function reaches all of a range.
    #[inline]
    pub(crate) fn reaches(&self, span: Span) -> bool {
        let start = VirtAddr::of(self.0.start.as_ptr().cast_const()).get();
        let (from, to) = (span.addr.get(), span.end().get());
        if from >= start && to <= start + self.0.len {
            return true;
        }
        self.0.registered_count.load(Ordering::Acquire) != 0 && self.has_registered(from, to)
    }

    fn has_registered(&self, from: u64, to: u64) -> bool {
        let registered = self.0.registered.read();
        registered.range(..=from).next_back().is_some_and(|(start, len)| to <= start + len)
    }

    /// Maps a range for the function, and keeps it from children.
    ///
    /// # Safety
    ///
    /// As [`VirtualFunction::map`].
    pub(super) unsafe fn register(&self, span: Span) -> Result<(), Error> {
        if self.is_forked() {
            return Err(Error::Forked { process: self.0.process });
        }
        let mut registered = self.0.registered.write();
        let overlaps = registered.range(..span.end().get()).next_back();
        if overlaps.is_some_and(|(start, len)| start + len > span.addr.get()) {
            return Err(Error::Map { span, source: io::Error::from_raw_os_error(libc::EEXIST) });
        }
        advise(span, MmapAdvise::MADV_DONTFORK)?;
        // SAFETY: the caller's promise.
        if let Err(source) = unsafe { self.0.function.map(span) } {
            let _ = advise(span, MmapAdvise::MADV_DOFORK);
            return Err(limit::error(span, source));
        }
        registered.insert(span.addr.get(), span.len);
        self.0.registered_count.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// The opposite. False if the function may still reach it.
    pub(super) fn unregister(&self, span: Span) -> bool {
        // The address space of the function is the parent's.
        if self.is_forked() {
            return false;
        }
        let mut registered = self.0.registered.write();
        if registered.remove(&span.addr.get()).is_some() {
            self.0.registered_count.fetch_sub(1, Ordering::Release);
        }
        if let Err(error) = self.0.function.unmap(span) {
            tracing::error!(function = self.0.function.name(), %error, "memory stays mapped for the device");
            return false;
        }
        let _ = advise(span, MmapAdvise::MADV_DOFORK);
        true
    }
}

impl fmt::Debug for Arena {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arena")
            .field("start", &self.0.start)
            .field("len", &self.0.len)
            .field("function", &self.0.function.name())
            .finish_non_exhaustive()
    }
}

impl Inner {
    fn is_forked(&self) -> bool {
        std::process::id() != self.process
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // A child has no such mapping, and the function's address space is its parent's.
        if self.is_forked() {
            return;
        }
        let span = Span::new(VirtAddr::of(self.start.as_ptr().cast_const()), self.len);
        match self.function.unmap(span) {
            Ok(()) => unmap(self.start, self.len),
            // A device that may still write to it is worse than memory that is not given back.
            Err(error) => tracing::error!(function = self.function.name(), %error, "leaking the arena"),
        }
    }
}

/// Maps `len` bytes somewhere within the aperture.
fn place(aperture: &[std::ops::RangeInclusive<u64>], len: u64) -> Result<NonNull<u8>, Error> {
    let bytes = usize::try_from(len).ok().and_then(NonZeroUsize::new);
    let Some(bytes) = bytes else {
        return Err(Error::Config { setting: "arena_bytes", value: len, what: "too large" });
    };
    let mut tries = 0;
    for range in aperture {
        // From the top of what both the IOMMU and a process have, downwards: the heap grows up, and the top of a 47-bit
        // space is the stack's.
        let last = (*range.end()).min(0x7000_0000_0000);
        let lowest = (*range.start()).max(LOWEST);
        let mut at = (last.saturating_add(1).saturating_sub(len)) & !(UNIT - 1);
        while at >= lowest && tries < PLACES_MAX {
            tries += 1;
            if let Some(start) = map_at(at, bytes)? {
                return Ok(start);
            }
            at = at.saturating_sub(len.max(1 << 30)) & !(UNIT - 1);
        }
    }
    Err(Error::Aperture { bytes: len, ranges: aperture.len(), tries })
}

/// Maps memory at an address. None if something is there.
fn map_at(addr: u64, bytes: NonZeroUsize) -> Result<Option<NonNull<u8>>, Error> {
    let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE | MapFlags::MAP_FIXED_NOREPLACE;
    let addr = usize::try_from(addr).ok().and_then(NonZeroUsize::new);
    let Some(addr) = addr else { return Ok(None) };
    // SAFETY: an anonymous mapping at an address where nothing is, as MAP_FIXED_NOREPLACE makes sure.
    match unsafe { mmap_anonymous(Some(addr), bytes, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, flags) } {
        Ok(start) if start.addr() == addr => {
            let start = start.cast::<u8>();
            // SAFETY: the mapping just made, which nobody else knows.
            let advised = unsafe { madvise(start.cast(), bytes.get(), MmapAdvise::MADV_DONTFORK) };
            if let Err(errno) = advised {
                unmap(start, bytes.get() as u64);
                return Err(Error::Os { what: "madvise(MADV_DONTFORK)", source: errno.into() });
            }
            Ok(Some(start))
        }
        // A kernel before 4.17 takes the address for a hint.
        Ok(start) => {
            unmap(start.cast(), bytes.get() as u64);
            Ok(None)
        }
        Err(nix::errno::Errno::EEXIST) => Ok(None),
        Err(errno) => Err(Error::Os { what: "mmap of the arena", source: errno.into() }),
    }
}

fn unmap(start: NonNull<u8>, len: u64) {
    // SAFETY: a mapping made by `map_at` that nobody uses any more: its owner is being dropped, or never knew it.
    if let Err(errno) = unsafe { munmap(start.cast(), usize::try_from(len).unwrap_or(0)) } {
        tracing::error!(%errno, "munmap of the arena");
    }
}

fn advise(span: Span, advice: MmapAdvise) -> Result<(), Error> {
    let (addr, len) = (span.addr.as_ptr::<libc::c_void>().cast_mut(), usize::try_from(span.len).unwrap_or(0));
    let Some(addr) = NonNull::new(addr) else { return Err(Error::NotPages { span }) };
    // SAFETY: DONTFORK and DOFORK change nothing for this process.
    unsafe { madvise(addr, len, advice) }.map_err(|errno| Error::Os { what: "madvise", source: errno.into() })
}

/// A part of the arena that belongs to its holder.
pub(crate) struct Piece {
    arena: Arc<Inner>,
    offset: u64,
    len: u64,
}

impl Piece {
    /// Where it is, for the function too.
    pub(crate) fn span(&self) -> Span {
        Span::new(VirtAddr::of(self.start().cast_const()), self.len)
    }

    /// Its first byte.
    pub(crate) fn start(&self) -> *mut u8 {
        let offset = usize::try_from(self.offset).unwrap_or(0);
        // SAFETY: the piece lies in the arena's mapping (see `Inner`, # Invariants).
        unsafe { self.arena.start.as_ptr().add(offset) }
    }

    /// The bytes, while no request names them.
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: mapped as long as `arena` is held, initialised (by the kernel, at first), and this holder's alone.
        unsafe {
            std::slice::from_raw_parts(self.start().cast_const(), usize::try_from(self.len).unwrap_or(0))
        }
    }

    /// The same, to write.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: likewise, and borrowed for writing.
        unsafe { std::slice::from_raw_parts_mut(self.start(), usize::try_from(self.len).unwrap_or(0)) }
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.arena.free.lock().give(self.offset, self.len);
    }
}

impl fmt::Debug for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Piece({:#x}, {})", self.span().addr, self.len)
    }
}

/// A buffer in the arena: lent to operations, the function reads and writes it in place.
#[derive(Debug)]
pub struct ArenaBuf {
    piece: Piece,
    len: usize,
}

impl Deref for ArenaBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.piece.bytes()[..self.len]
    }
}

impl DerefMut for ArenaBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.piece.bytes_mut()[..self.len]
    }
}

// SAFETY: the bytes are in the arena, which neither moves nor goes while the piece is held.
unsafe impl IoBuf for ArenaBuf {
    fn bytes(&self) -> &[u8] {
        self
    }
}

// SAFETY: the piece belongs to this buffer alone.
unsafe impl IoBufMut for ArenaBuf {
    fn bytes_mut(&mut self) -> &mut [u8] {
        self
    }
}
