//! Where the outcome of a descriptor goes: to its record, to the event log with its record, or to the software error
//! register; and the interrupt behind it (DSA §3.6, §5.8.1, §5.9).

use idxd_spec::register::InterruptEntry;
use idxd_spec::register::perfmon::{Category, event};
use idxd_spec::{Descriptor, EventInformation, EventLogEntry, Flags, Opcode, Operand, Status};

use super::Run;
use super::batch::Batch;
use crate::DeviceKind;
use crate::bus::{Access, Bus};
use crate::page_request::PageAnswer;
use crate::perfmon::Sample;
use crate::record::Record;
use crate::software_error::{self, Origin};

/// Page requests for one completion record before it is given up.
const RECORD_REQUESTS_MAX: u32 = 8;

/// What became of a completion record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reported {
    /// It is written, or none was wanted.
    Done,
    /// It is in the event log, for software to write.
    Logged,
    /// Nobody will see it.
    Lost,
}

impl<B: Bus> Run<'_, B> {
    /// Reports the end of a descriptor, if the device still lives that it was taken in. `record` is how it ended, unless
    /// the fault plan has another end for it.
    pub(super) fn report(
        &self,
        origin: Origin,
        descriptor: &Descriptor,
        record: &mut Record,
        interrupt: Option<InterruptEntry>,
        batch: Option<&Batch>,
    ) -> Reported {
        let model = self.model;
        let fate = model.plan.fate();
        if let Some(failure) = fate.failure {
            *record = record.failed(failure);
        }
        if let Some(reset) = fate.halt {
            model.halt(reset);
        }
        if !model.life.is(self.era) {
            model.counters.abandoned.add(1);
            return Reported::Lost;
        }
        if fate.disables {
            self.disable_queue();
        }
        model.counters.descriptors.add(1);
        let status = record.status();
        self.count_end(descriptor, record);
        let speaks_for_itself = self.speaks_for_itself(status);
        let flags = descriptor.flags();
        let has_record = flags.contains(Flags::COMPLETION_ADDR_VALID);
        // A page request without an answer is told of in both places (IAA table 4-7).
        let is_told_twice = status == Status::PAGE_REQUEST_TIMEOUT;
        if (!has_record || is_told_twice) && !speaks_for_itself {
            model.log(self.era, &self.entry_of_outcome(origin, descriptor, record), &[]);
        }
        let is_written = has_record && (!speaks_for_itself || flags.contains(Flags::REQUEST_COMPLETION));
        if let Some(code) = self.goes_to_log(descriptor, status, batch)
            && (is_written || interrupt.is_some())
        {
            let information = self.information(descriptor, interrupt, is_written);
            return self.log_record(code, origin, descriptor, record, information);
        }
        let mut reported = Reported::Done;
        if is_written {
            let mut written = *record;
            if let Some(nonsense) = fate.nonsense {
                written = written.with_nonsense(nonsense, descriptor.xfer_size());
            }
            let meaning = written.meaning();
            model.plan.fill_with_noise(written.bytes_mut(), meaning);
            for _ in 0..fate.answers {
                reported = self.write_record(origin, descriptor, &written, interrupt, batch);
            }
        }
        // With the record in the log, the interrupt is software's business too.
        if let (Some(entry), Reported::Done) = (interrupt, reported) {
            let raised = model.interrupts.raise_completion(entry);
            model.count_interrupt(raised, &self.sample(descriptor));
        }
        reported
    }

    /// Statuses that need no record unless one is asked for (§5.8.1; IAA §4.4.1).
    fn speaks_for_itself(&self, status: Status) -> bool {
        match self.model.kind {
            DeviceKind::Dsa => status.is_success() || status == Status::BATCH_FAILED,
            DeviceKind::Iaa => status == Status::SUCCESS,
        }
    }

    /// The code under which a completion goes to the event log though its record may well be writable: a drain, because
    /// records before it may be in the log; and a batch with members of which some are (§5.9).
    fn goes_to_log(&self, descriptor: &Descriptor, status: Status, batch: Option<&Batch>) -> Option<Status> {
        if descriptor.opcode() == Opcode::DRAIN {
            let logs =
                status == Status::SUCCESS && !self.rules().prs_enabled && self.model.event_log.is_enabled();
            return logs.then_some(Status::DRAIN_COMPLETION_FAULTS);
        }
        let is_batch = descriptor.opcode() == Opcode::BATCH && self.model.kind == DeviceKind::Dsa;
        let logs = is_batch && batch.is_some_and(|batch| batch.is_logged.get());
        logs.then_some(Status::BATCH_COMPLETION_FAULTS)
    }

    /// An error without a record, as the log and the register have it (table 5-9).
    fn entry_of_outcome(&self, origin: Origin, descriptor: &Descriptor, record: &Record) -> EventLogEntry {
        let status = record.status();
        let entry = software_error::entry(status, origin, descriptor);
        match status.without_write() {
            Status::INVALID_FLAGS => entry.with_information(EventInformation(record.invalid_flags())),
            Status::INTERRUPT_HANDLE => {
                let handle = descriptor.int_handle();
                entry.with_information(EventInformation(0).with_interrupt(handle, self.taken.storage))
            }
            code if code.is_page_fault() => {
                let information = EventInformation::of_operand(record.fault_operand());
                entry.with_information(information).with_addr(record.fault_addr())
            }
            _ => entry,
        }
    }

    fn information(
        &self,
        descriptor: &Descriptor,
        interrupt: Option<InterruptEntry>,
        is_written: bool,
    ) -> EventInformation {
        let mut information = EventInformation(0);
        if interrupt.is_some() {
            information = information.with_interrupt(descriptor.int_handle(), self.taken.storage);
        }
        if is_written { information.with_record_required() } else { information }
    }

    fn log_record(
        &self,
        code: Status,
        origin: Origin,
        descriptor: &Descriptor,
        record: &Record,
        information: EventInformation,
    ) -> Reported {
        let entry = software_error::entry(code, origin, descriptor)
            .with_information(information)
            .with_addr(descriptor.completion_addr());
        match self.model.log(self.era, &entry, record.bytes()) {
            true => Reported::Logged,
            false => Reported::Lost,
        }
    }

    /// Writes a record: what is behind the status first, then the status, each a write of its own, so that whoever
    /// sees the status sees the rest. A record always blocks on a fault if the device can request pages (table 8-3).
    fn write_record(
        &self,
        origin: Origin,
        descriptor: &Descriptor,
        record: &Record,
        interrupt: Option<InterruptEntry>,
        batch: Option<&Batch>,
    ) -> Reported {
        let (model, bytes) = (self.model, record.bytes());
        let addr = descriptor.completion_addr();
        let len = bytes.len() as u64;
        if let Some(book) = model.book() {
            book.translate(addr, len);
        }
        let mut requests = 0;
        loop {
            let is_written = model.bus.present(addr, len, Access::Write) == len
                && model.bus.write(addr.wrapping_add(1), &bytes[1..]).is_ok()
                && model.bus.write(addr, &bytes[..1]).is_ok();
            if is_written {
                model.counters.completions.add(1);
                self.count(Category::Completions, event::CPL_WRITES, descriptor);
                model.call_hooks();
                return Reported::Done;
            }
            model.counters.faults.add(1);
            requests += 1;
            let can_try_again =
                self.rules().prs_enabled && model.can_request_pages() && requests <= RECORD_REQUESTS_MAX;
            if !can_try_again || model.request_page(addr, Access::Write) != PageAnswer::Success {
                return self.record_fault(origin, descriptor, record, interrupt, batch);
            }
        }
    }

    /// The record is on a page that cannot be had: it goes to the event log, or is lost (§3.13.3).
    fn record_fault(
        &self,
        origin: Origin,
        descriptor: &Descriptor,
        record: &Record,
        interrupt: Option<InterruptEntry>,
        batch: Option<&Batch>,
    ) -> Reported {
        let mut information = EventInformation(
            EventInformation::of_operand(Operand::COMPLETION).0
                | self.information(descriptor, interrupt, true).0,
        );
        if let Some(batch) = batch
            && self.model.event_log.is_enabled()
            && !batch.is_logged.replace(true)
        {
            information = information.with_first_error_in_batch();
        }
        let code = Status::COMPLETION_PAGE_FAULT.with_write();
        let reported = self.log_record(code, origin, descriptor, record, information);
        if reported == Reported::Lost {
            self.model.counters.completions_lost.add(1);
        }
        reported
    }

    /// Counts an outcome for the statistics and for who watches.
    fn count_end(&self, descriptor: &Descriptor, record: &Record) {
        let (model, status) = (self.model, record.status());
        let is_partial = matches!(status.without_write(), Status::PAGE_FAULT | Status::PAGE_REQUEST_INVALID);
        if is_partial {
            model.counters.partial.add(1);
            if let Some(book) = model.book() {
                book.stopped();
            }
        }
        let perfmon = &model.perfmon;
        if perfmon.watches(Category::Completions) {
            let event = match () {
                () if is_partial => event::CPL_PARTIAL,
                () if status.is_success() => event::CPL_SUCCESS,
                () => event::CPL_ERR,
            };
            self.count(Category::Completions, event, descriptor);
        }
        if perfmon.watches(Category::Operations) || perfmon.watches(Category::Operations2) {
            let sample = self.sample(descriptor);
            if perfmon.count_operation(descriptor.opcode(), &sample) {
                model.raise(crate::interrupt::Cause::PerformanceOverflow);
            }
        }
        if perfmon.watches(Category::Engine) && (status.is_success() || is_partial) {
            self.count_bytes(descriptor);
        }
    }

    /// Input and output by the size of the descriptor, in the units of the events.
    fn count_bytes(&self, descriptor: &Descriptor) {
        let (model, bytes) = (self.model, u64::from(descriptor.xfer_size()));
        let sample = Sample { bytes: Some(bytes), ..self.sample(descriptor) };
        let (reads, writes) = directions(descriptor.opcode());
        let write_unit = if model.kind == DeviceKind::Iaa { 512 } else { 32 };
        if reads {
            model.count(Category::Engine, event::CL_PROCESSED, bytes.div_ceil(32), &sample);
            model.count(Category::Engine, event::NUM_READ, 1, &sample);
        }
        if writes {
            model.count(Category::Engine, event::CL_WRITE, bytes.div_ceil(write_unit), &sample);
            model.count(Category::Engine, event::NUM_WRITE, 1, &sample);
        }
    }
}

/// Whether an operation reads a source and writes a destination.
fn directions(opcode: Opcode) -> (bool, bool) {
    match opcode {
        Opcode::NOOP
        | Opcode::BATCH
        | Opcode::DRAIN
        | Opcode::TRANSLATION_FETCH
        | Opcode::CACHE_FLUSH
        | Opcode::UPDATE_WINDOW => (false, false),
        Opcode::FILL | Opcode::INTER_DOMAIN_FILL | Opcode::SCATTER_FILL => (false, true),
        Opcode::COMPARE
        | Opcode::COMPARE_PATTERN
        | Opcode::INTER_DOMAIN_COMPARE
        | Opcode::INTER_DOMAIN_COMPARE_PATTERN
        | Opcode::CRC
        | Opcode::CRC64
        | Opcode::DIF_CHECK => (true, false),
        _ => (true, true),
    }
}
