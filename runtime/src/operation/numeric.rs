//! Vectors of numbers, and blocks that lie anywhere: what DSA 3 added.

use std::future::Future;

use super::{Outcome, Room};
use crate::ask::numeric as ask;
use crate::buffer::{IoBuf, IoBufMut};
use crate::numeric::{Conversion, NumberExceptions, Reduction};
use crate::runtime::Runtime;
use crate::scatter::BlockList;

/// Numbers. The value is what happened to at least one element, which is no error.
///
/// A device wants every buffer aligned to its elements; others are the CPU's, and the path says so.
impl Runtime {
    /// Converts the elements of `src` to as many in `dst`.
    ///
    /// # Errors
    ///
    /// [`Error::Units`](crate::Error::Units) for broken elements, [`Error::Length`](crate::Error::Length) if `dst` has
    /// not the room that they take, otherwise as [`Runtime::copy`]. Source: DSA §8.3.19; since DSA 3.
    pub fn convert<S: IoBuf, D: IoBufMut>(
        &self,
        src: S,
        dst: D,
        conversion: Conversion,
    ) -> impl Future<Output = Outcome<NumberExceptions, (S, D)>> + Send + Unpin {
        self.run((src, dst), move |(src, dst)| ask::convert(src, dst, conversion), Room::Wait)
    }

    /// Combines `a` and `b` element by element to `dst`.
    ///
    /// # Errors
    ///
    /// As [`Runtime::convert`]. Source: DSA §8.3.20; since DSA 3.
    pub fn reduce<A: IoBuf, B: IoBuf, D: IoBufMut>(
        &self,
        a: A,
        b: B,
        dst: D,
        reduction: Reduction,
    ) -> impl Future<Output = Outcome<NumberExceptions, (A, B, D)>> + Send + Unpin {
        self.run((a, b, dst), move |(a, b, dst)| ask::reduce(a, b, dst, reduction), Room::Wait)
    }

    /// [`Runtime::reduce`], to `dst` and to `dst2`.
    ///
    /// A device takes destinations only that begin at the same offset in a page; others are the CPU's.
    ///
    /// # Errors
    ///
    /// As [`Runtime::convert`]. Source: DSA §8.3.21; since DSA 3.
    pub fn reduce_dualcast<A: IoBuf, B: IoBuf, D: IoBufMut, E: IoBufMut>(
        &self,
        a: A,
        b: B,
        dst: D,
        dst2: E,
        reduction: Reduction,
    ) -> impl Future<Output = Outcome<NumberExceptions, (A, B, D, E)>> + Send + Unpin {
        let ask =
            move |(a, b, dst, dst2): &mut (A, B, D, E)| ask::reduce_dualcast(a, b, dst, dst2, reduction);
        self.run((a, b, dst, dst2), ask, Room::Wait)
    }

    /// Combines the vectors that are the blocks of `list` in `base`, one after the other, element by element to `dst`:
    /// each step rounds to the type of `dst`.
    ///
    /// # Errors
    ///
    /// As [`Runtime::convert`], [`Error::BlockOutside`](crate::Error::BlockOutside), and
    /// [`Error::Units`](crate::Error::Units) for a block that does not begin where an element of `base` does.
    /// Source: DSA §8.3.22; since DSA 3.
    pub fn gather_reduce<S: IoBuf, D: IoBufMut>(
        &self,
        base: S,
        list: BlockList,
        dst: D,
        reduction: Reduction,
    ) -> impl Future<Output = Outcome<NumberExceptions, (S, BlockList, D)>> + Send + Unpin {
        let ask =
            move |(base, list, dst): &mut (S, BlockList, D)| ask::gather_reduce(base, list, dst, reduction);
        self.run((base, list, dst), ask, Room::Wait)
    }
}

/// Blocks of a buffer. Each is checked to be inside it before anything is done.
impl Runtime {
    /// Copies the blocks of `list` in `base` to `dst`, one behind the other.
    ///
    /// # Errors
    ///
    /// [`Error::BlockOutside`](crate::Error::BlockOutside), otherwise as [`Runtime::copy`]. Source: DSA §8.3.23; since
    /// DSA 3.
    pub fn gather_copy<S: IoBuf, D: IoBufMut>(
        &self,
        base: S,
        list: BlockList,
        dst: D,
    ) -> impl Future<Output = Outcome<(), (S, BlockList, D)>> + Send + Unpin {
        let ask = |(base, list, dst): &mut (S, BlockList, D)| ask::gather_copy(base, list, dst);
        self.run((base, list, dst), ask, Room::Wait)
    }

    /// Copies `src`, cut into blocks, to those of `list` in `base`. What is in bytes of several blocks is not said.
    ///
    /// # Errors
    ///
    /// As [`Runtime::gather_copy`]. Source: DSA §8.3.24; since DSA 3.
    pub fn scatter_copy<S: IoBuf, D: IoBufMut>(
        &self,
        src: S,
        base: D,
        list: BlockList,
    ) -> impl Future<Output = Outcome<(), (S, D, BlockList)>> + Send + Unpin {
        let ask = |(src, base, list): &mut (S, D, BlockList)| ask::scatter_copy(src, base, list);
        self.run((src, base, list), ask, Room::Wait)
    }

    /// Fills each block of `list` in `base` with `pattern`, little-endian, from its first byte on.
    ///
    /// # Errors
    ///
    /// As [`Runtime::gather_copy`]. Source: DSA §8.3.25; since DSA 3.
    pub fn scatter_fill<D: IoBufMut>(
        &self,
        base: D,
        list: BlockList,
        pattern: u64,
    ) -> impl Future<Output = Outcome<(), (D, BlockList)>> + Send + Unpin {
        let ask = move |(base, list): &mut (D, BlockList)| ask::scatter_fill(base, list, pattern);
        self.run((base, list), ask, Room::Wait)
    }
}
