//! Encryption and decryption: which descriptor comes next, and what its record means.
//!
//! A message longer than a transfer goes on from descriptor to descriptor through the AECS. The device does what grows with
//! the message; what comes once is left to software (IAA §3.5.2), and done here: the first tweak of XTS, and of GCM the
//! hash of what is authenticated and not encrypted, the hash's key, the first counter and what makes a tag of the hash.
//!
//! Keys are in the flight's AECS while a job is under way, and [`Workspace::wipe_crypto`] is called at its end.
//!
//! UNSAFETY: takes the cipher that a job has the address of.
#![expect(unsafe_code, reason = "jobs name a cipher by its address")]

use aes::cipher::{Array, BlockCipherEncrypt, KeyInit};
use aes::{Aes128, Aes256};
use ctutils::CtEq;
use ghash::GHash;
use ghash::universal_hash::UniversalHash;
use idxd_spec::iaa::{CipherFlags, Completion, CryptoAecs, CryptoAlgorithm, CryptoFlags, Descriptor};
use idxd_spec::{DstAddr, Flags, Opcode, SrcAddr};
use svala::backend::Failure;
use svala::{CIPHER_BLOCK_BYTES, Cipher, CipherFault, CipherParameters, Done, Job, Span, Value};

use super::Next;
use super::workspace::Workspace;

const BLOCK: usize = 16;
pub(super) type Block = [u8; BLOCK];

/// How far a cipher job has come.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ciphering {
    /// Bytes of input that are done with.
    pub(super) read: u64,
    written: u64,
    /// Bytes of input of the descriptor under way.
    part: u64,
    /// Room it has.
    room: u64,
    /// Descriptors done.
    runs: u64,
}

/// What is asked, and by which rules.
#[derive(Clone, Copy)]
pub(super) struct Order<'c> {
    src: Span,
    dst: Span,
    encrypts: bool,
    cipher: &'c Cipher,
    transfer_bytes_max: u64,
    /// State in the second generation's format.
    format_2: bool,
}

impl<'c> Order<'c> {
    /// What a cipher job asks; none of any other.
    ///
    /// # Safety
    ///
    /// The job is under way, so that its cipher is there.
    pub(super) unsafe fn of(job: &Job, transfer_bytes_max: u64, format_2: bool) -> Option<Self> {
        let Job::Cipher { src, dst, len, cipher, encrypts, .. } = *job else { return None };
        // SAFETY: the caller's contract: the cipher is lent with the job's buffers.
        let cipher: &'c Cipher = unsafe { Cipher::at(cipher) };
        let (src, dst) = (Span::new(src, len), Span::new(dst, len));
        Some(Self { src, dst, encrypts, cipher, transfer_bytes_max, format_2 })
    }
}

impl Ciphering {
    /// The next descriptor.
    pub(super) fn load(&mut self, order: Order<'_>, workspace: &Workspace) -> Result<Descriptor, Failure> {
        // A device that has kept a block back writes that much more than it reads.
        let blocks_max = (order.transfer_bytes_max / CIPHER_BLOCK_BYTES).saturating_sub(2).max(1);
        let src = order.src.part(self.read, blocks_max * CIPHER_BLOCK_BYTES);
        let room = order.dst.part(self.written, order.transfer_bytes_max);
        (self.part, self.room) = (src.len, room.len);
        let ends = self.read + self.part == order.src.len;
        let second = self.runs % 2 == 1;
        if self.runs == 0 {
            begin(order, workspace)?;
        }
        if ends {
            workspace.flush_crypto();
        }
        let opcode = if order.encrypts { Opcode::ENCRYPT } else { Opcode::DECRYPT };
        let (from, to) = (SrcAddr(src.addr.get()), DstAddr(room.addr.get()));
        let descriptor = Descriptor::cipher(opcode, from, size(src.len)?, to, size(room.len)?)
            .with_src2(workspace.crypto_area().addr.get(), CryptoAecs::SIZE_U32)
            .with_flags(Flags::READ_SRC2_AECS);
        let descriptor = if second { descriptor.with_flags(Flags::AECS_TOGGLE) } else { descriptor };
        Ok(match ends {
            true => descriptor.with_cipher_flags(CipherFlags::FLUSH_OUTPUT),
            false => descriptor.with_flags(Flags::WRITE_SRC2_AECS),
        })
    }

