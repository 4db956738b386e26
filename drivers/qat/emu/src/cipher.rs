//! The symmetric service: AES-GCM in one pass, from the table of its message and of its content descriptor.
//!
//! The arithmetic is `aes-gcm`'s, by way of the CPU engine. As a device does, it writes a message before it knows whether
//! its tag is the right one.

use svala_software::cipher::{Cipher, decrypt, encrypt};

use crate::config::Model;
use crate::execute::Outcome;
use crate::memory::Mappings;
use crate::message::{Answer, STATUS_CRYPTO, STATUS_INVALID, VALID, bytes_of};
use crate::plan::Action;

const SERVICE: u8 = 4;
/// What differs between generations.
struct Form {
    /// Flags: vector in the request, single pass, the slice of the fourth generation and of those after it; tag returned or
    /// compared. Of the older ones bit 11, a vector of 12 bytes; of the sixth bits 7 to 9, the mode.
    returns: u16,
    compares: u16,
    /// Bytes of a tag, at 0x6b.
    tag: u8,
    /// From slice 1 to slice 4, at 0x6f.
    route: u8,
    /// Byte 1 of the configuration: bits 10 to 14 of it are the bytes compared.
    compared: u8,
}

const OLD: Form = Form { returns: 0x6824, compares: 0x6844, tag: 16, route: 0x41, compared: 0x40 };
const SIXTH: Form = Form { returns: 0x6124, compares: 0x6144, tag: 0, route: 0, compared: 0 };

const fn form(model: Model) -> &'static Form {
    if model.is_old() { &OLD } else { &SIXTH }
}
const BLOCK: usize = 16;
const AAD_MAX: u32 = 240;
const SLICE_HANG: i8 = -16;
const ENDPOINT: i8 = -17;

/// A request as it was found in the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CipherMessage {
    model: Model,
    pub(crate) opaque: u64,
    pub(crate) dst: u64,
    src: u64,
    len: u32,
    encrypts: bool,
    descriptor: u64,
    key_bytes: usize,
    nonce: [u8; 12],
    aad: u64,
    aad_len: u32,
    tag: u64,
}

impl CipherMessage {
    /// Reads a request. Err with the cookie and the offset of what is not as it has to be.
    pub(crate) fn parse(words: &[u64; 16], model: Model) -> Result<Self, (u64, usize)> {
        let form = form(model);
        let bytes = bytes_of(words);
        let u16_at = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let u32_at = |at: usize| u32::from(u16_at(at)) | u32::from(u16_at(at + 2)) << 16;
        let u64_at = |at: usize| u64::from(u32_at(at)) | u64::from(u32_at(at + 4)) << 32;
        let opaque = u64_at(0x18);
        let wrong = |at| Err((opaque, at));
        let fixed = [
            (0x01, 0),
            (0x02, SERVICE),
            (0x03, VALID),
            (0x06, 0),
            (0x6b, form.tag),
            (0x6c, 2),
            (0x6f, form.route),
        ];
        if let Some((at, _)) = fixed.into_iter().find(|(at, value)| bytes[*at] != *value) {
            return wrong(at);
        }
        let zero =
            [0x00..0x01, 0x07..0x08, 0x10..0x12, 0x13..0x18, 0x38..0x3c, 0x4c..0x54, 0x68..0x6b, 0x6e..0x6f];
        if let Some(at) = zero.into_iter().flatten().chain(0x70..0x80).find(|at| bytes[*at] != 0) {
            return wrong(at);
        }
        let encrypts = match u16_at(0x04) {
            flags if flags == form.returns => true,
            flags if flags == form.compares => false,
            _ => return wrong(0x04),
        };
        // Both count words of eight bytes; the descriptor has two more than the key.
        let (key_words, descriptor_words) = (bytes[0x6d], bytes[0x12]);
        if !matches!((key_words, descriptor_words), (2, 4) | (4, 6)) {
            return wrong(0x6d);
        }
        let (descriptor, len, aad_len) = (u64_at(0x08), u32_at(0x3c), u32_at(0x54));
        if !descriptor.is_multiple_of(64) {
            return wrong(0x08);
        }
        if len == 0 || (len, len) != (u32_at(0x30), u32_at(0x34)) {
            return wrong(0x30);
        }
        if aad_len > AAD_MAX {
            return wrong(0x54);
        }
        let mut nonce = [0; 12];
        nonce.copy_from_slice(&bytes[0x40..0x4c]);
        let (src, dst, aad, tag) = (u64_at(0x20), u64_at(0x28), u64_at(0x58), u64_at(0x60));
        let key_bytes = 8 * usize::from(key_words);
        Ok(Self { model, opaque, dst, src, len, encrypts, descriptor, key_bytes, nonce, aad, aad_len, tag })
    }

