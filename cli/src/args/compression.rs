//! What `svala compress` and `svala decompress` are told.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args as Group, ValueEnum};
use svala_engine::{Format, MiniblockSize};

use super::Size;

/// Compress a file.
#[derive(Clone, Debug, PartialEq, Eq, Group)]
#[command(
    after_help = "Works in segments of 1 MiB, several at once; any gzip, or lz4, reads the result. An \
    IAA tells three levels apart: 1, up to 3, and above. LZ4 is done by a QAT or the CPU, which has one level of it.\n\n\
    Examples:\n  \
    svala compress log.txt -o log.txt.gz\n  \
    tar c dir | svala compress - -o dir.tar.gz --level 9\n  \
    svala compress log.txt -o log.txt.lz4 --format lz4\n  \
    svala compress log.txt -o log.txt.gz --index log.txt.idx --miniblocks 4K"
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
    /// Note in this file where parts of the data are, for 'svala decompress --range'; must not exist, unless --force is
    /// given. Not with lz4
    #[arg(long, value_name = "FILE", conflicts_with = "dictionary")]
    pub index: Option<PathBuf>,
    /// Parts of so many bytes, a power of two from 512 to 32K, in the place of segments of 1 MiB: the smaller, the less is
    /// expanded for a range, and the larger is the stream
    #[arg(long, value_name = "SIZE", requires = "index", value_parser = miniblocks)]
    pub miniblocks: Option<MiniblockSize>,
}

/// Expand a file.
#[derive(Clone, Debug, PartialEq, Eq, Group)]
#[command(
    after_help = "Anything after the end of the stream that is not another gzip member or LZ4 frame is an error.\n\n\
    Examples:\n  \
    svala decompress log.txt.gz -o log.txt\n  \
    svala decompress dir.tar.gz -o - | tar x\n  \
    svala decompress log.txt.gz -o - --index log.txt.idx --range 70000..80000"
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
    /// Expand these bytes of the data only, and next to nothing before them: from 0, the last one left out; with K, M, G or T
    /// if you like
    #[arg(long, value_name = "START..END", requires = "index")]
    pub range: Option<DataRange>,
    /// What 'svala compress --index' made with this very stream
    #[arg(long, value_name = "FILE", requires = "range", conflicts_with_all = ["format", "max_size", "dictionary"])]
    pub index: Option<PathBuf>,
}

/// Some bytes of the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataRange {
    start: u64,
    /// None: all the rest.
    end: Option<u64>,
}

impl DataRange {
    /// The range of so many bytes. None: it is not within them.
    pub fn within(self, data_bytes: u64) -> Option<Range<u64>> {
        let range = self.start..self.end.unwrap_or(data_bytes);
        (range.start < range.end && range.end <= data_bytes).then_some(range)
    }
}

impl FromStr for DataRange {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let Some((start, end)) = word.split_once("..") else {
            return Err("START..END, START.. or ..END: 4096..8K".into());
        };
        let size = |word: &str| {
            if word.is_empty() { Ok(None) } else { word.parse().map(|size: Size| Some(size.bytes())) }
        };
        let (start, end) = (size(start)?.unwrap_or(0), size(end)?);
        match end {
            Some(end) if end <= start => Err(format!("no bytes from {start} to {end}")),
            end => Ok(Self { start, end }),
        }
    }
}

impl fmt::Display for DataRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.end {
            Some(end) => write!(f, "{}..{end}", self.start),
            None => write!(f, "{}..", self.start),
        }
    }
}

fn miniblocks(word: &str) -> Result<MiniblockSize, String> {
    let size = MiniblockSize::from_bytes(word.parse::<Size>()?.bytes());
    size.ok_or_else(|| "512, 1K, 2K, 4K, 8K, 16K or 32K".into())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_and_cut_to_what_there_is() {
        for (word, expected) in [
            ("0..100", Some(0..100)),
            ("10..", Some(10..100)),
            ("..1", Some(0..1)),
            ("..", Some(0..100)),
            ("0..1K", None),
            ("100..", None),
        ] {
            let range: DataRange = word.parse().expect(word);
            assert_eq!(range.within(100), expected, "{word}");
        }
        for word in ["", "5", "5..5", "6..5", "-1..5", "1..2..3", "..0", "a..b"] {
            assert!(word.parse::<DataRange>().is_err(), "{word:?}");
        }
    }
}
