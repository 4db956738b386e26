//! Queueing a job: onto the list that is being filled, or alone.

use super::Group;
use crate::batch::Batch;
use crate::buffer::{IoBuf, IoBufMut};
use crate::crc::Crc;
use crate::error::{Error, Failed};

impl<S: IoBuf, D: IoBufMut> Group<S, D> {
    /// Queues a copy.
    ///
    /// # Errors
    ///
    /// [`Error::Busy`] when the group is full, [`Error::Length`]; the buffers come back.
    // Inlined where it is called: buffers that go through a call go through memory, and are waited for.
    #[inline(always)]
    pub fn copy(&mut self, src: S, dst: D) -> Result<(), Failed<(S, D)>> {
        let Some((open, alone)) = self.list_for(src.span().len) else { return Err(self.busy((src, dst))) };
        open.copy(src, dst)?;
        self.queued(alone);
        Ok(())
    }

    /// Queues a copy with a CRC of what is copied.
    ///
    /// # Errors
    ///
    /// As [`Group::copy`].
    #[inline]
    pub fn copy_crc(&mut self, src: S, dst: D, crc: Crc, seed: u64) -> Result<(), Failed<(S, D)>> {
        self.queue(src.span().len, (src, dst), |list, (src, dst)| list.copy_crc(src, dst, crc, seed))
    }

    /// Queues a copy to two places. The first on a list allocates.
    ///
    /// # Errors
    ///
    /// As [`Group::copy`].
    pub fn dualcast(&mut self, src: S, dst: D, dst2: D) -> Result<(), Failed<(S, D, D)>> {
        let buffers = (src, dst, dst2);
        self.queue(buffers.0.span().len, buffers, |list, (src, dst, dst2)| list.dualcast(src, dst, dst2))
    }

    /// Queues a fill.
    ///
    /// # Errors
    ///
    /// [`Error::Busy`] when the group is full; the buffer comes back.
    #[inline]
    pub fn fill(&mut self, dst: D, pattern: u64) -> Result<(), Failed<D>> {
        self.queue(dst.span().len, dst, |list, dst| list.fill(dst, pattern))
    }

    /// Queues a fill with a pattern of 16 bytes.
    ///
    /// # Errors
    ///
    /// As [`Group::fill`].
    #[inline]
    pub fn fill16(&mut self, dst: D, pattern: [u8; 16]) -> Result<(), Failed<D>> {
        self.queue(dst.span().len, dst, |list, dst| list.fill16(dst, pattern))
    }

    /// Queues a comparison.
    ///
    /// # Errors
    ///
    /// As [`Group::copy`].
    #[inline]
    pub fn compare(&mut self, a: S, b: S) -> Result<(), Failed<(S, S)>> {
        self.queue(a.span().len, (a, b), |list, (a, b)| list.compare(a, b))
    }

    /// Queues a comparison with a pattern.
    ///
    /// # Errors
    ///
    /// As [`Group::fill`].
    #[inline]
    pub fn compare_pattern(&mut self, src: S, pattern: u64) -> Result<(), Failed<S>> {
        self.queue(src.span().len, src, |list, src| list.compare_pattern(src, pattern))
    }

    /// Queues a CRC-32C.
    ///
    /// # Errors
    ///
    /// As [`Group::fill`].
    #[inline]
    pub fn crc32c(&mut self, src: S, seed: u32) -> Result<(), Failed<S>> {
        self.queue(src.span().len, src, |list, src| list.crc32c(src, seed))
    }

    /// Queues a CRC of any kind.
    ///
    /// # Errors
    ///
    /// As [`Group::fill`].
    #[inline]
    pub fn crc(&mut self, src: S, crc: Crc, seed: u64) -> Result<(), Failed<S>> {
        self.queue(src.span().len, src, |list, src| list.crc(src, crc, seed))
    }

    /// The list to put a job of `bytes` on, and whether the job goes alone. None: there is no room.
    // No closure over the buffers and no tuple of them on the way of a copy: what is moved as a whole goes through memory,
    // and is waited for.
    #[inline(always)]
    fn list_for(&mut self, bytes: u64) -> Option<(&mut Batch<S, D>, bool)> {
        let alone = bytes > self.options.alone_bytes_min;
        if alone {
            // What was queued before a large job goes before it.
            self.flush_before();
        }
        if self.open.is_none() {
            self.reopen();
        }
        Some((self.open.as_mut()?, alone))
    }

    /// A job was put on the list: starts the list if that fills it.
    #[inline(always)]
    fn queued(&mut self, alone: bool) {
        if alone || self.open.as_ref().is_some_and(Batch::is_full) {
            self.close(alone);
        }
    }

    /// Puts a job on the list that is being filled, and starts the list if that fills it.
    #[inline]
    fn queue<B>(
        &mut self,
        bytes: u64,
        buffers: B,
        add: impl FnOnce(&mut Batch<S, D>, B) -> Result<(), Failed<B>>,
    ) -> Result<(), Failed<B>> {
        let Some((open, alone)) = self.list_for(bytes) else { return Err(self.busy(buffers)) };
        add(open, buffers)?;
        self.queued(alone);
        Ok(())
    }

    #[cold]
    fn flush_before(&mut self) {
        self.flush();
    }

    #[cold]
    fn busy<B>(&self, buffers: B) -> Failed<B> {
        let report = self.runtime.blank_report();
        let queue = self.runtime.first_name();
        Failed::early(Error::Busy { queue }, buffers, report)
    }
}
