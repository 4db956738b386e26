//! A pattern to fill with.

use std::str::FromStr;

/// Eight bytes, as a queue takes them: the lowest is the first in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pattern(u64);

impl Pattern {
    /// The eight bytes; the lowest goes first.
    pub const fn word(self) -> u64 {
        self.0
    }
}

impl FromStr for Pattern {
    type Err = String;

    /// 1, 2, 4 or 8 bytes of two hexadecimal digits, in file order, repeated to eight; `0x` in front is allowed.
    fn from_str(word: &str) -> Result<Self, String> {
        let digits = word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")).unwrap_or(word).as_bytes();
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

    proptest! {
        #[test]
        fn no_word_panics(word in "(0x)?[0-9a-fA-Få]{0,17}|.{0,20}") {
            let _ = word.parse::<Pattern>();
        }

        #[test]
        fn eight_bytes_are_kept(bytes: [u8; 8]) {
            let word: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            prop_assert_eq!(word.parse::<Pattern>().map(|pattern| pattern.word().to_le_bytes()), Ok(bytes));
        }
    }
}
