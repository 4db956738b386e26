//! Adding members: a loan is put in its place, a job is made of it, and the two are kept side by side.
//!
//! UNSAFETY: counts loans that were just written.
#![expect(unsafe_code, reason = "a loan is counted after it was written")]

use super::loan::Loan;
use super::{Batch, Body, refused};
use crate::ask;
use crate::backend::Member;
use crate::buffer::{IoBuf, IoBufMut};
use crate::crc::Crc;
use crate::error::{Error, Failed};
use crate::job::{Check, Done, Job, Lz4Blocks};
use crate::operation::DeflateOptions;

impl<S: IoBuf, D: IoBufMut> Batch<S, D> {
    /// Adds a copy.
    ///
    /// # Errors
    ///
    /// [`Error::BatchFull`], [`Error::Length`]; the buffers come back.
    // Inlined where it is called: buffers that go through a call go through memory, and are waited for.
    #[inline(always)]
    pub fn copy(&mut self, src: S, dst: D) -> Result<(), Failed<(S, D)>> {
        self.add_pair(src, dst, |src, dst| ask::copy(src, dst))
    }

    /// Adds a copy with a CRC of what is copied. `seed` is 0, or the CRC of what came before.
    ///
    /// # Errors
    ///
    /// As [`Batch::copy`].
    #[inline]
    pub fn copy_crc(&mut self, src: S, dst: D, crc: Crc, seed: u64) -> Result<(), Failed<(S, D)>> {
        self.add_pair(src, dst, |src, dst| ask::copy_crc(src, dst, crc, seed))
    }

    /// Adds a copy to two places. The first of a batch allocates.
    ///
    /// # Errors
    ///
    /// As [`Batch::copy`].
    pub fn dualcast(&mut self, src: S, dst: D, dst2: D) -> Result<(), Failed<(S, D, D)>> {
        let mut dst2 = dst2;
        let mut odd = false;
        let added = self.add_pair(src, dst, |src, dst| {
            let job = ask::dualcast(src, dst, &mut dst2)?;
            odd = !job.has_device_shape();
            Ok(job)
        });
        match added {
            Ok(()) => {
                let Body { lent, second, is_odd, .. } = &mut *self.0;
                second.push(dst2, lent.capacity());
                *is_odd |= odd;
                Ok(())
            }
            Err(failed) => Err(failed.map_buffers(|(src, dst)| (src, dst, dst2))),
        }
    }

    /// Adds a compression into a raw deflate segment, as [`Runtime::deflate`](crate::Runtime::deflate) makes it.
    ///
    /// # Errors
    ///
    /// [`Error::BatchFull`]; the buffers come back.
    pub fn deflate(&mut self, src: S, dst: D, options: DeflateOptions) -> Result<(), Failed<(S, D)>> {
        self.add_pair(src, dst, |src, dst| ask::deflate(src, dst, options))?;
        self.0.adler32 |= options.check == Check::Adler32;
        Ok(())
    }

    /// Adds the expansion of a raw deflate stream. One that the device cannot decode fails, as a member: there is no second try
    /// on the CPU within a batch.
    ///
    /// # Errors
    ///
    /// [`Error::BatchFull`]; the buffers come back.
    pub fn inflate(&mut self, src: S, dst: D, check: Check) -> Result<(), Failed<(S, D)>> {
        self.add_pair(src, dst, |src, dst| ask::inflate(src, dst, check))?;
        self.0.adler32 |= check == Check::Adler32;
        Ok(())
    }

    /// Adds a compression into blocks of LZ4, as [`Runtime::lz4_compress`](crate::Runtime::lz4_compress) makes them.
    ///
    /// # Errors
    ///
    /// [`Error::BatchFull`]; the buffers come back.
    pub fn lz4_compress(&mut self, src: S, dst: D, level: u8) -> Result<(), Failed<(S, D)>> {
        self.add_pair(src, dst, |src, dst| ask::lz4_compress(src, dst, level))
    }

    /// Adds the expansion of blocks of LZ4. As for [`Batch::inflate`], what the device does not take fails.
    ///
    /// # Errors
    ///
    /// [`Error::BatchFull`]; the buffers come back.
    pub fn lz4_decompress(&mut self, src: S, dst: D, blocks: Lz4Blocks) -> Result<(), Failed<(S, D)>> {
        self.add_pair(src, dst, |src, dst| ask::lz4_decompress(src, dst, blocks))
    }

    /// Adds a fill.
    ///
    /// # Errors
    ///
    /// [`Error::BatchFull`]; the buffer comes back.
    #[inline]
    pub fn fill(&mut self, dst: D, pattern: u64) -> Result<(), Failed<D>> {
        self.add_destination(dst, |dst| ask::fill(dst, pattern))
    }

    /// Adds a fill with a pattern of 16 bytes.
    ///
    /// # Errors
    ///
    /// As [`Batch::fill`].
    #[inline]
    pub fn fill16(&mut self, dst: D, pattern: [u8; 16]) -> Result<(), Failed<D>> {
        self.add_destination(dst, |dst| ask::fill16(dst, pattern))
    }

