//! Checksums beyond CRC-32C, and data integrity fields.

use std::future::Future;

use super::{DifNext, Outcome, Room};
use crate::ask;
use crate::buffer::{IoBuf, IoBufMut};
use crate::crc::Crc;
use crate::dif::{DifDestination, DifFormat, DifSource};
use crate::runtime::Runtime;

/// CRCs. `seed` is 0, or the CRC of what came before.
impl Runtime {
    /// The CRC `crc` of `src`; of 32 bits, it is in the low half.
    ///
    /// # Errors
    ///
    /// As [`Runtime::copy`]. Source: DSA §8.3.12.
    pub fn crc<S: IoBuf>(
        &self,
        src: S,
        crc: Crc,
        seed: u64,
    ) -> impl Future<Output = Outcome<u64, S>> + Send + Unpin {
        self.run(src, move |src| ask::crc(src, crc, seed), Room::Wait)
    }

    /// CRC-64 of `src`, as NVMe has it.
    ///
    /// # Errors
    ///
    /// As [`Runtime::copy`]. Source: DSA §8.3.12; not in DSA 1.
    pub fn crc64<S: IoBuf>(&self, src: S, seed: u64) -> impl Future<Output = Outcome<u64, S>> + Send + Unpin {
        self.crc(src, Crc::CRC64, seed)
    }

    /// Copies `src` to `dst`, and the CRC `crc` of it.
    ///
    /// # Errors
    ///
    /// As [`Runtime::copy`]. Source: DSA §8.3.13.
    pub fn copy_crc<S: IoBuf, D: IoBufMut>(
        &self,
        src: S,
        dst: D,
        crc: Crc,
        seed: u64,
    ) -> impl Future<Output = Outcome<u64, (S, D)>> + Send + Unpin {
        self.run((src, dst), move |(src, dst)| ask::copy_crc(src, dst, crc, seed), Room::Wait)
    }

    /// Copies `src` to `dst`, and the CRC-32C of it.
    ///
    /// # Errors
    ///
    /// As [`Runtime::copy`]. Source: DSA §8.3.13.
    pub fn copy_crc32c<S: IoBuf, D: IoBufMut>(
        &self,
        src: S,
        dst: D,
        seed: u32,
    ) -> impl Future<Output = Outcome<u32, (S, D)>> + Send + Unpin {
        let ask = move |(src, dst): &mut (S, D)| ask::copy_crc(src, dst, Crc::CRC32C, seed.into());
        self.run((src, dst), ask, Room::Wait)
    }
}

/// Data integrity fields: eight bytes behind each block. Buffers are whole blocks.
///
/// Where a field does not match: [`Error::Dif`](crate::Error::Dif) with the block and what of the field. What was
/// copied until then stays.
impl Runtime {
    /// Checks the fields of `src`, blocks with their fields.
    ///
    /// # Errors
    ///
    /// [`Error::Dif`](crate::Error::Dif), [`Error::Units`](crate::Error::Units), otherwise as [`Runtime::copy`].
    /// Source: DSA §8.3.14.
    pub fn dif_check<S: IoBuf>(
        &self,
        src: S,
        format: DifFormat,
        source: DifSource,
    ) -> impl Future<Output = Outcome<DifNext, S>> + Send + Unpin {
        self.run(src, move |src| ask::dif_check(src, format, source), Room::Wait)
    }

    /// Copies the blocks of `src` to `dst` and writes a field behind each.
    ///
    /// # Errors
    ///
    /// [`Error::Units`](crate::Error::Units), otherwise as [`Runtime::copy`]. Source: DSA §8.3.15.
    pub fn dif_insert<S: IoBuf, D: IoBufMut>(
        &self,
        src: S,
        dst: D,
        format: DifFormat,
        destination: DifDestination,
    ) -> impl Future<Output = Outcome<DifNext, (S, D)>> + Send + Unpin {
        self.run((src, dst), move |(src, dst)| ask::dif_insert(src, dst, format, destination), Room::Wait)
    }

    /// Checks the fields of `src` and copies its blocks to `dst` without them.
    ///
    /// # Errors
    ///
    /// As [`Runtime::dif_check`]. Source: DSA §8.3.16.
    pub fn dif_strip<S: IoBuf, D: IoBufMut>(
        &self,
        src: S,
        dst: D,
        format: DifFormat,
        source: DifSource,
    ) -> impl Future<Output = Outcome<DifNext, (S, D)>> + Send + Unpin {
        self.run((src, dst), move |(src, dst)| ask::dif_strip(src, dst, format, source), Room::Wait)
    }

    /// Checks the fields of `src` and copies its blocks to `dst` with new ones.
    ///
    /// # Errors
    ///
    /// As [`Runtime::dif_check`]. Source: DSA §8.3.17.
    pub fn dif_update<S: IoBuf, D: IoBufMut>(
        &self,
        src: S,
        dst: D,
        format: DifFormat,
        source: DifSource,
        destination: DifDestination,
    ) -> impl Future<Output = Outcome<DifNext, (S, D)>> + Send + Unpin {
        let ask = move |(src, dst): &mut (S, D)| ask::dif_update(src, dst, format, source, destination);
        self.run((src, dst), ask, Room::Wait)
    }

    /// Writes a field for each block of `src` to `dst`, one after the other, without the blocks.
    ///
    /// A device takes an 8-byte aligned `dst`; others are the CPU's, and the path says so.
    ///
    /// # Errors
    ///
    /// [`Error::Units`](crate::Error::Units), otherwise as [`Runtime::copy`]. Source: DSA §8.3.18; not in DSA 1.
    pub fn dix_generate<S: IoBuf, D: IoBufMut>(
        &self,
        src: S,
        dst: D,
        format: DifFormat,
        destination: DifDestination,
    ) -> impl Future<Output = Outcome<DifNext, (S, D)>> + Send + Unpin {
        self.run((src, dst), move |(src, dst)| ask::dix_generate(src, dst, format, destination), Room::Wait)
    }
}
