//! About how long a job takes, in bytes copied: what is done on the caller's thread, and how much a worker takes at once.
//!
//! Factors are rounded up from what `benches/benches/operations.rs` measures on warm buffers.

use svala::{Crc, CrcBypass, Job};

/// Compressing a byte takes as long as copying this many.
const DEFLATE: u64 = 64;
/// So does expanding one.
const INFLATE: u64 = 16;
/// Copying it twice, or copying it and looking at it again.
const TWICE: u64 = 2;
/// Making a field of a block, or checking one.
const BLOCKS: u64 = 4;
/// Reversing its bits first.
const REVERSED: u64 = 4;
/// Computing with it.
const NUMBERS: u64 = 8;
/// Writing it back from the caches.
const FLUSH: u64 = 16;
/// Making it present, where it may be absent: a fault less for the CPU, but the same work for the kernel.
const POPULATE: u64 = 8;

/// What `job` costs.
pub(super) fn cost(job: &Job) -> u64 {
    let bytes = job.bytes();
    bytes.saturating_mul(match *job {
        Job::Deflate { .. } => DEFLATE,
        // The output may be the longer one.
        Job::Inflate { src, dst, .. } => return src.len.max(dst.len).saturating_mul(INFLATE),
        Job::Crc { crc, .. } | Job::CopyCrc { crc, .. } if is_reversed(crc) => REVERSED,
        Job::Dualcast { .. } | Job::CopyCrc { .. } | Job::CreateDelta { .. } | Job::ApplyDelta { .. } => {
            TWICE
        }
        Job::DifCheck { .. }
        | Job::DifInsert { .. }
        | Job::DifStrip { .. }
        | Job::DifUpdate { .. }
        | Job::DixGenerate { .. } => BLOCKS,
        Job::Convert { .. } | Job::Reduce { .. } | Job::ReduceDualcast { .. } | Job::GatherReduce { .. } => {
            NUMBERS
        }
        Job::CacheFlush { .. } => FLUSH,
        Job::TranslationFetch { .. } => POPULATE,
        _ => 1,
    })
}

const fn is_reversed(crc: Crc) -> bool {
    crc.bypass.contains(CrcBypass::REFLECTION)
}
