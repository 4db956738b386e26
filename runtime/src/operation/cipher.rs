//! Encryption and decryption.

use super::{Ask, Completed, Extract, Outcome, Room};
use crate::ask;
use crate::buffer::{IoBuf, IoBufMut};
use crate::cipher::{Cipher, CipherFault};
use crate::error::{Error, Failed};
use crate::job::Value;
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
        without_cipher(self.run_cipher(lent, ask).await)
    }

    /// Decrypts `src` into `dst`, which is as long. Answers the bytes written.
    ///
    /// With GCM, `cipher` has the tag to check ([`Cipher::with_tag`]). A device writes before it has seen all of the
    /// message; so if the tag does not match, `dst` is filled with zeros before it comes back.
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
        let lent: WithCipher<S, D> = (src, dst, Box::new(cipher));
        let ask = |(src, dst, cipher): &mut WithCipher<S, D>| ask::cipher::decrypt(src, dst, cipher);
        let outcome: Outcome<Decrypted, _> = without_cipher(self.run_cipher(lent, ask).await);
        match outcome {
            Ok(done) => Ok(done.map(|Decrypted(written)| written)),
            Err(Failed {
                error: error @ Error::Cipher { fault: CipherFault::Tag, .. },
                buffers: Some((src, dst)),
                report,
            }) => {
                // What is there is not the message. By the runtime and not here: the memory may be a file that is cut.
                let dst = match self.fill(dst, 0).await {
                    Ok(filled) => Some(filled.buffers),
                    Err(failed) => failed.buffers,
                };
                Err(Failed { error, buffers: dst.map(|dst| (src, dst)), report })
            }
            Err(failed) => Err(failed),
        }
    }

    /// On the queue it is best done by, or on the CPU if the device does not take it as it is.
    async fn run_cipher<V: Extract, S: IoBuf, D: IoBufMut>(
        &self,
        lent: WithCipher<S, D>,
        ask: impl Ask<WithCipher<S, D>> + Copy,
    ) -> Outcome<V, WithCipher<S, D>> {
        match self.run(lent, ask, Room::Wait).await {
            Err(Failed { error: Error::Stream { .. }, buffers: Some(lent), .. })
                if self.software().is_some() =>
            {
                self.run_on_cpu(lent, ask, Room::Wait, Reason::Shape).await
            }
            first => first,
        }
    }
}
