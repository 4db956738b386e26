//! What the tests share: a queue that does as it is told, memory that can be seen, and ways to wait.
#![allow(dead_code, unused_imports, unreachable_pub, reason = "each test binary uses a part of this")]

mod engine;
mod memory;
mod queue;
mod wait;

pub use memory::{Cold, Counted, Drops};
pub use queue::{Device, End, Faulting, Options, Plan, Scripted, Stats, When};
pub use wait::{DEADLINE, Task, until, within};

use svala::backend::Completion;
use svala::{Config, Runtime};

/// Both ways a queue can make itself heard.
pub const BOTH: [Completion; 2] = [Completion::Polled, Completion::Notified];

/// A runtime over one scripted queue.
pub fn runtime(options: Options) -> (Runtime, Device) {
    runtime_with(options, |_| {})
}

/// A runtime over one scripted queue, with other settings.
pub fn runtime_with(options: Options, change: impl FnOnce(&mut Config)) -> (Runtime, Device) {
    let (queue, device) = Scripted::new(options);
    let runtime = Runtime::builder().config(change).queue(queue).build().expect("threads and an eventfd");
    (runtime, device)
}

/// `len` bytes that differ from their neighbours.
pub fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut random = Random::new(seed);
    let mut bytes = vec![0; len];
    for word in bytes.chunks_mut(8) {
        let next = random.next().to_le_bytes();
        word.copy_from_slice(&next[..word.len()]);
    }
    bytes
}

/// CRC-32C one bit at a time: slow, and by nobody's table.
pub fn crc32c(seed: u32, bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!seed, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg()))
    })
}

/// Numbers that look random, the same for the same seed (splitmix64).
pub struct Random(u64);

impl Random {
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    pub const fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}
