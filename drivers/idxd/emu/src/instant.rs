//! A device that is done at once and has done nothing: for measuring what software around a device costs.
//!
// UNSAFETY: writes completion records and reads batch lists through addresses from descriptors, on the contract of
// `InstantPortal::new`.
#![expect(unsafe_code, reason = "writes records by plain stores, at addresses from descriptors")]

use std::ptr;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use idxd_spec::{Descriptor, Flags, Opcode, Status};

use crate::index::index;
use crate::{DeviceKind, Submission};

/// Completes every descriptor with success, on the thread that submits it, before [`submit`](Self::submit) returns. No
/// data moves, nothing is checked, nothing is counted. A batch's list is walked and each member completed.
///
/// The cost is that of the stores a real device does: what is left of a measurement is the software's own.
#[derive(Clone, Copy, Debug)]
pub struct InstantPortal {
    kind: DeviceKind,
}

impl InstantPortal {
    /// A portal of an accelerator of this kind, which decides the size of a record: 32 or 64 bytes.
    ///
    /// # Safety
    ///
    /// For every descriptor submitted to it or to a copy of it, until `submit` returns: with
    /// [`Flags::COMPLETION_ADDR_VALID`] the completion record address is that of a record of that size, aligned to its
    /// size, valid for writes, and accessed by others through atomics alone; and a batch's list is valid for reads,
    /// aligned to 64 bytes, with as many descriptors as the count says.
    pub const unsafe fn new(kind: DeviceKind) -> Self {
        Self { kind }
    }

    /// Completes `descriptor`.
    // Never inlined: a device is on the other side of a bus, and nothing of its work may fold into its caller's.
    #[inline(never)]
    pub fn submit(&self, descriptor: &Descriptor) -> Submission {
        if descriptor.opcode() == Opcode::BATCH && self.kind == DeviceKind::Dsa {
            self.complete_members(descriptor);
        }
        self.complete(descriptor);
        Submission::Accepted
    }

    /// [`submit`](Self::submit) for 64 bytes of any kind.
    pub fn submit_bytes(&self, descriptor: &[u8; Descriptor::SIZE]) -> Submission {
        self.submit(&Descriptor::from_bytes(*descriptor))
    }

    fn complete_members(&self, batch: &Descriptor) {
        let list = ptr::with_exposed_provenance::<Descriptor>(index(batch.desc_list_addr()));
        for at in 0..batch.desc_count() as usize {
            // SAFETY: the list has `desc_count` descriptors (contract of `new`), so this is inside it.
            let member = unsafe { list.add(at) };
            // SAFETY: the list is aligned and valid for reads (contract of `new`), and any bytes are a descriptor.
            self.complete(&unsafe { member.read() });
        }
    }

    fn complete(&self, descriptor: &Descriptor) {
        const WANTED: Flags = Flags::COMPLETION_ADDR_VALID.union(Flags::REQUEST_COMPLETION);
        if !descriptor.flags().contains(WANTED) {
            return;
        }
        let words = match self.kind {
            DeviceKind::Dsa => 4,
            DeviceKind::Iaa => 8,
        };
        let record = ptr::with_exposed_provenance_mut::<u64>(index(descriptor.completion_addr()));
        for word in 1..words {
            // SAFETY: a record has `words` words (contract of `new`), so this is inside it.
            let word = unsafe { record.add(word) };
            // SAFETY: the record is aligned, valid for writes, and shared through atomics alone (contract of `new`).
            unsafe { AtomicU64::from_ptr(word) }.store(0, Ordering::Relaxed);
        }
        let status = record.cast::<u8>();
        for byte in 1..8 {
            // SAFETY: bytes 1 to 7 are in the record's first word (contract of `new`).
            let byte = unsafe { status.add(byte) };
            // SAFETY: as for the words above.
            unsafe { AtomicU8::from_ptr(byte) }.store(0, Ordering::Relaxed);
        }
        // SAFETY: as for the words above. Last, and released: whoever sees it sees the rest.
        unsafe { AtomicU8::from_ptr(status) }.store(Status::SUCCESS.0, Ordering::Release);
    }
}
