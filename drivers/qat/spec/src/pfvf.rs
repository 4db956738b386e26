//! Messages between a virtual function and the driver of its physical function: one register for each direction.
//!
//! The sender sets the interrupt bit and waits until the receiver clears it. Longer answers are *blocks*, asked for byte
//! by byte, and then their check. Source: PFVF; the check's polynomial from `adf_pfvf_utils.c` (BSD 3-clause or GPL).

use core::fmt;

/// The compatibility version this speaks.
pub const VERSION: u8 = 5;
/// The version from which there is a map of services.
pub const VERSION_RING_MAP: u8 = 4;
/// The version from which a restart is acknowledged.
pub const VERSION_RESTARTING_COMPLETE: u8 = 5;

const INTERRUPT: u32 = 1 << 0;
const SYSTEM: u32 = 1 << 1;
const KIND_SHIFT: u32 = 2;
const KIND_MASK: u32 = 0x3f;
const DATA_SHIFT: u32 = 8;

/// A message as it stands in the register. Unknown kinds survive.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Message(pub u32);

/// A kind of message to the physical function.
pub mod to_pf {
    /// This function is in use.
    pub const INIT: u8 = 0x03;
    /// It no longer is.
    pub const SHUTDOWN: u8 = 0x04;
    /// Which versions fit?
    pub const COMPAT_VER_REQ: u8 = 0x06;
    /// A byte of a small block.
    pub const SMALL_BLOCK_REQ: u8 = 0x09;
    /// Ready for the restart.
    pub const RESTARTING_COMPLETE: u8 = 0x0a;
    /// Reset a ring pair.
    pub const RP_RESET: u8 = 0x10;
}

/// A kind of message from the physical function.
pub mod from_pf {
    /// The device is about to restart.
    pub const RESTARTING: u8 = 0x01;
    /// Answer to a question about versions.
    pub const VERSION_RESP: u8 = 0x02;
    /// A byte of a block.
    pub const BLOCK_RESP: u8 = 0x03;
    /// The device is broken.
    pub const FATAL_ERROR: u8 = 0x04;
    /// The device has restarted.
    pub const RESTARTED: u8 = 0x05;
    /// Answer to a ring pair reset.
    pub const RP_RESET_RESP: u8 = 0x10;
}

impl Message {
    /// A message, with the interrupt bit set. `data` is cut to 24 bits, `kind` to 6.
    pub const fn new(kind: u8, data: u32) -> Self {
        Self(INTERRUPT | SYSTEM | (kind as u32 & KIND_MASK) << KIND_SHIFT | data << DATA_SHIFT)
    }

    /// Whether it has not been taken yet.
    pub const fn is_pending(self) -> bool {
        self.0 & INTERRUPT != 0
    }

    /// The same, taken.
    #[must_use]
    pub const fn taken(self) -> Self {
        Self(self.0 & !INTERRUPT)
    }

    /// Whether it is of this protocol.
    pub const fn is_system(self) -> bool {
        self.0 & SYSTEM != 0
    }

    /// Its kind.
    pub const fn kind(self) -> u8 {
        (self.0 >> KIND_SHIFT & KIND_MASK).to_le_bytes()[0]
    }

    /// Its 24 bits of data.
    pub const fn data(self) -> u32 {
        self.0 >> DATA_SHIFT
    }

    /// Asks for a byte of a small block.
    pub const fn small_block_byte(block: Block, byte: u8) -> Self {
        Self::new(to_pf::SMALL_BLOCK_REQ, block.0 as u32 & 0xf | (byte as u32 & 0x1f) << 4)
    }

    /// Asks for the check of the first `bytes` bytes of a small block, of which there is at least one.
    pub const fn small_block_check(block: Block, bytes: u8) -> Self {
        let request = Self::small_block_byte(block, bytes.saturating_sub(1));
        Self(request.0 | 1 << (DATA_SHIFT + 9))
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Message({:#04x}, {:#08x}{})",
            self.kind(),
            self.data(),
            if self.is_pending() { ", pending" } else { "" }
        )
    }
}

/// A small block: at most 32 bytes, version and length first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Block(pub u8);

impl Block {
    /// What the device can do.
    pub const CAPABILITIES: Self = Self(2);
    /// What each ring pair does.
    pub const RING_MAP: Self = Self(3);
    /// Bytes of version and length.
    pub const HEADER_BYTES: usize = 2;
    /// Bytes of the largest.
    pub const BYTES_MAX: usize = 32;
}

/// The answer to a question about a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BlockAnswer {
    /// A byte of it.
    Byte(u8),
    /// Its check.
    Check(u8),
    /// The question was refused, with this code.
    Error(u8),
    /// A kind of answer there is no name for.
    Unknown(u8),
}

impl BlockAnswer {
    /// The answer in a message's data.
    pub const fn of(data: u32) -> Self {
        let byte = (data >> 2).to_le_bytes()[0];
        match data & 3 {
            0 => Self::Byte(byte),
            1 => Self::Check(byte),
            2 => Self::Error(byte),
            _ => Self::Unknown(byte),
        }
    }
}

/// Whether the two drivers fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fit {
    /// They do.
    Compatible,
    /// They do not.
    Incompatible,
    /// The physical function's driver is older and leaves it to this side.
    Unknown,
    /// No answer there is a name for.
    Other(u8),
}

/// The answer to a question about versions: the other side's version, and whether it fits.
pub const fn version_answer(data: u32) -> (u8, Fit) {
    let [version, result, ..] = data.to_le_bytes();
    let fit = match result & 3 {
        1 => Fit::Compatible,
        2 => Fit::Incompatible,
        3 => Fit::Unknown,
        other => Fit::Other(other),
    };
    (version, fit)
}

/// The answer to a ring pair reset: 0, or why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ResetAnswer(pub u8);

impl ResetAnswer {
    /// The ring pair has been reset: nothing of it reads or writes memory any more.
    pub const DONE: Self = Self(0);
    /// This device has no such reset.
    pub const NOT_SUPPORTED: Self = Self(1);
    /// There is no such ring pair.
    pub const INVALID_BANK: Self = Self(2);
    /// It did not come to rest.
    pub const TIMEOUT: Self = Self(3);

    /// The answer in a message's data.
    pub const fn of(data: u32) -> Self {
        Self(data.to_le_bytes()[0])
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::DONE => "done",
            Self::NOT_SUPPORTED => "not supported",
            Self::INVALID_BANK => "invalid bank",
            Self::TIMEOUT => "timeout",
            _ => "unknown",
        }
    }
}

/// The check of a block: CRC-8 with polynomial 0x97, from 0xff, most significant bit first.
pub const fn crc8(bytes: &[u8]) -> u8 {
    let mut crc = 0xff;
    let mut at = 0;
    while at < bytes.len() {
        crc ^= bytes[at];
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x80 != 0 { crc << 1 ^ 0x97 } else { crc << 1 };
            bit += 1;
        }
        at += 1;
    }
    crc
}
