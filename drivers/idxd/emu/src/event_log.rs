//! The event log in memory: entries written at the tail, and a device that waits or drops when there is no room
//! (DSA §5.9).
//!
//! Two locks. Engines that append go one behind the other, and hold that lock while they write memory or wait for room.
//! The registers have one of their own, held for a moment, so that software that makes room never waits for an engine.

use idxd_spec::EventLogEntry;
use idxd_spec::register::{EvlCfg, EvlStatus};
use parking_lot::{Condvar, Mutex};

use crate::bus::Bus;
use crate::life::{Era, Life};
use crate::space::Space;

/// Bytes of the longest entry the model writes.
const ENTRY_BYTES_MAX: usize = 128;

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Appended {
    /// It is in the log.
    Logged,
    /// It is lost: no room on a device whose log overflows, or memory that cannot be written.
    Dropped,
    /// The device halted or was reset while it waited for room.
    Ended,
}

struct State {
    /// Enabled with the device; `None`: errors go to the software error register.
    config: Option<EvlCfg>,
    status: EvlStatus,
}

pub(crate) struct EventLog {
    /// Bytes of an entry; 0 without a log.
    entry_bytes: usize,
    overflows: bool,
    appending: Mutex<()>,
    state: Mutex<State>,
    changed: Condvar,
}

impl EventLog {
    pub(crate) fn new(entry_bytes: Option<u32>, overflows: bool) -> Self {
        let entry_bytes = entry_bytes.map_or(0, |bytes| bytes as usize).min(ENTRY_BYTES_MAX);
        Self {
            entry_bytes,
            overflows,
            appending: Mutex::new(()),
            state: Mutex::new(State { config: None, status: EvlStatus(0) }),
            changed: Condvar::new(),
        }
    }

    /// The device was enabled, with a log if there is a configuration. The status is cleared if there is one.
    pub(crate) fn enable(&self, config: Option<EvlCfg>) {
        let mut state = self.state.lock();
        state.config = config;
        if config.is_some() {
            state.status = EvlStatus(0);
        }
    }

    pub(crate) fn disable(&self) {
        self.state.lock().config = None;
    }

    pub(crate) fn is_enabled(&self) -> bool {
        self.state.lock().config.is_some()
    }

    pub(crate) fn status(&self) -> u64 {
        self.state.lock().status.0
    }

    /// Clears the status, as every reset but the command's does.
    pub(crate) fn clear_status(&self) {
        self.state.lock().status = EvlStatus(0);
    }

    /// Software writes the head, or clears the pending bit by writing it as 1.
    pub(crate) fn set_status(&self, value: u64, mask: u64) {
        let (value, mask) = (EvlStatus(value & mask), EvlStatus(mask));
        let mut state = self.state.lock();
        let head = state.status.head() & !mask.head() | value.head();
        state.status = state.status.with_head(head);
        if value.interrupt_pending() {
            state.status = state.status.with_interrupt_pending(false);
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Whoever waits for room asks whether the device still lives.
    pub(crate) fn wake(&self) {
        drop(self.state.lock());
        self.changed.notify_all();
    }

    /// Marks an interrupt as raised; `false` if software has not answered the one before.
    pub(crate) fn take_interrupt(&self) -> bool {
        let mut state = self.state.lock();
        let is_pending = state.status.interrupt_pending();
        state.status = state.status.with_interrupt_pending(true);
        !is_pending
    }

    /// Appends an entry with the completion record, if there is one in it. Waits for room where the log does not
    /// overflow.
    pub(crate) fn append<B: Bus>(
        &self,
        bus: &B,
        entry: &EventLogEntry,
        record: &[u8],
        (life, era): (&Life, Era),
    ) -> Appended {
        let _turn = self.appending.lock();
        let Some((config, tail)) = self.wait_for_room(life, era) else {
            return if life.is(era) { Appended::Dropped } else { Appended::Ended };
        };
        let mut bytes = [0; ENTRY_BYTES_MAX];
        bytes[..EventLogEntry::SIZE].copy_from_slice(&entry.to_bytes());
        // Half of an entry is the record's place: 32 bytes of 64, or 64 of 128 on an IAA.
        let place = self.entry_bytes / 2..self.entry_bytes;
        let len = record.len().min(place.len());
        bytes[place][..len].copy_from_slice(&record[..len]);
        let addr = config.base() + u64::from(tail) * self.entry_bytes as u64;
        let _space = space_of(&config).enter();
        if bus.write(addr, &bytes[..self.entry_bytes]).is_err() {
            return Appended::Dropped;
        }
        let mut state = self.state.lock();
        if !life.is(era) {
            return Appended::Ended;
        }
        state.status = state.status.with_tail(next(tail, config));
        Appended::Logged
    }

    /// The configuration and the tail once there is room; `None` if there will be none.
    fn wait_for_room(&self, life: &Life, era: Era) -> Option<(EvlCfg, u16)> {
        let mut state = self.state.lock();
        loop {
            if !life.is(era) {
                return None;
            }
            let config = state.config?;
            let tail = state.status.tail();
            if next(tail, config) != state.status.head() {
                return Some((config, tail));
            }
            if self.overflows {
                return None;
            }
            self.changed.wait(&mut state);
        }
    }
}

/// Where the log is (DSA §9.2.18).
fn space_of(config: &EvlCfg) -> Space {
    match config.pasid_enable() {
        true => Space { pasid: Some(config.pasid()), privileged: config.privileged() },
        false => Space::default(),
    }
}

/// The entry behind `tail`, at the end of the log the first one.
fn next(tail: u16, config: EvlCfg) -> u16 {
    if u32::from(tail) + 1 >= u32::from(config.size()) { 0 } else { tail + 1 }
}
