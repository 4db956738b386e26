//! Which memory is absent, and what is done with it.

use std::fmt;
use std::str::FromStr;

/// A pattern of absent memory and of operations on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Workload {
    /// One copy; no page of source or destination is mapped, the source's contents are in memory.
    Sequential,
    /// Copies of 4 KiB, an eighth of the pages of a region in random order, one after the other.
    Random,
    /// One copy; the source is mapped.
    ColdDestination,
    /// One copy; of the destination every other 64 KiB are mapped.
    HalfCold,
    /// Copies of 4 KiB, every fourth page of a region from its start to its end.
    Strided,
    /// One comparison of two ranges of zeros that nobody has touched.
    ZeroRead,
    /// One copy to memory that a child process shares since its fork.
    CopyOnWrite,
    /// One copy of a file that the page cache does not have.
    ColdFile,
    /// Copies of an eighth of the size to one destination, which is given back to the kernel before each.
    Churn,
    /// One copy as `Sequential`, and beside it copies of 4 KiB of mapped memory for as long as it takes.
    Mixed,
    /// Compression of a region that is not mapped, a MiB at a time, on the IAA.
    Compress,
    /// One copy of memory that was swapped out.
    SwapIn,
}

impl Workload {
    /// All of them, in the order they are shown in.
    pub const ALL: [Self; 12] = [
        Self::Sequential,
        Self::Random,
        Self::ColdDestination,
        Self::HalfCold,
        Self::Strided,
        Self::ZeroRead,
        Self::CopyOnWrite,
        Self::ColdFile,
        Self::Churn,
        Self::Mixed,
        Self::Compress,
        Self::SwapIn,
    ];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sequential => "sequential",
            Self::Random => "random",
            Self::ColdDestination => "cold-destination",
            Self::HalfCold => "half-cold",
            Self::Strided => "strided",
            Self::ZeroRead => "zero-read",
            Self::CopyOnWrite => "copy-on-write",
            Self::ColdFile => "cold-file",
            Self::Churn => "churn",
            Self::Mixed => "mixed",
            Self::Compress => "compress",
            Self::SwapIn => "swap-in",
        }
    }

    /// What it is, in a line.
    pub const fn about(self) -> &'static str {
        match self {
            Self::Sequential => "one copy, source and destination not mapped",
            Self::Random => "4 KiB copies of random pages of a region that is not mapped",
            Self::ColdDestination => "one copy, only the destination not mapped",
            Self::HalfCold => "one copy, every other 64 KiB of the destination not mapped",
            Self::Strided => "4 KiB copies of every fourth page of a region that is not mapped",
            Self::ZeroRead => "one comparison of zeros nobody has touched",
            Self::CopyOnWrite => "one copy to memory shared with a child since its fork",
            Self::ColdFile => "one copy of a file that is not in the page cache",
            Self::Churn => "copies to one destination, given back (DONTNEED) before each",
            Self::Mixed => "one cold copy, and warm 4 KiB copies beside it",
            Self::Compress => "compression of a region that is not mapped, 1 MiB at a time",
            Self::SwapIn => "one copy of memory that was swapped out",
        }
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Workload {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|workload| workload.name() == word)
            .ok_or_else(|| format!("workload {word:?}: {}", Self::ALL.map(Self::name).join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_workload_is_known_by_its_name() {
        for workload in Workload::ALL {
            assert_eq!(workload.name().parse(), Ok(workload));
        }
        assert!("sequentially".parse::<Workload>().is_err());
    }
}
