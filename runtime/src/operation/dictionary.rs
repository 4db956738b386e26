//! Compression with a dictionary.

use super::{Completed, DeflateOptions, Deflated, Inflated, Outcome, Room};
use crate::ask;
use crate::buffer::{IoBuf, IoBufMut};
use crate::dictionary::Dictionary;
use crate::error::{Error, Failed};
use crate::job::Check;
use crate::path::Reason;
use crate::runtime::Runtime;

/// Buffers, and the dictionary that is lent with them.
type With<S, D> = (S, D, Dictionary);

fn without<V, S, D>(outcome: Outcome<V, With<S, D>>) -> Outcome<V, (S, D)> {
    match outcome {
        Ok(Completed { value, report, buffers: (src, dst, _) }) => {
            Ok(Completed { value, report, buffers: (src, dst) })
        }
        Err(failed) => Err(failed.map_buffers(|(src, dst, _)| (src, dst))),
    }
}

impl Runtime {
    /// [`Runtime::deflate`] of what follows `dictionary`: the segment may refer to it, and can be expanded only with it. Made
    /// for small buffers that have much in common. Only the first segment of a stream can have one.
    ///
    /// An IAA 2 takes the last 2 or 4 KiB of a dictionary; one of less than
    /// [`Dictionary::DEVICE_BYTES_MIN`] is the CPU's, as the path says.
    ///
    /// # Errors
    ///
    /// As [`Runtime::deflate`]. Source: IAA §3.4.4.
    pub async fn deflate_with_dictionary<S: IoBuf, D: IoBufMut>(
        &self,
        src: S,
        dst: D,
        dictionary: &Dictionary,
        options: DeflateOptions,
    ) -> Outcome<Deflated, (S, D)> {
        let lent: With<S, D> = (src, dst, dictionary.clone());
        let ask = move |(src, dst, dictionary): &mut With<S, D>| {
            ask::deflate_with_dictionary(src, dst, dictionary, options)
        };
        without(self.run(lent, ask, Room::Wait).await)
    }

    /// [`Runtime::inflate`] of a stream that was made with `dictionary`. A stream that refers further back than a device
    /// keeps goes to the CPU.
    ///
    /// With another dictionary the output is another one, or the stream is corrupt: only a checksum tells.
    ///
    /// # Errors
    ///
    /// As [`Runtime::inflate`].
    pub async fn inflate_with_dictionary<S: IoBuf, D: IoBufMut>(
        &self,
        src: S,
        dst: D,
        dictionary: &Dictionary,
        check: Check,
    ) -> Outcome<Inflated, (S, D)> {
        let lent: With<S, D> = (src, dst, dictionary.clone());
        let ask = move |(src, dst, dictionary): &mut With<S, D>| {
            ask::inflate_with_dictionary(src, dst, dictionary, check)
        };
        let first: Outcome<Inflated, _> = self.run(lent, ask, Room::Wait).await;
        without(match first {
            Err(Failed { error: Error::Stream { .. }, buffers: Some(lent), .. })
                if self.software().is_some() =>
            {
                self.run_on_cpu(lent, ask, Room::Wait, Reason::Stream).await
            }
            first => first,
        })
    }
}
