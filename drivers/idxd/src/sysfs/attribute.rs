//! One attribute: a small text file that is read whole, once, with a bound.

use std::fs::{FileType, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use idxd_spec::OpCap;

use super::problem::{Problem, ProblemKind};

/// An attribute is at most a page (`Documentation/filesystems/sysfs.rst`).
pub(crate) const ATTRIBUTE_BYTES_MAX: usize = 4096;

/// Bytes of a bad value that are kept for the message.
const QUOTED_BYTES_MAX: usize = 48;

/// Why an attribute has no value.
pub(crate) enum Unread {
    /// Not there, or the kernel says that this device has no such value.
    Missing,
    /// There, and not as it should be.
    Bad(ProblemKind),
}

/// What a directory entry is, for messages.
pub(crate) fn kind_of(file: FileType) -> &'static str {
    match file {
        file if file.is_symlink() => "symbolic link",
        file if file.is_dir() => "directory",
        file if file.is_fifo() => "pipe",
        file if file.is_socket() => "socket",
        file if file.is_char_device() || file.is_block_device() => "device",
        _ => "file",
    }
}

/// Reads an attribute's bytes. Never blocks, follows no link, and opens nothing but regular files.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Unread> {
    let file_type = std::fs::symlink_metadata(path).map_err(unread)?.file_type();
    if !file_type.is_file() {
        return Err(Unread::Bad(ProblemKind::NotAFile { found: kind_of(file_type) }));
    }
    // Something else may have taken its place meanwhile: the flags keep the open from waiting or following.
    let flags = libc::O_NONBLOCK | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(unread)?;
    if !file.metadata().map_err(unread)?.is_file() {
        return Err(Unread::Bad(ProblemKind::NotAFile { found: "file that changed" }));
    }
    let mut bytes = Vec::with_capacity(64);
    file.take(ATTRIBUTE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(unread)?;
    if bytes.len() > ATTRIBUTE_BYTES_MAX {
        return Err(Unread::Bad(ProblemKind::TooLong { bytes_max: ATTRIBUTE_BYTES_MAX }));
    }
    Ok(bytes)
}

/// The kernel answers `ENXIO` and `EOPNOTSUPP` for attributes that mean nothing in the present state: `cdev_minor` of
/// a disabled work queue, `occupancy` of a device that does not count.
fn unread(error: io::Error) -> Unread {
    match error.raw_os_error() {
        Some(libc::ENOENT | libc::ENXIO | libc::EOPNOTSUPP) => Unread::Missing,
        _ => Unread::Bad(ProblemKind::os(&error)),
    }
}

/// The attributes of one directory, and what was found wrong on the way.
pub(crate) struct Attributes {
    dir: PathBuf,
    /// The directory in messages.
    name: String,
    pub(crate) missing: Vec<&'static str>,
    pub(crate) problems: Vec<Problem>,
}

