//! Whatever is on a command line: it is parsed or refused with a message. Sizes and patterns mean what a slower reading
//! of the same words says.
//!
//! Input: words, one a line; each is also taken for a size and a pattern.
#![no_main]

use libfuzzer_sys::fuzz_target;
use svala_cli::args::{Command, Pattern, Size, parse};

fuzz_target!(|input: &str| {
    let words: Vec<&str> = input.split('\n').collect();
    match parse(std::iter::once("svala").chain(words.iter().copied())) {
        Ok(args) => {
            let _ = format!("{args:?} {}", args.command.name());
            if let Command::Compress(compress) = &args.command {
                assert!((1..=9).contains(&compress.level));
            }
        }
        Err(refused) => assert!(!refused.to_string().is_empty()),
    }
    for word in words {
        assert_eq!(word.parse::<Size>().ok().map(Size::bytes), size(word), "{word:?}");
        assert_eq!(word.parse::<Pattern>().ok().map(Pattern::word), pattern(word), "{word:?}");
    }
});

/// Digits and a unit, in numbers that cannot overflow.
fn size(word: &str) -> Option<u64> {
    let lower = word.to_ascii_lowercase();
    let number = lower.trim_end_matches(|c: char| !c.is_ascii_digit());
    let power = match &lower[number.len()..] {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 1,
        "m" | "mb" | "mib" => 2,
        "g" | "gb" | "gib" => 3,
        "t" | "tb" | "tib" => 4,
        _ => return None,
    };
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits = number.trim_start_matches('0');
    if digits.len() > 20 {
        return None;
    }
    let bytes = digits.bytes().fold(0_u128, |sum, digit| sum * 10 + u128::from(digit - b'0'));
    u64::try_from(bytes * 1024_u128.pow(power)).ok().filter(|bytes| *bytes <= i64::MAX as u64)
}

/// Pairs of digits in the order of the file, repeated until there are eight bytes.
fn pattern(word: &str) -> Option<u64> {
    let word = word.strip_prefix("0x").or(word.strip_prefix("0X")).unwrap_or(word);
    let plain = matches!(word.len(), 2 | 4 | 8 | 16) && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let whole = u64::from_str_radix(&word.repeat(16 / word.len().max(1)), 16);
    plain.then(|| whole.expect("sixteen digits").swap_bytes())
}
