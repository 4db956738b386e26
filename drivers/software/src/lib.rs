//! The CPU engine: every operation at memory speed, and the arithmetic of the emulated device.
//!
//! `SoftwareQueue` makes the CPU a queue of the runtime. Without the `queue` feature the crate is the arithmetic alone:
//! functions from slices to slices and numbers, which know nothing of queues, descriptors or the runtime. [`guarded`],
//! [`check_readable`] and [`check_writable`] are for callers that work on memory somebody else may take away: maps of a
//! file that shrinks, addresses of unknown origin.

pub mod bypass;
pub mod cache;
pub mod cipher;
pub mod compare;
pub mod copy;
pub mod crc;
pub mod crc_any;
pub mod deflate;
pub mod delta;
pub mod dif;
pub mod fill;
pub mod filter;
pub mod frame;
pub mod guard;
pub mod inflate;
pub mod lz4;
pub mod numeric;
pub mod pattern;
pub mod populate_check;
#[cfg(feature = "queue")]
mod queue;
pub mod scatter_gather;
#[cfg(target_arch = "x86_64")]
mod wide;
pub mod zero;

pub use bypass::Bypass;
pub use cache::CacheLines;
pub use compare::{first_difference, first_difference_from_pattern};
pub use copy::{copy, copy_within, dualcast};
pub use crc::{
    adler32, adler32_combine, copy_crc32c, copy_crc64, crc32, crc32_combine, crc32c, crc32c_combine, crc64,
    crc64_combine,
};
pub use crc_any::AnyCrc;
pub use deflate::{Deflated, Deflater, Level, OutputFull, Segment, Window, deflate, deflate_bound};
pub use fill::fill;
pub use frame::{CheckKind, Format, FrameBytes, FrameError, HEADER_BYTES_MAX, Header, Part};
pub use guard::{Vanished, guarded};
pub use inflate::{InflateError, Inflated, Inflater, inflate};
pub use lz4::{
    LZ4_BLOCK_BYTES, Lz4Blocks, Lz4Error, Lz4Expander, Lz4Header, Lz4Start, Lz4Step, Xxh32, lz4_blocks_bound,
    lz4_blocks_len, lz4_compress_blocks, lz4_expand_blocks,
};
pub use pattern::Pattern;
pub use populate_check::{BadRange, check_readable, check_writable};
#[cfg(feature = "queue")]
pub use queue::{QueueError, SoftwareConfig, SoftwareFlight, SoftwareQueue};
pub use zero::{ZeroError, ZeroWord, zero_compress, zero_decompress};
