//! The one error the device can report without a completion record.

use super::{bit, bits_u8, bits_u16, bits_u32};
use crate::{Opcode, Operand, Status};

/// The software error register, 32 bytes. Fields other than the first two mean something only if
/// [`valid`](Self::valid).
///
/// Source: DSA §9.2.15.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SwError(pub [u64; 4]);

impl SwError {
    /// An error with `code` and nothing else known.
    #[must_use]
    pub const fn new(code: Status) -> Self {
        Self([1 | (code.0 as u64) << 8, 0, 0, 0])
    }

    /// Word 0, bit 0: an error is recorded. Writing 1 clears it.
    #[must_use]
    pub const fn valid(&self) -> bool {
        bit(self.0[0], 0)
    }

    /// Word 0, bit 1: errors came after this one and are lost. Writing 1 clears it.
    #[must_use]
    pub const fn overflow(&self) -> bool {
        bit(self.0[0], 1)
    }

    /// Word 0, bits 15:8. Bit 7 of the status is not in the code here but in [`is_write`](Self::is_write).
    #[must_use]
    pub const fn code(&self) -> Status {
        Status(bits_u8(self.0[0], 15, 8))
    }

    /// Word 0, bit 5: the access that faulted was a write.
    #[must_use]
    pub const fn is_write(&self) -> bool {
        bit(self.0[0], 5)
    }

    /// Word 0, bits 23:16, if bit 3 says that it is known.
    #[must_use]
    pub const fn wq(&self) -> Option<u8> {
        if bit(self.0[0], 3) { Some(bits_u8(self.0[0], 23, 16)) } else { None }
    }

    /// The descriptor, if word 0, bit 2 says that it is known.
    #[must_use]
    pub fn descriptor(&self) -> Option<SwErrorDescriptor> {
        let word = self.0[0];
        bit(word, 2).then(|| SwErrorDescriptor {
            opcode: Opcode(bits_u8(word, 39, 32)),
            pasid: bits_u32(word, 59, 40),
            privileged: bit(word, 6),
            batch_index: bit(word, 4).then(|| bits_u16(self.0[1], 15, 0)),
        })
    }

    /// Word 1, bits 63:32, if it means something: the invalid flags for 0x11, else if word 0, bit 7 says so.
    #[must_use]
    pub fn information(&self) -> Option<u32> {
        let known = bit(self.0[0], 7) || self.code() == Status::INVALID_FLAGS;
        known.then(|| bits_u32(self.0[1], 63, 32))
    }

    /// Word 1, bits 63:61, for a page fault with [`information`](Self::information).
    #[must_use]
    pub const fn operand(&self) -> Operand {
        Operand(bits_u8(self.0[1], 63, 61))
    }

    /// Word 2: the address, for a page fault; bits 11:0 may be 0.
    #[must_use]
    pub const fn addr(&self) -> u64 {
        self.0[2]
    }
}

/// The descriptor that caused a [`SwError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SwErrorDescriptor {
    /// Word 0, bits 39:32.
    pub opcode: Opcode,
    /// Word 0, bits 59:40.
    pub pasid: u32,
    /// Word 0, bit 6.
    pub privileged: bool,
    /// Word 1, bits 15:0: which descriptor of its batch it was, if word 0, bit 4 says that it was in one.
    pub batch_index: Option<u16>,
}

/// For a device model.
impl SwError {
    /// Sets [`overflow`](Self::overflow).
    #[must_use]
    pub const fn with_overflow(mut self) -> Self {
        self.0[0] |= 1 << 1;
        self
    }

    /// Sets [`is_write`](Self::is_write).
    #[must_use]
    pub const fn with_write(mut self) -> Self {
        self.0[0] |= 1 << 5;
        self
    }

    /// Sets [`wq`](Self::wq).
    #[must_use]
    pub const fn with_wq(mut self, wq: u8) -> Self {
        self.0[0] = self.0[0] & !(0xff << 16) | 1 << 3 | (wq as u64) << 16;
        self
    }

    /// Sets [`descriptor`](Self::descriptor). The PASID has 20 bits.
    #[must_use]
    pub fn with_descriptor(mut self, descriptor: SwErrorDescriptor) -> Self {
        let SwErrorDescriptor { opcode, pasid, privileged, batch_index } = descriptor;
        self.0[0] |= 1 << 2 | u64::from(opcode.0) << 32 | u64::from(pasid & 0xf_ffff) << 40;
        self.0[0] |= u64::from(privileged) << 6 | u64::from(batch_index.is_some()) << 4;
        self.0[1] |= u64::from(batch_index.unwrap_or(0));
        self
    }

    /// Sets [`information`](Self::information).
    #[must_use]
    pub const fn with_information(mut self, information: u32) -> Self {
        self.0[0] |= 1 << 7;
        self.0[1] = self.0[1] & 0xffff_ffff | (information as u64) << 32;
        self
    }

    /// Sets [`addr`](Self::addr).
    #[must_use]
    pub const fn with_addr(mut self, addr: u64) -> Self {
        self.0[2] = addr;
        self
    }
}