    fn blank(&self) -> Answer {
        Answer { service: SERVICE, adler: 0, ..Answer::to(0, self.opaque) }
    }

    /// Does what it asks for.
    pub(crate) fn execute(&self, memory: &Mappings, action: Option<Action>) -> Outcome {
        let failed = |error| Answer { status: STATUS_CRYPTO, error, ..self.blank() };
        if action == Some(Action::SliceHang) {
            return Outcome::Answer(failed(SLICE_HANG));
        }
        let mut descriptor = [0; 2 * BLOCK + BLOCK];
        let mut padded = vec![0; (self.aad_len as usize).next_multiple_of(BLOCK)];
        if !memory.copy_out(self.descriptor, &mut descriptor[..BLOCK + self.key_bytes])
            || !memory.copy_out(self.aad, &mut padded)
        {
            return Outcome::ReadFault(failed(ENDPOINT));
        }
        let (aad, padding) = padded.split_at(self.aad_len as usize);
        let (config, key) = descriptor.split_at(BLOCK);
        if config != self.config() || padding.iter().any(|byte| *byte != 0) {
            return Outcome::Malformed(Answer { status: STATUS_INVALID, ..self.blank() });
        }
        let cipher = Cipher::Gcm { key: &key[..self.key_bytes], nonce: &self.nonce, aad };
        let mut expected = [0; BLOCK];
        if !self.encrypts && !memory.copy_out(self.tag, &mut expected) {
            return Outcome::ReadFault(failed(ENDPOINT));
        }
        let done = memory.with((self.src, self.len), (self.dst, self.len), |src, dst| {
            if self.encrypts {
                return encrypt(&cipher, src, dst).ok().flatten();
            }
            let is_right = decrypt(&cipher, Some(&expected), src, dst).is_ok();
            if !is_right {
                // Counter mode: the same stream both ways. The tag of this is nobody's.
                let _ = encrypt(&cipher, src, dst);
            }
            is_right.then_some(expected)
        });
        match done {
            Err((_, true)) => Outcome::WriteFault,
            Err((_, false)) => Outcome::ReadFault(failed(ENDPOINT)),
            Ok(None) => Outcome::Answer(failed(0)),
            Ok(Some(tag)) if self.encrypts && !memory.copy_in(self.tag, &tag) => Outcome::WriteFault,
            Ok(Some(_)) => Outcome::Answer(self.blank()),
        }
    }

    /// The configuration it has to find: algorithm, mode 4, direction, and of the older ones a tag of 16 and how much is only
    /// authenticated, swapped.
    fn config(&self) -> [u8; BLOCK] {
        let algorithm = if self.key_bytes == 16 { 0x43 } else { 0x45 };
        let aad = if self.model.is_old() { self.aad_len.to_le_bytes()[0] } else { 0 };
        let second = form(self.model).compared | u8::from(!self.encrypts);
        let mut config = [0; BLOCK];
        config[..8].copy_from_slice(&[algorithm, second, 0, 0, 0, 0, 0, aad]);
        config
    }
}
