//! Batches: a list of descriptors, fetched and run (DSA §3.8, §3.9).

use std::cell::Cell;

use idxd_spec::{Completion, Descriptor, FaultInfo, Flags, Opcode, Operand, Status};

use super::Run;
use crate::bus::{Bus, PAGE_BYTES};
use crate::check::Context;
use crate::index::index;
use crate::operation::Buffers;
use crate::record::Record;
use crate::software_error::Origin;
use crate::walk::{Flow, Interrupted, Span, Walk};

/// Descriptors of a batch fetched at once.
const FETCH_MAX: u64 = 64;

/// How far a batch is.
pub(super) struct Batch {
    /// Its identifier in the event log. An engine runs one batch at a time, and uses its number again and again, as
    /// §5.9 allows: the First Error in Batch flag tells one batch from the next.
    pub(super) id: u8,
    /// Something of it is in the event log.
    pub(super) is_logged: Cell<bool>,
    /// A member, of this batch or of what it continues, had no success.
    failed: bool,
    /// A fence came behind a failure.
    abandoned: bool,
    completed: u16,
}

impl<B: Bus> Run<'_, B> {
    pub(super) fn submitted_batch(&self, buffers: &mut Buffers) {
        let descriptor = &self.taken.descriptor;
        let mut batch = Batch {
            id: u8::try_from(self.engine).unwrap_or(u8::MAX),
            is_logged: Cell::new(false),
            failed: descriptor.flags().contains(Flags::BATCH_ERROR),
            abandoned: false,
            completed: 0,
        };
        let origin = Origin { batch_id: Some(batch.id), ..self.origin() };
        let Some(admitted) = self.admit(origin, descriptor, Context::WorkQueue) else { return };
        let mut record = match admitted.verdict {
            Err(refusal) => refusal,
            Ok(()) => Record::dsa(Opcode::BATCH, &self.batch(buffers, &mut batch)),
        };
        self.report(origin, descriptor, &mut record, admitted.interrupt, Some(&batch));
    }

    /// The list is read as far as it is present, those descriptors are run, and so on (§3.8). The list always blocks
    /// on a fault, whatever the flags (table 8-3).
    fn batch(&self, buffers: &mut Buffers, batch: &mut Batch) -> Completion {
        self.model.counters.batches.add(1);
        let descriptor = &self.taken.descriptor;
        let spans = [Span::read(Operand::SRC, descriptor.desc_list_addr())];
        let bytes = u64::from(descriptor.desc_count()) * Descriptor::SIZE as u64;
        let mut walk = Walk::new(self.model, &spans, bytes, self.rules().prs_enabled);
        let end = walk.run(FETCH_MAX * Descriptor::SIZE as u64, |piece| {
            let mut list = [0; index(FETCH_MAX) * Descriptor::SIZE];
            let list = &mut list[..index(piece.len)];
            let addr = spans[0].addr.wrapping_add(piece.offset);
            self.model.bus.read(addr, list).map_err(|fault| Interrupted { done: 0, fault })?;
            let (members, _) = list.as_chunks::<{ Descriptor::SIZE }>();
            let mut members: Vec<_> =
                members.iter().map(|bytes| self.trusted(Descriptor::from_bytes(*bytes))).zip(0..).collect();
            self.members(buffers, &mut members, batch);
            Ok(if batch.abandoned { Flow::Halt(0) } else { Flow::Continue })
        });
        let completion = match end {
            Err(stop) => Completion::new(Status::BATCH_PAGE_FAULT)
                .with_fault(stop.addr & !(PAGE_BYTES - 1), FaultInfo::new(stop.operand)),
            Ok(_) if batch.failed => Completion::new(Status::BATCH_FAILED),
            Ok(_) => Completion::new(Status::SUCCESS),
        };
        let has_result = self.rules().gen_cap.batch_continuation();
        completion
            .with_result((batch.failed && has_result).into())
            .with_bytes_completed(batch.completed.into())
    }

    /// A member runs with the PASID and the privilege of its batch (§3.8).
    fn trusted(&self, member: Descriptor) -> Descriptor {
        let batch = &self.taken.descriptor;
        member.with_pasid(batch.pasid()).with_privileged(batch.privileged())
    }

    /// Runs members in order, or in any order between fences if the plan says so. A fence behind a failure abandons
    /// the rest (§3.9).
    fn members(&self, buffers: &mut Buffers, members: &mut [(Descriptor, u16)], batch: &mut Batch) {
        let first = batch.completed;
        let is_fence = |descriptor: &Descriptor| descriptor.flags().contains(Flags::FENCE);
        for segment in members.chunk_by_mut(|_, (next, _)| !is_fence(next)) {
            if is_fence(&segment[0].0) && batch.failed {
                batch.abandoned = true;
                return;
            }
            // Everything before the fence is complete; what is behind it need not wait for the fence itself.
            self.model.plan.mix(segment);
            for (descriptor, index) in segment {
                if !self.model.life.is(self.era) {
                    batch.abandoned = true;
                    return;
                }
                let has_success = self.member(buffers, descriptor, batch, first + *index);
                batch.failed |= !has_success;
                batch.completed += 1;
            }
        }
    }
}
