//! What the command line says.

mod bench;
mod compression;
mod configure;
mod delta;
mod dif;
mod doctor;
mod encryption;
mod faults;
mod files;
mod pattern;
mod scan;
mod size;
mod top;

pub use bench::{Against, Bench, Operations};
pub use compression::{Compress, DataRange, Decompress, InputFormat, OutputFormat};
pub use configure::{Configure, ConfigureAction, Load, Save};
pub use delta::{Apply, Create, Delta, DeltaAction};
pub use dif::{Block, Checks, Dif, DifAction, DifCheck, DifInsert, DifStrip, Guard, Tags};
pub use doctor::Doctor;
pub use encryption::{Decrypt, Encrypt, Encryption, Mode};
pub use faults::Faults;
pub use files::{Compare, Copy, Crc, Fill, Kind};
pub use pattern::{Pattern, Pattern16};
pub use scan::{Condition, Found, Order, Scan};
pub use size::Size;
pub use top::Top;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args as Group, Parser, Subcommand};
use svala_engine::{Device, FaultPolicy};

/// Copy, checksum, compare, fill, compress and encrypt files through an accelerator
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
    svala encrypt log.txt -o log.enc --key-file key\n  \
    svala copy big.img copy.img --device emulated --stats   # watch the page faults\n  \
    svala delta create old.img new.img -o new.delta\n  \
    svala dif check disk.img --block 512\n  \
    svala scan ages.u8 --width 8 --where 18..65\n  \
    svala list\n  \
    svala doctor\n  \
    svala configure load dsa.conf --enable\n  \
    svala bench --quick\n  \
    svala faults\n  \
    sudo svala top\n\n\
    Exit status:\n  \
    0    done; compare: the files are equal; dif check: all fields match; doctor: a work queue can be used\n  \
    1    compare: the files differ; dif check: a field does not match; doctor: no work queue can be used\n  \
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
    /// Print the CRC of files, one line each: 'xxxxxxxx  name'
    Crc(Crc),
    /// Compare two files, or a file with a pattern; exit status 0 if they are equal, 1 if they differ
    Compare(Compare),
    /// Make a file of a given size from a repeated pattern
    Fill(Fill),
    /// Compress a file
    Compress(Compress),
    /// Expand a compressed file, and check its checksum
    Decompress(Decompress),
    /// Encrypt a file, so that what was changed is not decrypted
    Encrypt(Encrypt),
    /// Decrypt a file, and check that it is what was encrypted
    Decrypt(Decrypt),
    /// Note how a file differs from another, and make the one of the other again
    Delta(Delta),
    /// Data integrity fields behind the blocks of a file: add, check and take away
    Dif(Dif),
    /// Find the elements of a column for which a condition holds
    Scan(Scan),
    /// Show the queues of the chosen device, and what hardware there is and is not
    #[command(after_help = LIST_HELP)]
    List,
    /// Say what an accelerator needs here, how each of these stands, and what mends it
    Doctor(Doctor),
    /// Save and load the configuration of DSA and IAA devices, in the files of accel-config
    Configure(Configure),
    /// Measure operations on memory: sizes, depths, batches, queues; latencies and rates, the CPU beside them
    Bench(Bench),
    /// Measure what page faults of a device cost: absent memory, and policies for it, others' among them
    Faults(Faults),
    /// Show the page faults of devices, as a kernel with svala's page-fault path counts them
    Top(Top),
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
            Self::Encrypt(_) => "encrypt",
            Self::Decrypt(_) => "decrypt",
            Self::Delta(_) => "delta",
            Self::Dif(_) => "dif",
            Self::Scan(_) => "scan",
            Self::List => "list",
            Self::Doctor(_) => "doctor",
            Self::Configure(_) => "configure",
            Self::Bench(_) => "bench",
            Self::Faults(_) => "faults",
            Self::Top(_) => "top",
        }
    }
}

/// What all commands share.
#[derive(Clone, Debug, PartialEq, Eq, Group)]
#[command(next_help_heading = "Common options")]
pub struct Common {
    /// What does the work: auto (hardware if usable, else the CPU), software (the CPU), emulated (a DSA and an IAA
    /// in software, page faults and all), emulated-qat, emulated-all, qat (a virtual function, by vfio) or one with its
    /// address, qat:0000:6b:00.1, or a work queue: wq0.0, /dev/dsa/wq0.0
    #[arg(long, global = true, value_name = "DEVICE", default_value = "auto")]
    pub device: Device,
    /// What to do when a device meets a page that is not in memory: resolve (fetch it and what follows, go on),
    /// prefetch (fetch everything first), block (the device waits for each page), auto (for each operation whichever
    /// of these three should cost least), fail
    #[arg(long, global = true, value_name = "POLICY", default_value = "resolve")]
    pub faults: FaultPolicy,
    /// Print what happened to standard error: operations, bytes, what did them and why, faults, time
    #[arg(long, global = true)]
    pub stats: bool,
    /// Print the result, statistics included, as one JSON object to standard output and nothing else; or write it to
    /// FILE, which must not exist, unless --force is given
    #[arg(long, global = true, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "-")]
    pub json: Option<PathBuf>,
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

impl Common {
    /// Whether standard output is for the JSON object.
    pub fn json_on_stdout(&self) -> bool {
        self.json.as_ref().is_some_and(|file| file.as_os_str() == "-")
    }
}

const LIST_HELP: &str = "The queues svala would use, best first; the emulated ones; the devices of the idxd driver as a tree of \
    groups, engines and work queues, with who may open each; virtual functions of QAT; and what was found of hardware. 'svala doctor' says \
    what keeps a device from being used.\n\n\
    Examples:\n  \
    svala list\n  \
    svala list --device emulated\n  \
    svala list --json | jq -r '.devices[].work_queues[] | select(.state == \"enabled\") | .name'";

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
        assert!(before.common.json_on_stdout());
        let file = parse(["svala", "copy", "a", "b", "--json=c"]).expect("parses");
        assert!(!file.common.json_on_stdout() && file.common.json == Some("c".into()));
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
        fn no_command_line_panics(words in prop::collection::vec("(copy|scan|crc|fill|compress|encrypt|decrypt|list|doctor|top|configure|save|load|delta|create|dif|check|bench|-[a-z]|--(size|device|pattern|level|block|depth|json)(=.{0,8})?|.{0,12})", 0..8)) {
            let _ = parse(std::iter::once("svala".to_owned()).chain(words));
        }
    }
}
