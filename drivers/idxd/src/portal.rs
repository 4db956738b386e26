//! Where descriptors go.

mod enqcmd;
mod hardware;
mod movdir64b;
mod page;
mod write;

use std::sync::atomic::{AtomicU32, Ordering};

use idxd_emu::InstantPortal;
use idxd_spec::Descriptor;
use svala::backend::{Completion, Kind, Notifier};

pub use enqcmd::EnqcmdPortal;
pub use hardware::{HardwarePortal, Method, MethodChoice, NoWay, WriteReason};
pub use movdir64b::Movdir64bPortal;
pub use write::WritePortal;

/// What a portal said to a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Accepted {
    /// The device has it. (A dedicated queue says so even when it drops the descriptor: see [`Credits`].)
    Yes,
    /// No room, or the queue is disabled, or dedicated: `ENQCMD` does not tell these apart.
    Retry,
}

/// The portal of one work queue: takes 64 bytes and never blocks.
///
/// An IAA descriptor is written in the same way; its bytes are carried in the DSA type.
pub trait Portal: Send + Sync + 'static {
    /// Writes a descriptor.
    fn submit(&self, descriptor: &Descriptor) -> Accepted;

    /// What is behind the portal.
    fn kind(&self) -> Kind;

    /// Whether completions announce themselves.
    fn completion(&self) -> Completion;

    /// Keeps `notifier`, to be called after each completion. Only asked of portals that notify.
    fn attach(&self, _notifier: Notifier) {}

    /// See [`Queue::held_max`](svala::backend::Queue::held_max).
    fn held_max(&self) -> u32 {
        0
    }

    /// No more descriptors will come.
    fn close(&self) {}
}

impl Portal for InstantPortal {
    fn submit(&self, descriptor: &Descriptor) -> Accepted {
        match Self::submit(self, descriptor) {
            idxd_emu::Submission::Accepted => Accepted::Yes,
            idxd_emu::Submission::Retry => Accepted::Retry,
        }
    }

    fn kind(&self) -> Kind {
        Kind::Emulated
    }

    fn completion(&self) -> Completion {
        Completion::Polled
    }
}

/// Room in a dedicated work queue.
///
/// A full dedicated queue drops what is written to it without a word (status 0x53, only in SWERROR), so the driver
/// counts: a descriptor takes a credit when it is written and gives it back when its record is.
#[derive(Debug)]
pub struct Credits(Option<AtomicU32>);

impl Credits {
    /// Room for `size` descriptors.
    pub const fn dedicated(size: u32) -> Self {
        Self(Some(AtomicU32::new(size)))
    }

    /// A shared queue says itself when it is full.
    pub const fn shared() -> Self {
        Self(None)
    }

    /// Takes a credit, if there is one.
    pub fn take(&self) -> bool {
        self.0.as_ref().is_none_or(|credits| {
            credits.fetch_update(Ordering::AcqRel, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
        })
    }

    /// Gives one back.
    pub fn give(&self) {
        if let Some(credits) = &self.0 {
            credits.fetch_add(1, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dedicated_queue_has_as_many_credits_as_entries() {
        let credits = Credits::dedicated(2);
        assert!(credits.take() && credits.take());
        assert!(!credits.take());
        credits.give();
        assert!(credits.take());
        assert!((0..1000).all(|_| Credits::shared().take()));
    }
}
