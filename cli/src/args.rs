//! What the command line says.

mod pattern;
mod size;

pub use pattern::Pattern;
pub use size::Size;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args as Group, Parser, Subcommand, ValueEnum};
use svala_engine::{Device, FaultPolicy, Format};

/// Copy, checksum, compare, fill and compress files through an accelerator
///
/// svala hands work on files to an accelerator (Intel DSA and IAA, or a model of them) or to the CPU, and says which
/// of them did it. It runs on any Linux machine: without an accelerator the CPU does the work.
#[derive(Clone, Debug, PartialEq, Eq, Parser)]
#[command(name = "svala", version, subcommand_required = true, arg_required_else_help = true)]
#[command(after_help = "Run 'svala COMMAND --help' for a command's own options and examples.\n\n\
    Examples:\n  \
    svala copy big.img /mnt/backup/big.img --stats\n  \
    svala crc *.iso\n  \
    svala compare a.img b.img && echo same\n  \
    svala compress log.txt -o log.txt.gz\n  \
    svala copy big.img copy.img --device emulated --stats   # watch the page faults\n  \
    svala list\n  \
    svala doctor\n  \
    svala configure load dsa.conf --enable\n\n\
    Exit status:\n  \
    0    done; compare: the files are equal; doctor: a work queue can be used\n  \
    1    compare: the files differ; doctor: no work queue can be used\n  \
    2    trouble: bad usage, or a file, the device or the system said no\n  \
    129, 130, 143    ended by SIGHUP, Ctrl-C, SIGTERM\n\n\
    A destination appears under its name when it is complete, and not at all after trouble or Ctrl-C.")]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// What all commands share.
    #[command(flatten)]
    pub common: Common,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Copy a file
    Copy(Copy),
    /// Print the CRC-32C (Castagnoli) of files, one line each: 'xxxxxxxx  name'
    Crc(Crc),
    /// Compare two files; exit status 0 if they are equal, 1 if they differ
    Compare(Compare),
    /// Make a file of a given size from a repeated pattern
    Fill(Fill),
    /// Compress a file
    Compress(Compress),
    /// Expand a compressed file, and check its checksum
    Decompress(Decompress),
    /// Show the queues of the chosen device, and what hardware there is and is not
    #[command(after_help = LIST_HELP)]
    List,
    /// Say what an accelerator needs here, how each of these stands, and what mends it
    Doctor(Doctor),
    /// Save and load the configuration of DSA and IAA devices, in the files of accel-config
    Configure(Configure),
}

impl Command {
    /// The command's word.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Copy(_) => "copy",
            Self::Crc(_) => "crc",
            Self::Compare(_) => "compare",
            Self::Fill(_) => "fill",
            Self::Compress(_) => "compress",
            Self::Decompress(_) => "decompress",
            Self::List => "list",
            Self::Doctor(_) => "doctor",
            Self::Configure(_) => "configure",
        }
    }
}

/// What all commands share.
#[derive(Clone, Debug, PartialEq, Eq, Group)]
#[command(next_help_heading = "Common options")]
pub struct Common {
    /// What does the work: auto (hardware if usable, else the CPU), software (the CPU), emulated (a DSA and an IAA
    /// in software, page faults and all), or a work queue: wq0.0, /dev/dsa/wq0.0
    #[arg(long, global = true, value_name = "DEVICE", default_value = "auto")]
    pub device: Device,
    /// What to do when a device meets a page that is not in memory: resolve (fetch it and what follows, go on),
    /// prefetch (fetch everything first), block (the device waits for each page), fail
    #[arg(long, global = true, value_name = "POLICY", default_value = "resolve")]
    pub faults: FaultPolicy,
    /// Print what happened to standard error: operations, bytes, what did them and why, faults, time
    #[arg(long, global = true)]
    pub stats: bool,
    /// Print the result, statistics included, as one JSON object to standard output
    #[arg(long, global = true)]
    pub json: bool,
    /// Print nothing but errors (compare: nothing but errors and the exit status)
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Replace the destination if it exists. A symbolic link is followed: what it names is replaced
    #[arg(short, long, global = true)]
    pub force: bool,
    /// Do not wait until the destination is on the disk. Without this, an error of the disk cannot go unnoticed
    #[arg(long, global = true)]
    pub no_sync: bool,
    /// Say what happens inside, on standard error; twice for more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Another machine's tree, with sys, proc, dev and boot, in the place of this one's: for tests, and for trees that
    /// somebody sent
    #[arg(long, global = true, hide = true, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
}

