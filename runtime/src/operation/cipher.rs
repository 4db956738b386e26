//! Encryption and decryption.

use std::fs::File;
use std::io::Read;

use super::{Ask, Completed, Extract, Inflated, Outcome, Room};
use crate::ask;
use crate::buffer::{IoBuf, IoBufMut};
use crate::cipher::{Cipher, CipherFault, CipherMode};
use crate::error::{Error, Failed};
use crate::job::{Check, Value};
use crate::path::Reason;
use crate::runtime::Runtime;

/// A message that was encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encrypted {
    /// Bytes of it: as many as were read.
    pub written: u64,
    /// What decryption has to be given, of a mode that authenticates.
    pub tag: Option<[u8; 16]>,
}

impl Extract for Encrypted {
    fn extract(value: Value) -> Option<Self> {
        let Value::Encrypted { written, tag } = value else { return None };
        Some(Self { written, tag })
    }
}

/// A message that was decrypted.
struct Decrypted(u64);

impl Extract for Decrypted {
    fn extract(value: Value) -> Option<Self> {
        if let Value::Written(written) = value { Some(Self(written)) } else { None }
    }
}

/// Buffers, and the cipher that is lent with them: in an allocation, since a job has its address.
type WithCipher<S, D> = (S, D, Box<Cipher>);

fn without_cipher<V, S, D>(outcome: Outcome<V, WithCipher<S, D>>) -> Outcome<V, (S, D)> {
    match outcome {
        Ok(Completed { value, report, buffers: (src, dst, _) }) => {
            Ok(Completed { value, report, buffers: (src, dst) })
        }
        Err(failed) => Err(failed.map_buffers(|(src, dst, _)| (src, dst))),
    }
}

impl Runtime {
    /// Encrypts `src` into `dst`, which is as long. With GCM the answer has the tag; `src` may be empty then.
    ///
    /// What the device does not take of a mode it has, as more authenticated bytes than a QAT can read, the CPU does; the
    /// result's path says so.
    ///
    /// Keys are overwritten when the operation is over: those of `cipher`, and what a driver has put where its device
    /// reads it. They stay where they are only after [`Error::NoAnswer`], since a device may still read them.
    ///
    /// # Errors
    ///
    /// [`Error::Length`], [`Error::Cipher`] for less than a block with XTS, [`Error::TooLong`] for more than the mode
    /// allows with one key and nonce or tweak, otherwise as [`Runtime::copy`]. Source: IAA §3.5; not in IAA 1.
    pub async fn encrypt<S: IoBuf, D: IoBufMut>(
        &self,
        src: S,
        dst: D,
        cipher: Cipher,
    ) -> Outcome<Encrypted, (S, D)> {
        let lent: WithCipher<S, D> = (src, dst, Box::new(cipher));
        let ask = |(src, dst, cipher): &mut WithCipher<S, D>| ask::cipher::encrypt(src, dst, cipher);
        without_cipher(self.run_cipher(lent, ask, Reason::Shape).await)
    }

    /// Decrypts `src` into `dst`, which is as long. Answers the bytes written.
    ///
    /// With GCM, `cipher` has the tag to check ([`Cipher::with_tag`]). A device writes before it has seen all of the
    /// message; so after a failure, as of a tag that does not match, `dst` is filled with zeros before it comes back.
    ///
    /// # Errors
    ///
    /// [`Error::Cipher`] for a tag that does not match, and for none; otherwise as [`Runtime::encrypt`].
    pub async fn decrypt<S: IoBuf, D: IoBufMut>(
        &self,
        src: S,
        dst: D,
        cipher: Cipher,
    ) -> Outcome<u64, (S, D)> {
        let mode = cipher.mode();
        let lent: WithCipher<S, D> = (src, dst, Box::new(cipher));
        let ask = |(src, dst, cipher): &mut WithCipher<S, D>| ask::cipher::decrypt(src, dst, cipher);
        let outcome: Outcome<Decrypted, _> = without_cipher(self.run_cipher(lent, ask, Reason::Shape).await);
        match outcome {
            Ok(done) => Ok(done.map(|Decrypted(written)| written)),
            Err(failed) => Err(self.without_plaintext(mode, failed).await),
        }
    }

