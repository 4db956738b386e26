//! What `svala delta` is told.

use std::path::PathBuf;

use clap::{Args as Group, Subcommand};

/// Differences of files.
#[derive(Clone, Debug, PartialEq, Eq, Group)]
#[command(
    after_help = "Files are compared place by place, in words of 8 bytes: good for disk images and databases that change in \
    place, not for texts in which a line was put.\n\n\
    Examples:\n  \
    svala delta create old.img new.img -o new.delta\n  \
    svala delta apply old.img new.delta -o new.img\n\n\
    DELTA, numbers little-endian:\n  \
    0    8 bytes 'svaladlt'\n  \
    8    4 version, 1\n  \
    12   4 bytes of a stretch, 524288\n  \
    16   8 length of OLD, 8 length of NEW\n  \
    32   4 CRC-32C of OLD, 4 CRC-32C of NEW\n  \
    40   4 zeros, 4 CRC-32C of the 44 bytes before\n  \
    48   a record for each stretch of NEW: 4 kind, 4 length of what follows, 4 CRC-32C of these 8 bytes and what\n       \
    follows; then, kind 1: 10 bytes for each word that differs (2 its number in the stretch, 8 its bytes in\n       \
    NEW), and the bytes of NEW behind the last whole word that OLD has; kind 2: the stretch as it is"
)]
pub struct Delta {
    /// What to do.
    #[command(subcommand)]
    pub action: DeltaAction,
}

/// What to do with differences.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum DeltaAction {
    /// Write to a file how NEW differs from OLD
    Create(Create),
    /// Make NEW of OLD and the file; checked against both checksums before it appears
    Apply(Apply),
}

/// Note the differences.
#[derive(Clone, Debug, PartialEq, Eq, Group)]
#[command(after_help = "Example:\n  svala delta create old.img new.img -o new.delta --stats")]
pub struct Create {
    /// The file as it was
    #[arg(value_name = "OLD")]
    pub old: PathBuf,
    /// The file as it is
    #[arg(value_name = "NEW")]
    pub new: PathBuf,
    /// The file to make; must not exist, unless --force is given
    #[arg(short, long, value_name = "DELTA")]
    pub output: PathBuf,
}

/// Make the file.
#[derive(Clone, Debug, PartialEq, Eq, Group)]
#[command(after_help = "Example:\n  svala delta apply old.img new.delta -o new.img")]
pub struct Apply {
    /// The file as it was
    #[arg(value_name = "OLD")]
    pub old: PathBuf,
    /// What 'svala delta create' made
    #[arg(value_name = "DELTA")]
    pub delta: PathBuf,
    /// The file to make; must not exist, unless --force is given
    #[arg(short, long, value_name = "NEW")]
    pub output: PathBuf,
}
