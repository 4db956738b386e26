//! What is done about absent memory, ours and others'.

use std::fmt;
use std::str::FromStr;

use svala::FaultPolicy;

/// A descriptor of most libraries: what a work queue takes in one.
pub(crate) const PIECE_BYTES: u32 = 2 << 20;

/// What is done about absent memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Policy {
    /// The CPU populates everything first, and then the operation meets no fault: what cannot be beaten by waiting for
    /// faults.
    Floor,
    /// The submitting thread touches every page of a descriptor's memory before it submits that.
    InlineTouch,
    /// The faulting page is touched and the rest submitted again: what libraries do today.
    OnePage,
    /// 128 KiB from the faulting page on are touched and the rest submitted again, as LightDSA does.
    LookAhead,
    /// The device asks for pages and its engine waits.
    Block,
    /// svala's default.
    Resolve,
    /// svala populates an operation's memory before it is submitted.
    Prefetch,
    /// svala takes whichever of its three a cost model says is cheapest for the operation.
    Auto,
}

impl Policy {
    /// All of them, in the order they are shown in.
    pub const ALL: [Self; 8] = [
        Self::Floor,
        Self::InlineTouch,
        Self::OnePage,
        Self::LookAhead,
        Self::Block,
        Self::Resolve,
        Self::Prefetch,
        Self::Auto,
    ];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::InlineTouch => "inline-touch",
            Self::OnePage => "one-page",
            Self::LookAhead => "look-ahead",
            Self::Block => "block",
            Self::Resolve => "resolve",
            Self::Prefetch => "prefetch",
            Self::Auto => "auto",
        }
    }

    /// Whether it is one of svala's, and not a rival or the floor.
    pub const fn is_ours(self) -> bool {
        matches!(self, Self::Block | Self::Resolve | Self::Prefetch | Self::Auto)
    }

    /// Bytes of a descriptor at most, where that is the policy's to say: rivals have one for each of their pieces, as the
    /// libraries they stand for.
    pub(crate) const fn descriptor_bytes(self) -> Option<u32> {
        match self {
            Self::InlineTouch | Self::OnePage | Self::LookAhead => Some(PIECE_BYTES),
            Self::Floor | Self::Block | Self::Resolve | Self::Prefetch | Self::Auto => None,
        }
    }

    /// What the runtime is to do about faults.
    pub(crate) const fn of_runtime(self) -> FaultPolicy {
        match self {
            Self::InlineTouch | Self::OnePage | Self::LookAhead => FaultPolicy::Fail,
            Self::Block => FaultPolicy::BlockOnFault,
            Self::Prefetch => FaultPolicy::Prefetch,
            Self::Auto => FaultPolicy::Auto,
            Self::Floor | Self::Resolve => FaultPolicy::Resolve,
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Policy {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|policy| policy.name() == word)
            .ok_or_else(|| format!("policy {word:?}: {}", Self::ALL.map(Self::name).join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_policy_is_known_by_its_name() {
        for policy in Policy::ALL {
            assert_eq!(policy.name().parse(), Ok(policy));
        }
        assert!("readahead".parse::<Policy>().is_err());
    }
}