/// Copy a file.
#[derive(Clone, Debug, PartialEq, Eq, Group)]
#[command(
    after_help = "The copy has the permission bits of SRC, as far as the umask lets it, and belongs to you, also\n\
    where it replaces a file. Holes are filled.\n\n\
    Examples:\n  \
    svala copy big.img copy.img\n  \
    svala copy --force --stats big.img copy.img"
)]
pub struct Copy {
    /// What to copy: a regular file
    #[arg(value_name = "SRC")]
    pub source: PathBuf,
    /// The copy; must not exist, unless --force is given
    #[arg(value_name = "DST")]
    pub destination: PathBuf,
}

/// Print checksums.
#[derive(Clone, Debug, PartialEq, Eq, Group)]
#[command(after_help = "Examples:\n  svala crc big.img\n  cat big.img | svala crc -")]
pub struct Crc {
    /// Files; '-' is standard input
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
}

/// Compare two files.
#[derive(Clone, Debug, PartialEq, Eq, Group)]
#[command(after_help = "Says nothing if the files are equal. Bytes count from 1, as in cmp.\n\n\
    Example:\n  svala compare a.img b.img && echo same")]
pub struct Compare {
    /// A file
    #[arg(value_name = "A")]
    pub a: PathBuf,
    /// Another
    #[arg(value_name = "B")]
    pub b: PathBuf,
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
    #[arg(long, value_name = "HEX")]
    pub pattern: Pattern,
}

/// Compress a file.
#[derive(Clone, Debug, PartialEq, Eq, Group)]
#[command(
    after_help = "Works in segments of 1 MiB, several at once; any gzip reads the result. An emulated IAA \
    has one level.\n\n\
    Examples:\n  \
    svala compress log.txt -o log.txt.gz\n  \
    tar c dir | svala compress - -o dir.tar.gz --level 9"
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
}

/// Expand a file.
#[derive(Clone, Debug, PartialEq, Eq, Group)]
#[command(
    after_help = "Anything after the end of the stream that is not another gzip member is an error.\n\n\
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
    /// The frame around the stream; auto tells gzip from zlib by its first bytes
    #[arg(long, value_enum, default_value = "auto")]
    pub format: InputFormat,
}

const LIST_HELP: &str = "The queues svala would use, best first; the emulated ones; the devices of the idxd driver as a tree of\n\
    groups, engines and work queues, with who may open each; and what was found of hardware. 'svala doctor' says\n\
    what keeps a device from being used.\n\n\
    Examples:\n  \
    svala list\n  \
    svala list --device emulated\n  \
    svala list --json | jq -r '.devices[].work_queues[] | select(.state == \"enabled\") | .name'";

/// Say what is missing.
#[derive(Clone, Debug, PartialEq, Eq, Group)]
#[command(
    after_help = "One line for each requirement: ok, wrong, unknown or not needed; what it is; in brackets what was read; and\n\
    after an arrow what mends it. Changes nothing. To see whether a process can be bound to a device, each work\n\
    queue that is enabled for processes is opened once; run it as the user who will use the queues. Some files\n\
    are for root only: as root fewer lines are unknown.\n\n\
    Exit status:\n  \
    0    a work queue can be used\n  \
    1    none can: something is to be mended, or there is no accelerator\n  \
    2    trouble\n\n\
    Examples:\n  \
    svala doctor\n  \
    sudo svala doctor | grep wrong\n  \
    svala doctor --quiet --allow-software || echo 'mend it first'\n  \
    svala doctor --json | jq -r '.findings[] | select(.verdict == \"wrong\") | .id'"
)]
pub struct Doctor {
    /// Exit status 0 also on a machine without any accelerator, as the CPU engine does all work there
    #[arg(long)]
    pub allow_software: bool,
}

