//! Buffers of the caller's that the function reaches in place.
//!
//! UNSAFETY: the buffer is held by the registration, so its memory stays until it is taken back from the function.
#![expect(unsafe_code, reason = "registering memory is a promise about it, kept by ownership")]

use std::fmt;
use std::mem::ManuallyDrop;

use svala::{IoBuf, IoBufMut, PAGE_BYTES, Span};

use super::arena::Arena;
use crate::error::Error;

/// A buffer the function reaches without a copy, for as long as this lives.
///
/// The buffer has to be whole pages: a map, for instance. Registering pins it and costs system calls, so it is for
/// buffers that are used again and again. Children of this process do not get its pages.
pub struct Registered<B: IoBufMut> {
    /// # Invariants
    ///
    /// There until `drop` or `into_inner`, which first take the memory back from the function.
    buffer: ManuallyDrop<B>,
    span: Span,
    arena: Arena,
}

/// A buffer that could not be registered, and why.
#[derive(Debug, thiserror::Error)]
#[error("register: {error}")]
pub struct RegisterFailed<B> {
    /// Why.
    #[source]
    pub error: Error,
    /// The buffer.
    pub buffer: B,
}

impl<B: IoBufMut> Registered<B> {
    /// Registers a buffer.
    ///
    /// # Errors
    ///
    /// [`Error::NotPages`], [`Error::MemoryLock`], [`Error::Map`]; the buffer comes back.
    pub fn new(arena: &Arena, mut buffer: B) -> Result<Self, RegisterFailed<B>> {
        let span = buffer.span_mut();
        if span.len == 0 || span.addr.page() != span.addr || !span.len.is_multiple_of(PAGE_BYTES) {
            return Err(RegisterFailed { error: Error::NotPages { span }, buffer });
        }
        // SAFETY: the buffer keeps its memory where it is while it lives (IoBuf), and lives in here until the memory was
        // taken back; requests name it only while it is lent to an operation.
        if let Err(error) = unsafe { arena.register(span) } {
            return Err(RegisterFailed { error, buffer });
        }
        Ok(Self { buffer: ManuallyDrop::new(buffer), span, arena: arena.clone() })
    }

    /// Ends the registration. None if the system does not take the memory back from the function; then it is leaked.
    pub fn into_inner(self) -> Option<B> {
        let mut this = ManuallyDrop::new(self);
        let is_free = this.arena.unregister(this.span);
        // SAFETY: taken once, as `this` is not dropped.
        let buffer = is_free.then(|| unsafe { ManuallyDrop::take(&mut this.buffer) });
        // SAFETY: read once, as `this` is not dropped.
        drop(unsafe { std::ptr::read(&raw const this.arena) });
        buffer
    }
}

impl<B: IoBufMut> Drop for Registered<B> {
    fn drop(&mut self) {
        if self.arena.unregister(self.span) {
            // SAFETY: dropped once, here.
            unsafe { ManuallyDrop::drop(&mut self.buffer) };
        }
    }
}

impl<B: IoBufMut> fmt::Debug for Registered<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Registered({:#x}, {})", self.span.addr, self.span.len)
    }
}

// SAFETY: the buffer's own promise.
unsafe impl<B: IoBufMut> IoBuf for Registered<B> {
    fn bytes(&self) -> &[u8] {
        self.buffer.bytes()
    }
}

// SAFETY: the buffer's own promise.
unsafe impl<B: IoBufMut> IoBufMut for Registered<B> {
    fn bytes_mut(&mut self) -> &mut [u8] {
        self.buffer.bytes_mut()
    }
}
