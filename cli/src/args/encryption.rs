//! What `svala encrypt` and `svala decrypt` are told.

use std::path::PathBuf;

use clap::{Args as Group, ValueEnum};

/// Encrypt a file.
#[derive(Clone, Debug, PartialEq, Eq, Group)]
#[command(
    after_help = "With --mode gcm, the usual one, nothing that was changed, moved or cut off is ever decrypted: 'svala decrypt'\n\
    refuses it. The other two are for other programs' data, and do not authenticate: cfb is 16 bytes of initial vector and the\n\
    message; xts is as long as the file, in units of --unit bytes with their numbers as tweaks, as disks are encrypted.\n\n\
    Examples:\n  \
    head -c 32 /dev/urandom > key && chmod 600 key\n  \
    svala encrypt table.db -o table.db.enc --key-file key\n  \
    svala compress log -o - | svala encrypt - -o log.gz.enc --key-file key"
)]
pub struct Encrypt {
    /// What files, key and mode are
    #[command(flatten)]
    pub what: Encryption,
}

/// Decrypt a file.
#[derive(Clone, Debug, PartialEq, Eq, Group)]
#[command(
    after_help = "With --mode gcm a destination appears only when all of the file was found to be what the key's owner wrote. On\n\
    standard output come whole megabytes of it, each authenticated; the exit status says whether that was all of them.\n\n\
    Examples:\n  \
    svala decrypt table.db.enc -o table.db --key-file key\n  \
    svala decrypt log.gz.enc -o - --key-file key | zcat"
)]
pub struct Decrypt {
    /// What files, key and mode are
    #[command(flatten)]
    pub what: Encryption,
}

/// What both are told.
#[derive(Clone, Debug, PartialEq, Eq, Group)]
pub struct Encryption {
    /// What to read; '-' is standard input
    #[arg(value_name = "IN")]
    pub input: PathBuf,
    /// Where the result goes; must not exist, unless --force is given; '-' is standard output
    #[arg(short, long, value_name = "OUT")]
    pub output: PathBuf,
    /// The file with the key and nothing else: 16 or 32 bytes, or as many in hexadecimal; two keys for --mode xts
    #[arg(short, long, value_name = "FILE")]
    pub key_file: PathBuf,
    /// How AES is used
    #[arg(long, value_enum, default_value = "gcm")]
    pub mode: Mode,
    /// With --mode xts: bytes of a unit, 16 to 16777216
    #[arg(long, value_name = "BYTES", default_value_t = 4096, value_parser = clap::value_parser!(u32).range(16..=16 << 20))]
    pub unit: u32,
}

/// How AES is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Galois/counter mode, in svala's own format: authenticated
    Gcm,
    /// Cipher feedback of 128 bits, as openssl has it: not authenticated
    Cfb,
    /// XTS: not authenticated
    Xts,
}

impl Mode {
    /// The word it is asked for with.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gcm => "gcm",
            Self::Cfb => "cfb",
            Self::Xts => "xts",
        }
    }
}
