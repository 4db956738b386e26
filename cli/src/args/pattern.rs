//! A pattern to fill or compare with.

use std::str::FromStr;

/// Eight bytes, as a queue takes them: the lowest is the first in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pattern(u64);

impl Pattern {
    /// The eight bytes; the lowest goes first.
    pub const fn word(self) -> u64 {
        self.0
    }

    /// The byte that is at `offset` when the pattern is repeated.
    pub fn byte(self, offset: u64) -> u8 {
        self.0.to_le_bytes()[(offset % 8) as usize]
    }
}

impl FromStr for Pattern {
    type Err = String;

    /// 1, 2, 4 or 8 bytes of two hexadecimal digits, in file order, repeated to eight; `0x` in front is allowed.
    fn from_str(word: &str) -> Result<Self, String> {
        let digits = digits(word);
        if !matches!(digits.len(), 2 | 4 | 8 | 16) {
            return Err("1, 2, 4 or 8 bytes of two hexadecimal digits each: 00, deadbeef".into());
        }
        let mut bytes = [0; 8];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2).cycle()) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Ok(Self(u64::from_le_bytes(bytes)))
    }
}

/// Sixteen bytes, in the order of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pattern16([u8; 16]);

impl Pattern16 {
    /// The bytes.
    pub const fn bytes(self) -> [u8; 16] {
        self.0
    }
}

impl FromStr for Pattern16 {
    type Err = String;

    /// 16 bytes of two hexadecimal digits, in file order; `0x` in front is allowed.
    fn from_str(word: &str) -> Result<Self, String> {
        let digits = digits(word);
        if digits.len() != 32 {
            return Err("16 bytes of two hexadecimal digits each".into());
        }
        let mut bytes = [0; 16];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Ok(Self(bytes))
    }
}

fn digits(word: &str) -> &[u8] {
    word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")).unwrap_or(word).as_bytes()
}

fn digit(letter: u8) -> Result<u8, String> {
    match letter {
        b'0'..=b'9' => Ok(letter - b'0'),
        b'a'..=b'f' => Ok(letter - b'a' + 10),
        b'A'..=b'F' => Ok(letter - b'A' + 10),
        _ => Err("only the digits 0 to 9 and a to f".into()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_digits_are_the_first_byte() {
        let pattern: Pattern = "deadbeef".parse().expect("a pattern");
        assert_eq!(pattern.word().to_le_bytes(), [0xde, 0xad, 0xbe, 0xef, 0xde, 0xad, 0xbe, 0xef]);
        assert_eq!("0xA5".parse(), Ok(Pattern(0xa5a5_a5a5_a5a5_a5a5)));
    }

    #[test]
    fn other_lengths_and_letters_are_refused() {
        for word in ["", "0x", "1", "123", "123456", "0g", "zz", "00112233445566778899", "å", "+1"] {
            assert!(word.parse::<Pattern>().is_err(), "{word:?}");
        }
    }

    #[test]
    fn sixteen_bytes_are_sixteen_bytes() {
        let pattern: Pattern16 = "0x000102030405060708090A0b0c0d0e0f".parse().expect("a pattern");
        assert_eq!(pattern.bytes(), std::array::from_fn(|i| u8::try_from(i).expect("small")));
        for word in ["", "00", "0011223344556677", "0x000102030405060708090a0b0c0d0e0g"] {
            assert!(word.parse::<Pattern16>().is_err(), "{word:?}");
        }
    }

    proptest! {
        #[test]
        fn no_word_panics(word in "(0x)?[0-9a-fA-Få]{0,17}|.{0,20}") {
            let _ = word.parse::<Pattern>();
            let _ = word.parse::<Pattern16>();
        }

        #[test]
        fn eight_bytes_are_kept(bytes: [u8; 8]) {
            let word: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            prop_assert_eq!(word.parse::<Pattern>().map(|pattern| pattern.word().to_le_bytes()), Ok(bytes));
        }
    }
}
