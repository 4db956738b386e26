//! Whether the device works, and which of its lives it is in.
//!
//! A halt and a function-level reset end a life: what engines run at that moment belongs to the past and writes no
//! record any more. An engine notes the life when it takes a descriptor, and asks before it reports.

use std::sync::atomic::{AtomicU64, Ordering};

/// The number of a life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Era(u64);

/// Twice the number of the life, and 1 while the device is halted.
#[derive(Default)]
pub(crate) struct Life(AtomicU64);

impl Life {
    /// The current life, unless the device is halted.
    pub(crate) fn current(&self) -> Option<Era> {
        let value = self.0.load(Ordering::Acquire);
        (value & 1 == 0).then_some(Era(value))
    }

    /// Whether what began in `era` still counts.
    pub(crate) fn is(&self, era: Era) -> bool {
        self.0.load(Ordering::Acquire) == era.0
    }

    /// Ends the life, and begins none.
    pub(crate) fn halt(&self) {
        self.0.fetch_or(1, Ordering::AcqRel);
    }

    /// Begins a new one.
    pub(crate) fn begin(&self) {
        let _ = self.0.update(Ordering::AcqRel, Ordering::Acquire, |value| (value | 1) + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_began_before_a_halt_or_a_reset_counts_no_more() {
        let life = Life::default();
        let first = life.current().unwrap();
        life.halt();
        assert!(life.current().is_none() && !life.is(first));
        life.begin();
        let second = life.current().unwrap();
        assert!(life.is(second) && !life.is(first));
        life.begin();
        assert!(!life.is(second));
    }
}
