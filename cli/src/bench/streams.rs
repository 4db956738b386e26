//! Ciphers, LZ4, and deflate with a dictionary.
//!
//! What comes out is compared with what other people's crates make of the same data.

use aes::Aes256;
use aes::cipher::{KeyInit, KeyIvInit};
use aes_gcm::Aes256Gcm;
use aes_gcm::aead::AeadInOut;
use flate2::{Decompress, FlushDecompress};
use svala::{AesKey, Check, Cipher, DeflateOptions, Dictionary, Encrypted, Lz4Blocks, Value};
use svala_engine::{Engine, Error, Operation, compressed_bytes_max};
use xts_mode::Xts128;

use super::lane::{Performed, deflated, inflated, performed};
use super::setup::{Buffers, Contents, bytes, cut, data, stream};

const KEY: [u8; 32] = [0x5a; 32];
const TWEAK_KEY: [u8; 32] = [0xa5; 32];
const NONCE: [u8; 12] = [3; 12];
const IV: [u8; 16] = [4; 16];
/// Least bytes of XTS: a block.
const XTS_BYTES_MIN: usize = 16;
/// As much as an IAA keeps.
const DICTIONARY_BYTES: usize = 4 << 10;
const LZ4_LEVEL: u8 = 1;
/// Most bytes of an LZ4 block, and the bit of its header that says it is not compressed.
const LZ4_BLOCK_BYTES_MAX: usize = 4 << 20;
const LZ4_STORED: u32 = 1 << 31;

/// Whether `operation` is one of these.
pub(super) fn is_stream(operation: Operation) -> bool {
    is_cipher(operation)
        || matches!(
            operation,
            Operation::Lz4Compress
                | Operation::Lz4Decompress
                | Operation::DeflateDictionary
                | Operation::InflateDictionary
                | Operation::DecryptInflate
        )
}

fn is_cipher(operation: Operation) -> bool {
    decrypts(operation)
        || matches!(operation, Operation::EncryptGcm | Operation::EncryptCfb | Operation::EncryptXts)
}

fn decrypts(operation: Operation) -> bool {
    matches!(operation, Operation::DecryptGcm | Operation::DecryptCfb | Operation::DecryptXts)
}

/// Least bytes of an operation.
pub(super) fn bytes_min(operation: Operation) -> usize {
    if matches!(operation, Operation::EncryptXts | Operation::DecryptXts) { XTS_BYTES_MIN } else { 0 }
}

/// What the buffers of an operation on `data` are made from, and the tag that belongs to it. A stream to expand is made by
/// the queue itself, so that it can read it.
pub(super) async fn contents(
    engine: &Engine,
    operation: Operation,
    data: Vec<u8>,
) -> Result<([Contents; 2], Option<[u8; 16]>), String> {
    let size = data.len();
    let needed = |bytes| Contents::Bytes { bytes, needed: true };
    let (a, b, tag) = match operation {
        Operation::Lz4Compress => (bytes(data), lz4_bytes_max(size), None),
        Operation::DeflateDictionary => (bytes(data), compressed_bytes_max(size), None),
        Operation::Lz4Decompress => {
            let done = engine.lz4_compress(data, vec![0; lz4_bytes_max(size)], LZ4_LEVEL).await;
            let done = done.map_err(|failed| format!("making blocks to expand: {failed}"))?;
            (needed(cut(done.buffers.1, done.value)), size, None)
        }
        Operation::InflateDictionary => {
            let (room, options) = (vec![0; compressed_bytes_max(size)], DeflateOptions::default());
            let done = engine.deflate_with_dictionary(data, room, &dictionary(), options).await;
            let done = done.map_err(|failed| format!("making a stream to expand: {failed}"))?;
            (needed(cut(done.buffers.1, done.value.written)), size, None)
        }
        Operation::DecryptInflate => {
            let (message, tag) = message(operation, &stream(engine, data).await?)?;
            (needed(message), size, tag)
        }
        _ if decrypts(operation) => {
            let (message, tag) = message(operation, &data)?;
            (needed(message), size, tag)
        }
        _ => (bytes(data), size, None),
    };
    Ok(([a, Contents::Zeros(b)], tag))
}

/// Blocks of at most 64 KiB that do not compress, with a header each.
fn lz4_bytes_max(size: usize) -> usize {
    size + size.div_ceil(64 << 10) * 4 + 64
}

fn dictionary() -> Dictionary {
    Dictionary::new(dictionary_bytes())
}

fn dictionary_bytes() -> Vec<u8> {
    data(DICTIONARY_BYTES)
}

/// That of an operation: what decrypts in front of something else has GCM.
pub(super) fn cipher(operation: Operation, tag: Option<[u8; 16]>) -> Result<Cipher, Error> {
    let none = || Error::Unsupported { operation };
    let key = |bytes| AesKey::new(bytes).ok_or_else(none);
    let cipher = match operation {
        Operation::EncryptCfb | Operation::DecryptCfb => Cipher::cfb(key(&KEY)?, IV),
        Operation::EncryptXts | Operation::DecryptXts => {
            Cipher::xts(key(&KEY)?, key(&TWEAK_KEY)?, IV).map_err(|_| none())?
        }
        _ => Cipher::gcm(key(&KEY)?, NONCE),
    };
    Ok(match tag {
        Some(tag) => cipher.with_tag(tag),
        None => cipher,
    })
}

