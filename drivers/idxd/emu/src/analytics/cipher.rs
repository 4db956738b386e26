//! Encryption and decryption: GCM's and CFB's bulk of whole blocks, and XTS with ciphertext stealing at the end of a job.
//!
//! A job goes on from descriptor to descriptor through the AECS: counter, hash, and input that does not fill a block. XTS
//! keeps one whole block back besides, since only the end of the job says whether it is stolen from.
//!
//! In front of a decompression or of a filter, the same with the output going there. A filter takes a whole message; a
//! decompression goes on from descriptor to descriptor, and where its output overflows, no more ciphertext is taken than the
//! blocks of what was decoded, so that hash and counter stand there. Of a decompression that ends before its input does, all
//! input is decrypted and hashed: the text does not say, and a tag could not be checked otherwise.

use aes::cipher::{Array, BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use aes::{Aes128, Aes256};
use ghash::GHash;
use ghash::universal_hash::UniversalHash;
use idxd_spec::iaa::{
    CipherFlags, Completion, CryptoAecs, CryptoAlgorithm, CryptoFlags, DecompressFlags, ErrorCode,
};
use idxd_spec::{Flags, Opcode, Status};

use super::{Analytics, analytics_error, len};
use crate::bus::Bus;

const BLOCK: usize = 16;
const WORD: usize = 8;
type Block = [u8; BLOCK];

impl<B: Bus> Analytics<'_, B> {
    pub(super) fn cipher(&self) -> Result<Completion, Completion> {
        let source = self.read_src1()?;
        let mut bytes = [0; CryptoAecs::SIZE];
        self.read_src2(&mut bytes)?;
        let aecs = CryptoAecs::from_bytes(bytes);
        let encrypts = self.descriptor.opcode() == Opcode::ENCRYPT;
        let waiting = usize::from(aecs.accumulator_size());
        check(&aecs)?;
        self.check_mode(&aecs)?;
        let input = [&aecs.accumulator()[..waiting], &source].concat();
        let mut stream = Stream::new(&aecs, encrypts);
        let flushes = aecs.flags().contains(CryptoFlags::FLUSH_ACCUMULATOR);
        if flushes && stream.is_xts() && input.len() < BLOCK {
            return Err(analytics_error(ErrorCode::CRYPTO_SIZE));
        }
        let taken = if flushes { input.len() } else { stream.whole(input.len()) };
        let (now, later) = input.split_at(taken);
        let output = stream.run(now, flushes);
        let flags = self.descriptor.cipher_flags();
        let plain = if encrypts { now } else { &output[..] };
        let waited = usize::from(aecs.output_bits()) / 8;
        let mut out = [&aecs.output().to_le_bytes()[..waited], &output].concat();
        // Words of 64 bits go out; the rest of one waits for the job's next descriptor.
        let left = if flags.contains(CipherFlags::FLUSH_OUTPUT) { 0 } else { out.len() % WORD };
        let kept = out.split_off(out.len() - left);
        let written = if flags.contains(CipherFlags::SUPPRESS_OUTPUT) { &[][..] } else { &out[..] };
        if written.len() > self.descriptor.dst_size_max() as usize {
            return Err(analytics_error(ErrorCode::OUTPUT_OVERFLOW));
        }
        let summed = self.checksummed(Completion::new(Status::SUCCESS), plain, (aecs.crc(), aecs.xor_csum()));
        let mut next = aecs
            .with_counter(stream.counter)
            .with_hash(stream.hash)
            .with_crc(summed.crc())
            .with_xor_csum(summed.xor_csum())
            .with_accumulator_size(u16::try_from(later.len()).unwrap_or(u16::MAX))
            .with_output(kept.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)))
            .with_output_bits(
                u8::try_from(8 * kept.len()).unwrap_or(0) | (aecs.output_bits() & FORMAT_VALID),
            );
        next.accumulator_mut().fill(0);
        next.accumulator_mut()[..later.len()].copy_from_slice(later);
        let writes = self.descriptor.flags().contains(Flags::WRITE_SRC2_AECS);
        self.write_both(written, writes.then_some(&next.as_bytes()[..]))?;
        let hash = if aecs.algorithm() == CryptoAlgorithm::GCM { stream.hash } else { [0; BLOCK] };
        Ok(summed.with_output_size(len(written.len())).with_crypto_hash(hash))
    }
}

