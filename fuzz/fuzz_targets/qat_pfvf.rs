//! Whatever the physical function's register says, and whenever: bringing a function up ends, without a panic.
//!
//! Input: what each read of the register gives, four bytes each; then nothing more is said.
#![no_main]

use std::io;
use std::ops::RangeInclusive;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use qat_spec::Generation;
use svala_qat::{QatQueue, QatQueueConfig, Region, VirtualFunction};

#[derive(Debug)]
struct Hostile {
    says: Vec<u32>,
    at: AtomicUsize,
    interrupt: (UnixStream, UnixStream),
}

impl VirtualFunction for Hostile {
    fn name(&self) -> &str {
        "hostile"
    }

    fn generation(&self) -> Generation {
        Generation::Gen4
    }

    fn kind(&self) -> svala::backend::Kind {
        svala::backend::Kind::Emulated
    }

    fn read32(&self, _region: Region, offset: u64) -> u32 {
        // Messages are taken at once; what comes back is the input.
        if offset != 0x1008 {
            return 0;
        }
        self.says.get(self.at.fetch_add(1, Ordering::Relaxed)).copied().unwrap_or(0)
    }

    fn write32(&self, _region: Region, _offset: u64, _value: u32) {}

    unsafe fn map(&self, _span: svala::Span) -> io::Result<()> {
        Ok(())
    }

    fn unmap(&self, _span: svala::Span) -> io::Result<()> {
        Ok(())
    }

    fn aperture(&self) -> Vec<RangeInclusive<u64>> {
        vec![0..=(1 << 47) - 1]
    }

    fn interrupt(&self) -> BorrowedFd<'_> {
        self.interrupt.0.as_fd()
    }
}

fuzz_target!(|input: &[u8]| {
    let says = input.chunks_exact(4).map(|word| u32::from_le_bytes(word.try_into().unwrap())).collect();
    // Never readable, as nothing is written at the other end.
    let interrupt = UnixStream::pair().unwrap();
    let function = Arc::new(Hostile { says, at: AtomicUsize::new(0), interrupt });
    let config = QatQueueConfig {
        pf_ack_within: Duration::from_millis(1),
        pf_answer_within: Duration::ZERO,
        reset_within: Duration::from_millis(1),
        arena_bytes: 1 << 20,
        bounce_bytes_max: 1 << 16,
        depth: 2,
        batch_max: 2,
        ring_messages: 4,
        ..QatQueueConfig::default()
    };
    drop(QatQueue::open(function, config));
});
