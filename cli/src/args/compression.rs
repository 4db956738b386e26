//! What `svala compress` and `svala decompress` are told.

use std::path::PathBuf;

use clap::{Args as Group, ValueEnum};
use svala_engine::Format;

use super::Size;

/// Compress a file.
#[derive(Clone, Debug, PartialEq, Eq, Group)]
#[command(
    after_help = "Works in segments of 1 MiB, several at once; any gzip, or lz4, reads the result. An \
    IAA tells three levels apart: 1, up to 3, and above. LZ4 is done by a QAT or the CPU, which has one level of it.\n\n\
    Examples:\n  \
    svala compress log.txt -o log.txt.gz\n  \
    tar c dir | svala compress - -o dir.tar.gz --level 9\n  \
    svala compress log.txt -o log.txt.lz4 --format lz4"
)]
pub struct Compress {
    /// What to compress; '-' is standard input
    #[arg(value_name = "IN")]
    pub input: PathBuf,
    /// Where the stream goes; must not exist, unless --force is given; '-' is standard output
    #[arg(short, long, value_name = "OUT")]
    pub output: PathBuf,
    /// The frame around the stream
    #[arg(long, value_enum, default_value = "gzip")]
    pub format: OutputFormat,
    /// 1 (fast) to 9 (small)
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u8).range(1..=9))]
    pub level: u8,
    /// A file that the data has much in common with, of 32 KiB at most; expanding takes the same. With zlib and raw
    #[arg(long, value_name = "FILE")]
    pub dictionary: Option<PathBuf>,
}

/// Expand a file.
#[derive(Clone, Debug, PartialEq, Eq, Group)]
#[command(
    after_help = "Anything after the end of the stream that is not another gzip member or LZ4 frame is an error.\n\n\
    Examples:\n  \
    svala decompress log.txt.gz -o log.txt\n  \
    svala decompress dir.tar.gz -o - | tar x"
)]
pub struct Decompress {
    /// What to expand; '-' is standard input
    #[arg(value_name = "IN")]
    pub input: PathBuf,
    /// Where the data goes; must not exist, unless --force is given; '-' is standard output
    #[arg(short, long, value_name = "OUT")]
    pub output: PathBuf,
    /// The frame around the stream; auto tells gzip, zlib and LZ4 apart by their first bytes
    #[arg(long, value_enum, default_value = "auto")]
    pub format: InputFormat,
    /// Most bytes of data to take out of the stream; more is an error, and nothing is left behind
    #[arg(long, value_name = "SIZE")]
    pub max_size: Option<Size>,
    /// The file that the stream was made with. With zlib and raw; done by the CPU
    #[arg(long, value_name = "FILE")]
    pub dictionary: Option<PathBuf>,
}

/// The frame to put around a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// As gzip does; CRC-32
    Gzip,
    /// As zlib does; Adler-32
    Zlib,
    /// No frame and no checksum
    Raw,
    /// LZ4 in frames as lz4 has them; xxHash
    Lz4,
}

impl From<OutputFormat> for Format {
    fn from(format: OutputFormat) -> Self {
        match format {
            OutputFormat::Gzip => Self::Gzip,
            OutputFormat::Zlib => Self::Zlib,
            OutputFormat::Raw => Self::Raw,
            OutputFormat::Lz4 => Self::Lz4,
        }
    }
}

/// The frame to expect around a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum InputFormat {
    /// gzip, zlib or LZ4, whichever it is
    Auto,
    /// gzip, one or more members
    Gzip,
    /// zlib
    Zlib,
    /// A bare deflate stream
    Raw,
    /// LZ4, one or more frames
    Lz4,
}
