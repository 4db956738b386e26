//! What happened on a device, in numbers.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What happened on a device since its start. Read one by one: numbers of a busy device need not add up.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct DeviceStats {
            $($(#[$doc])* pub $name: u64,)*
        }

        #[derive(Default)]
        pub(crate) struct Counters {
            $(pub(crate) $name: Counter,)*
        }

        impl Counters {
            pub(crate) fn snapshot(&self) -> DeviceStats {
                DeviceStats { $($name: self.$name.0.load(Ordering::Relaxed),)* }
            }
        }
    };
}

counters! {
    /// Descriptors that work queues accepted.
    accepted,
    /// Submissions answered Retry.
    retries,
    /// Submissions that vanished: to a full dedicated work queue, or a posted write to a disabled one.
    dropped,
    /// Descriptors engines have run, members of a batch included.
    descriptors,
    /// Batch descriptors among them.
    batches,
    /// Bytes moved, compared or read, each transfer counted once.
    bytes,
    /// Device page faults met on operands, descriptor lists and completion records.
    faults,
    /// Page requests sent.
    page_requests,
    /// Page requests answered with anything but success.
    page_requests_refused,
    /// Descriptors that ended in a partial completion.
    partial,
    /// Completion records written.
    completions,
    /// Completion records that could not be written.
    completions_lost,
    /// Errors for SWERROR, those included that found it occupied.
    software_errors,
    /// Descriptors abandoned by an abort, a halt, a reset or the end of the device: they get no record.
    abandoned,
    /// Entries written to the event log.
    events,
    /// Events that could not be logged.
    events_lost,
    /// Interrupts raised, whatever for.
    interrupts,
    /// Administrative commands begun.
    commands,
    /// Times the device halted.
    halts,
}

/// A number that only grows.
#[derive(Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }
}