    /// Takes in the record of a descriptor that ended well.
    pub(super) fn done(&mut self, order: Order<'_>, record: &Completion) -> Result<Next, Failure> {
        let nonsense = |what| Failure::Nonsense { what, record: record.status().0.into() };
        let output = u64::from(record.output_size());
        if output > self.room {
            return Err(nonsense("more output than room"));
        }
        self.read += self.part;
        self.written += output;
        self.runs += 1;
        if self.read < order.src.len {
            return Ok(Next::Descriptor);
        }
        if self.written != order.src.len {
            return Err(nonsense("a message of another length"));
        }
        let (written, hash) = (self.written, record.crypto_hash());
        let value = match (order.encrypts, order.cipher.parameters()) {
            (true, CipherParameters::Gcm { key, nonce, aad, .. }) => {
                let tag = Some(tag_of(key, nonce, aad, order.src.len, hash)?);
                Value::Encrypted { written, tag }
            }
            (true, _) => Value::Encrypted { written, tag: None },
            (false, _) => {
                authenticate(order.cipher, order.src.len, hash)?;
                Value::Written(written)
            }
        };
        Ok(Next::End(Done { bytes: self.read, value }))
    }
}

/// Puts the start of a job where its first descriptor reads it.
fn begin(order: Order<'_>, workspace: &Workspace) -> Result<(), Failure> {
    let (aecs, key) = start_of(order.cipher)?;
    // Bit 0 of the bits of output says that the state has a format (IAA §3.2.1).
    workspace.set_crypto(&aecs.with_output_bits(order.format_2.into()), key);
    Ok(())
}

/// The state that a message begins in, without its key, and that.
pub(super) fn start_of(cipher: &Cipher) -> Result<(CryptoAecs, &[u8]), Failure> {
    state_at(cipher, 0, [0; BLOCK])
}

/// The state in front of a block of a message, without its key, and that. Where it is not the first, GCM goes on from the hash
/// of those before it, and CFB from the last one of them.
pub(super) fn state_at(cipher: &Cipher, blocks: u64, carried: Block) -> Result<(CryptoAecs, &[u8]), Failure> {
    let aecs = CryptoAecs::new();
    let flags = |key: &[u8]| match key.len() {
        BLOCK => CryptoFlags::ENABLE,
        _ => CryptoFlags::ENABLE | CryptoFlags::KEY_256,
    };
    Ok(match cipher.parameters() {
        CipherParameters::Gcm { key, nonce, aad, .. } => {
            let h = encrypted(key, [0; BLOCK])?;
            let mut hash = GHash::new(&h.into());
            hash.update_padded(aad);
            let hash = if blocks == 0 { hash.finalize().into() } else { carried };
            let number = u32::try_from(blocks).ok().and_then(|blocks| blocks.checked_add(2));
            let aecs = aecs.with_algorithm(CryptoAlgorithm::GCM).with_flags(flags(key));
            let aecs = aecs.with_counter(counter(nonce, number.ok_or(Failure::Unsupported)?));
            (aecs.with_hash(hash).with_gcm_h(h), key)
        }
        CipherParameters::Cfb { key, iv } => {
            let iv = if blocks == 0 { *iv } else { carried };
            (aecs.with_algorithm(CryptoAlgorithm::CFB).with_flags(flags(key)).with_counter(iv), key)
        }
        CipherParameters::Xts { key, tweak_key, tweak } => {
            let aecs = aecs.with_algorithm(CryptoAlgorithm::XTS).with_flags(flags(key));
            (aecs.with_counter(doubled(encrypted(tweak_key, *tweak)?, blocks)), key)
        }
        _ => return Err(Failure::Unsupported),
    })
}

