//! Miniblocks: streams of them, their index, and any of them by itself.

use std::future::Future;

use super::{Completed, DeflateOptions, Deflated, Extract, Inflated, Outcome, Room};
use crate::ask;
use crate::buffer::{IoBuf, IoBufMut};
use crate::error::{Error, Failed};
use crate::job::{Operation, Value};
use crate::miniblock::{BlockStart, MiniblockFault, MiniblockSize, Miniblocks};
use crate::path::{Path, Reason};
use crate::runtime::Runtime;

/// A block whose index was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexedBlock {
    /// Bits of it, its header and its end among them.
    pub bits: u64,
    /// Bytes of entries that were written, [`MINIBLOCK_ENTRY_BYTES`](crate::MINIBLOCK_ENTRY_BYTES) for each miniblock.
    pub written: u64,
    /// Bytes that it expands to.
    pub data: u64,
    /// CRC-32 of the data of the stream up to its end.
    pub crc: u32,
}

impl Extract for IndexedBlock {
    fn extract(value: Value) -> Option<Self> {
        let Value::Index { bits, written, data, crc } = value else { return None };
        Some(Self { bits, written, data, crc })
    }
}

impl Runtime {
    /// [`Runtime::deflate`] into a segment in which no match refers to another miniblock of `size`, or goes on in the next. Any
    /// program reads the stream as before; it is larger, the more so the smaller the miniblocks are. A segment that is not the
    /// last has to be of whole miniblocks, or there is no index of the stream.
    ///
    /// # Errors
    ///
    /// As [`Runtime::deflate`]. Source: IAA §3.4.3.
    pub fn deflate_miniblocks<S: IoBuf, D: IoBufMut>(
        &self,
        src: S,
        dst: D,
        size: MiniblockSize,
        options: DeflateOptions,
    ) -> impl Future<Output = Outcome<Deflated, (S, D)>> + Send + Unpin {
        let ask = move |(src, dst): &mut (S, D)| ask::deflate_miniblocks(src, dst, size, options);
        self.run((src, dst), ask, Room::Wait)
    }

    /// Makes the index of a block: expands the block that begins at `start` of the stream in `src`, which has miniblocks of
    /// `size`, keeps nothing of that, and writes an entry for each miniblock into `dst`. The last one may be short.
    ///
    /// What a device does not read, or calls wrong, goes to the CPU, which says where it is wrong.
    ///
    /// # Errors
    ///
    /// [`Error::Miniblock`] for a block that has no such miniblocks, [`Error::OutputFull`], [`Error::Corrupt`] and
    /// [`Error::Truncated`] with offsets from the start of the stream, otherwise as [`Runtime::copy`]. Source: IAA §3.3.2.
    pub async fn index_block<S: IoBuf, D: IoBufMut>(
        &self,
        src: S,
        dst: D,
        size: MiniblockSize,
        start: BlockStart,
    ) -> Outcome<IndexedBlock, (S, D)> {
        let ask = move |(src, dst): &mut (S, D)| ask::index_block(src, dst, size, start);
        match self.run((src, dst), ask, Room::Wait).await {
            Err(failed) if self.cpu_knows_better(&failed) => match failed.buffers {
                Some(buffers) => self.run_on_cpu(buffers, ask, Room::Wait, Reason::Stream).await,
                None => Err(failed),
            },
            first => first,
        }
    }

    /// Expands `miniblocks` of the stream in `src` into `dst`, and checks their CRC. What is before them is not read, but for the
    /// header of their block.
    ///
    /// What a device does not read goes to the CPU.
    ///
    /// # Errors
    ///
    /// [`Error::Miniblock`] for another CRC and for places that cannot be, [`Error::Truncated`] if `src` ends before they do,
    /// [`Error::Corrupt`] with the offset in `src`, [`Error::OutputFull`], otherwise as [`Runtime::copy`]. Source: IAA §3.4.3,
    /// §3.7.
    pub async fn inflate_miniblocks<S: IoBuf, D: IoBufMut>(
        &self,
        src: S,
        dst: D,
        miniblocks: Miniblocks,
    ) -> Outcome<Inflated, (S, D)> {
        let ask = move |(src, dst): &mut (S, D)| ask::inflate_miniblocks(src, dst, miniblocks);
        let first: Outcome<Inflated, _> = match self.run((src, dst), ask, Room::Wait).await {
            Err(failed) if self.cpu_knows_better(&failed) => match failed.buffers {
                Some(buffers) => self.run_on_cpu(buffers, ask, Room::Wait, Reason::Stream).await,
                None => Err(failed),
            },
            first => first,
        };
        let Completed { value, report, buffers } = first?;
        let (expected, found) = (miniblocks.crc, value.check);
        if found == expected {
            return Ok(Completed { value, report, buffers });
        }
        let fault = MiniblockFault::Crc { expected, found };
        let error = Error::Miniblock { operation: Operation::InflateMiniblocks, fault, data_at: 0 };
        Err(Failed { error, buffers: Some(buffers), report })
    }

    /// Whether a device has refused a stream that the CPU reads, or says more about.
    fn cpu_knows_better<B>(&self, failed: &Failed<B>) -> bool {
        let is_of_stream = match failed.error {
            Error::Stream { .. } => true,
            // What cannot be asked has not been anywhere.
            Error::Miniblock { fault: MiniblockFault::Places { .. }, .. } => false,
            Error::Miniblock { .. } => !matches!(failed.report.path, Path::Software { .. }),
            _ => false,
        };
        is_of_stream && failed.buffers.is_some() && self.software().is_some()
    }
}
