//! Encryption: keys, and how they are used.
//!
//! A job is copied about, so it holds the address of a [`Cipher`] and no key. The cipher is lent with the buffers: it
//! belongs to the slot until the job is over. Keys lie in an allocation of their own, so that moving one leaves no copy
//! behind; they are overwritten with zeros when they go, and never printed.
//!
//! UNSAFETY: gives out what lies at an address that a job has.
#![expect(unsafe_code, reason = "jobs name a cipher by its address")]

use std::fmt;

use zeroize::Zeroizing;

use crate::address::VirtAddr;

/// Bytes of a block, of a tag, of an initial vector and of a tweak.
pub const CIPHER_BLOCK_BYTES: u64 = 16;
/// Most bytes of one message with GCM (SP 800-38D, §5.2.1.1).
const GCM_BYTES_MAX: u64 = (1 << 36) - 32;
/// Most bytes of a data unit of XTS: 2^20 blocks (IEEE 1619, §5.1).
const XTS_BYTES_MAX: u64 = 16 << 20;
const KEY_BYTES_MAX: usize = 32;

/// A key of AES, of 128 or 256 bits.
#[derive(Clone)]
pub struct AesKey {
    bytes: Box<Zeroizing<[u8; KEY_BYTES_MAX]>>,
    is_long: bool,
}

impl AesKey {
    /// A key of 16 or 32 bytes; none for any other number. The caller's copy stays the caller's to overwrite.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != 16 && bytes.len() != KEY_BYTES_MAX {
            return None;
        }
        let mut key = Box::new(Zeroizing::new([0; KEY_BYTES_MAX]));
        key[..bytes.len()].copy_from_slice(bytes);
        Some(Self { bytes: key, is_long: bytes.len() == KEY_BYTES_MAX })
    }

    /// The key.
    pub fn as_bytes(&self) -> &[u8] {
        if self.is_long { &self.bytes[..] } else { &self.bytes[..16] }
    }
}

/// Without the key.
impl fmt::Debug for AesKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AesKey({} bits)", self.as_bytes().len() * 8)
    }
}

/// A way of using AES.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CipherMode {
    /// Galois/counter mode, which also authenticates (SP 800-38D).
    Gcm,
    /// Cipher feedback of whole blocks (SP 800-38A).
    Cfb,
    /// XEX with ciphertext stealing (IEEE 1619).
    Xts,
}

impl CipherMode {
    /// Every mode there is.
    pub const ALL: [Self; 3] = [Self::Gcm, Self::Cfb, Self::Xts];
}

/// A key, a mode, and what the mode needs besides: for one message.
///
/// ```
/// # use svala::{AesKey, Cipher};
/// let key = AesKey::new(&[7; 32]).expect("16 or 32 bytes");
/// let cipher = Cipher::gcm(key, [1; 12]).with_aad(*b"header");
/// assert!(!format!("{cipher:?}").contains("7, 7"));
/// ```
#[derive(Clone)]
pub struct Cipher {
    parameters: Parameters,
}

#[derive(Clone)]
enum Parameters {
    Gcm { key: AesKey, nonce: [u8; 12], aad: Vec<u8>, tag: Option<[u8; 16]> },
    Cfb { key: AesKey, iv: [u8; 16] },
    Xts { key: AesKey, tweak_key: AesKey, tweak: [u8; 16] },
}

/// What a [`Cipher`] is made of, for those who do the work.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub enum CipherParameters<'c> {
    /// Galois/counter mode.
    Gcm {
        /// 16 or 32 bytes.
        key: &'c [u8],
        /// The nonce.
        nonce: &'c [u8; 12],
        /// What is authenticated and not encrypted.
        aad: &'c [u8],
        /// The tag that decryption has to come to.
        tag: Option<&'c [u8; 16]>,
    },
    /// Cipher feedback.
    Cfb {
        /// 16 or 32 bytes.
        key: &'c [u8],
        /// The initial vector.
        iv: &'c [u8; 16],
    },
    /// XEX with ciphertext stealing.
    Xts {
        /// 16 or 32 bytes.
        key: &'c [u8],
        /// As many, and others.
        tweak_key: &'c [u8],
        /// The tweak, not encrypted: number of a sector, usually.
        tweak: &'c [u8; 16],
    },
}

/// Without keys.
impl fmt::Debug for CipherParameters<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gcm { .. } => "Gcm",
            Self::Cfb { .. } => "Cfb",
            Self::Xts { .. } => "Xts",
        })
    }
}

/// What is wrong with a message, or with what is asked of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum CipherFault {
    /// The message, what goes with it or the key is not what the tag was made of.
    #[error("the tag does not match")]
    Tag,
    /// Decryption with GCM was asked without a tag to check.
    #[error("no tag to check")]
    NoTag,
    /// XTS has no answer for less than a block.
    #[error("{bytes} bytes are less than a block")]
    TooShort {
        /// Bytes there are.
        bytes: u64,
    },
    /// The keys of XTS must be two different ones of one length.
    #[error("the keys are equal, or not equally long")]
    XtsKeys,
}

