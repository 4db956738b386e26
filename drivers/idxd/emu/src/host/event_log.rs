//! Who reads the event log in this process: what a kernel driver does in its interrupt thread (DSA §5.9, §7.3).
//!
//! A record that the device could not write is in its entry. The page is brought in, and the record written; a batch is
//! told at its end whether that failed for one of its members.

use std::sync::{Arc, Weak};
use std::thread::{self, JoinHandle};

use idxd_spec::register::{EVLSTATUS, EvlCfg, EvlStatus, INTCAUSE, IntCause};
use idxd_spec::{EventInformation, EventLogEntry, Status};
use parking_lot::{Condvar, Mutex};

use super::interrupts::Interrupts;
use crate::bus::{Access, Bus, PAGE_BYTES, ProcessMemory};
use crate::index::index;
use crate::model::Model;
use crate::{Error, InterruptSink};

/// What the thread is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ask {
    Nothing,
    Look,
    Restart,
    End,
}

struct Shared {
    ask: Mutex<Ask>,
    asked: Condvar,
}

/// The memory of a log, and the thread that reads it.
pub(crate) struct EventLogReader {
    config: EvlCfg,
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl EventLogReader {
    pub(crate) fn start(
        device: &str,
        entries: u16,
        model: Arc<Model<ProcessMemory>>,
        interrupts: Arc<Interrupts>,
    ) -> Result<Self, Error> {
        let entry_bytes = u64::from(model.capabilities.gen_cap.event_log_entry_size().unwrap_or(64));
        let bytes = u64::from(entries) * entry_bytes;
        let memory = vec![0_u8; index(bytes + PAGE_BYTES)].into_boxed_slice();
        let base = (memory.as_ptr().expose_provenance() as u64).next_multiple_of(PAGE_BYTES);
        let config = EvlCfg::new(base, entries);
        let shared = Arc::new(Shared { ask: Mutex::new(Ask::Nothing), asked: Condvar::new() });
        let work = Work {
            memory,
            base,
            entry_bytes,
            entries,
            model,
            // The sink owns this reader.
            interrupts: Arc::downgrade(&interrupts),
            failed_batches: [false; 256],
        };
        let (name, asked) = (format!("{device}-evl"), Arc::clone(&shared));
        let thread = thread::Builder::new()
            .name(name.clone())
            .spawn(move || work.run(&asked))
            .map_err(|source| Error::Thread { name, source })?;
        Ok(Self { config, shared, thread: Mutex::new(Some(thread)) })
    }

    pub(crate) fn config(&self) -> EvlCfg {
        self.config
    }

    pub(crate) fn wake(&self) {
        self.ask(Ask::Look);
    }

    pub(crate) fn restart(&self) {
        self.ask(Ask::Restart);
    }

    pub(crate) fn stop(&self) {
        self.ask(Ask::End);
        if let Some(thread) = self.thread.lock().take()
            && thread.thread().id() != thread::current().id()
        {
            let _ = thread.join();
        }
    }

    fn ask(&self, ask: Ask) {
        let mut asked = self.shared.ask.lock();
        if *asked != Ask::End && !(*asked == Ask::Restart && ask == Ask::Look) {
            *asked = ask;
        }
        drop(asked);
        self.shared.asked.notify_all();
    }
}

/// What the thread has.
struct Work {
    /// The device writes here, and only through the bus is it read.
    memory: Box<[u8]>,
    base: u64,
    entry_bytes: u64,
    entries: u16,
    model: Arc<Model<ProcessMemory>>,
    interrupts: Weak<Interrupts>,
    /// By batch identifier: the record of a member could not be written.
    failed_batches: [bool; 256],
}

impl Work {
    fn run(mut self, shared: &Shared) {
        loop {
            let mut ask = shared.ask.lock();
            shared.asked.wait_while(&mut ask, |ask| *ask == Ask::Nothing);
            let now = *ask;
            if now != Ask::End {
                *ask = Ask::Nothing;
            }
            drop(ask);
            if now == Ask::Restart {
                self.failed_batches = [false; 256];
            }
            self.look();
            if now == Ask::End {
                // The device writes here no more: its engines have ended.
                drop(self.memory);
                return;
            }
        }
    }