/// A decryption in front of another operation, for one descriptor.
pub(super) struct Decryption {
    /// As it was read.
    aecs: CryptoAecs,
    /// What waited, and the descriptor's own.
    input: Vec<u8>,
    waited: usize,
    flushes: bool,
    /// After all of the input that can be done.
    after: Stream,
    plain: Vec<u8>,
}

impl Decryption {
    /// What comes out.
    pub(super) fn plain(&self) -> &[u8] {
        &self.plain
    }

    /// The same, kept.
    pub(super) fn into_plain(self) -> Vec<u8> {
        self.plain
    }

    /// The hash of a message that is done.
    pub(super) fn hash(&self) -> Block {
        hash_of(&self.aecs, &self.after)
    }

    /// How things stand when all of the output has been used.
    pub(super) fn all_used(&self) -> Used {
        self.used_up_to(self.plain.len(), &self.after)
    }

    /// How things stand when only so many bytes of the output have been.
    pub(super) fn used(&self, bytes: usize) -> Used {
        let blocks = (bytes.div_ceil(BLOCK) * BLOCK).min(self.plain.len());
        // What is stolen belongs to the whole block before it.
        let rest = self.input.len() % BLOCK;
        let steals = self.flushes && self.after.is_xts() && rest > 0;
        let taken = match steals && blocks + BLOCK + rest > self.input.len() {
            true => self.input.len(),
            false => blocks,
        };
        if taken == self.plain.len() {
            return self.all_used();
        }
        let mut stream = Stream::new(&self.aecs, false);
        stream.run(&self.input[..taken], false);
        self.used_up_to(taken, &stream)
    }

    fn used_up_to(&self, taken: usize, stream: &Stream) -> Used {
        // Bytes that have waited before stay there; of the descriptor's own, what cannot be done waits now.
        let later = match taken == self.plain.len() {
            true => &self.input[taken..],
            false => &self.input[taken..self.waited.max(taken)],
        };
        let mut aecs = self
            .aecs
            .with_counter(stream.counter)
            .with_hash(stream.hash)
            .with_accumulator_size(u16::try_from(later.len()).unwrap_or(u16::MAX));
        aecs.accumulator_mut().fill(0);
        aecs.accumulator_mut()[..later.len()].copy_from_slice(later);
        let source = (taken + later.len()).saturating_sub(self.waited);
        Used { plain: taken, source, hash: hash_of(&self.aecs, stream), aecs }
    }
}

/// How far a decryption has come.
pub(super) struct Used {
    /// Bytes of output that are not decrypted again.
    pub(super) plain: usize,
    /// Bytes of source 1 they came from, and of what waits.
    pub(super) source: usize,
    pub(super) hash: Block,
    /// The state to go on from.
    pub(super) aecs: CryptoAecs,
}

fn hash_of(aecs: &CryptoAecs, stream: &Stream) -> Block {
    if aecs.algorithm() == CryptoAlgorithm::GCM { stream.hash } else { [0; BLOCK] }
}

