//! Why a virtual function cannot be used.

use std::io;
use std::path::PathBuf;

use qat_spec::pfvf::{Block, Message, ResetAnswer};
use qat_spec::{Capabilities, RingMap};
use svala::Span;

/// What went wrong between this function and the driver of its physical function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PfError {
    /// The message was not taken.
    #[error("{message:?} was not taken within {tries} tries")]
    NotTaken {
        /// The message.
        message: Message,
        /// Times it was sent.
        tries: u32,
    },
    /// There was no answer.
    #[error("{message:?} was not answered within {tries} tries")]
    NotAnswered {
        /// The message.
        message: Message,
        /// Times it was sent.
        tries: u32,
    },
    /// The drivers do not fit.
    #[error("the physical function speaks version {theirs}, this is {ours}: they do not fit")]
    Incompatible {
        /// The version here.
        ours: u8,
        /// The version there.
        theirs: u8,
    },
    /// A byte of a block was refused.
    #[error("{block:?} byte {byte}: refused, code {code}")]
    Block {
        /// The block.
        block: Block,
        /// The byte.
        byte: u8,
        /// The code.
        code: u8,
    },
    /// A block arrived damaged, each time.
    #[error("{block:?}: check {theirs:#04x}, computed {ours:#04x}, {tries} times")]
    Check {
        /// The block.
        block: Block,
        /// The check sent.
        theirs: u8,
        /// The check of what arrived.
        ours: u8,
        /// Times it was asked for.
        tries: u32,
    },
    /// A block makes no sense.
    #[error("{block:?}: {what}")]
    Nonsense {
        /// The block.
        block: Block,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A ring pair reset was refused.
    #[error("ring pair {pair}: reset refused: {} ({:#04x})", answer.name(), answer.0)]
    Reset {
        /// The ring pair.
        pair: u64,
        /// The answer.
        answer: ResetAnswer,
    },
}

/// Why a virtual function cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting is out of its bounds.
    #[error("{setting} is {value}: {what}")]
    Config {
        /// The setting.
        setting: &'static str,
        /// Its value.
        value: u64,
        /// What it has to be.
        what: &'static str,
    },
    /// The physical function cannot be talked to.
    #[error("{function}: {source}")]
    Pf {
        /// The virtual function.
        function: String,
        /// What went wrong.
        #[source]
        source: PfError,
    },
    /// The device does nothing that is done here.
    #[error("{function}: neither compression nor AES-GCM in one pass: capabilities {:#x}", capabilities.bits())]
    NoService {
        /// The virtual function.
        function: String,
        /// What it can do.
        capabilities: Capabilities,
    },
    /// No ring pair compresses or encrypts: services are chosen on the physical function.
    #[error(
        "{function}: no ring pair compresses or encrypts ({}): write dc, or sym;dc, into qat/cfg_services of the physical \
         function",
        services(*map)
    )]
    NoRingPair {
        /// The virtual function.
        function: String,
        /// What they do.
        map: RingMap,
    },
    /// The arena has no room.
    #[error("arena: no {bytes} bytes free of {arena_bytes}")]
    ArenaFull {
        /// Bytes wanted.
        bytes: u64,
        /// Bytes of all of it.
        arena_bytes: u64,
    },
    /// There is no free range of addresses that the function reaches.
    #[error("no {bytes} bytes of free addresses within the {ranges} ranges the IOMMU maps, in {tries} tries")]
    Aperture {
        /// Bytes wanted.
        bytes: u64,
        /// Ranges there are.
        ranges: usize,
        /// Places tried.
        tries: u32,
    },
    /// More memory would be pinned than this process may. What other processes of the same user have pinned counts as well. A
    /// process with CAP_IPC_LOCK, as root's, is exempt.
    #[error(
        "pinning {need} bytes: RLIMIT_MEMLOCK is {limit} and {locked} are locked or pinned already here, others' \
         of this user counted as well; raise it (ulimit -l, LimitMEMLOCK=) to {} or more",
        need.saturating_add(*locked)
    )]
    MemoryLock {
        /// Bytes wanted.
        need: u64,
        /// The limit, in bytes.
        limit: u64,
        /// Bytes that are locked or pinned.
        locked: u64,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Memory cannot be mapped for the function.
    #[error("{:#x}, {} bytes: {source}", span.addr, span.len)]
    Map {
        /// The memory.
        span: Span,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// This is a child of the process that opened the function.
    #[error("the function belongs to process {process}, of which this is a child")]
    Forked {
        /// The process.
        process: u32,
    },
    /// Memory to be registered is not whole pages.
    #[error("{:#x}, {} bytes: not whole pages", span.addr, span.len)]
    NotPages {
        /// The memory.
        span: Span,
    },
    /// The system refuses something.
    #[error("{what}: {source}")]
    Os {
        /// The call and its object.
        what: &'static str,
        /// What it said.
        #[source]
        source: io::Error,
    },
    /// A file cannot be opened.
    #[error("{}: {source}", path.display())]
    Open {
        /// Where it is.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// An ioctl is refused.
    #[error("{}: {ioctl}: {source}", path.display())]
    Ioctl {
        /// The device node.
        path: PathBuf,
        /// The ioctl.
        ioctl: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A region of registers is not as it has to be.
    #[error("{}: region {index}: {what}", path.display())]
    Region {
        /// The device node.
        path: PathBuf,
        /// Its number.
        index: u32,
        /// What is wrong.
        what: &'static str,
    },
    /// What is there is not a virtual function of a QAT this knows, or is not ready.
    #[error("{address}: {what}")]
    Function {
        /// Its PCI address.
        address: String,
        /// What is missing, and the remedy.
        what: String,
    },
    /// The emulated device does not start.
    #[error("emulated device")]
    Emulated(#[source] qat_emu::Error),
}

fn services(map: RingMap) -> String {
    (0..qat_spec::ring::RING_PAIRS_MAX).map(|pair| map.service(pair).name()).collect::<Vec<_>>().join(" ")
}
