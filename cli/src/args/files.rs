//! What the commands are told that read or write plain files: copy, crc, compare, fill.

use std::path::PathBuf;

use clap::{Args as Group, ValueEnum};

use super::{Pattern, Pattern16, Size};

/// Copy a file.
#[derive(Clone, Debug, PartialEq, Eq, Group)]
#[command(
    after_help = "The copy has the permission bits of SRC, as far as the umask lets it, and belongs to you, also \
    where it replaces a file. Holes are filled.\n\n\
    Examples:\n  \
    svala copy big.img copy.img\n  \
    svala copy --force --stats big.img copy.img\n  \
    svala copy --crc big.img copy.img"
)]
pub struct Copy {
    /// What to copy: a regular file
    #[arg(value_name = "SRC")]
    pub source: PathBuf,
    /// The copy; must not exist, unless --force is given
    #[arg(value_name = "DST")]
    pub destination: PathBuf,
    /// Print the CRC of what was copied, computed on the way, as 'svala crc' would for DST: of kind crc32c unless
    /// another is given
    #[arg(long, value_enum, value_name = "KIND", num_args = 0..=1, require_equals = true, default_missing_value = "crc32c")]
    pub crc: Option<Kind>,
}

/// Which CRC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// CRC-32C (Castagnoli), eight digits
    Crc32c,
    /// CRC-64 as NVMe has it, sixteen digits
    Crc64,
}

impl From<Kind> for svala::Crc {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Crc32c => Self::CRC32C,
            Kind::Crc64 => Self::CRC64,
        }
    }
}

/// Print checksums.
#[derive(Clone, Debug, PartialEq, Eq, Group)]
#[command(
    after_help = "Examples:\n  svala crc big.img\n  svala crc --kind crc64 big.img\n  cat big.img | svala crc -"
)]
pub struct Crc {
    /// Files; '-' is standard input
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Which CRC
    #[arg(long, value_enum, default_value = "crc32c")]
    pub kind: Kind,
}

/// Compare two files, or a file with a pattern.
#[derive(Clone, Debug, PartialEq, Eq, Group)]
#[command(after_help = "Says nothing if the files are equal. Bytes count from 1, as in cmp.\n\n\
    Examples:\n  svala compare a.img b.img && echo same\n  svala compare a.img --pattern 00 && echo zeros")]
pub struct Compare {
    /// A file
    #[arg(value_name = "A")]
    pub a: PathBuf,
    /// Another
    #[arg(value_name = "B", required_unless_present = "pattern", conflicts_with = "pattern")]
    pub b: Option<PathBuf>,
    /// In the place of B: a file as long as A of these 1, 2, 4 or 8 bytes in hexadecimal, again and again
    #[arg(long, value_name = "HEX")]
    pub pattern: Option<Pattern>,
}

/// Make a file.
#[derive(Clone, Debug, PartialEq, Eq, Group)]
#[command(after_help = "Examples:\n  \
    svala fill zeros.img --size 1G --pattern 00\n  \
    svala fill marked.img --size 4096 --pattern deadbeef")]
pub struct Fill {
    /// The file to make; must not exist, unless --force is given
    #[arg(value_name = "DST")]
    pub destination: PathBuf,
    /// Its size in bytes, or with K, M, G or T in powers of 1024
    #[arg(long, value_name = "SIZE")]
    pub size: Size,
    /// 1, 2, 4 or 8 bytes in hexadecimal, in the order in which they go to the file, again and again
    #[arg(long, value_name = "HEX", required_unless_present = "pattern16", conflicts_with = "pattern16")]
    pub pattern: Option<Pattern>,
    /// In the place of --pattern: 16 bytes
    #[arg(long, value_name = "HEX")]
    pub pattern16: Option<Pattern16>,
}
