//! The CPU engine's queue, used as programs use it: through the runtime.

#[path = "../oracle/mod.rs"]
mod oracle;

mod batches;
mod checksums;
mod columns;
mod control;
mod integrity;
mod lifecycle;
mod numbers;
mod operations;
mod patterns;
mod pressure;
mod raw;
mod streams;
mod vanished;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use svala::{IoBuf, IoBufMut, Runtime};
use svala_software::{SoftwareConfig, SoftwareQueue};

/// The size up to which copies are done at once, unasked.
const INLINE_BYTES: usize = 256 << 10;

/// Around what the queue tells apart: nothing, little, a page, the caller's thread or the workers, one piece or many.
const LENGTHS: [usize; 12] = [
    0,
    1,
    63,
    4096,
    INLINE_BYTES - 1,
    INLINE_BYTES,
    INLINE_BYTES + 1,
    (1 << 20) + 4095,
    2 << 20,
    (2 << 20) + 1,
    5_000_001,
    (16 << 20) + 3,
];

fn runtime() -> Runtime {
    runtime_with(SoftwareConfig::default())
}

fn runtime_with(config: SoftwareConfig) -> Runtime {
    let queue = SoftwareQueue::new(config).expect("a machine has threads");
    // A dropped job goes on to its end, however long that takes where others have the processors.
    let patient = |config: &mut svala::Config| config.drain_within = std::time::Duration::from_secs(120);
    Runtime::builder().queue(queue).config(patient).build().expect("a machine has threads")
}

/// Two workers, whatever the machine, and nothing on the caller's thread.
fn never_inline() -> SoftwareConfig {
    SoftwareConfig { workers: 2, inline_bytes_max: 0, ..SoftwareConfig::default() }
}

/// Bytes that repeat with no small period.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        bytes.extend_from_slice(&(state ^ state >> 29).to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// Bytes that compress well, but not to nothing.
fn text(len: usize) -> Vec<u8> {
    let words = ["swallow ", "svala ", "page ", "fault ", "queue\n", "descriptor "];
    let picks = noise(len / 4 + 1);
    let mut bytes: Vec<u8> =
        picks.iter().flat_map(|pick| words[usize::from(*pick) % words.len()].bytes()).collect();
    bytes.truncate(len);
    assert_eq!(bytes.len(), len);
    bytes
}

/// A buffer that counts how many of its kind exist.
struct Counted {
    bytes: Vec<u8>,
    alive: Arc<AtomicUsize>,
}

impl Counted {
    fn new(bytes: Vec<u8>, alive: &Arc<AtomicUsize>) -> Self {
        alive.fetch_add(1, Ordering::SeqCst);
        Self { bytes, alive: Arc::clone(alive) }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

mod counted {
    //! UNSAFETY: a buffer of the tests.
    #![expect(unsafe_code, reason = "IoBuf is a promise about addresses")]

    use super::{Counted, IoBuf, IoBufMut};

    // SAFETY: the bytes are a vector's, owned by the value.
    unsafe impl IoBuf for Counted {
        fn bytes(&self) -> &[u8] {
            &self.bytes
        }
    }

    // SAFETY: as above.
    unsafe impl IoBufMut for Counted {
        fn bytes_mut(&mut self) -> &mut [u8] {
            &mut self.bytes
        }
    }
}
