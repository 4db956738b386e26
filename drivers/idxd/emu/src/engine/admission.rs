//! What is checked about a descriptor before its operation is: where its record is, whose it is, which interrupt and
//! which traffic classes it wants (DSA §5.4).

use idxd_spec::register::InterruptEntry;
use idxd_spec::{Completion, Descriptor, EventInformation, Flags, Opcode, Status, iaa};

use super::Run;
use crate::bus::Bus;
use crate::check::{self, Context};
use crate::record::Record;
use crate::software_error::{self, Origin};
use crate::{DeviceKind, analytics_check};

/// A descriptor that has somewhere to report to, or needs nowhere.
pub(super) struct Admitted {
    /// The record of the check that failed.
    pub(super) verdict: Result<(), Record>,
    /// The interrupt to raise at the end.
    pub(super) interrupt: Option<InterruptEntry>,
}

impl<B: Bus> Run<'_, B> {
    /// All of the checks. `None` if the descriptor is discarded: there is no place for its record, or it may not run at
    /// all, and the error has gone to the software error register or to the event log.
    pub(super) fn admit(
        &self,
        origin: Origin,
        descriptor: &Descriptor,
        context: Context,
    ) -> Option<Admitted> {
        if let Some(status) = self.discards(descriptor) {
            self.model.counters.descriptors.add(1);
            self.model.log(self.era, &software_error::entry(status, origin, descriptor), &[]);
            return None;
        }
        let mut verdict = self.check(descriptor, context);
        if verdict.is_ok() && !self.has_its_traffic_classes(descriptor) {
            verdict = Err(self.refusal(descriptor, Status::TRAFFIC_CLASS));
        }
        if !descriptor.flags().contains(Flags::REQUEST_INTERRUPT) {
            return Some(Admitted { verdict, interrupt: None });
        }
        let handle = descriptor.int_handle();
        let interrupt = self.model.interrupts.permitted(handle, self.taken.storage, self.pasid(descriptor));
        let may_ask = self.rules().allows_interrupts(descriptor);
        if interrupt.is_none() && may_ask && verdict.is_ok() {
            verdict = Err(self.refusal(descriptor, Status::INTERRUPT_HANDLE));
            if descriptor.flags().contains(Flags::COMPLETION_ADDR_VALID) {
                // In the record, and here too (§5.4).
                self.log_handle(origin, descriptor, handle);
            }
        }
        Some(Admitted { verdict, interrupt: interrupt.filter(|_| may_ask) })
    }

    /// Why a descriptor cannot even be reported about to whoever sent it (§5.4, §5.8.1).
    fn discards(&self, descriptor: &Descriptor) -> Option<Status> {
        if self.taken.is_shared && descriptor.privileged() && !self.rules().privilege_enabled {
            return Some(Status::PRIVILEGE);
        }
        let flags = descriptor.flags();
        if !flags.contains(Flags::COMPLETION_ADDR_VALID) {
            return None;
        }
        let align = match self.model.kind {
            DeviceKind::Dsa => Completion::ALIGN,
            DeviceKind::Iaa => iaa::Completion::ALIGN,
        };
        if !descriptor.completion_addr().is_multiple_of(align as u64) {
            return Some(Status::COMPLETION_ALIGNMENT);
        }
        let class = self.traffic_classes[usize::from(flags.contains(Flags::COMPLETION_TC))];
        (!self.is_mapped(class)).then_some(Status::TRAFFIC_CLASS)
    }

    fn check(&self, descriptor: &Descriptor, context: Context) -> Result<(), Record> {
        match self.model.kind {
            DeviceKind::Dsa => check::check(descriptor, context, self.rules())
                .map_err(|refused| Record::dsa(descriptor.opcode(), &refused)),
            DeviceKind::Iaa => {
                let descriptor = iaa::Descriptor::from_bytes(*descriptor.as_bytes());
                analytics_check::check(&descriptor, self.rules())
                    .map_err(|refused| Record::iaa(refused.to_bytes()))
            }
        }
    }

    fn refusal(&self, descriptor: &Descriptor, status: Status) -> Record {
        match self.model.kind {
            DeviceKind::Dsa => Record::dsa(descriptor.opcode(), &Completion::new(status)),
            DeviceKind::Iaa => Record::iaa(iaa::Completion::new(status).to_bytes()),
        }
    }

    fn log_handle(&self, origin: Origin, descriptor: &Descriptor, handle: u16) {
        let information = EventInformation(0).with_interrupt(handle, self.taken.storage);
        let entry = software_error::entry(Status::INTERRUPT_HANDLE, origin, descriptor);
        self.model.log(self.era, &entry.with_information(information), &[]);
    }

    fn is_mapped(&self, class: u8) -> bool {
        self.rules().traffic_classes >> class & 1 != 0
    }

    /// Whether every traffic class that the addresses of a descriptor select is mapped to a channel (§4.2).
    fn has_its_traffic_classes(&self, descriptor: &Descriptor) -> bool {
        if self.rules().traffic_classes == u8::MAX {
            return true;
        }
        let flags = descriptor.flags();
        let addresses = addresses(descriptor.opcode(), flags);
        let selects_b = flags.intersection(addresses);
        let a_is_fine = selects_b == addresses || self.is_mapped(self.traffic_classes[0]);
        a_is_fine && (selects_b.is_empty() || self.is_mapped(self.traffic_classes[1]))
    }
}

/// The selectors of the addresses that an operation uses (table 8-3, table 5-3).
fn addresses(opcode: Opcode, flags: Flags) -> Flags {
    let when = |flag: Flags, selector: Flags| if flags.contains(flag) { selector } else { Flags::empty() };
    match opcode {
        Opcode::NOOP | Opcode::TRANSLATION_FETCH | Opcode::UPDATE_WINDOW => Flags::empty(),
        Opcode::DRAIN => {
            when(Flags::READBACK_ADDR_1_VALID, Flags::ADDR1_TC)
                | when(Flags::READBACK_ADDR_2_VALID, Flags::ADDR2_TC)
        }
        Opcode::BATCH | Opcode::COMPARE_PATTERN | Opcode::DIF_CHECK | Opcode::CRC64 => Flags::ADDR1_TC,
        Opcode::FILL | Opcode::INTER_DOMAIN_FILL | Opcode::CACHE_FLUSH => Flags::ADDR2_TC,
        Opcode::CRC => Flags::ADDR1_TC | when(Flags::READ_CRC_SEED, Flags::ADDR3_TC),
        Opcode::COPY_CRC => Flags::ADDR1_TC | Flags::ADDR2_TC | when(Flags::READ_CRC_SEED, Flags::ADDR3_TC),
        Opcode::CREATE_DELTA
        | Opcode::DUALCAST
        | Opcode::REDUCE
        | Opcode::REDUCE_DUALCAST
        | Opcode::GATHER_REDUCE
        | Opcode::GATHER_COPY
        | Opcode::SCATTER_COPY => Flags::ADDR1_TC | Flags::ADDR2_TC | Flags::ADDR3_TC,
        Opcode::SCATTER_FILL => Flags::ADDR2_TC | Flags::ADDR3_TC,
        _ => Flags::ADDR1_TC | Flags::ADDR2_TC,
    }
}