impl Attributes {
    pub(crate) fn new(dir: PathBuf, name: String) -> Self {
        Self { dir, name, missing: Vec::new(), problems: Vec::new() }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Notes a problem with an entry of this directory; with the directory itself if `entry` is empty.
    pub(crate) fn problem(&mut self, entry: &str, kind: ProblemKind) {
        let at = if entry.is_empty() { self.name.clone() } else { format!("{}/{entry}", self.name) };
        self.problems.push(Problem { at, kind });
    }

    /// The value of an attribute, or none with the reason noted.
    pub(crate) fn value<T>(
        &mut self,
        attribute: &'static str,
        expected: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let bytes = match read(&self.dir.join(attribute)) {
            Ok(bytes) => bytes,
            Err(Unread::Missing) => {
                self.missing.push(attribute);
                return None;
            }
            Err(Unread::Bad(kind)) => {
                self.problem(attribute, kind);
                return None;
            }
        };
        match std::str::from_utf8(&bytes) {
            Ok(text) => parse(text.trim()).or_else(|| {
                self.problem(attribute, ProblemKind::Value { text: quoted(text.trim()), expected });
                None
            }),
            Err(_) => {
                self.problem(attribute, ProblemKind::NotText);
                None
            }
        }
    }

    /// A decimal number.
    pub(crate) fn number<T: std::str::FromStr>(&mut self, attribute: &'static str) -> Option<T> {
        self.value(attribute, "a number in range", |text| text.parse().ok())
    }

    /// A number that the kernel prints as `%#x`.
    pub(crate) fn hex(&mut self, attribute: &'static str) -> Option<u64> {
        self.value(attribute, "a hexadecimal number", hex)
    }

    /// The same, of at most 32 bits.
    pub(crate) fn hex_u32(&mut self, attribute: &'static str) -> Option<u32> {
        self.value(attribute, "a hexadecimal number of 32 bits", |text| u32::try_from(hex(text)?).ok())
    }

    /// 0 or 1.
    pub(crate) fn flag(&mut self, attribute: &'static str) -> Option<bool> {
        self.value(attribute, "0 or 1", |text| match text {
            "0" => Some(false),
            "1" => Some(true),
            _ => None,
        })
    }

    /// A word; values that we have no name for stay as they are.
    pub(crate) fn word<T: for<'t> From<&'t str>>(&mut self, attribute: &'static str) -> Option<T> {
        self.value(attribute, "a word", |text| is_word(text).then(|| T::from(text)))
    }

    /// A line of printable text; an empty one is none.
    pub(crate) fn line(&mut self, attribute: &'static str) -> Option<String> {
        let line = self.value(attribute, "a line of text", |text| {
            (!text.chars().any(char::is_control)).then(|| text.to_owned())
        });
        line.filter(|text| !text.is_empty())
    }

    /// 256 bits.
    pub(crate) fn bitmap(&mut self, attribute: &'static str) -> Option<[u64; 4]> {
        self.value(attribute, "a bitmap of 256 bits", bitmap)
    }

    /// Three words of 64 bits, highest first, between commas.
    pub(crate) fn three_words(&mut self, attribute: &'static str) -> Option<[u64; 3]> {
        self.value(attribute, "three words of 64 bits", |text| {
            let mut words = text.split(',').map(|digits| hex_digits(digits, 16));
            let (third, second, first) = (words.next()??, words.next()??, words.next()??);
            words.next().is_none().then_some([first, second, third])
        })
    }

    /// 256 bits, one for each opcode.
    pub(crate) fn operations(&mut self, attribute: &'static str) -> Option<OpCap> {
        self.bitmap(attribute).map(OpCap)
    }
}

/// The beginning of `text`.
fn quoted(text: &str) -> String {
    text.chars().take(QUOTED_BYTES_MAX).collect()
}

/// Letters, digits, `_` and `-`, 1 to 32 of them.
pub(crate) fn is_word(text: &str) -> bool {
    let fits = (1..=32).contains(&text.len());
    fits && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

/// `0x1f`, or decimal without the prefix. The kernel's `%#x` prints zero as `0` or `0x0`.
fn hex(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => hex_digits(digits, 16),
        None => text.parse().ok(),
    }
}

/// Hexadecimal digits and nothing else: no sign, which `from_str_radix` would take.
fn hex_digits(digits: &str, digits_max: usize) -> Option<u64> {
    let fits =
        (1..=digits_max).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    fits.then(|| u64::from_str_radix(digits, 16).ok()).flatten()
}

/// The kernel's `%*pb`: groups of 32 bits in hexadecimal, highest first, between commas.
pub(crate) fn bitmap(text: &str) -> Option<[u64; 4]> {
    let mut words = [0; 4];
    let mut groups = 0;
    for (group, digits) in text.rsplit(',').enumerate() {
        let bits = hex_digits(digits, 8)?;
        *words.get_mut(group / 2)? |= bits << (32 * (group % 2));
        groups += 1;
    }
    (groups > 0).then_some(words)
}

/// The same, written.
pub(crate) fn bitmap_text(words: [u64; 4]) -> String {
    let groups = words.iter().rev().flat_map(|word| [word >> 32, word & 0xffff_ffff]);
    groups.map(|group| format!("{group:08x}")).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bitmaps_are_groups_of_32_bits_highest_first() {
        let spr = "00000000,00000000,00000000,00000000,00000000,00000000,0000007b,00bf07ff";
        assert_eq!(bitmap(spr), Some([0x0000_007b_00bf_07ff, 0, 0, 0]));
        assert_eq!(bitmap_text([0x0000_007b_00bf_07ff, 0, 0, 0]), spr);
        assert_eq!(bitmap("80000000,0,0,0,0,0,0,1"), Some([1, 0, 0, 0x8000_0000_0000_0000]));
        assert_eq!(bitmap("7b,00bf07ff"), Some([0x7b_00bf_07ff, 0, 0, 0]));
    }

    #[test]
    fn what_is_no_bitmap_is_refused() {
        for text in ["", ",", "1,", "123456789", "+1", "0x1", "g", "0,0,0,0,0,0,0,0,0"] {
            assert_eq!(bitmap(text), None, "{text:?}");
        }
    }

    #[test]
    fn hexadecimal_numbers_have_no_sign_and_fit() {
        assert_eq!(hex("0x71f10901f0105"), Some(0x0007_1f10_901f_0105));
        assert_eq!((hex("0"), hex("0x0"), hex("256")), (Some(0), Some(0), Some(256)));
        for text in ["0x", "0x+1", "0x10000000000000000", "-1", "1f", ""] {
            assert_eq!(hex(text), None, "{text:?}");
        }
    }
}
