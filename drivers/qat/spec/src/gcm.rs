//! AES-GCM in one pass: a request to the symmetric service, and what it finds in memory.
//!
//! Source: `icp_qat_fw_la.h` and `icp_qat_hw.h`; what `qat_sym_session.c` and `qat_crypto_pmd_gen4.c` of DPDK put into them for
//! the fourth generation, and for the sixth what `lac_sym_alg_chain.c` and `lac_sym_qat_cipher.c` of the user library 26.08 do
//! (all BSD 3-clause, or a choice of it). The sixth takes the length of a tag as given, and that of what is only
//! authenticated from the request alone.

use crate::command::Command;
use crate::generation::Generation;
use crate::request::{Request, pair};

/// Most bytes that are authenticated and not encrypted (`ICP_QAT_FW_CCM_GCM_AAD_SZ_MAX`). The device reads whole blocks of
/// 16: what follows the last byte is zero.
pub const GCM_AAD_BYTES_MAX: usize = 240;
/// Bytes of a tag.
pub const GCM_TAG_BYTES: usize = TAG_BYTES as usize;
const TAG_BYTES: u32 = 16;

bitflags::bitflags! {
    /// Bytes 4 and 5 of a request to the symmetric service. Source: `QAT_LA_*_BITPOS`, `QAT_FW_LA_*_BITPOS`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct SymmetricFlags: u16 {
        /// The initial vector is in the request, and not at an address.
        const IV_IN_REQUEST = 1 << 2;
        /// The tag is written.
        const RETURN_TAG = 1 << 5;
        /// The tag is compared.
        const COMPARE_TAG = 1 << 6;
        /// Galois counter mode, where that is said (`ICP_QAT_FW_LA_GCM_PROTO`).
        const GCM = 2 << 7;
        /// The initial vector has 12 bytes, where that is said.
        const IV_12_BYTES = 1 << 11;
        /// Cipher and tag in one pass.
        const SINGLE_PASS = 1 << 13;
        /// By the slice that the fourth generation has, and those after it.
        const UCS_SLICE = 1 << 14;
        const _ = !0;
    }
}

/// How long a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GcmKey {
    /// 128 bits.
    Aes128,
    /// 256 bits.
    Aes256,
}

impl GcmKey {
    /// The kind for a number of bytes.
    pub const fn of_bytes(bytes: usize) -> Option<Self> {
        match bytes {
            16 => Some(Self::Aes128),
            32 => Some(Self::Aes256),
            _ => None,
        }
    }

    /// Bytes of it.
    pub const fn bytes(self) -> u32 {
        match self {
            Self::Aes128 => 16,
            Self::Aes256 => 32,
        }
    }

    /// `ICP_QAT_HW_CIPHER_ALGO_AES*`.
    const fn algorithm(self) -> u32 {
        match self {
            Self::Aes128 => 3,
            Self::Aes256 => 5,
        }
    }
}

/// Bytes of the configuration, which the key follows.
pub const GCM_CONFIG_BYTES: usize = 16;

/// The configuration that a content descriptor begins with; the key follows.
///
/// Source: HW `struct icp_qat_hw_ucs_cipher_config`; `ICP_QAT_HW_CIPHER_CONFIG_BUILD`, and `_BUILD_UPPER` for the second word;
/// the user library's `LacSymQat_CipherHwBlockPopulateCfgData` for what the sixth generation leaves out.
pub fn gcm_config(
    generation: Generation,
    key: GcmKey,
    encrypts: bool,
    aad_bytes: u8,
) -> [u8; GCM_CONFIG_BYTES] {
    const AEAD_MODE: u32 = 4 << 4;
    const DECRYPT: u32 = 1 << 8;
    const COMPARED: u32 = TAG_BYTES << 10;
    let direction = if encrypts { 0 } else { DECRYPT };
    let (compared, aad_bytes) = match generation {
        Generation::Gen4 | Generation::Gen5 => (COMPARED, aad_bytes.into()),
        Generation::Gen6 => (0, 0),
    };
    let first = key.algorithm() | AEAD_MODE | direction | compared;
    let mut bytes = [0; GCM_CONFIG_BYTES];
    bytes[..4].copy_from_slice(&first.to_le_bytes());
    // Fourteen bits, swapped.
    bytes[4..8].copy_from_slice(&u32::to_be_bytes(aad_bytes));
    bytes
}

