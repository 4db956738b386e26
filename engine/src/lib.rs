//! svala with the drivers wired in: opens what the machine has and picks a queue per operation.
//!
//! ```
//! use svala_engine::{Device, Engine};
//!
//! let engine = Engine::builder().device(Device::Emulated).open()?;
//! let done = svala_engine::block_on(engine.copy(vec![7_u8; 1 << 20], vec![0_u8; 1 << 20]))?;
//! let (src, dst) = done.buffers;
//! assert_eq!(src, dst);
//! println!("{} bytes by {}", done.report.bytes, done.report.path);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! This crate is apart from the runtime `svala` because the drivers depend on the runtime: the runtime cannot also
//! depend on them. [`Engine`] is a [`Runtime`] with queues in it and adds what concerns whole files: framed
//! compression ([`Engine::compress`], [`Engine::decompress`], and piece by piece with [`Segments`] and
//! [`Expander`]).

mod compress;
mod decompress;
mod device;
mod dictionary;
mod engine;
mod error;
mod expand;
mod guard;
mod hardware;
mod index;
mod miniblock;
mod qat;
mod segments;
mod stream;

pub use compress::{Compressed, Compression, compressed_bytes_max};
pub use decompress::{DecompressOutcome, Decompressed};
pub use device::Device;
pub use dictionary::DictionaryFormat;
pub use engine::{Builder, Engine};
pub use error::{DecompressError, OpenError};
pub use expand::{ExpandError, Expander};
pub use index::{BlockOutcome, Index, IndexBlock, IndexError, STREAM_END};
pub use miniblock::{MiniblockHeader, MiniblockIndex, MiniblockIndexError};
pub use segments::Segments;
pub use stream::{
    CompressReader, CompressWriter, DecodeError, DecompressReader, DecompressWriter, Decompression, Streamed,
    Trailing,
};
pub use svala::{
    Access, AesKey, Batch, BitVec, Cipher, CipherFault, Column, Completed, Config, DeflateOptions,
    Dictionary, Drained, Error, Failed, FaultPolicy, Faults, FileMap, FileMapMut, IoBuf, IoBufMut, Job, Lent,
    MiniblockFault, MiniblockSize, Miniblocks, Operation, Outcome, Path, Predicate, QueueName, QueueSnapshot,
    Reason, Report, ResolverChoice, Runtime, Slice, Snapshot, Span, Value, VirtAddr, block_on,
};
pub use svala_idxd::{HardwareOptions, Sysfs};
pub use svala_qat::QatFunctions;
pub use svala_software::{Format, FrameError};
