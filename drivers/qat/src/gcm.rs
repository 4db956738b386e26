//! AES-GCM: what a request needs in memory besides the message: the key, what is only authenticated, the tag.
//!
//! All of it lies in a page of the arena that belongs to the job, and is overwritten with zeros when the job is over.

use std::fmt;

use qat_spec::{
    GCM_AAD_BYTES_MAX, GCM_CONFIG_BYTES, GCM_TAG_BYTES, Gcm, GcmKey, Generation, Request, gcm_config,
};
use svala::backend::{Failure, Refused};
use svala::{CipherFault, CipherParameters};
use zeroize::Zeroize;

use crate::lane::Part;
use crate::memory::{Arena, Piece};

/// Offsets in the page.
const DESCRIPTOR: usize = 0;
const TAG: usize = 0x40;
const AAD: usize = 0x80;
/// Bytes that are used: what is authenticated has zeros up to a block after it.
const BYTES: usize = AAD + GCM_AAD_BYTES_MAX.next_multiple_of(16);

/// A job's page.
pub(crate) struct GcmPage {
    piece: Piece,
    generation: Generation,
    key: GcmKey,
    encrypts: bool,
    nonce: [u8; 12],
    aad_bytes: u8,
}

impl GcmPage {
    /// Fills a page. What a device does not take is refused, for others to do.
    pub(crate) fn new(
        arena: &Arena,
        generation: Generation,
        parameters: CipherParameters<'_>,
        encrypts: bool,
    ) -> Result<Self, Refused> {
        let CipherParameters::Gcm { key, nonce, aad, tag } = parameters else {
            return Err(Refused::Failed(Failure::Unsupported));
        };
        let kind = GcmKey::of_bytes(key.len()).ok_or(Refused::Failed(Failure::Unsupported))?;
        let aad_bytes = u8::try_from(aad.len()).ok().filter(|bytes| usize::from(*bytes) <= GCM_AAD_BYTES_MAX);
        let aad_bytes = aad_bytes.ok_or(Refused::Failed(Failure::Stream))?;
        let expected = match (encrypts, tag) {
            (true, _) => [0; GCM_TAG_BYTES],
            (false, Some(tag)) => *tag,
            (false, None) => return Err(Refused::Failed(Failure::Cipher { fault: CipherFault::NoTag })),
        };
        let piece = arena.take(BYTES as u64, 1).ok_or(Refused::Busy)?;
        let mut page = Self { piece, generation, key: kind, encrypts, nonce: *nonce, aad_bytes };
        let bytes = &mut page.piece.bytes_mut()[..BYTES];
        bytes.fill(0);
        let config = gcm_config(generation, kind, encrypts, aad_bytes);
        bytes[DESCRIPTOR..][..GCM_CONFIG_BYTES].copy_from_slice(&config);
        bytes[DESCRIPTOR + GCM_CONFIG_BYTES..][..key.len()].copy_from_slice(key);
        bytes[TAG..][..GCM_TAG_BYTES].copy_from_slice(&expected);
        bytes[AAD..][..aad.len()].copy_from_slice(aad);
        Ok(page)
    }

    /// The request for a message.
    pub(crate) fn request(&self, part: Part) -> Request {
        let at = self.piece.span().addr.get();
        Request::gcm(Gcm {
            generation: self.generation,
            encrypts: self.encrypts,
            key: self.key,
            descriptor_addr: at + DESCRIPTOR as u64,
            src_addr: part.src_addr,
            dst_addr: part.dst_addr,
            bytes: part.src_bytes,
            nonce: self.nonce,
            aad_addr: at + AAD as u64,
            aad_bytes: self.aad_bytes,
            tag_addr: at + TAG as u64,
        })
    }

    /// The tag that the device has written. None of a decryption.
    pub(crate) fn tag(&self) -> Option<[u8; GCM_TAG_BYTES]> {
        let mut tag = [0; GCM_TAG_BYTES];
        tag.copy_from_slice(&self.piece.bytes()[TAG..][..GCM_TAG_BYTES]);
        self.encrypts.then_some(tag)
    }
}

impl Drop for GcmPage {
    fn drop(&mut self) {
        self.piece.bytes_mut()[..BYTES].zeroize();
    }
}

/// Without what is in it.
impl fmt::Debug for GcmPage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GcmPage")
            .field("key", &self.key)
            .field("encrypts", &self.encrypts)
            .finish_non_exhaustive()
    }
}
