//! The software error register: where errors go that have no completion record to go to.

use idxd_spec::register::{SwError, SwErrorDescriptor};
use idxd_spec::{Descriptor, EventInformation, EventLogEntry, LoggedDescriptor, Opcode, Operand, Status};
use parking_lot::Mutex;

use crate::bus::PAGE_BYTES;

/// The first error since the register was cleared (DSA §9.2.15).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SoftwareError {
    /// What went wrong, with the write bit for a fault on a write.
    pub status: Status,
    /// The work queue the descriptor was submitted to; 0 for an error without one.
    pub queue: usize,
    /// The operation of the descriptor.
    pub opcode: Opcode,
    /// Its place in a batch, if it was in one.
    pub batch_index: Option<u16>,
    /// The PASID it ran with.
    pub pasid: u32,
    /// For a page fault, the address, bits 11:0 zero.
    pub fault_addr: u64,
    /// For a page fault, which of the addresses.
    pub operand: Operand,
    /// More errors came while this one was here; they are lost.
    pub overflow: bool,
}

impl SoftwareError {
    fn of(register: &SwError) -> Self {
        let descriptor = register.descriptor();
        let code = register.code();
        Self {
            status: if register.is_write() { code.with_write() } else { code },
            queue: register.wq().map_or(0, usize::from),
            opcode: descriptor.map_or(Opcode::NOOP, |descriptor| descriptor.opcode),
            batch_index: descriptor.and_then(|descriptor| descriptor.batch_index),
            pasid: descriptor.map_or(0, |descriptor| descriptor.pasid),
            fault_addr: register.addr(),
            operand: if code.is_page_fault() { register.operand() } else { Operand::UNKNOWN },
            overflow: register.overflow(),
        }
    }
}

/// Where a descriptor came from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    pub(crate) queue: usize,
    /// The batch it is in, or is itself: its identifier.
    pub(crate) batch_id: Option<u8>,
    /// Its place in it, if it is in one.
    pub(crate) batch_index: Option<u16>,
}

/// An entry about `descriptor`, as it goes to the event log, or to the register in the form that has.
pub(crate) fn entry(code: Status, origin: Origin, descriptor: &Descriptor) -> EventLogEntry {
    let logged = LoggedDescriptor {
        opcode: descriptor.opcode(),
        pasid: descriptor.pasid(),
        privileged: descriptor.privileged(),
        batch_index: origin.batch_index,
        batch_id: origin.batch_id,
    };
    EventLogEntry::new(code).with_wq(u8::try_from(origin.queue).unwrap_or(u8::MAX)).with_descriptor(logged)
}

/// The same error in the register's form: handles without what only the log has beside them, addresses without their
/// offset in the page.
pub(crate) fn register_form(entry: &EventLogEntry) -> SwError {
    let code = entry.code();
    let mut error = SwError::new(code);
    if let Some(wq) = entry.wq() {
        error = error.with_wq(wq);
    }
    if let Some(LoggedDescriptor { opcode, pasid, privileged, batch_index, .. }) = entry.descriptor() {
        error = error.with_descriptor(SwErrorDescriptor { opcode, pasid, privileged, batch_index });
    }
    if entry.is_write() {
        error = error.with_write();
    }
    if let Some(EventInformation(information)) = entry.information() {
        let kept = match code {
            Status::INTERRUPT_HANDLE => information & 0xffff,
            code if code.is_page_fault() => information & 0xe000_ffff,
            _ => information,
        };
        error = error.with_information(kept);
    }
    if code.is_page_fault() { error.with_addr(entry.addr() & !(PAGE_BYTES - 1)) } else { error }
}

/// Holds one error; the next ones only set its overflow.
#[derive(Default)]
pub(crate) struct Register(Mutex<SwError>);

impl Register {
    /// Takes an error in. Says whether the register became valid.
    pub(crate) fn record(&self, error: SwError) -> bool {
        let mut held = self.0.lock();
        if held.valid() {
            *held = held.with_overflow();
            return false;
        }
        let overflow = held.overflow();
        *held = if overflow { error.with_overflow() } else { error };
        true
    }

    pub(crate) fn value(&self) -> Option<SoftwareError> {
        let held = *self.0.lock();
        held.valid().then(|| SoftwareError::of(&held))
    }

    pub(crate) fn word(&self, index: usize) -> u64 {
        self.0.lock().0.get(index).copied().unwrap_or(0)
    }

    /// Clears those of the valid and overflow bits that are 1 in `bits`.
    pub(crate) fn clear_bits(&self, bits: u64) {
        self.0.lock().0[0] &= !(bits & 3);
    }

    pub(crate) fn clear(&self) {
        *self.0.lock() = SwError::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_error_is_lost_but_for_the_overflow_bit() {
        let register = Register::default();
        let origin = Origin { queue: 3, batch_id: None, batch_index: Some(5) };
        let first = entry(Status::PAGE_FAULT.with_write(), origin, &Descriptor::noop().with_pasid(9))
            .with_addr(0x1234)
            .with_information(EventInformation::of_operand(Operand::DST));
        assert!(register.record(register_form(&first)));
        assert!(!register.record(SwError::new(Status::BAD_OPCODE)));
        let error = register.value().unwrap();
        assert_eq!((error.status, error.queue, error.batch_index), (Status(0x83), 3, Some(5)));
        assert_eq!((error.fault_addr, error.operand, error.pasid), (0x1000, Operand::DST, 9));
        assert!(error.overflow);
        register.clear_bits(1);
        assert_eq!((register.value(), register.word(0) & 3), (None, 2));
        assert!(register.record(SwError::new(Status::BAD_OPCODE)));
        assert_eq!(register.word(0) & 3, 3);
    }
}
