//! What `svala scan` is told.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args as Group, ValueEnum};
use svala::Predicate;

use super::Mode;

/// Find the elements of a column.
#[derive(Clone, Debug, PartialEq, Eq, Group)]
#[command(
    after_help = "Elements are unsigned. CONDITION is =N, !=N, <N, <=N, >N, >=N, LOW..HIGH or !LOW..HIGH, where both ends \
    are included; numbers are decimal, or hexadecimal behind 0x.\n\n\
    Examples:\n  \
    svala scan ages.u8 --width 8 --where '18..65'\n  \
    svala scan ids.u32 --width 32 --where '=4711' -o found.u32 --to indices\n  \
    svala scan codes.bin --width 12 --count 1000000 --where '!=0' --aggregates --json\n  \
    svala scan page.rle --order parquet --width 5 --count 20000 --where '<7'\n  \
    svala scan ages.u8.enc --key-file key --width 8 --where '18..65'"
)]
pub struct Scan {
    /// The column: a regular file
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Bits of an element, 1 to 32
    #[arg(long, value_name = "BITS", value_parser = clap::value_parser!(u8).range(1..=32))]
    pub width: u8,
    /// What an element has to be
    #[arg(long = "where", value_name = "CONDITION")]
    pub condition: Condition,
    /// The file is encrypted, as by 'svala encrypt': the file with its key. No element may lie in two chunks; what is deflated
    /// or --order parquet has to be one chunk
    #[arg(short, long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// With --key-file: how AES is used
    #[arg(long, value_enum, default_value = "gcm", requires = "key_file")]
    pub mode: Mode,
    /// With --mode xts: bytes of a unit, 16 to 16777216
    #[arg(long, value_name = "BYTES", default_value_t = 4096, value_parser = clap::value_parser!(u32).range(16..=16 << 20), requires = "key_file")]
    pub unit: u32,
    /// Elements; without it as many as the file has room for. Needed where the file does not say: --order parquet,
    /// --deflated
    #[arg(long, value_name = "N", required_if_eq("order", "parquet"), required_if_eq("deflated", "true"))]
    pub count: Option<u64>,
    /// How elements lie in the file
    #[arg(long, value_enum, default_value = "little")]
    pub order: Order,
    /// The file is a raw deflate stream of the column
    #[arg(long)]
    pub deflated: bool,
    /// Also print least, greatest and sum (modulo 2^32) of all elements
    #[arg(long)]
    pub aggregates: bool,
    /// Write what was found to FILE; '-' is standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// What is written
    #[arg(long, value_enum, default_value = "bits", requires = "output")]
    pub to: Found,
}

/// How elements lie in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Order {
    /// Packed from bit 0 of each byte up; also arrays of little-endian numbers
    Little,
    /// Packed from bit 7 of each byte down; also arrays of big-endian numbers
    Big,
    /// Parquet's runs and packed groups, behind a byte with the width
    Parquet,
}

/// What is written of elements that were found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Found {
    /// A bit for each element, from bit 0 of each byte up
    Bits,
    /// The indices of those found, from 0, of 32 bits, little-endian
    Indices,
    /// Those found, of 32 bits, little-endian
    Values,
}

/// What makes a predicate of a number.
type Comparison = fn(u32) -> Predicate;

/// A condition on an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Condition(pub Predicate);

impl FromStr for Condition {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let word = word.trim();
        let comparisons: [(&str, Comparison); 7] = [
            ("!=", Predicate::ne),
            ("<=", Predicate::le),
            (">=", Predicate::ge),
            ("==", Predicate::eq),
            ("<", Predicate::lt),
            (">", Predicate::gt),
            ("=", Predicate::eq),
        ];
        for (sign, predicate) in comparisons {
            if let Some(value) = word.strip_prefix(sign) {
                return Ok(Self(predicate(number(value)?)));
            }
        }
        let (range, between): (_, fn(u32, u32) -> Predicate) = match word.strip_prefix('!') {
            Some(range) => (range, Predicate::not_between),
            None => (word, Predicate::between),
        };
        let Some((low, high)) = range.split_once("..") else {
            return Err("a condition is =N, !=N, <N, <=N, >N, >=N, LOW..HIGH or !LOW..HIGH".into());
        };
        let (low, high) = (number(low)?, number(high)?);
        if low > high {
            return Err(format!("{low} is above {high}"));
        }
        Ok(Self(between(low, high)))
    }
}

fn number(word: &str) -> Result<u32, String> {
    let word = word.trim();
    let (digits, radix) = match word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None => (word, 10),
    };
    // A sign is a digit to nobody but the parser.
    let digits = if digits.starts_with('+') { "" } else { digits };
    let parsed = u32::from_str_radix(digits, radix);
    parsed.map_err(|_| format!("{word:?} is no number of 32 bits"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn conditions_are_the_comparisons_they_look_like() {
        let parse = |word: &str| word.parse::<Condition>().map(|condition| condition.0);
        assert_eq!(parse("=5"), Ok(Predicate::eq(5)));
        assert_eq!(parse("== 0x10"), Ok(Predicate::eq(16)));
        assert_eq!(parse("!=5"), Ok(Predicate::ne(5)));
        assert_eq!(parse("< 5"), Ok(Predicate::lt(5)));
        assert_eq!(parse("<=5"), Ok(Predicate::le(5)));
        assert_eq!(parse(">5"), Ok(Predicate::gt(5)));
        assert_eq!(parse(">=4294967295"), Ok(Predicate::ge(u32::MAX)));
        assert_eq!(parse("3..9"), Ok(Predicate::between(3, 9)));
        assert_eq!(parse("!3..9"), Ok(Predicate::not_between(3, 9)));
        for word in
            ["", "5", "=", "=-1", "=+1", "=4294967296", "9..3", "..", "3..", "~5", "=0x", "=0x+1", "å"]
        {
            assert!(parse(word).is_err(), "{word:?}");
        }
    }

    proptest! {
        #[test]
        fn no_word_panics(word in "[=!<>.0-9x+å ]{0,12}") {
            let _ = word.parse::<Condition>();
        }
    }
}