    /// Adds a comparison.
    ///
    /// # Errors
    ///
    /// [`Error::BatchFull`], [`Error::Length`]; the buffers come back.
    #[inline]
    pub fn compare(&mut self, a: S, b: S) -> Result<(), Failed<(S, S)>> {
        let Some(place) = self.0.lent.room() else { return Err(self.full((a, b))) };
        let loan = place.write(Loan { src: Some(a), src2: Some(b), dst: None });
        let Loan { src: Some(a), src2: Some(b), .. } = loan else { unreachable!("just lent") };
        let job = ask::compare(a, b);
        // SAFETY: there was room, and the loan was written to it just now.
        unsafe { self.add(job) }.map_err(|(error, loan)| match loan {
            Loan { src: Some(a), src2: Some(b), .. } => refused(error, (a, b)),
            _ => unreachable!("just lent"),
        })
    }

    /// Adds a comparison with a pattern.
    ///
    /// # Errors
    ///
    /// [`Error::BatchFull`]; the buffer comes back.
    #[inline]
    pub fn compare_pattern(&mut self, src: S, pattern: u64) -> Result<(), Failed<S>> {
        self.add_source(src, |src| ask::compare_pattern(src, pattern))
    }

    /// Adds a CRC-32C.
    ///
    /// # Errors
    ///
    /// [`Error::BatchFull`]; the buffer comes back.
    #[inline]
    pub fn crc32c(&mut self, src: S, seed: u32) -> Result<(), Failed<S>> {
        self.add_source(src, |src| ask::crc32c(src, seed))
    }

    /// Adds a CRC of any kind.
    ///
    /// # Errors
    ///
    /// As [`Batch::crc32c`].
    #[inline]
    pub fn crc(&mut self, src: S, crc: Crc, seed: u64) -> Result<(), Failed<S>> {
        self.add_source(src, |src| ask::crc(src, crc, seed))
    }

    #[inline(always)]
    fn add_pair(
        &mut self,
        src: S,
        dst: D,
        ask: impl FnOnce(&S, &mut D) -> Result<Job, Error>,
    ) -> Result<(), Failed<(S, D)>> {
        let Some(place) = self.0.lent.room() else { return Err(self.full((src, dst))) };
        let loan = place.write(Loan { src: Some(src), src2: None, dst: Some(dst) });
        let Loan { src: Some(src), dst: Some(dst), .. } = loan else { unreachable!("just lent") };
        let job = ask(src, dst);
        // SAFETY: there was room, and the loan was written to it just now.
        unsafe { self.add(job) }.map_err(|(error, loan)| match loan {
            Loan { src: Some(src), dst: Some(dst), .. } => refused(error, (src, dst)),
            _ => unreachable!("just lent"),
        })
    }

    #[inline(always)]
    fn add_destination(
        &mut self,
        dst: D,
        ask: impl FnOnce(&mut D) -> Result<Job, Error>,
    ) -> Result<(), Failed<D>> {
        let Some(place) = self.0.lent.room() else { return Err(self.full(dst)) };
        let loan = place.write(Loan { src: None, src2: None, dst: Some(dst) });
        let Some(dst) = &mut loan.dst else { unreachable!("just lent") };
        let job = ask(dst);
        // SAFETY: there was room, and the loan was written to it just now.
        unsafe { self.add(job) }.map_err(|(error, loan)| match loan.dst {
            Some(dst) => refused(error, dst),
            None => unreachable!("just lent"),
        })
    }

    #[inline(always)]
    fn add_source(&mut self, src: S, ask: impl FnOnce(&S) -> Result<Job, Error>) -> Result<(), Failed<S>> {
        let Some(place) = self.0.lent.room() else { return Err(self.full(src)) };
        let loan = place.write(Loan { src: Some(src), src2: None, dst: None });
        let Some(src) = &loan.src else { unreachable!("just lent") };
        let job = ask(src);
        // SAFETY: there was room, and the loan was written to it just now.
        unsafe { self.add(job) }.map_err(|(error, loan)| match loan.src {
            Some(src) => refused(error, src),
            None => unreachable!("just lent"),
        })
    }

    #[cold]
    fn full<B>(&self, buffers: B) -> Failed<B> {
        refused(Error::BatchFull { members_max: self.0.lent.capacity() }, buffers)
    }

    /// Adds the member whose buffers were put into the next free place, or takes them back.
    ///
    /// # Safety
    ///
    /// A loan is in the first free place of `lent`, and `job`, if there is one, was made from it.
    #[inline(always)]
    unsafe fn add(&mut self, job: Result<Job, Error>) -> Result<(), (Error, Loan<S, D>)> {
        let Body { members, lent, operations, answered, .. } = &mut *self.0;
        // SAFETY: the caller's contract: the next place holds a loan.
        unsafe { lent.lend() };
        let job = match job {
            Ok(job) => job,
            Err(error) => match lent.take_last() {
                Some(loan) => return Err((error, loan)),
                None => unreachable!("a member whose buffers were not lent"),
            },
        };
        // A look costs less than a change: each change would wait for the one before.
        if !operations.contains(job.operation()) {
            *operations = operations.with(job.operation());
        }
        // INVARIANT: the job was made from the buffers beside it.
        members.push(Member { job, result: None });
        if is_empty(&job)
            && let (Some(value), Some(member)) = (job.empty_value(), members.last_mut())
        {
            member.result = Some(Ok(Done { bytes: 0, value }));
            *answered += 1;
        }
        Ok(())
    }
}

/// Whether there is nothing to do. What is known to be a copy is not looked up.
#[inline(always)]
fn is_empty(job: &Job) -> bool {
    match job {
        Job::Copy { len, .. } => *len == 0,
        job => job.bytes() == 0,
    }
}
