//! What the device writes to the event log in memory.
//!
//! An entry stands where an error has no completion record to go to, and where a completion record could not be written:
//! then the record is in the entry, and who processes the log writes it for the device.

use core::fmt;

use crate::field::Field;
use crate::{Opcode, Operand, Status};

const HEADER: Field<u64> = Field::at(0);
const BATCH_INDEX: Field<u16> = Field::at(8);
const INFORMATION: Field<u32> = Field::at(12);
const ADDR: Field<u64> = Field::at(16);
const RECORD: usize = 32;

const DESCRIPTOR_VALID: u64 = 1 << 2;
const WQ_VALID: u64 = 1 << 3;
const BATCH_MEMBER: u64 = 1 << 4;
const WRITE: u64 = 1 << 5;
const PRIVILEGED: u64 = 1 << 6;
const INFORMATION_VALID: u64 = 1 << 7;

/// One entry, 64 bytes. On a device with larger entries the rest is reserved.
///
/// Source: DSA §5.9.1, table 5-9.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct EventLogEntry {
    bytes: [u8; EventLogEntry::SIZE],
}

const _: () = assert!(ADDR.range().end == 24 && INFORMATION.range().end == 16);

impl EventLogEntry {
    /// Bytes of an entry that have a meaning.
    pub const SIZE: usize = 64;
    /// Bytes of the completion record in it: that of an IAA is not there beyond them.
    pub const RECORD_SIZE: usize = 32;

    /// Takes the bytes as the device wrote them.
    #[must_use]
    pub const fn from_bytes(bytes: &[u8; Self::SIZE]) -> Self {
        Self { bytes: *bytes }
    }

    /// The bytes as a device writes them.
    #[must_use]
    pub const fn to_bytes(&self) -> [u8; Self::SIZE] {
        self.bytes
    }

    fn header(&self) -> u64 {
        HEADER.read(&self.bytes)
    }

    fn header_byte(&self, low: u32) -> u8 {
        (self.header() >> low).to_le_bytes()[0]
    }

    /// Byte 1: the code. Bit 7 of a status is not here but in [`is_write`](Self::is_write).
    #[must_use]
    pub fn code(&self) -> Status {
        Status(self.header_byte(8))
    }

    /// Byte 0, bit 5: the access that faulted was a write.
    #[must_use]
    pub fn is_write(&self) -> bool {
        self.header() & WRITE != 0
    }

    /// Byte 2, if byte 0, bit 3 says that the work queue is known.
    #[must_use]
    pub fn wq(&self) -> Option<u8> {
        (self.header() & WQ_VALID != 0).then(|| self.header_byte(16))
    }

    /// The descriptor, if byte 0, bit 2 says that it is known.
    #[must_use]
    pub fn descriptor(&self) -> Option<LoggedDescriptor> {
        let header = self.header();
        if header & DESCRIPTOR_VALID == 0 {
            return None;
        }
        let opcode = Opcode(self.header_byte(32));
        let is_member = header & BATCH_MEMBER != 0;
        Some(LoggedDescriptor {
            opcode,
            pasid: (HEADER.read(&self.bytes) >> 40 & 0xf_ffff).try_into().unwrap_or(0),
            privileged: header & PRIVILEGED != 0,
            batch_index: is_member.then(|| BATCH_INDEX.read(&self.bytes)),
            batch_id: (is_member || opcode == Opcode::BATCH).then(|| self.header_byte(24)),
        })
    }

    /// Bytes 15:12, if they mean something: the flags that are invalid for 0x11, else if byte 0, bit 7 says so.
    #[must_use]
    pub fn information(&self) -> Option<EventInformation> {
        let known = self.header() & INFORMATION_VALID != 0 || self.code() == Status::INVALID_FLAGS;
        known.then(|| EventInformation(INFORMATION.read(&self.bytes)))
    }

    /// Bytes 23:16: the address that faulted, or for 0x1a, 0x26 and 0x27 that of the completion record, all bits of it.
    #[must_use]
    pub fn addr(&self) -> u64 {
        ADDR.read(&self.bytes)
    }

