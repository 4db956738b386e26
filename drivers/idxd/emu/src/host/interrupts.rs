//! Where the interrupts of a device in this process go: counted, told to who asked, and for entry 0 with an event in
//! the log, to the thread that reads the log.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, OnceLock};

use idxd_spec::EventLogEntry;
use idxd_spec::register::EvlCfg;
use parking_lot::{Mutex, RwLock};

use super::event_log::EventLogReader;
use crate::bus::ProcessMemory;
use crate::interrupt::InterruptSink;
use crate::model::Model;
use crate::{DeviceConfig, Error};

/// Events kept for who wants to see them.
const EVENTS_MAX: usize = 1024;

type Hook = Box<dyn Fn(u16) + Send + Sync>;

/// The sink of a device in this process.
#[derive(Default)]
pub(crate) struct Interrupts {
    counts: Mutex<Vec<u64>>,
    hooks: RwLock<Vec<Hook>>,
    events: Mutex<VecDeque<EventLogEntry>>,
    reader: OnceLock<EventLogReader>,
}

impl Interrupts {
    /// Takes the interrupts of `model`, and reads its event log if it is to have one.
    pub(crate) fn start(
        config: &DeviceConfig,
        model: &Arc<Model<ProcessMemory>>,
    ) -> Result<Arc<Self>, Error> {
        let this = Arc::new(Self::default());
        if let Some(log) = config.event_log {
            let reader =
                EventLogReader::start(&config.name, log.entries, Arc::clone(model), Arc::clone(&this))?;
            // Set once, here.
            let _ = this.reader.set(reader);
        }
        model.set_interrupts(Arc::<Self>::clone(&this));
        Ok(this)
    }

    /// Where the event log is.
    pub(crate) fn event_log(&self) -> Option<EvlCfg> {
        self.reader.get().map(EventLogReader::config)
    }

    /// The device was reset, and its log with it.
    pub(crate) fn restart(&self) {
        if let Some(reader) = self.reader.get() {
            reader.restart();
        }
    }

    /// Ends the thread that reads the log.
    pub(crate) fn stop(&self) {
        if let Some(reader) = self.reader.get() {
            reader.stop();
        }
    }

    pub(crate) fn count(&self, vector: u16) -> u64 {
        self.counts.lock().get(usize::from(vector)).copied().unwrap_or(0)
    }

    pub(crate) fn add_hook(&self, hook: Hook) {
        self.hooks.write().push(hook);
    }

    pub(crate) fn events(&self) -> Vec<EventLogEntry> {
        self.events.lock().iter().copied().collect()
    }

    pub(crate) fn keep(&self, entry: EventLogEntry) {
        let mut events = self.events.lock();
        if events.len() == EVENTS_MAX {
            events.pop_front();
        }
        events.push_back(entry);
    }
}

impl InterruptSink for Interrupts {
    fn msix(&self, vector: u16) {
        let mut counts = self.counts.lock();
        let at = usize::from(vector);
        if counts.len() <= at {
            counts.resize(at + 1, 0);
        }
        counts[at] += 1;
        drop(counts);
        if vector == 0
            && let Some(reader) = self.reader.get()
        {
            reader.wake();
        }
        self.hooks.read().iter().for_each(|hook| hook(vector));
    }
}

impl fmt::Debug for Interrupts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interrupts").field("counts", &self.counts).finish_non_exhaustive()
    }
}