/// Save and load.
#[derive(Clone, Debug, PartialEq, Eq, Group)]
#[command(
    after_help = "A file is what 'accel-config save-config' writes and 'accel-config load-config' reads.\n\n\
    Examples:\n  \
    svala configure save dsa.conf\n  \
    svala configure load dsa.conf --dry-run\n  \
    sudo svala configure load dsa.conf --enable\n\n\
    A file that gives processes one shared queue of dsa0:\n  \
    [{\"dev\": \"dsa0\", \"groups\": [{\"dev\": \"group0.0\",\n     \
    \"grouped_workqueues\": [{\"dev\": \"wq0.0\", \"mode\": \"shared\", \"size\": 16, \"threshold\": 15, \"priority\": 10,\n       \
    \"type\": \"user\", \"driver_name\": \"user\", \"name\": \"app\", \"block_on_fault\": 1}],\n     \
    \"grouped_engines\": [{\"dev\": \"engine0.0\"}]}]}]"
)]
pub struct Configure {
    /// What to do.
    #[command(subcommand)]
    pub action: ConfigureAction,
}

/// What to do with a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum ConfigureAction {
    /// Write the configuration of the enabled devices and work queues to a file
    Save(Save),
    /// Configure devices as a file has it: all of it, or nothing
    Load(Load),
}

/// Write a file.
#[derive(Clone, Debug, PartialEq, Eq, Group)]
#[command(after_help = "Examples:\n  svala configure save dsa.conf\n  svala configure save --all | less")]
pub struct Save {
    /// The file to make; must not exist, unless --force is given; standard output if it is '-' or left out
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Also what is not enabled
    #[arg(long)]
    pub all: bool,
}

/// Read a file.
#[derive(Clone, Debug, PartialEq, Eq, Group)]
#[command(
    after_help = "What the devices cannot do is refused before anything is written. If the kernel refuses a write, or on\n\
    Ctrl-C, what was written is put back. What is as the file has it already is not written.\n\n\
    Examples:\n  \
    svala configure load dsa.conf --dry-run\n  \
    sudo svala configure load dsa.conf --enable\n  \
    sudo svala configure load dsa.conf --disable-first --enable"
)]
pub struct Load {
    /// The file; '-' is standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Write nothing; print the writes, as commands of a shell
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Enable the devices and work queues of the file afterwards
    #[arg(short, long)]
    pub enable: bool,
    /// Disable devices that are enabled first, whoever uses them
    #[arg(long)]
    pub disable_first: bool,
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
}

impl From<OutputFormat> for Format {
    fn from(format: OutputFormat) -> Self {
        match format {
            OutputFormat::Gzip => Self::Gzip,
            OutputFormat::Zlib => Self::Zlib,
            OutputFormat::Raw => Self::Raw,
        }
    }
}

/// The frame to expect around a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum InputFormat {
    /// gzip or zlib, whichever it is
    Auto,
    /// gzip, one or more members
    Gzip,
    /// zlib
    Zlib,
    /// A bare deflate stream
    Raw,
}

/// Reads a command line, the program's own name included.
///
/// # Errors
///
/// What is wrong with it, ready to be printed; also `--help` and `--version`.
pub fn parse<I, T>(words: I) -> Result<Args, clap::Error>
where
    I: IntoIterator<Item = T>,
    T: Into<OsString> + Clone,
{
    Args::try_parse_from(words)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn common_options_go_before_and_after_the_command() {
        let before = parse(["svala", "--json", "copy", "a", "b"]).expect("parses");
        let after = parse(["svala", "copy", "a", "b", "--json"]).expect("parses");
        assert_eq!(before, after);
        assert!(before.common.json);
    }

    #[test]
    fn levels_end_at_nine() {
        for (level, fits) in [("0", false), ("1", true), ("9", true), ("10", false), ("-1", false)] {
            let parsed = parse(["svala", "compress", "a", "-o", "b", "--level", level]);
            assert_eq!(parsed.is_ok(), fits, "level {level}");
        }
    }

    proptest! {
        #[test]
        fn no_command_line_panics(words in prop::collection::vec("(copy|crc|fill|compress|list|doctor|configure|save|load|-[a-z]|--(size|device|pattern|level)(=.{0,8})?|.{0,12})", 0..8)) {
            let _ = parse(std::iter::once("svala".to_owned()).chain(words));
        }
    }
}
