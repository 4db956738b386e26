//! A completion record on its way to memory: its bytes, and which of them mean something.

use idxd_spec::{Completion, FaultInfo, Opcode, Operand, Status};

use crate::fault_plan::{Failure, Nonsense};

/// A status code no specification uses.
const UNKNOWN_STATUS: u8 = 0x3e;

/// 32 bytes for DSA, 64 for IAA.
#[derive(Clone, Copy)]
pub(crate) struct Record {
    bytes: [u8; 64],
    len: usize,
    /// Bit n: byte n means something.
    meaning: u64,
}

impl Record {
    pub(crate) fn dsa(opcode: Opcode, completion: &Completion) -> Self {
        let mut bytes = [0; 64];
        bytes[..Completion::SIZE].copy_from_slice(&completion.to_bytes());
        Self { bytes, len: Completion::SIZE, meaning: dsa_meaning(opcode, completion.status()) }
    }

    /// A record of 64 bytes whose zeros mean something too (IAA §6.2: unused fields are written as 0).
    pub(crate) fn iaa(bytes: [u8; 64]) -> Self {
        Self { bytes, len: 64, meaning: u64::MAX }
    }

    pub(crate) fn status(&self) -> Status {
        Status(self.bytes[0])
    }

    /// What a record about invalid flags names, bits 23:0 of bytes 19:16 (DSA §8.2.6, IAA §6.2.6).
    pub(crate) fn invalid_flags(&self) -> u32 {
        u32::from_le_bytes([self.bytes[16], self.bytes[17], self.bytes[18], 0])
    }

    /// The address of a page fault; at the same place for both devices.
    pub(crate) fn fault_addr(&self) -> u64 {
        let mut addr = [0; 8];
        addr.copy_from_slice(&self.bytes[8..16]);
        u64::from_le_bytes(addr)
    }

    /// The operand of a page fault.
    pub(crate) fn fault_operand(&self) -> Operand {
        FaultInfo(self.bytes[2]).operand()
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.len]
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    pub(crate) fn meaning(&self) -> u64 {
        self.meaning
    }

    /// A record that says nothing but how it ended.
    pub(crate) fn failed(self, failure: Failure) -> Self {
        let mut bytes = [0; 64];
        bytes[..2].copy_from_slice(&[failure.status.0, failure.code.0]);
        let has_code = u64::from(failure.code.0 != 0);
        Self { bytes, meaning: 0xf1 | has_code << 1, ..self }
    }

    /// The same record with something no device may say.
    pub(crate) fn with_nonsense(mut self, nonsense: Nonsense, xfer_size: u32) -> Self {
        match nonsense {
            Nonsense::UnknownStatus => self.bytes[0] = UNKNOWN_STATUS,
            Nonsense::BytesBeyondSize => {
                self.bytes[0] = Status::PAGE_FAULT.0;
                self.bytes[4..8].copy_from_slice(&xfer_size.saturating_add(1).to_le_bytes());
                self.meaning |= 0xff01;
            }
        }
        self
    }
}

/// Bytes of a DSA record that mean something for an operation and a status (DSA §8.2, §8.3).
fn dsa_meaning(opcode: Opcode, status: Status) -> u64 {
    const STATUS: u64 = 1 << 0;
    const RESULT: u64 = 1 << 1;
    const FAULT: u64 = 1 << 2 | 0xff << 8;
    const BYTES_COMPLETED: u64 = 0xf << 4;
    const INVALID_FLAGS: u64 = 0x7 << 16;
    const HANDLE: u64 = 0x3 << 16;
    let has_result = matches!(
        opcode,
        Opcode::COMPARE
            | Opcode::COMPARE_PATTERN
            | Opcode::CREATE_DELTA
            | Opcode::BATCH
            | Opcode::TYPE_CONVERSION
            | Opcode::REDUCE
            | Opcode::REDUCE_DUALCAST
            | Opcode::GATHER_REDUCE
            | Opcode::INTER_DOMAIN_COMPARE
            | Opcode::INTER_DOMAIN_COMPARE_PATTERN
    );
    let has_handle = (Opcode::TYPE_CONVERSION..=Opcode::SCATTER_FILL).contains(&opcode)
        || (Opcode::INTER_DOMAIN_COPY..=Opcode::INTER_DOMAIN_COMPARE_PATTERN).contains(&opcode);
    let is_end = status.is_success() || status.is_page_fault() || status == Status::BATCH_FAILED;
    let mut meaning = STATUS;
    if status.is_page_fault() {
        meaning |= FAULT;
        if opcode == Opcode::MEMMOVE {
            meaning |= RESULT;
        }
    }
    if is_end && opcode != Opcode::TRANSLATION_FETCH {
        meaning |= BYTES_COMPLETED;
    }
    if is_end && has_result {
        meaning |= RESULT;
    }
    if is_end {
        meaning |= result_bytes(opcode);
    }
    // Where the operation stopped; and of a data integrity field, what is wrong with it.
    if matches!(status, Status::DELTA_ORDER | Status::DELTA_RANGE) {
        meaning |= BYTES_COMPLETED;
    }
    if status == Status::DIF_ERROR {
        meaning |= RESULT | BYTES_COMPLETED;
    }
    let is_about_handle =
        (Status::INTER_DOMAIN_HANDLE.0..=Status::INTER_DOMAIN_INACCESSIBLE.0).contains(&status.0);
    if has_handle && (status.is_page_fault() || is_about_handle || status == Status::ALIGNMENT) {
        meaning |= HANDLE;
    }
    if status == Status::INVALID_FLAGS {
        meaning |= INVALID_FLAGS;
    }
    meaning
}

/// Bytes of a DSA record in which an operation leaves more than its result, when it ends and when a fault stops it.
fn result_bytes(opcode: Opcode) -> u64 {
    const DELTA_SIZE: u64 = 0xf << 16;
    const CRC: u64 = 0xff << 16;
    const SRC_TAGS: u64 = 0xff << 16;
    const DST_TAGS: u64 = 0xff << 24;
    const LIST_ENTRIES: u64 = 0x3 << 20;
    match opcode {
        Opcode::GATHER_REDUCE | Opcode::GATHER_COPY | Opcode::SCATTER_COPY | Opcode::SCATTER_FILL => {
            LIST_ENTRIES
        }
        Opcode::CREATE_DELTA => DELTA_SIZE,
        Opcode::CRC | Opcode::COPY_CRC => CRC,
        Opcode::DIF_CHECK | Opcode::DIF_STRIP => SRC_TAGS,
        Opcode::DIF_INSERT | Opcode::DIX_GENERATE => DST_TAGS,
        Opcode::DIF_UPDATE => SRC_TAGS | DST_TAGS,
        _ => 0,
    }
}
