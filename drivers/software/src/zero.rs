//! Zero compression: words that are zero are left out, and bits say which.
//!
//! A block of 128 bytes becomes a bit for each word of it, the first lowest, and the words whose bit is 1. In a last block
//! that is shorter, the bits without a word are 1.
//!
//! Source: the public software models of IAA opcodes 0x48 to 0x4e, which its specification reserves.

/// Bytes of a block.
const BLOCK: usize = 128;

/// What counts as a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ZeroWord {
    /// One byte.
    Bits8,
    /// Two.
    Bits16,
    /// Four.
    Bits32,
}

impl ZeroWord {
    /// Bytes of a word.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::Bits8 => 1,
            Self::Bits16 => 2,
            Self::Bits32 => 4,
        }
    }

    /// Bytes of the bits of a block.
    const fn tag_bytes(self) -> usize {
        BLOCK / self.bytes() / 8
    }

    /// Bytes that `len` bytes take at most.
    #[must_use]
    pub const fn bound(self, len: usize) -> usize {
        len.saturating_add(len.div_ceil(BLOCK).saturating_mul(self.tag_bytes()))
    }
}

/// Why zero compression cannot be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ZeroError {
    /// The input ends within a word or within the bits of a block.
    #[error("input ends at byte {offset}, within a word or the bits of a block")]
    Truncated {
        /// Bytes of it.
        offset: usize,
    },
    /// The output is longer than its room.
    #[error("output full at {bytes_max} bytes")]
    OutputFull {
        /// The room, in bytes.
        bytes_max: usize,
    },
}

/// Compresses `src` into `dst`; says how many bytes it took.
///
/// # Errors
///
/// [`ZeroError`].
pub fn zero_compress(word: ZeroWord, src: &[u8], dst: &mut [u8]) -> Result<usize, ZeroError> {
    let bytes = word.bytes();
    if !src.len().is_multiple_of(bytes) {
        return Err(ZeroError::Truncated { offset: src.len() });
    }
    let mut at = 0;
    for block in src.chunks(BLOCK) {
        // Bits without a word are 1.
        let mut tags = u128::MAX;
        let mut words = at + word.tag_bytes();
        for (index, chunk) in block.chunks_exact(bytes).enumerate() {
            if chunk.iter().all(|byte| *byte == 0) {
                tags &= !(1 << index);
            } else {
                put(dst, words, chunk)?;
                words += bytes;
            }
        }
        put(dst, at, &tags.to_le_bytes()[..word.tag_bytes()])?;
        at = words;
    }
    Ok(at)
}

/// Expands `src` into `dst`; says how many bytes it took. The stream ends with its last word, or with the zeros of the block
/// behind it.
///
/// # Errors
///
/// [`ZeroError`].
pub fn zero_decompress(word: ZeroWord, src: &[u8], dst: &mut [u8]) -> Result<usize, ZeroError> {
    let bytes = word.bytes();
    let truncated = ZeroError::Truncated { offset: src.len() };
    let (mut rest, mut at) = (src, 0);
    while !rest.is_empty() {
        let (tags, words) = rest.split_at_checked(word.tag_bytes()).ok_or(truncated)?;
        rest = words;
        let mut all = [0; 16];
        all[..tags.len()].copy_from_slice(tags);
        let tags = u128::from_le_bytes(all);
        for index in 0..BLOCK / bytes {
            if tags >> index & 1 == 0 {
                put(dst, at, &[0; 4][..bytes])?;
            } else if rest.is_empty() {
                break;
            } else {
                let (chunk, behind) = rest.split_at_checked(bytes).ok_or(truncated)?;
                put(dst, at, chunk)?;
                rest = behind;
            }
            at += bytes;
        }
    }
    Ok(at)
}

fn put(dst: &mut [u8], at: usize, bytes: &[u8]) -> Result<(), ZeroError> {
    let bytes_max = dst.len();
    let room = dst.get_mut(at..at.saturating_add(bytes.len())).ok_or(ZeroError::OutputFull { bytes_max })?;
    room.copy_from_slice(bytes);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: [ZeroWord; 3] = [ZeroWord::Bits8, ZeroWord::Bits16, ZeroWord::Bits32];

    /// Written out by hand from the format: 128 bytes and then 8, of words of 4 bytes.
    #[test]
    fn a_block_is_bits_and_the_words_that_are_not_zero() {
        let mut src = [0; 136];
        src[4..8].copy_from_slice(&[1, 2, 3, 4]);
        src[124..128].copy_from_slice(&[0, 0, 0, 9]);
        src[132] = 7;
        let mut dst = [0xaa; 64];
        let len = zero_compress(ZeroWord::Bits32, &src, &mut dst).unwrap();
        let block = [2, 0, 0, 0x80, 1, 2, 3, 4, 0, 0, 0, 9];
        let rest = [0xfe, 0xff, 0xff, 0xff, 7, 0, 0, 0];
        assert_eq!(dst[..len], [&block[..], &rest[..]].concat());
        let mut back = [1; 136];
        assert_eq!(zero_decompress(ZeroWord::Bits32, &dst[..len], &mut back), Ok(136));
        assert_eq!(back, src);
    }

    /// The bits of words of 1 and 2 bytes take 16 and 8.
    #[test]
    fn zeros_leave_their_bits_only() {
        let mut dst = [0xaa; 64];
        for (word, tags) in WORDS.into_iter().zip([16, 8, 4]) {
            assert_eq!(zero_compress(word, &[0; 256], &mut dst), Ok(2 * tags));
            assert_eq!(dst[..2 * tags], vec![0; 2 * tags]);
            assert_eq!(word.bound(256), 256 + 2 * tags);
        }
    }

    #[test]
    fn every_length_comes_back() {
        for word in WORDS {
            for len in (0..700).step_by(word.bytes()) {
                let src: Vec<u8> = (0..len)
                    .map(|at| if at * 7 % 5 < 3 { 0 } else { u8::try_from(at % 251).unwrap() })
                    .collect();
                let mut dst = vec![0; word.bound(len)];
                let bytes = zero_compress(word, &src, &mut dst).unwrap();
                let mut back = vec![1; len];
                // The bits of a short last block do not say that zeros at its end are of it, but that words are.
                assert_eq!(zero_decompress(word, &dst[..bytes], &mut back), Ok(len), "{word:?} {len}");
                assert_eq!(back, src);
            }
        }
    }

    #[test]
    fn too_little_of_anything_is_an_error() {
        let mut dst = [0; 3];
        assert_eq!(
            zero_compress(ZeroWord::Bits32, &[1; 4], &mut dst),
            Err(ZeroError::OutputFull { bytes_max: 3 })
        );
        assert_eq!(
            zero_compress(ZeroWord::Bits16, &[1; 3], &mut dst),
            Err(ZeroError::Truncated { offset: 3 })
        );
        assert_eq!(
            zero_decompress(ZeroWord::Bits32, &[1, 0, 0, 0, 5], &mut dst),
            Err(ZeroError::Truncated { offset: 5 })
        );
        assert_eq!(
            zero_decompress(ZeroWord::Bits8, &[1; 15], &mut dst),
            Err(ZeroError::Truncated { offset: 15 })
        );
    }
}
