//! Encryption and decryption: GCM's and CFB's bulk of whole blocks, and XTS with ciphertext stealing at the end of a job.
//!
//! A job goes on from descriptor to descriptor through the AECS: counter, hash, and input that does not fill a block. XTS
//! keeps one whole block back besides, since only the end of the job says whether it is stolen from.
//!
//! Left out: decryption in front of decompression or of a filter, which is an invalid crypto flag there.

use aes::cipher::{Array, BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use aes::{Aes128, Aes256};
use ghash::GHash;
use ghash::universal_hash::UniversalHash;
use idxd_spec::iaa::{CipherFlags, Completion, CryptoAecs, CryptoAlgorithm, CryptoFlags, ErrorCode};
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
        let input = [&aecs.accumulator()[..waiting], &source].concat();
        let mut stream = Stream::new(&aecs, encrypts);
        let flushes = aecs.flags().contains(CryptoFlags::FLUSH_ACCUMULATOR);
        if flushes && stream.is_xts() && input.len() < BLOCK {
            return Err(analytics_error(ErrorCode::CRYPTO_SIZE.0));
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
            return Err(analytics_error(ErrorCode::OUTPUT_OVERFLOW.0));
        }
        let summed = self.checksummed(Completion::new(Status::SUCCESS), plain, (aecs.crc(), aecs.xor_csum()));
        let mut next = aecs
            .with_counter(stream.counter)
            .with_hash(stream.hash)
            .with_crc(summed.crc())
            .with_xor_csum(summed.xor_csum())
            .with_accumulator_size(u16::try_from(later.len()).unwrap_or(u16::MAX))
            .with_output(kept.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)))
            .with_output_bits(u8::try_from(8 * kept.len()).unwrap_or(0));
        next.accumulator_mut().fill(0);
        next.accumulator_mut()[..later.len()].copy_from_slice(later);
        let writes = self.descriptor.flags().contains(Flags::WRITE_SRC2_AECS);
        self.write_both(written, writes.then_some(&next.as_bytes()[..]))?;
        let hash = if aecs.algorithm() == CryptoAlgorithm::GCM { stream.hash } else { [0; BLOCK] };
        Ok(summed.with_output_size(len(written.len())).with_crypto_hash(hash))
    }
}

/// What an AECS may not be (IAA table 4-5).
fn check(aecs: &CryptoAecs) -> Result<(), Completion> {
    let known = CryptoFlags::ENABLE | CryptoFlags::KEY_256 | CryptoFlags::FLUSH_ACCUMULATOR;
    let is_enabled = aecs.flags().contains(CryptoFlags::ENABLE) && known.contains(aecs.flags());
    if !is_enabled || aecs.algorithm().0 > CryptoAlgorithm::XTS.0 {
        return Err(analytics_error(ErrorCode::CRYPTO_FLAG.0));
    }
    // Whole bytes, fewer than a word, and the format is the first.
    let is_sound = aecs.output_bits().is_multiple_of(8) && aecs.output_bits() < 64;
    if !is_sound || usize::from(aecs.accumulator_size()) > CryptoAecs::ACCUMULATOR_MAX {
        return Err(analytics_error(ErrorCode::AECS.0));
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
