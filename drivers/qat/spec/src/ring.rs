//! Rings and their registers, as a virtual function shows them in its first region.
//!
//! A ring pair is a bank of two rings: 0 takes requests, 1 gives responses. Every access is one of 32 bits. Source: CSR.

use crate::request::Request;
use crate::response::Response;

/// Ring pairs of a virtual function.
pub const RING_PAIRS_MAX: usize = 4;
/// Bytes from one bank to the next.
pub const BANK_BYTES: u64 = 0x2000;
/// Ring of a pair that takes requests.
pub const REQUEST_RING: u64 = 0;
/// Ring of a pair that gives responses.
pub const RESPONSE_RING: u64 = 1;

/// What an empty place of the response ring begins with.
pub const EMPTY: u32 = 0x7f7f_7f7f;
/// What all of an empty place is filled with.
pub const EMPTY_WORD: u64 = 0x7f7f_7f7f_7f7f_7f7f;

/// A register of a bank, as an offset from the bank's beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Register(pub u64);

impl Register {
    /// Base address, lower half.
    pub const fn base_low(ring: u64) -> Self {
        Self(0x1040 + 4 * ring)
    }

    /// Base address, upper half.
    pub const fn base_high(ring: u64) -> Self {
        Self(0x1080 + 4 * ring)
    }

    /// Size and watermarks.
    pub const fn config(ring: u64) -> Self {
        Self(0x1000 + 4 * ring)
    }

    /// Where is read next, as a byte offset.
    pub const fn head(ring: u64) -> Self {
        Self(0x0c0 + 4 * ring)
    }

    /// Where is written next, as a byte offset.
    pub const fn tail(ring: u64) -> Self {
        Self(0x100 + 4 * ring)
    }

    /// State of the bank: bit 9 halted by the rate limiter, bit 10 an exception of it.
    pub const STAT: Self = Self(0x140);
    /// Which rings are empty.
    pub const E_STAT: Self = Self(0x14c);
    /// Which rings interrupt.
    pub const INT_FLAG_EN: Self = Self(0x16c);
    /// Which of them did.
    pub const INT_FLAG: Self = Self(0x170);
    /// What makes a ring interrupt.
    pub const INT_SRCSEL: Self = Self(0x174);
    /// Which rings interrupt after a delay.
    pub const INT_COL_EN: Self = Self(0x17c);
    /// The delay.
    pub const INT_COL_CTL: Self = Self(0x180);
    /// Both kinds of interrupt.
    pub const INT_FLAG_AND_COL: Self = Self(0x184);
    /// Which request rings are served.
    pub const ARBITER_ENABLE: Self = Self(0x19c);

    /// The offset in the region, for a bank.
    pub const fn of_bank(self, bank: u64) -> u64 {
        self.0 + bank * BANK_BYTES
    }
}

/// What is written to [`Register::INT_SRCSEL`]: the response ring is no longer empty.
pub const INT_SRCSEL_RESPONSES: u32 = 0x44;
/// Bit of [`Register::INT_COL_CTL`] that turns it on.
pub const COALESCE_ENABLE: u32 = 1 << 31;
/// About 10 us, in units of 256 ns at 1 GHz: the default of drivers.
pub const COALESCE_DEFAULT: u32 = 0x27ff >> 8;
/// Bit of [`Register::ARBITER_ENABLE`] for the request ring.
pub const ARBITER_REQUESTS: u32 = 1 << REQUEST_RING;

const NEAR_FULL: u32 = 0x0a;
const NEAR_EMPTY: u32 = 0x05;
/// 512 bytes from either end.
const WATERMARK_512: u32 = 0x08;

/// The size of a ring: `64 << code` bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RingSize(u8);

impl RingSize {
    /// The largest code: 4 MiB.
    pub const CODE_MAX: u8 = 0x10;

    /// The smallest ring with room for `messages` of `message_bytes`; none if there is none that large, or none for
    /// fewer than two.
    pub const fn of(messages: u32, message_bytes: u32) -> Option<Self> {
        let Some(bytes) = messages.checked_mul(message_bytes) else { return None };
        let mut code = 0;
        while code <= Self::CODE_MAX {
            if messages >= 2 && 64_u32 << code >= bytes {
                return Some(Self(code));
            }
            code += 1;
        }
        None
    }

    /// The code.
    pub const fn code(self) -> u8 {
        self.0
    }

    /// The size in bytes, which the base has to be aligned to.
    pub const fn bytes(self) -> u32 {
        64 << self.0
    }

    /// What is written to a request ring's configuration.
    pub const fn request_config(self) -> u32 {
        self.0 as u32
    }

    /// What is written to a response ring's configuration.
    pub const fn response_config(self) -> u32 {
        self.0 as u32 | WATERMARK_512 << NEAR_FULL | 0 << NEAR_EMPTY
    }

    /// What is written to the base registers for a ring at `addr`.
    pub const fn base(self, addr: u64) -> u64 {
        ((addr >> 6) & (u64::MAX << self.0)) << 6
    }
}

/// Most requests in flight on a pair of rings of these sizes: one place of a ring stays free, as a full ring would look
/// empty.
pub const fn in_flight_max(requests: RingSize, responses: RingSize) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "128 and 32")]
    const BYTES: [u32; 2] = [Request::SIZE as u32, Response::SIZE as u32];
    let (requests, responses) = (requests.bytes() / BYTES[0], responses.bytes() / BYTES[1]);
    let least = if requests < responses { requests } else { responses };
    least.saturating_sub(1)
}

/// Registers of the second region: interrupts and messages between the two functions.
pub mod misc {
    /// Source of an interrupt: bits 0 to 3 are the banks.
    pub const INTERRUPT_SOURCE: u64 = 0x0;
    /// What does not interrupt.
    pub const INTERRUPT_MASK: u64 = 0x4;
    /// A message of the physical function is there.
    pub const PF2VM_SOURCE: u64 = 0x1000;
    /// Whether that does not interrupt.
    pub const PF2VM_MASK: u64 = 0x1004;
    /// Message of the physical function.
    pub const PF2VM: u64 = 0x1008;
    /// Message to the physical function.
    pub const VM2PF: u64 = 0x100c;
}