impl Cipher {
    /// AES in Galois/counter mode. A nonce is used once with a key, and never again.
    pub const fn gcm(key: AesKey, nonce: [u8; 12]) -> Self {
        Self { parameters: Parameters::Gcm { key, nonce, aad: Vec::new(), tag: None } }
    }

    /// AES in cipher feedback mode, with blocks of 128 bits. Does not authenticate.
    pub const fn cfb(key: AesKey, iv: [u8; 16]) -> Self {
        Self { parameters: Parameters::Cfb { key, iv } }
    }

    /// AES in XTS mode. Does not authenticate. The tweak is the number of the data unit, little-endian.
    ///
    /// # Errors
    ///
    /// [`CipherFault::XtsKeys`].
    pub fn xts(key: AesKey, tweak_key: AesKey, tweak: [u8; 16]) -> Result<Self, CipherFault> {
        let differ = key.as_bytes().iter().zip(tweak_key.as_bytes()).fold(0, |all, (a, b)| all | (a ^ b));
        if key.is_long != tweak_key.is_long || differ == 0 {
            return Err(CipherFault::XtsKeys);
        }
        Ok(Self { parameters: Parameters::Xts { key, tweak_key, tweak } })
    }

    /// With GCM: also authenticates these bytes, which are not encrypted. Means nothing to the others.
    #[must_use]
    pub fn with_aad(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        if let Parameters::Gcm { aad, .. } = &mut self.parameters {
            *aad = bytes.into();
        }
        self
    }

    /// With GCM: the tag that decryption has to come to. Means nothing to the others.
    #[must_use]
    pub const fn with_tag(mut self, expected: [u8; 16]) -> Self {
        if let Parameters::Gcm { tag, .. } = &mut self.parameters {
            *tag = Some(expected);
        }
        self
    }

    /// The mode.
    pub const fn mode(&self) -> CipherMode {
        match self.parameters {
            Parameters::Gcm { .. } => CipherMode::Gcm,
            Parameters::Cfb { .. } => CipherMode::Cfb,
            Parameters::Xts { .. } => CipherMode::Xts,
        }
    }

    /// What it is made of, keys too: for a driver.
    pub fn parameters(&self) -> CipherParameters<'_> {
        match &self.parameters {
            Parameters::Gcm { key, nonce, aad, tag } => {
                CipherParameters::Gcm { key: key.as_bytes(), nonce, aad, tag: tag.as_ref() }
            }
            Parameters::Cfb { key, iv } => CipherParameters::Cfb { key: key.as_bytes(), iv },
            Parameters::Xts { key, tweak_key, tweak } => {
                CipherParameters::Xts { key: key.as_bytes(), tweak_key: tweak_key.as_bytes(), tweak }
            }
        }
    }

    /// Most bytes of a message.
    pub(crate) const fn bytes_max(&self) -> u64 {
        match self.mode() {
            CipherMode::Gcm => GCM_BYTES_MAX,
            CipherMode::Cfb => u64::MAX,
            CipherMode::Xts => XTS_BYTES_MAX,
        }
    }

    /// Where it is, for a job.
    pub fn addr(&self) -> VirtAddr {
        VirtAddr::of(std::ptr::from_ref(self))
    }

    /// The cipher that a job has the address of.
    ///
    /// # Safety
    ///
    /// `addr` is what [`addr`](Self::addr) gave, and the cipher lives, unchanged and where it was, for as long as the
    /// reference. For a driver: while the job is under way.
    pub unsafe fn at<'c>(addr: VirtAddr) -> &'c Self {
        let place = usize::try_from(addr.get()).unwrap_or(0);
        // SAFETY: the caller's contract; `addr` exposed the pointer.
        unsafe { &*std::ptr::with_exposed_provenance::<Self>(place) }
    }
}

/// Without keys.
impl fmt::Debug for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cipher").field("mode", &self.mode()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8, len: usize) -> AesKey {
        AesKey::new(&vec![byte; len]).expect("a length of AES")
    }

    #[test]
    fn keys_have_a_length_of_aes_and_are_not_printed() {
        for len in 0..64 {
            assert_eq!(AesKey::new(&vec![1; len]).is_some(), len == 16 || len == 32, "{len}");
        }
        let shown = format!("{:?} {:?}", key(0xab, 32), Cipher::cfb(key(0xab, 16), [0xcd; 16]));
        assert_eq!(shown, "AesKey(256 bits) Cipher { mode: Cfb, .. }");
    }

    #[test]
    fn xts_takes_two_different_keys_of_one_length() {
        let refused = |key, tweak_key| Cipher::xts(key, tweak_key, [0; 16]).err();
        assert_eq!(refused(key(1, 16), key(1, 16)), Some(CipherFault::XtsKeys));
        assert_eq!(refused(key(1, 16), key(2, 32)), Some(CipherFault::XtsKeys));
        assert_eq!(refused(key(1, 32), key(2, 32)), None);
    }
}