    /// Handles everything in the log. The pending bit is cleared first: what comes later raises a new interrupt.
    fn look(&mut self) {
        let model = Arc::clone(&self.model);
        model.write(INTCAUSE, 4, IntCause(0).with_event_log(true).0.into());
        let status = || EvlStatus(model.read(EVLSTATUS, 8));
        let seen = EvlStatus(0).with_head(status().head()).with_interrupt_pending(true);
        model.write(EVLSTATUS, 8, seen.0);
        let mut head = status().head();
        while head != status().tail() && head < self.entries {
            self.handle(head);
            head = (head + 1) % self.entries;
            model.write(EVLSTATUS, 4, head.into());
        }
    }

    fn handle(&mut self, at: u16) {
        let mut bytes = vec![0; index(self.entry_bytes)];
        let addr = self.base + u64::from(at) * self.entry_bytes;
        if self.model.bus.read(addr, &mut bytes).is_err() {
            return;
        }
        let mut head = [0; EventLogEntry::SIZE];
        head.copy_from_slice(&bytes[..EventLogEntry::SIZE]);
        let entry = EventLogEntry::from_bytes(&head);
        let (_, record) = bytes.split_at_mut(index(self.entry_bytes / 2));
        self.complete(&entry, record);
        if let Some(interrupts) = self.interrupts.upgrade() {
            interrupts.keep(entry);
        }
        // Whoever waits for a record looks again.
        self.model.call_hooks();
    }

    /// Writes the record, and raises the interrupt, that the device could not (§7.3).
    fn complete(&mut self, entry: &EventLogEntry, record: &mut [u8]) {
        let information = entry.information().unwrap_or_default();
        let descriptor = entry.descriptor();
        let batch = descriptor.and_then(|descriptor| descriptor.batch_id).map(usize::from);
        let is_member = descriptor.is_some_and(|descriptor| descriptor.batch_index.is_some());
        match (entry.code().without_write(), batch) {
            (Status::COMPLETION_PAGE_FAULT, Some(batch)) if information.first_error_in_batch() => {
                self.failed_batches[batch] = false;
            }
            (Status::BATCH_COMPLETION_FAULTS, Some(batch)) => {
                if std::mem::take(&mut self.failed_batches[batch]) {
                    tell_of_failure(record);
                }
            }
            (Status::COMPLETION_PAGE_FAULT | Status::DRAIN_COMPLETION_FAULTS, _) => {}
            _ => return,
        }
        if information.record_required() && self.write(entry.addr(), record).is_none() {
            tracing::warn!(?entry, "completion record lost");
            if let (true, Some(batch)) = (is_member, batch) {
                self.failed_batches[batch] = true;
            }
        }
        self.raise(information);
    }

    /// Brings the page in and writes the record, its status last.
    fn write(&self, addr: u64, record: &[u8]) -> Option<()> {
        ProcessMemory::populate(addr, Access::Write).ok()?;
        self.model.bus.write(addr.wrapping_add(1), &record[1..]).ok()?;
        self.model.bus.write(addr, &record[..1]).ok()
    }

    fn raise(&self, information: EventInformation) {
        let Some((handle, storage)) = information.interrupt() else { return };
        let entry = self.model.interrupts.entry(handle, storage);
        if let (Some(entry), Some(interrupts)) =
            (entry.filter(|entry| !entry.storage), self.interrupts.upgrade())
        {
            interrupts.msix(entry.index);
        }
    }
}

/// The record of a batch of which a member's record could not be written (§7.3): success becomes 0x05, and the result
/// of a batch that ended early says that something failed.
fn tell_of_failure(record: &mut [u8]) {
    match Status(record[0]) {
        Status::SUCCESS => (record[0], record[1]) = (Status::BATCH_FAILED.0, 1),
        Status::BATCH_PAGE_FAULT => record[1] = 1,
        _ => {}
    }
}
