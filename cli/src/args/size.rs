//! A size in bytes, as people write it.

use std::str::FromStr;

/// Bytes: at most what a file can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(u64);

impl Size {
    /// The largest: file offsets are signed.
    pub const MAX: u64 = i64::MAX as u64;

    /// Bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for Size {
    type Err = String;

    /// Decimal digits, then nothing, `B`, or one of `K`, `M`, `G`, `T` in either case, with or without `B` or `iB`:
    /// powers of 1024.
    fn from_str(word: &str) -> Result<Self, String> {
        let digits_len = word.bytes().take_while(u8::is_ascii_digit).count();
        let (digits, unit) = word.split_at(digits_len);
        if digits.is_empty() {
            return Err("a number of bytes, with K, M, G or T if you like: 4096, 64K, 1G".into());
        }
        let shift = shift_of(unit).ok_or_else(|| format!("unknown unit {unit:?}: K, M, G or T"))?;
        let too_large = || format!("more than the {} bytes a file can have", Self::MAX);
        let number: u64 = digits.parse().map_err(|_| too_large())?;
        let bytes = number.checked_mul(1 << shift).filter(|bytes| *bytes <= Self::MAX);
        bytes.map(Self).ok_or_else(too_large)
    }
}

fn shift_of(unit: &str) -> Option<u32> {
    Some(match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn units_are_powers_of_1024() {
        for (word, bytes) in [("0", 0), ("4096", 4096), ("64K", 65536), ("1g", 1 << 30), ("3MiB", 3 << 20)] {
            assert_eq!(word.parse(), Ok(Size(bytes)), "{word}");
        }
    }

    #[test]
    fn nonsense_and_overflow_are_refused() {
        for word in
            ["", "K", "-1", "1.5G", "1X", "8388608T", "9223372036854775808", "99999999999999999999", " 1"]
        {
            assert!(word.parse::<Size>().is_err(), "{word:?}");
        }
        assert_eq!("9223372036854775807".parse(), Ok(Size(Size::MAX)));
    }

    proptest! {
        #[test]
        fn no_word_panics(word in any::<String>()) {
            let _ = word.parse::<Size>();
        }

        #[test]
        fn what_looks_like_a_size_is_its_product_or_too_large(number: u64, unit in "[kKmMgGtT]?") {
            let shift = unit.chars().next().map_or(0, |c| 10 * (1 + "kmgt".find(c.to_ascii_lowercase()).unwrap()));
            let bytes = u128::from(number) << shift;
            let parsed = format!("{number}{unit}").parse::<Size>().ok().map(|size| u128::from(size.bytes()));
            prop_assert_eq!(parsed, (bytes <= u128::from(Size::MAX)).then_some(bytes));
        }
    }
}
