//! What a runtime does about device page faults.

use std::fmt;
use std::str::FromStr;

/// What to do when a device meets a page it cannot use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum FaultPolicy {
    /// Populate the page and a window ahead of it, off every executor thread, then submit the rest.
    #[default]
    Resolve,
    /// Populate all of an operation's memory before it is submitted; resolve what still faults.
    Prefetch,
    /// Have the device wait for the page, through page requests. The engine does nothing else meanwhile.
    BlockOnFault,
    /// End the operation with the fault.
    Fail,
    /// Whichever of the first three a cost model says is cheapest for the operation, see
    /// [`CostModel`](crate::CostModel).
    Auto,
}

impl FaultPolicy {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Resolve, Self::Prefetch, Self::BlockOnFault, Self::Fail, Self::Auto];
}

impl fmt::Display for FaultPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resolve => "resolve",
            Self::Prefetch => "prefetch",
            Self::BlockOnFault => "block",
            Self::Fail => "fail",
            Self::Auto => "auto",
        })
    }
}

impl FromStr for FaultPolicy {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "resolve" => Ok(Self::Resolve),
            "prefetch" => Ok(Self::Prefetch),
            "block" => Ok(Self::BlockOnFault),
            "fail" => Ok(Self::Fail),
            "auto" => Ok(Self::Auto),
            other => Err(format!("fault policy {other:?}: resolve, prefetch, block, fail or auto")),
        }
    }
}

/// Who populates memory for the resolver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ResolverChoice {
    /// Threads, and io_uring for what would wait behind ranges that hold up all of them. Where io_uring is forbidden, as in
    /// many containers, that waits: the snapshot says so, and why.
    #[default]
    Auto,
    /// Threads alone.
    Threads,
}