impl<B: Bus> Analytics<'_, B> {
    /// The decryption that the AECS asks for in front of this operation, if it does.
    pub(super) fn decryption(&self, source: &[u8]) -> Result<Option<Decryption>, Completion> {
        let Some(aecs) = self.crypto_aecs()? else { return Ok(None) };
        check(&aecs)?;
        self.check_mode(&aecs)?;
        let flushes = aecs.flags().contains(CryptoFlags::FLUSH_ACCUMULATOR);
        let waited = usize::from(aecs.accumulator_size());
        let decompresses = self.descriptor.opcode() == Opcode::DECOMPRESS;
        let takes = decompresses || matches!(self.descriptor.opcode(), Opcode::SCAN | Opcode::EXTRACT);
        let flags = self.descriptor.decompress_flags();
        // Words of 16 bits in front of blocks of 16 bytes are not modelled.
        let is_sound = takes && (flushes || decompresses) && !flags.contains(DecompressFlags::BIT_ORDER_BE);
        if !is_sound {
            return Err(analytics_error(ErrorCode::CRYPTO_FLAG));
        }
        // Table 4-5: nothing waits for a filter, and what is ignored is at the end of a job.
        if (!decompresses && waited != 0) || (!flushes && flags.ignore_end_bits() != 0) {
            return Err(analytics_error(ErrorCode::AECS));
        }
        let input = [&aecs.accumulator()[..waited], source].concat();
        let mut after = Stream::new(&aecs, false);
        // A job whose input has been taken before goes on with nothing.
        if flushes && after.is_xts() && (1..BLOCK).contains(&input.len()) {
            return Err(analytics_error(ErrorCode::CRYPTO_SIZE));
        }
        let taken = if flushes { input.len() } else { after.whole(input.len()) };
        let plain = after.run(&input[..taken], flushes);
        Ok(Some(Decryption { aecs, input, waited, flushes, after, plain }))
    }

    /// The state of a decryption in front of another operation, if the AECS has one.
    fn crypto_aecs(&self) -> Result<Option<CryptoAecs>, Completion> {
        if !self.descriptor.flags().contains(Flags::READ_SRC2_AECS) {
            return Ok(None);
        }
        let size = CryptoAecs::SIZE.min(self.descriptor.src2_size() as usize);
        let mut bytes = [0; CryptoAecs::SIZE];
        self.read_src2(&mut bytes[..size])?;
        let aecs = CryptoAecs::from_bytes(bytes);
        match aecs.flags().contains(CryptoFlags::ENABLE) {
            false => Ok(None),
            // There has to be all of it (IAA §6.1.11).
            true if size < CryptoAecs::SIZE => Err(analytics_error(ErrorCode::CRYPTO_FLAG)),
            true => Ok(Some(aecs)),
        }
    }

    /// That the device has the mode (IAA §7.2.2).
    fn check_mode(&self, aecs: &CryptoAecs) -> Result<(), Completion> {
        let iaa_cap = self.model.capabilities.iaa_cap;
        let has = match aecs.algorithm() {
            CryptoAlgorithm::GCM => iaa_cap.crypto_gcm(),
            CryptoAlgorithm::CFB => iaa_cap.crypto_cfb(),
            _ => iaa_cap.crypto_xts(),
        };
        if has { Ok(()) } else { Err(analytics_error(ErrorCode::CRYPTO_FLAG)) }
    }
}

/// Of the bits of output: there is a format number, which a device of the second generation wants (IAA §3.2.1). Every device that
/// encrypts is of that generation, and programs say so; this one keeps no state that depends on it, and takes either.
const FORMAT_VALID: u8 = 1;

/// What an AECS may not be (IAA table 4-5).
fn check(aecs: &CryptoAecs) -> Result<(), Completion> {
    let known = CryptoFlags::ENABLE | CryptoFlags::KEY_256 | CryptoFlags::FLUSH_ACCUMULATOR;
    let is_enabled = aecs.flags().contains(CryptoFlags::ENABLE) && known.contains(aecs.flags());
    if !is_enabled || aecs.algorithm().0 > CryptoAlgorithm::XTS.0 {
        return Err(analytics_error(ErrorCode::CRYPTO_FLAG));
    }
    // Whole bytes, fewer than a word.
    let bits = aecs.output_bits() & !FORMAT_VALID;
    let is_sound = bits.is_multiple_of(8) && bits < 64;
    if !is_sound || usize::from(aecs.accumulator_size()) > CryptoAecs::ACCUMULATOR_MAX {
        return Err(analytics_error(ErrorCode::AECS));
    }
    Ok(())
}

enum Cipher {
    Aes128(Box<Aes128>),
    Aes256(Box<Aes256>),
}

impl Cipher {
    fn encrypt(&self, block: Block) -> Block {
        let mut block = Array::from(block);
        match self {
            Self::Aes128(cipher) => cipher.encrypt_block(&mut block),
            Self::Aes256(cipher) => cipher.encrypt_block(&mut block),
        }
        block.into()
    }

    fn decrypt(&self, block: Block) -> Block {
        let mut block = Array::from(block);
        match self {
            Self::Aes128(cipher) => cipher.decrypt_block(&mut block),
            Self::Aes256(cipher) => cipher.decrypt_block(&mut block),
        }
        block.into()
    }
}

/// A job, from where the AECS says it is.
struct Stream {
    cipher: Cipher,
    algorithm: CryptoAlgorithm,
    encrypts: bool,
    /// Counter, last block of ciphertext, or tweak.
    counter: Block,
    gcm_h: Block,
    hash: Block,
}

impl Stream {
    fn new(aecs: &CryptoAecs, encrypts: bool) -> Self {
        let cipher = if aecs.flags().contains(CryptoFlags::KEY_256) {
            let mut key = [0; 32];
            key[..BLOCK].copy_from_slice(&aecs.key_low());
            key[BLOCK..].copy_from_slice(&aecs.key_high());
            Cipher::Aes256(Box::new(Aes256::new(&key.into())))
        } else {
            Cipher::Aes128(Box::new(Aes128::new(&aecs.key_low().into())))
        };
        Self {
            cipher,
            algorithm: aecs.algorithm(),
            encrypts,
            counter: aecs.counter(),
            gcm_h: aecs.gcm_h(),
            hash: aecs.hash(),
        }
    }

