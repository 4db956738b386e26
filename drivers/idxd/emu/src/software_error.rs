//! The software error register: where errors go that have no completion record to go to.

use idxd_spec::{Descriptor, Opcode, Operand, Status};
use parking_lot::Mutex;

/// The first error since the register was cleared (DSA §9.2.15).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SoftwareError {
    /// What went wrong, with the write bit for a fault on a write.
    pub status: Status,
    /// The work queue the descriptor was submitted to.
    pub queue: usize,
    /// The operation of the descriptor.
    pub opcode: Opcode,
    /// Its place in a batch, if it was in one.
    pub batch_index: Option<u16>,
    /// For a page fault, the address, bits 11:0 zero.
    pub fault_addr: u64,
    /// For a page fault, which of the addresses.
    pub operand: Operand,
    /// More errors came while this one was here; they are lost.
    pub overflow: bool,
}

/// Where a descriptor came from, for the register.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    pub(crate) queue: usize,
    pub(crate) batch_index: Option<u16>,
}

impl SoftwareError {
    pub(crate) fn new(status: Status, origin: Origin, descriptor: &Descriptor) -> Self {
        Self {
            status,
            queue: origin.queue,
            opcode: descriptor.opcode(),
            batch_index: origin.batch_index,
            fault_addr: 0,
            operand: Operand::UNKNOWN,
            overflow: false,
        }
    }
}

/// Holds one error; the next ones only set its overflow.
#[derive(Default)]
pub(crate) struct Register(Mutex<Option<SoftwareError>>);

impl Register {
    pub(crate) fn record(&self, error: SoftwareError) {
        let mut held = self.0.lock();
        match held.as_mut() {
            Some(first) => first.overflow = true,
            None => *held = Some(error),
        }
    }

    pub(crate) fn value(&self) -> Option<SoftwareError> {
        *self.0.lock()
    }

    pub(crate) fn clear(&self) {
        *self.0.lock() = None;
    }
}
