//! Two places at once, patterns, and the differences of ranges.

use std::future::Future;

use super::{DeltaRecord, Outcome, Room};
use crate::ask;
use crate::buffer::{IoBuf, IoBufMut};
use crate::runtime::Runtime;

impl Runtime {
    /// Copies `src` to `dst` and to `dst2`. All are equally long.
    ///
    /// A device takes destinations only that begin at the same offset in a page; others are the CPU's, and the path
    /// says so.
    ///
    /// # Errors
    ///
    /// As [`Runtime::copy`]. Source: DSA §8.3.10.
    pub fn dualcast<S: IoBuf, D: IoBufMut, E: IoBufMut>(
        &self,
        src: S,
        dst: D,
        dst2: E,
    ) -> impl Future<Output = Outcome<(), (S, D, E)>> + Send + Unpin {
        self.run((src, dst, dst2), |(src, dst, dst2)| ask::dualcast(src, dst, dst2), Room::Wait)
    }

    /// Fills `dst` with 16 bytes again and again. The last repetition may be cut.
    ///
    /// # Errors
    ///
    /// As [`Runtime::copy`]. Source: DSA §8.3.5; not in DSA 1.
    pub fn fill16<D: IoBufMut>(
        &self,
        dst: D,
        pattern: [u8; 16],
    ) -> impl Future<Output = Outcome<(), D>> + Send + Unpin {
        self.run(dst, move |dst| ask::fill16(dst, pattern), Room::Wait)
    }

    /// Finds the offset of the first byte of `src` that differs from `pattern`, little-endian, repeated; none if all of
    /// it is that pattern. With 0: whether `src` is zeros.
    ///
    /// # Errors
    ///
    /// As [`Runtime::copy`]. Source: DSA §8.3.7.
    pub fn compare_pattern<S: IoBuf>(
        &self,
        src: S,
        pattern: u64,
    ) -> impl Future<Output = Outcome<Option<u64>, S>> + Send + Unpin {
        self.run(src, move |src| ask::compare_pattern(src, pattern), Room::Wait)
    }

    /// Writes into `delta` how `b` differs from `a`: ten bytes for each 8-byte word that does.
    ///
    /// `a` and `b` are equally long, in whole words, at most
    /// [`DELTA_RANGE_BYTES_MAX`](crate::DELTA_RANGE_BYTES_MAX). A device takes 8-byte aligned buffers and a `delta` of
    /// at least 80 bytes; others are the CPU's, and the path says so.
    ///
    /// # Errors
    ///
    /// [`Error::OutputFull`](crate::Error::OutputFull) when `delta` is too small for all differences,
    /// [`Error::Units`](crate::Error::Units), [`Error::TooLong`](crate::Error::TooLong), otherwise as
    /// [`Runtime::copy`]. Source: DSA §8.3.8.
    pub fn create_delta<A: IoBuf, B: IoBuf, D: IoBufMut>(
        &self,
        a: A,
        b: B,
        delta: D,
    ) -> impl Future<Output = Outcome<DeltaRecord, (A, B, D)>> + Send + Unpin {
        self.run((a, b, delta), |(a, b, delta)| ask::create_delta(a, b, delta), Room::Wait)
    }

    /// Changes `dst`, a copy of the `a` a record was made of, to the `b`.
    ///
    /// `delta` is the record and nothing more: a multiple of 10 bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`](crate::Error::Corrupt) for a record that reaches outside `dst` or is not in order (`dst` may
    /// have been changed in part), [`Error::Units`](crate::Error::Units), otherwise as [`Runtime::copy`]. Source:
    /// DSA §8.3.9.
    pub fn apply_delta<S: IoBuf, D: IoBufMut>(
        &self,
        delta: S,
        dst: D,
    ) -> impl Future<Output = Outcome<(), (S, D)>> + Send + Unpin {
        self.run((delta, dst), |(delta, dst)| ask::apply_delta(delta, dst), Room::Wait)
    }
}