    /// Bytes 63:32: the completion record, if [`EventInformation::record_required`] says that it is to be written.
    #[must_use]
    pub fn record(&self) -> [u8; Self::RECORD_SIZE] {
        let mut record = [0; Self::RECORD_SIZE];
        record.copy_from_slice(&self.bytes[RECORD..]);
        record
    }
}

/// For a device model.
impl EventLogEntry {
    /// An entry with `code` and nothing else known. The write bit of the status goes where it belongs.
    #[must_use]
    pub fn new(code: Status) -> Self {
        let write = if code.is_write_fault() { WRITE } else { 0 };
        let mut this = Self { bytes: [0; Self::SIZE] };
        HEADER.write(&mut this.bytes, u64::from(code.code()) << 8 | write);
        this
    }

    fn with_header(mut self, bits: u64) -> Self {
        let header = self.header() | bits;
        HEADER.write(&mut self.bytes, header);
        self
    }

    /// Sets [`wq`](Self::wq).
    #[must_use]
    pub fn with_wq(self, wq: u8) -> Self {
        self.with_header(WQ_VALID | u64::from(wq) << 16)
    }

    /// Sets [`descriptor`](Self::descriptor).
    #[must_use]
    pub fn with_descriptor(mut self, descriptor: LoggedDescriptor) -> Self {
        let LoggedDescriptor { opcode, pasid, privileged, batch_index, batch_id } = descriptor;
        BATCH_INDEX.write(&mut self.bytes, batch_index.unwrap_or(0));
        let member = if batch_index.is_some() { BATCH_MEMBER } else { 0 };
        let privilege = if privileged { PRIVILEGED } else { 0 };
        let ids = u64::from(batch_id.unwrap_or(0)) << 24 | u64::from(opcode.0) << 32;
        self.with_header(DESCRIPTOR_VALID | member | privilege | ids | u64::from(pasid & 0xf_ffff) << 40)
    }

    /// Sets [`information`](Self::information).
    #[must_use]
    pub fn with_information(mut self, information: EventInformation) -> Self {
        INFORMATION.write(&mut self.bytes, information.0);
        if self.code() == Status::INVALID_FLAGS { self } else { self.with_header(INFORMATION_VALID) }
    }

    /// Sets [`addr`](Self::addr).
    #[must_use]
    pub fn with_addr(mut self, addr: u64) -> Self {
        ADDR.write(&mut self.bytes, addr);
        self
    }

    /// Sets [`record`](Self::record) to the first 32 bytes of `record`, or fewer.
    #[must_use]
    pub fn with_record(mut self, record: &[u8]) -> Self {
        let len = record.len().min(Self::RECORD_SIZE);
        self.bytes[RECORD..RECORD + len].copy_from_slice(&record[..len]);
        self
    }
}

impl fmt::Debug for EventLogEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventLogEntry")
            .field("code", &self.code())
            .field("is_write", &self.is_write())
            .field("wq", &self.wq())
            .field("descriptor", &self.descriptor())
            .field("information", &self.information())
            .field("addr", &format_args!("{:#x}", self.addr()))
            .field("record", &format_args!("{:02x?}", self.record()))
            .finish()
    }
}

/// The descriptor that an entry is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LoggedDescriptor {
    /// Byte 4.
    pub opcode: Opcode,
    /// Bytes 7:5, bits 19:0.
    pub pasid: u32,
    /// Byte 0, bit 6.
    pub privileged: bool,
    /// Bytes 9:8: which descriptor of its batch it was, if byte 0, bit 4 says that it was in one.
    pub batch_index: Option<u16>,
    /// Byte 3, for a batch and for what was in one: the same for all entries of a batch.
    pub batch_id: Option<u8>,
}

/// Bytes 15:12 of an [`EventLogEntry`]; what is in them depends on its code.
///
/// Source: DSA §5.9.1, table 5-9, where the bits are numbered from 32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct EventInformation(pub u32);

impl EventInformation {
    const INTERRUPT: u32 = 1 << 16;
    const STORAGE: u32 = 1 << 17;
    const RECORD: u32 = 1 << 18;
    const FIRST_ERROR: u32 = 1 << 19;