    /// Decrypts `src` and expands the raw deflate stream in it into `dst`, in one go: what was compressed, then encrypted. The
    /// answer's `read` counts bytes of the stream.
    ///
    /// A stream the device cannot decode, and one that is followed by something else within the message, goes to the CPU, as
    /// the result's path says. The CPU looks at the tag before it expands anything, and has to have the message in memory once
    /// more. With GCM, after a failure, `dst` is filled with zeros.
    ///
    /// # Errors
    ///
    /// Those of [`Runtime::decrypt`] and of [`Runtime::inflate`]; a tag that does not match, before anything that is wrong with
    /// the stream. Source: IAA §3.5; not in IAA 1.
    pub async fn decrypt_inflate<S: IoBuf, D: IoBufMut>(
        &self,
        src: S,
        dst: D,
        cipher: Cipher,
        check: Check,
    ) -> Outcome<Inflated, (S, D)> {
        let mode = cipher.mode();
        let lent: WithCipher<S, D> = (src, dst, Box::new(cipher));
        let ask = move |(src, dst, cipher): &mut WithCipher<S, D>| {
            ask::cipher::decrypt_inflate(src, dst, cipher, check)
        };
        match without_cipher(self.run_cipher(lent, ask, Reason::Stream).await) {
            Ok(done) => Ok(done),
            Err(failed) => Err(self.without_plaintext(mode, failed).await),
        }
    }

    /// A failure that shows nothing of a message that was not found to be the one its tag was made of.
    pub(super) async fn without_plaintext<S, D: IoBufMut>(
        &self,
        mode: CipherMode,
        failed: Failed<(S, D)>,
    ) -> Failed<(S, D)> {
        let Failed { error, buffers: Some((src, dst)), report } = failed else { return failed };
        if mode != CipherMode::Gcm || !may_have_written(&error) {
            return Failed { error, buffers: Some((src, dst)), report };
        }
        // By the runtime and not here: the memory may be a file that is cut.
        let dst = match self.fill(dst, 0).await {
            Ok(filled) => Some(filled.buffers),
            Err(failed) => failed.buffers.map(cleared_by_the_kernel),
        };
        Failed { error, buffers: dst.map(|dst| (src, dst)), report }
    }

    /// On the queue it is best done by, or on the CPU, for `reason`, if the device does not take it as it is.
    async fn run_cipher<V: Extract, S: IoBuf, D: IoBufMut>(
        &self,
        lent: WithCipher<S, D>,
        ask: impl Ask<WithCipher<S, D>> + Copy,
        reason: Reason,
    ) -> Outcome<V, WithCipher<S, D>> {
        match self.run(lent, ask, Room::Wait).await {
            Err(Failed { error: Error::Stream { .. }, buffers: Some(lent), .. })
                if self.software().is_some() =>
            {
                self.run_on_cpu(lent, ask, Room::Wait, reason).await
            }
            first => first,
        }
    }
}

/// The same with zeros, for a runtime without a queue that fills. The kernel writes them, on this thread: of memory that is no
/// more it says so, where the process would get a signal.
fn cleared_by_the_kernel<D: IoBufMut>(mut dst: D) -> D {
    let cleared = File::open("/dev/zero").and_then(|mut zeros| zeros.read_exact(dst.bytes_mut()));
    if let Err(error) = cleared {
        tracing::error!(%error, "what was decrypted of a message that is not authentic stays in its buffer");
    }
    dst
}

/// Whether the operation may have got as far as to write something.
const fn may_have_written(error: &Error) -> bool {
    !matches!(
        error,
        Error::Length { .. }
            | Error::Units { .. }
            | Error::TooLong { .. }
            | Error::Unsupported { .. }
            | Error::Busy { .. }
            | Error::Forked { .. }
            | Error::Cipher {
                fault: CipherFault::NoTag | CipherFault::TooShort { .. } | CipherFault::XtsKeys,
                ..
            }
    )
}
