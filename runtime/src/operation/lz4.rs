//! LZ4: blocks, without the frame around them.

use std::future::Future;

use super::filter::Written;
use super::{Completed, Outcome, Room};
use crate::ask;
use crate::buffer::{IoBuf, IoBufMut};
use crate::error::{Error, Failed};
use crate::job::Lz4Blocks;
use crate::path::Reason;
use crate::runtime::Runtime;

impl Runtime {
    /// Compresses `src` into blocks as they stand in an LZ4 frame, that refer to nothing before them. Answers their bytes.
    ///
    /// # Errors
    ///
    /// [`Error::OutputFull`] when `dst` is too small, otherwise as [`Runtime::copy`]. Source: the LZ4 frame format 1.6.4.
    pub fn lz4_compress<S: IoBuf, D: IoBufMut>(
        &self,
        src: S,
        dst: D,
        level: u8,
    ) -> impl Future<Output = Outcome<u64, (S, D)>> + Send {
        let ask = move |(src, dst): &mut (S, D)| ask::lz4_compress(src, dst, level);
        let written = self.run((src, dst), ask, Room::Wait);
        async move { written.await.map(|done: Completed<Written, _>| done.map(|Written(bytes)| bytes)) }
    }

    /// Expands `src`, blocks of an LZ4 frame and nothing else, into `dst`. Answers the bytes of output.
    ///
    /// A device takes blocks that stand for themselves and have no checksums, and a QAT none that refer to what is more than
    /// 32 KiB before: what it does not take, and what it finds broken, goes to the CPU, and the result's path says so.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`], [`Error::Truncated`], [`Error::OutputFull`], otherwise as [`Runtime::copy`].
    pub async fn lz4_decompress<S: IoBuf, D: IoBufMut>(
        &self,
        src: S,
        dst: D,
        blocks: Lz4Blocks,
    ) -> Outcome<u64, (S, D)> {
        let ask = move |(src, dst): &mut (S, D)| ask::lz4_decompress(src, dst, blocks);
        let first: Outcome<Written, _> = match self.run((src, dst), ask, Room::Wait).await {
            Err(Failed { error: Error::Stream { .. }, buffers: Some(buffers), .. })
                if self.software().is_some() =>
            {
                self.run_on_cpu(buffers, ask, Room::Wait, Reason::Stream).await
            }
            first => first,
        };
        first.map(|done| done.map(|Written(bytes)| bytes))
    }
}
