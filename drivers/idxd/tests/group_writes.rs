//! What a group writes to the portal, counted.
//!
//! UNSAFETY: makes an instant portal.
#![expect(
    unsafe_code,
    reason = "the instant portal writes records through addresses: its contract is kept here"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use idxd_emu::{DeviceKind, InstantPortal};
use idxd_spec::Descriptor;
use pollster::block_on;
use svala::backend::{Completion, Kind};
use svala::{Group, GroupOptions, Runtime};
use svala_idxd::{Accepted, DsaQueue, DsaQueueConfig, Portal};

/// A portal that counts what is written to it.
struct Counting {
    portal: InstantPortal,
    writes: Arc<AtomicU64>,
}

impl Portal for Counting {
    fn submit(&self, descriptor: &Descriptor) -> Accepted {
        self.writes.fetch_add(1, Ordering::Relaxed);
        Portal::submit(&self.portal, descriptor)
    }

    fn kind(&self) -> Kind {
        Portal::kind(&self.portal)
    }

    fn completion(&self) -> Completion {
        Portal::completion(&self.portal)
    }
}

fn runtime(batch_max: u32) -> (Runtime, Arc<AtomicU64>) {
    let writes = Arc::new(AtomicU64::new(0));
    // SAFETY: records and lists are the driver's, which keeps them until their descriptors are done, and reads records
    // through atomics.
    let portal = unsafe { InstantPortal::new(DeviceKind::Dsa) };
    let counting = Counting { portal, writes: Arc::clone(&writes) };
    let config = DsaQueueConfig { batch_max, ..DsaQueueConfig::default() };
    let runtime = Runtime::builder().queue(DsaQueue::new(counting, &config)).build();
    (runtime.expect("a runtime needs a thread and an eventfd"), writes)
}

/// Writes for so many copies of 1 KiB, queued one by one and then waited for.
fn writes(batch_max: u32, copies: usize) -> u64 {
    let (runtime, writes) = runtime(batch_max);
    let mut group = Group::new(&runtime, GroupOptions::default());
    let mut done = 0;
    for _ in 0..copies {
        while block_on(group.make_room()).is_some() {
            done += 1;
        }
        group.copy(vec![1; 1024], vec![2; 1024]).expect("room");
    }
    while let Some(outcome) = block_on(group.next()) {
        assert!(outcome.result.is_ok());
        done += 1;
    }
    assert_eq!(done, copies);
    writes.load(Ordering::Relaxed)
}

#[test]
fn thirty_two_copies_are_one_write() {
    assert_eq!(writes(64, 32), 1);
    assert_eq!(writes(64, 32 * 100), 100);
    assert_eq!(writes(64, 33), 2);
}

#[test]
fn a_queue_with_shorter_lists_gets_shorter_lists() {
    assert_eq!(writes(8, 32), 4);
    assert_eq!(writes(1, 32), 32);
}