/// What an encryption or a decryption is made of. Addresses are those the device uses.
#[derive(Clone, Copy, Debug)]
pub struct Gcm {
    /// The generation that is asked.
    pub generation: Generation,
    /// Encrypt and write a tag, or decrypt and compare one.
    pub encrypts: bool,
    /// The key's length.
    pub key: GcmKey,
    /// Where the content descriptor is: [`gcm_config`] and the key, at a multiple of 64.
    pub descriptor_addr: u64,
    /// Where the message is.
    pub src_addr: u64,
    /// Where it goes.
    pub dst_addr: u64,
    /// Bytes of it.
    pub bytes: u32,
    /// The nonce.
    pub nonce: [u8; 12],
    /// Where the bytes are that are only authenticated.
    pub aad_addr: u64,
    /// How many, at most [`GCM_AAD_BYTES_MAX`].
    pub aad_bytes: u8,
    /// Where the tag goes, or is.
    pub tag_addr: u64,
}

/// Service 4 with the valid flag, flat pointers, and an address for the content descriptor.
const HEADER: u64 = 4 << 16 | 0x80 << 24;
/// `ICP_QAT_FW_LA_CMD_CIPHER`.
const CIPHER: Command = Command(0);
/// From the cipher slice to memory.
const ROUTE: u32 = 0x41 << 24;
/// Words of eight bytes of a block of AES.
const STATE_WORDS: u32 = 2;

/// How a generation is told of the mode, of the tag's length, and of the way between its slices.
const fn told(generation: Generation) -> (SymmetricFlags, u32, u32) {
    match generation {
        Generation::Gen4 | Generation::Gen5 => (SymmetricFlags::IV_12_BYTES, TAG_BYTES << 24, ROUTE),
        Generation::Gen6 => (SymmetricFlags::GCM, 0, 0),
    }
}

impl Request {
    /// Encrypts or decrypts a message with AES-GCM.
    ///
    /// Source: FW `struct icp_qat_fw_la_bulk_req`, with `icp_qat_fw_la_cipher_20_req_params` at 0x38 and
    /// `icp_qat_fw_cipher_cd_ctrl_hdr` at 0x6c; for the sixth generation `icp_qat_fw_51_cipher_cd_ctrl_hdr`.
    pub const fn gcm(gcm: Gcm) -> Self {
        let tag = if gcm.encrypts { SymmetricFlags::RETURN_TAG } else { SymmetricFlags::COMPARE_TAG };
        let (mode, tag_length, route) = told(gcm.generation);
        let flags = SymmetricFlags::IV_IN_REQUEST
            .union(mode)
            .union(SymmetricFlags::SINGLE_PASS)
            .union(SymmetricFlags::UCS_SLICE)
            .union(tag);
        let [a, b, c, d, e, f, g, h, i, j, k, l] = gcm.nonce;
        let key_words = gcm.key.bytes() / 8;
        let descriptor_words = (GCM_CONFIG_BYTES / 8) as u64 + key_words as u64;
        let mut words = [0; Self::WORDS];
        words[0] = HEADER | (CIPHER.0 as u64) << 8 | (flags.bits() as u64) << 32;
        words[1] = gcm.descriptor_addr;
        words[2] = descriptor_words << 16;
        words[4] = gcm.src_addr;
        words[5] = gcm.dst_addr;
        words[6] = pair(gcm.bytes, gcm.bytes);
        // From the first byte on.
        words[7] = pair(0, gcm.bytes);
        words[8] = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
        words[9] = u64::from_le_bytes([i, j, k, l, 0, 0, 0, 0]);
        words[10] = pair(0, gcm.aad_bytes as u32);
        words[11] = gcm.aad_addr;
        words[12] = gcm.tag_addr;
        words[13] = pair(tag_length, STATE_WORDS | key_words << 8 | route);
        Self::from_words(words)
    }

    /// The service it is for: 9 compresses, 4 encrypts.
    pub const fn service(&self) -> u8 {
        self.words()[0].to_le_bytes()[2]
    }
}
