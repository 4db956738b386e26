//! What `svala bench` is told.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as Group, ValueEnum};
use svala_engine::{Device, Operation};

use super::Size;

/// Measure operations.
#[derive(Clone, Debug, PartialEq, Eq, Group)]
#[command(
    after_help = "Every combination of the lists is a point. Each operation's result is checked before it is measured. A \
    latency is from submission until this program sees the end. Rates count the bytes of the column 'size'. \
    'cpu' is the rate of this machine's CPU engine for the same point, in the same way; 'ratio' is how many times as \
    fast the queue is. Numbers of emulated devices say nothing about hardware.\n\n\
    Examples:\n  \
    svala bench --quick\n  \
    svala bench --device wq0.0 --svg dsa.svg --json=dsa.json\n  \
    svala bench --queue wq0.0,wq1.0 --operation copy,crc32c --size 4K,64K,1M --depth 1,32 --batch 1,16\n  \
    svala bench --cold --faults block --operation copy"
)]
pub struct Bench {
    /// Operations, by their names in 'svala list', or all
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', value_parser = operations)]
    pub operation: Vec<Operations>,
    /// Bytes of an operation
    #[arg(long, value_name = "SIZE,...", value_delimiter = ',')]
    pub size: Vec<Size>,
    /// Operations (or batches) under way at once
    #[arg(long, value_name = "N,...", value_delimiter = ',')]
    pub depth: Vec<u32>,
    /// Operations submitted together
    #[arg(long, value_name = "N,...", value_delimiter = ',')]
    pub batch: Vec<u32>,
    /// What does the work, each as for --device; by default that one
    #[arg(long, value_name = "DEVICE,...", value_delimiter = ',')]
    pub queue: Vec<Device>,
    /// Seconds for each point
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub time: Option<Duration>,
    /// Seconds for everything; points that are not begun by then are left out
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub total: Option<Duration>,
    /// A few points and ten seconds, where no options say otherwise
    #[arg(long)]
    pub quick: bool,
    /// Every operation on memory that was never touched, so that a device meets its page faults
    #[arg(long)]
    pub cold: bool,
    /// What does the same beside it
    #[arg(long, value_enum, default_value = "cpu")]
    pub against: Against,
    /// Draw the rates into this file; must not exist, unless --force is given
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
}

/// What a queue is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Against {
    /// This machine's CPU engine
    Cpu,
    /// Nothing
    None,
}

/// One operation, or all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operations {
    /// Every operation there is.
    All,
    /// This one.
    One(Operation),
}

fn operations(word: &str) -> Result<Operations, String> {
    if word == "all" {
        return Ok(Operations::All);
    }
    let named = Operation::ALL.into_iter().find(|operation| operation.name() == word);
    named.map(Operations::One).ok_or_else(|| {
        let names = Operation::ALL.map(Operation::name);
        format!("all, or of {}", names.join(" "))
    })
}

/// A time that is longer than nothing and shorter than a day.
fn seconds(word: &str) -> Result<Duration, String> {
    let refused = || "seconds, more than 0 and at most 86400: 0.5, 10".to_owned();
    let seconds: f64 = word.parse().map_err(|_| refused())?;
    if !(seconds > 0.0 && seconds <= 86400.0) {
        return Err(refused());
    }
    Duration::try_from_secs_f64(seconds).map_err(|_| refused())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_without_sense_are_refused() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for word in ["", "0", "-1", "nan", "inf", "1e9", "1s"] {
            assert!(seconds(word).is_err(), "{word:?}");
        }
    }

    #[test]
    fn every_operation_is_known_by_its_name() {
        for operation in Operation::ALL {
            assert_eq!(operations(operation.name()), Ok(Operations::One(operation)));
        }
        assert!(operations("memmove").is_err());
    }
}
