//! Operands in other address spaces: what an operation is granted of them, and what its record says of them.

use idxd_spec::{Completion, Descriptor, FaultInfo, Flags, IdptHandle, Opcode, Operand, Status};

use super::Operation;
use crate::bus::{Access, Bus};
use crate::permission_table::{Grant, Wanted};

/// An operand that may be in another space.
type Candidate = (Operand, Access, Option<IdptHandle>);

/// The operands of one descriptor that are in another space.
pub(super) struct Domains<'a> {
    grants: Vec<(Operand, Grant<'a>)>,
}

impl<'a> Domains<'a> {
    /// The error is the record to write.
    pub(super) fn of<B: Bus>(operation: &Operation<'a, B>) -> Result<Self, Completion> {
        let mut grants = Vec::new();
        for (operand, access, handle) in candidates(operation.descriptor) {
            let Some(handle) = handle else { continue };
            let wanted = Wanted { handle, pasid: operation.descriptor.pasid(), access };
            let grant = operation.model.permissions.grant(wanted, &operation.model.bus);
            grants
                .push((operand, grant.map_err(|status| Completion::new(status).with_fault_handle(handle))?));
        }
        Ok(Self { grants })
    }

    fn grant(&self, operand: Operand) -> Option<&Grant<'a>> {
        self.grants.iter().find(|(it, _)| *it == operand).map(|(_, grant)| grant)
    }

    /// Where `len` bytes that the descriptor says are at `addr` are, for elements of `align` bytes.
    pub(super) fn resolve(
        &self,
        operand: Operand,
        addr: u64,
        len: u64,
        align: u64,
    ) -> Result<u64, Completion> {
        let Some(grant) = self.grant(operand) else { return Ok(addr) };
        let error = |status: Status| Completion::new(status).with_fault_handle(grant.handle());
        grant.resolve(addr, len, align).map_err(error)
    }

    /// Adds whose page is missing to a record of a page fault, and takes an address out that is none of the submitter's
    /// business (§3.14.4).
    pub(super) fn cover(&self, completion: Completion) -> Completion {
        let operand = completion.fault_info().operand();
        match self.grant(operand).filter(|_| completion.status().is_page_fault()) {
            Some(grant) if grant.hides_addresses() => {
                completion.with_fault_handle(grant.handle()).with_fault(0, FaultInfo::new(operand).masked())
            }
            Some(grant) => completion.with_fault_handle(grant.handle()),
            None => completion,
        }
    }
}

fn candidates(descriptor: &Descriptor) -> [Candidate; 4] {
    let flags = descriptor.flags();
    let (first, second) = (descriptor.src_handle(), descriptor.dst_handle());
    let src = flags.contains(Flags::ALTERNATE_SRC_PASID).then_some(first);
    let dst = flags.contains(Flags::ALTERNATE_DST_PASID).then_some(second);
    let none = (Operand::UNKNOWN, Access::Read, None);
    match descriptor.opcode() {
        Opcode::INTER_DOMAIN_COMPARE | Opcode::INTER_DOMAIN_COMPARE_PATTERN => {
            [(Operand::SRC, Access::Read, src), (Operand::SRC2, Access::Read, dst), none, none]
        }
        Opcode::REDUCE | Opcode::REDUCE_DUALCAST if flags.contains(Flags::INTER_DOMAIN_SELECTOR) => {
            let handle = |selected| match selected {
                1 => Some(first),
                2 => Some(second),
                _ => None,
            };
            let selected = descriptor.domain_selector().operands();
            [
                (Operand::SRC, Access::Read, handle(selected.src1)),
                (Operand::SRC2, Access::Read, handle(selected.src2)),
                (Operand::DST, Access::Write, handle(selected.dst1)),
                (Operand::DST2, Access::Write, handle(selected.dst2)),
            ]
        }
        // Bit 17 is a traffic class there.
        Opcode::REDUCE | Opcode::REDUCE_DUALCAST | Opcode::GATHER_REDUCE => [none; 4],
        _ => [(Operand::SRC, Access::Read, src), (Operand::DST, Access::Write, dst), none, none],
    }
}