    /// The operand that faulted, in bits 31:29 (63:61).
    #[must_use]
    pub const fn of_operand(operand: Operand) -> Self {
        Self((operand.0 as u32 & 7) << 29)
    }

    /// Bits 31:29 (63:61), for page faults.
    #[must_use]
    pub const fn operand(self) -> Operand {
        Operand((self.0 >> 29) as u8)
    }

    /// Bits 15:0 (47:32) and bit 17 (49), if bit 16 (48) says that an interrupt is to be raised: the handle, and whether
    /// it is one of the interrupt message storage.
    #[must_use]
    pub fn interrupt(self) -> Option<(u16, bool)> {
        let [low, high, ..] = self.0.to_le_bytes();
        (self.0 & Self::INTERRUPT != 0)
            .then(|| (u16::from_le_bytes([low, high]), self.0 & Self::STORAGE != 0))
    }

    /// Sets [`interrupt`](Self::interrupt).
    #[must_use]
    pub const fn with_interrupt(self, handle: u16, storage: bool) -> Self {
        let storage = if storage { Self::STORAGE } else { 0 };
        Self(self.0 & !0xffff | handle as u32 | Self::INTERRUPT | storage)
    }

    /// Bit 18 (50): the completion record is to be written.
    #[must_use]
    pub const fn record_required(self) -> bool {
        self.0 & Self::RECORD != 0
    }

    /// Sets [`record_required`](Self::record_required).
    #[must_use]
    pub const fn with_record_required(self) -> Self {
        Self(self.0 | Self::RECORD)
    }

    /// Bit 19 (51): nothing was logged before with this batch identifier that is of this batch.
    #[must_use]
    pub const fn first_error_in_batch(self) -> bool {
        self.0 & Self::FIRST_ERROR != 0
    }

    /// Sets [`first_error_in_batch`](Self::first_error_in_batch).
    #[must_use]
    pub const fn with_first_error_in_batch(self) -> Self {
        Self(self.0 | Self::FIRST_ERROR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each field at its bits, by hand from table 5-9.
    #[test]
    fn entry_of_a_batch_member_has_its_fields_in_place() {
        let descriptor = LoggedDescriptor {
            opcode: Opcode::FILL,
            pasid: 0xabcde,
            privileged: true,
            batch_index: Some(0x0102),
            batch_id: Some(0x33),
        };
        let information = EventInformation::of_operand(Operand::COMPLETION)
            .with_interrupt(0x0405, true)
            .with_record_required()
            .with_first_error_in_batch();
        let entry = EventLogEntry::new(Status::COMPLETION_PAGE_FAULT.with_write())
            .with_wq(7)
            .with_descriptor(descriptor)
            .with_information(information)
            .with_addr(0x1122_3344_5566_7780)
            .with_record(&[0x81; 32]);
        let bytes = entry.to_bytes();
        assert_eq!(bytes[..8], [0b1111_1100, 0x1a, 7, 0x33, 0x04, 0xde, 0xbc, 0x0a]);
        assert_eq!(bytes[8..16], [0x02, 0x01, 0, 0, 0x05, 0x04, 0b0000_1111, 0b1010_0000]);
        assert_eq!(bytes[16..24], 0x1122_3344_5566_7780_u64.to_le_bytes());
        assert!(bytes[24..32] == [0; 8] && bytes[32..] == [0x81; 32]);
        let back = EventLogEntry::from_bytes(&bytes);
        assert_eq!((back.descriptor(), back.information()), (Some(descriptor), Some(information)));
        assert_eq!(information.interrupt(), Some((0x0405, true)));
    }

    #[test]
    fn invalid_flags_need_no_information_bit() {
        let entry = EventLogEntry::new(Status::INVALID_FLAGS).with_information(EventInformation(0x41));
        assert_eq!(entry.to_bytes()[0], 0);
        assert_eq!(entry.information(), Some(EventInformation(0x41)));
        assert_eq!(EventLogEntry::new(Status::TRANSFER_SIZE).information(), None);
        assert_eq!((entry.wq(), entry.descriptor()), (None, None));
    }
}