    fn is_xts(&self) -> bool {
        self.algorithm == CryptoAlgorithm::XTS
    }

    /// Bytes of so many that can be done before the end of the job is known.
    fn whole(&self, bytes: usize) -> usize {
        let kept = if self.is_xts() { BLOCK } else { 0 };
        bytes.saturating_sub(kept) / BLOCK * BLOCK
    }

    fn run(&mut self, input: &[u8], ends: bool) -> Vec<u8> {
        if self.is_xts() {
            return self.xts(input, ends);
        }
        let chunks = input.chunks(BLOCK);
        chunks
            .flat_map(
                |chunk| {
                    if self.algorithm == CryptoAlgorithm::GCM { self.gcm(chunk) } else { self.cfb(chunk) }
                },
            )
            .collect()
    }

    fn gcm(&mut self, chunk: &[u8]) -> Vec<u8> {
        let output = xor(&self.cipher.encrypt(self.counter), chunk);
        let number = u128::from_be_bytes(self.counter);
        // The last 32 bits count, and do not carry (SP 800-38D).
        let [.., a, b, c, d] = self.counter;
        let next = u32::from_be_bytes([a, b, c, d]).wrapping_add(1);
        self.counter = (number & !u128::from(u32::MAX) | u128::from(next)).to_be_bytes();
        let cipher_text = if self.encrypts { &output } else { chunk };
        let mut block = self.hash;
        block.iter_mut().zip(cipher_text).for_each(|(hash, byte)| *hash ^= byte);
        let mut hash = GHash::new(&self.gcm_h.into());
        hash.update(&[block.into()]);
        self.hash = hash.finalize().into();
        output
    }

    fn cfb(&mut self, chunk: &[u8]) -> Vec<u8> {
        let output = xor(&self.cipher.encrypt(self.counter), chunk);
        let cipher_text = if self.encrypts { &output } else { chunk };
        self.counter[..cipher_text.len()].copy_from_slice(cipher_text);
        output
    }

    /// Whole blocks; at the end of a job the last one and what is left of another share their ciphertext.
    fn xts(&mut self, input: &[u8], ends: bool) -> Vec<u8> {
        let rest = input.len() % BLOCK;
        let steals = ends && rest > 0 && input.len() > BLOCK;
        let plain = if steals { input.len() - rest - BLOCK } else { input.len() - rest };
        let mut output = Vec::with_capacity(input.len());
        for block in input[..plain].as_chunks::<BLOCK>().0 {
            output.extend(self.xts_block(*block, self.counter));
            self.counter = doubled(self.counter);
        }
        if !steals {
            return output;
        }
        let (last, rest) = input[plain..].split_at(BLOCK);
        let mut whole = [0; BLOCK];
        whole.copy_from_slice(last);
        let (first_tweak, second_tweak) = match self.encrypts {
            true => (self.counter, doubled(self.counter)),
            false => (doubled(self.counter), self.counter),
        };
        let first = self.xts_block(whole, first_tweak);
        let mut second = first;
        second[..rest.len()].copy_from_slice(rest);
        output.extend(self.xts_block(second, second_tweak));
        output.extend(&first[..rest.len()]);
        self.counter = doubled(doubled(self.counter));
        output
    }

    fn xts_block(&self, block: Block, tweak: Block) -> Block {
        let turned = u128::from_ne_bytes(block) ^ u128::from_ne_bytes(tweak);
        let turned = turned.to_ne_bytes();
        let turned = if self.encrypts { self.cipher.encrypt(turned) } else { self.cipher.decrypt(turned) };
        (u128::from_ne_bytes(turned) ^ u128::from_ne_bytes(tweak)).to_ne_bytes()
    }
}

fn xor(block: &Block, chunk: &[u8]) -> Vec<u8> {
    block.iter().zip(chunk).map(|(one, other)| one ^ other).collect()
}

/// The tweak of the next block (IEEE 1619, §5.2).
fn doubled(tweak: Block) -> Block {
    let number = u128::from_le_bytes(tweak);
    ((number << 1) ^ if number >> 127 == 1 { 0x87 } else { 0 }).to_le_bytes()
}