/// A tweak so many blocks further on: as many times doubled (IEEE 1619, §5.2).
fn doubled(tweak: Block, mut times: u64) -> Block {
    /// What goes out at the top comes in below as x^7 + x^2 + x + 1 times that: of so few bits, none goes out again.
    const AT_ONCE: u64 = 64;
    let mut number = u128::from_le_bytes(tweak);
    while times > 0 {
        let shift = times.min(AT_ONCE);
        let out = number >> (128 - shift);
        number = number << shift ^ out ^ out << 1 ^ out << 2 ^ out << 7;
        times -= shift;
    }
    number.to_le_bytes()
}

/// The cipher of a job that decrypts in front of something else; none of any other.
///
/// # Safety
///
/// The job is under way, so that its cipher is there.
pub(super) unsafe fn in_front<'c>(job: &Job) -> Option<&'c Cipher> {
    let addr = match *job {
        Job::DecryptInflate { cipher, .. } => cipher,
        Job::Filter { second, filter, .. } if filter.decryption().is_some() => second,
        _ => return None,
    };
    // SAFETY: the caller's contract: the cipher is lent with the job's buffers.
    Some(unsafe { Cipher::at(addr) })
}

/// That a message of so many bytes, whose ciphertext has this hash, is the one the cipher's tag was made of. Of a mode
/// without a tag, any is.
pub(super) fn authenticate(cipher: &Cipher, len: u64, hash: Block) -> Result<(), Failure> {
    let CipherParameters::Gcm { key, nonce, aad, tag } = cipher.parameters() else { return Ok(()) };
    let Some(expected) = tag else { return Err(Failure::Cipher { fault: CipherFault::NoTag }) };
    match bool::from(tag_of(key, nonce, aad, len, hash)?.ct_eq(expected)) {
        true => Ok(()),
        false => Err(Failure::Cipher { fault: CipherFault::Tag }),
    }
}

/// What makes a tag of the hash of ciphertext (SP 800-38D, §7.1, steps 5 and 6).
fn tag_of(key: &[u8], nonce: &[u8; 12], aad: &[u8], len: u64, hash: Block) -> Result<Block, Failure> {
    let bits = |bytes: u64| u128::from(bytes.wrapping_mul(8));
    let lengths = bits(aad.len() as u64) << 64 | bits(len);
    let last = (u128::from_be_bytes(hash) ^ lengths).to_be_bytes();
    let mut hash = GHash::new(&encrypted(key, [0; BLOCK])?.into());
    hash.update(&[last.into()]);
    let (hash, mask): (Block, Block) = (hash.finalize().into(), encrypted(key, counter(nonce, 1))?);
    Ok((u128::from_ne_bytes(hash) ^ u128::from_ne_bytes(mask)).to_ne_bytes())
}

fn counter(nonce: &[u8; 12], number: u32) -> Block {
    let mut block = [0; BLOCK];
    block[..12].copy_from_slice(nonce);
    block[12..].copy_from_slice(&number.to_be_bytes());
    block
}

/// A block, encrypted by the CPU.
fn encrypted(key: &[u8], block: Block) -> Result<Block, Failure> {
    let mut block = Array::from(block);
    match key.len() {
        BLOCK => Aes128::new_from_slice(key).map(|cipher| cipher.encrypt_block(&mut block)),
        _ => Aes256::new_from_slice(key).map(|cipher| cipher.encrypt_block(&mut block)),
    }
    .map_err(|_| Failure::Unsupported)?;
    Ok(block.into())
}

fn size(bytes: u64) -> Result<u32, Failure> {
    u32::try_from(bytes).map_err(|_| Failure::Unsupported)
}

#[cfg(test)]
mod tests {
    use super::doubled;

    /// One doubling at a time, as the standard has it.
    #[test]
    fn a_tweak_far_on_is_that_of_single_doublings() {
        let start = *b"0123456789abcdef";
        let mut expected = start;
        for times in 0..1000_u64 {
            assert_eq!(doubled(start, times), expected, "{times}");
            let carry = expected[15] >> 7;
            for at in (1..16).rev() {
                expected[at] = expected[at] << 1 | expected[at - 1] >> 7;
            }
            expected[0] = (expected[0] << 1) ^ (0x87 * carry);
        }
    }
}