/// A message, and its tag.
type Message = (Vec<u8>, Option<[u8; 16]>);

/// The message to decrypt.
pub(super) fn message(operation: Operation, data: &[u8]) -> Result<Message, String> {
    encrypted(operation, data).ok_or_else(|| format!("{operation}: no message to decrypt"))
}

/// The message of `data`, and its tag, by the crates of RustCrypto.
fn encrypted(operation: Operation, data: &[u8]) -> Option<Message> {
    let mut message = data.to_vec();
    let mut tag = None;
    match operation {
        Operation::EncryptCfb | Operation::DecryptCfb => {
            cfb_mode::Encryptor::<Aes256>::new(&KEY.into(), &IV.into()).encrypt(&mut message);
        }
        Operation::EncryptXts | Operation::DecryptXts => {
            let xts = Xts128::new(Aes256::new(&KEY.into()), Aes256::new(&TWEAK_KEY.into()));
            xts.encrypt_sector(&mut message, IV.into());
        }
        _ => {
            let gcm = Aes256Gcm::new(&KEY.into());
            let made = gcm.encrypt_inout_detached(&NONCE.into(), b"", message.as_mut_slice().into()).ok()?;
            tag = Some(made.into());
        }
    }
    Some((message, tag))
}

/// Does one of them.
pub(super) async fn perform(engine: &Engine, operation: Operation, buffers: Buffers) -> Performed {
    let Buffers { a, b, tag, .. } = buffers;
    let pair = |(a, b)| Buffers { a, b, tag, ..Buffers::default() };
    if is_cipher(operation) {
        let cipher = cipher(operation, tag)?;
        if decrypts(operation) {
            return performed(engine.decrypt(a, b, cipher).await, Value::Written, pair);
        }
        let value = |made: Encrypted| Value::Encrypted { written: made.written, tag: made.tag };
        return performed(engine.encrypt(a, b, cipher).await, value, pair);
    }
    match operation {
        Operation::Lz4Compress => performed(engine.lz4_compress(a, b, LZ4_LEVEL).await, Value::Written, pair),
        Operation::Lz4Decompress => {
            let blocks = Lz4Blocks::default();
            performed(engine.lz4_decompress(a, b, blocks).await, Value::Written, pair)
        }
        Operation::DecryptInflate => {
            let made = engine.decrypt_inflate(a, b, cipher(operation, tag)?, Check::None).await;
            performed(made, inflated, pair)
        }
        Operation::DeflateDictionary => {
            let made = engine.deflate_with_dictionary(a, b, &dictionary(), DeflateOptions::default()).await;
            performed(made, deflated, pair)
        }
        _ => {
            let made = engine.inflate_with_dictionary(a, b, &dictionary(), Check::None).await;
            performed(made, inflated, pair)
        }
    }
}

/// Whether an operation on `data` left what other crates say.
pub(super) fn is_right(operation: Operation, data: &[u8], after: &Buffers, value: Value) -> bool {
    match (operation, value) {
        (Operation::Lz4Compress, Value::Written(written)) => {
            output(after, written).and_then(lz4_expanded).is_some_and(|expanded| expanded == data)
        }
        (Operation::DeflateDictionary, Value::Deflate { written, .. }) => output(after, written)
            .and_then(|stream| expanded(stream, data.len()))
            .is_some_and(|expanded| expanded == data),
        (Operation::InflateDictionary | Operation::DecryptInflate, Value::Inflate { written, .. }) => {
            written == data.len() as u64 && after.b == data
        }
        (_, Value::Encrypted { written, tag }) => {
            written == data.len() as u64
                && encrypted(operation, data)
                    .is_some_and(|(message, wanted)| after.b == message[..] && tag == wanted)
        }
        (_, Value::Written(written)) => written == data.len() as u64 && after.b == data,
        _ => false,
    }
}

fn output(after: &Buffers, written: u64) -> Option<&[u8]> {
    after.b.get(..usize::try_from(written).ok()?)
}

/// What lz4_flex makes of blocks.
fn lz4_expanded(mut blocks: &[u8]) -> Option<Vec<u8>> {
    let mut all = Vec::new();
    while let Some((header, rest)) = blocks.split_first_chunk() {
        let header = u32::from_le_bytes(*header);
        let (block, rest) = rest.split_at_checked(usize::try_from(header & !LZ4_STORED).ok()?)?;
        if header & LZ4_STORED == 0 {
            all.extend(lz4_flex::block::decompress(block, LZ4_BLOCK_BYTES_MAX).ok()?);
        } else {
            all.extend_from_slice(block);
        }
        blocks = rest;
    }
    blocks.is_empty().then_some(all)
}

/// What flate2 makes of a stream with the dictionary.
fn expanded(stream: &[u8], len: usize) -> Option<Vec<u8>> {
    let mut expander = Decompress::new(false);
    expander.set_dictionary(&dictionary_bytes()).ok()?;
    // A byte more, so that a longer output is seen.
    let mut all = Vec::with_capacity(len + 1);
    expander.decompress_vec(stream, &mut all, FlushDecompress::Finish).ok()?;
    Some(all)
}
