//! Why a configuration cannot be had, and what of it is not needed.

use std::fmt;

/// Everything a machine cannot do of a configuration. Nothing was touched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", Lines(.refusals))]
pub struct Refused {
    /// At least one.
    pub refusals: Vec<Refusal>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, thiserror::Error)]
#[error("{at}: {attribute}: {kind}")]
pub struct Refusal {
    /// As `dsa0/wq0.1`.
    pub at: String,
    /// The key.
    pub attribute: &'static str,
    /// Why.
    #[serde(flatten)]
    pub kind: RefusalKind,
}

/// Why.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, thiserror::Error)]
#[serde(tag = "why", rename_all = "snake_case")]
#[non_exhaustive]
pub enum RefusalKind {
    /// Not on this machine, or not of this device.
    #[error("not there")]
    NotThere,
    /// Named before.
    #[error("named twice")]
    Twice,
    /// The device's configuration cannot be changed.
    #[error("the device cannot be configured")]
    NotConfigurable,
    /// The device is in use.
    #[error("the device is enabled")]
    Enabled,
    /// Out of bounds.
    #[error("{value} is not within {min} and {max}")]
    Range {
        /// What was asked for.
        value: i64,
        /// Least.
        min: i64,
        /// Most.
        max: i64,
    },
    /// Not one of the words.
    #[error("{value:?} is not {expected}")]
    Word {
        /// What was asked for.
        value: String,
        /// What it should be.
        expected: &'static str,
    },
    /// The device has no such attribute, and is not as asked for without it.
    #[error("this device has no such attribute, so it cannot be {value}")]
    Unsupported {
        /// What was asked for.
        value: String,
    },
    /// In the list of one group, and said to be in another.
    #[error("listed in group {listed} and said to be in {said}")]
    ListedElsewhere {
        /// By its place.
        listed: u32,
        /// By `group_id`.
        said: i64,
    },
    /// More than there is.
    #[error("{sum} in all, of {max}")]
    Sum {
        /// Over all parts of the device.
        sum: u64,
        /// What it has.
        max: u64,
    },
    /// Excluded by another attribute.
    #[error("not together with {with}")]
    Conflict {
        /// The other, and its value.
        with: &'static str,
    },
    /// Operations that the device does not have.
    #[error("operations {extra} are not the device's")]
    Operations {
        /// A bitmap.
        extra: String,
    },
    /// This version does not have it.
    #[error("cannot be changed on version {version:#x}")]
    Version {
        /// The device's.
        version: u32,
    },
    /// To be enabled, and not ready for it.
    #[error("cannot be enabled without {without}")]
    NotReady {
        /// What is missing.
        without: &'static str,
    },
}

/// Something in a configuration that is not written.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Note {
    /// As `dsa0/wq0.1`.
    pub at: String,
    /// The key.
    pub attribute: String,
    /// Why that does no harm.
    pub why: &'static str,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, attribute, why } = self;
        write!(f, "{at}: {attribute}: {why}")
    }
}

/// One refusal a line.
struct Lines<'r>(&'r [Refusal]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, refusal) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{refusal}")?;
        }
        Ok(())
    }
}
