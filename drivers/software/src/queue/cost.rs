//! About how long a job takes, in bytes copied: what is done on the caller's thread, and how much a worker takes at once.
//!
//! Factors are rounded up from what `benches/benches/operations.rs` measures on warm buffers.

use svala::{CipherMode, Crc, CrcBypass, Filter, FilterKind, Job, Packing};

/// Compressing a byte takes as long as copying this many.
const DEFLATE: u64 = 64;
/// So does expanding one.
const INFLATE: u64 = 16;
/// Making LZ4 of it, and expanding that.
const LZ4: u64 = 16;
const LZ4_BACK: u64 = 4;
/// Copying it twice, or copying it and looking at it again.
const TWICE: u64 = 2;
/// Making a field of a block, or checking one.
const BLOCKS: u64 = 4;
/// Encrypting it, and hashing it.
const CIPHER: u64 = 8;
/// Encrypting it block after block.
const CIPHER_CHAIN: u64 = 32;
/// Reversing its bits first.
const REVERSED: u64 = 4;
/// Computing with it.
const NUMBERS: u64 = 8;
/// Unpacking an element.
const ELEMENT: u64 = 16;
/// Writing it back from the caches.
const FLUSH: u64 = 16;
/// Making it present, where it may be absent: a fault less for the CPU, but the same work for the kernel.
const POPULATE: u64 = 8;

/// What `job` costs.
pub(super) fn cost(job: &Job) -> u64 {
    let bytes = job.bytes();
    bytes.saturating_mul(match *job {
        Job::Deflate { .. } | Job::DeflateDictionary { .. } | Job::DeflateMiniblocks { .. } => DEFLATE,
        // How far the block goes is not known.
        Job::IndexMiniblocks { .. } => INFLATE,
        Job::InflateMiniblocks { dst, .. } => return bytes.max(dst.len).saturating_mul(INFLATE),
        // The output may be the longer one.
        Job::Inflate { src, dst, .. } | Job::InflateDictionary { src, dst, .. } => {
            return src.len.max(dst.len).saturating_mul(INFLATE);
        }
        Job::DecryptInflate { src, dst, mode, .. } => {
            let expands = src.len.max(dst.len).saturating_mul(INFLATE);
            return expands.saturating_add(src.len.saturating_mul(decryption(mode)));
        }
        Job::Lz4Compress { .. } => LZ4,
        Job::Lz4Decompress { src, dst, .. } => return src.len.max(dst.len).saturating_mul(LZ4_BACK),
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
        // Elements of whole bytes are compared as fast as they are read; others are unpacked one by one, and the second
        // input, the output or the expanded column may be longer.
        Job::Filter { filter, .. } if filter.kind() == FilterKind::Scan && is_whole(filter) => TWICE,
        Job::Filter { src, filter, dst, .. } => {
            let elements = u64::from(filter.count()).saturating_mul(ELEMENT);
            let decrypts = filter.decryption().map_or(0, |mode| src.len.saturating_mul(decryption(mode)));
            return elements.saturating_add(bytes).saturating_add(dst.len).saturating_add(decrypts);
        }
        Job::ZeroCompress { .. } | Job::CrcAny { .. } => NUMBERS,
        Job::ZeroDecompress { src, dst, .. } => return src.len.max(dst.len).saturating_mul(NUMBERS),
        Job::Cipher { mode, .. } => decryption(mode),
        Job::CacheFlush { .. } => FLUSH,
        Job::TranslationFetch { .. } => POPULATE,
        _ => 1,
    })
}

/// What a byte costs, either way.
const fn decryption(mode: CipherMode) -> u64 {
    match mode {
        CipherMode::Gcm => CIPHER,
        CipherMode::Cfb | CipherMode::Xts => CIPHER_CHAIN,
    }
}

/// Whether elements are whole bytes, and the output bits.
const fn is_whole(filter: Filter) -> bool {
    let whole = matches!(filter.width(), 8 | 16 | 32) && matches!(filter.packing(), Packing::Little);
    whole && !filter.is_deflated() && !filter.is_indices() && filter.decryption().is_none()
}

const fn is_reversed(crc: Crc) -> bool {
    crc.bypass.contains(CrcBypass::REFLECTION)
}
