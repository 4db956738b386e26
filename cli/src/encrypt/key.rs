//! The file with the key: read, and forgotten as soon as it is a key.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use svala_engine::AesKey;
use zeroize::Zeroizing;

use crate::args::Mode;
use crate::error::Trouble;
use crate::source::Identity;

/// Most bytes of a file with a key: two long ones in hexadecimal, and a line's end.
const BYTES_MAX: usize = 4 * 32 + 1;

/// A key, or two of the same length.
pub(super) struct Keys {
    pub(super) first: AesKey,
    /// Of XTS, that of the tweaks.
    pub(super) second: Option<AesKey>,
    /// The file they came from.
    pub(super) file: Identity,
}

/// Reads the keys of `mode`.
pub(super) fn read(path: &Path, mode: Mode) -> Result<Keys, Trouble> {
    let file = File::open(path).map_err(|error| Trouble::file(path, error))?;
    let metadata = file.metadata().map_err(|error| Trouble::file(path, error))?;
    let mut text = Zeroizing::new(Vec::with_capacity(BYTES_MAX + 1));
    file.take(BYTES_MAX as u64 + 1).read_to_end(&mut text).map_err(|error| Trouble::file(path, error))?;
    let bytes = unhex(&text).unwrap_or_else(|| text.clone());
    let keys = match mode {
        Mode::Gcm | Mode::Cfb => AesKey::new(&bytes).map(|key| (key, None)),
        Mode::Xts => {
            let (first, second) = bytes.split_at(bytes.len() / 2);
            AesKey::new(first).zip(AesKey::new(second)).map(|(first, second)| (first, Some(second)))
        }
    };
    let expected = if mode == Mode::Xts { "two keys of 16 or two of 32" } else { "16 or 32" };
    let Some((first, second)) = keys else {
        return Err(Trouble::Key { path: path.to_owned(), bytes: bytes.len(), expected });
    };
    Ok(Keys { first, second, file: (metadata.dev(), metadata.ino()) })
}

/// The bytes of hexadecimal digits; none if there is anything else but a line's end.
fn unhex(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let digits = text.strip_suffix(b"\n").unwrap_or(text);
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    let digit = |digit: u8| char::from(digit).to_digit(16);
    let byte = |[high, low]: &[u8; 2]| u8::try_from(digit(*high)? << 4 | digit(*low)?).ok();
    pairs.iter().map(byte).collect::<Option<Vec<u8>>>().map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_is_digits_and_nothing_else() {
        assert_eq!(unhex(b"00fF10\n").as_deref(), Some(&vec![0, 0xff, 0x10]));
        for text in [&b"0"[..], b"0g", b"00 ", b"00\n\n", b"+1"] {
            assert!(unhex(text).is_none(), "{text:?}");
        }
    }
}
