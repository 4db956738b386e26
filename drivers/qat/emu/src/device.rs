//! The device: registers from outside, one thread inside.
//!
//! UNSAFETY: passes on the promise that registered memory stays.
#![expect(unsafe_code, reason = "registering memory is a promise about it")]

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use nix::sys::eventfd::{EfdFlags, EventFd};
use parking_lot::{Condvar, Mutex};

use crate::Region;
use crate::bank::Bank;
use crate::config::DeviceConfig;
use crate::firmware::{self, Held, Silent};
use crate::memory::Mappings;
use crate::pf::Pf;
use crate::plan::PfFaults;
use crate::stats::DeviceStats;

/// Why a device cannot be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The system refuses a thread or an eventfd.
    #[error("{what}")]
    Os {
        /// What was asked for.
        what: &'static str,
        /// What it said.
        #[source]
        source: io::Error,
    },
}

/// What changes.
pub(crate) struct State {
    pub(crate) banks: [Bank; 4],
    pub(crate) stalled: [bool; 4],
    pub(crate) pf: Pf,
    pub(crate) held: Vec<Held>,
    pub(crate) silent: Vec<Silent>,
    pub(crate) stats: DeviceStats,
    /// The ring pair to look at first.
    pub(crate) turn: usize,
    pub(crate) stop: bool,
    interrupt_source: u32,
    interrupt_mask: u32,
    pf_source: u32,
    pf_mask: u32,
}

pub(crate) struct Inner {
    pub(crate) config: DeviceConfig,
    pub(crate) state: Mutex<State>,
    pub(crate) work: Condvar,
    pub(crate) memory: Mappings,
    interrupt: EventFd,
}

/// A virtual function. Dropping it ends its thread.
pub struct Device {
    inner: Arc<Inner>,
    thread: Option<JoinHandle<()>>,
}

/// Bytes of the region of the rings.
const RINGS_BYTES: u64 = 4 * 0x2000;

impl Device {
    /// Starts a device.
    ///
    /// # Errors
    ///
    /// Without a thread or an eventfd.
    pub fn start(config: DeviceConfig) -> Result<Self, Error> {
        let interrupt = EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)
            .map_err(|errno| Error::Os { what: "eventfd", source: errno.into() })?;
        let name = config.name.clone();
        let state = State {
            banks: [Bank::default(); 4],
            stalled: [false; 4],
            pf: Pf::new(&config),
            held: Vec::new(),
            silent: Vec::new(),
            stats: DeviceStats::default(),
            turn: 0,
            stop: false,
            interrupt_source: 0,
            interrupt_mask: 0,
            pf_source: 0,
            pf_mask: 0,
        };
        let memory = Mappings::default();
        let inner =
            Arc::new(Inner { config, state: Mutex::new(state), work: Condvar::new(), memory, interrupt });
        let own = Arc::clone(&inner);
        let thread = std::thread::Builder::new()
            .name(name)
            .spawn(move || firmware::run(&own))
            .map_err(|source| Error::Os { what: "thread", source })?;
        Ok(Self { inner, thread: Some(thread) })
    }

    /// Reads a register. What does not exist reads as all ones, and is counted.
    pub fn read32(&self, region: Region, offset: u64) -> u32 {
        let mut state = self.inner.state.lock();
        match state.register(region, offset) {
            Some(register) => *register,
            None => {
                state.stats.bad_accesses += 1;
                u32::MAX
            }
        }
    }

    /// Writes a register.
    pub fn write32(&self, region: Region, offset: u64, value: u32) {
        let mut state = self.inner.state.lock();
        match state.register(region, offset) {
            Some(register) => *register = value,
            None => state.stats.bad_accesses += 1,
        }
        match region {
            Region::Rings => self.inner.after_ring_write(&mut state, offset),
            Region::Misc => self.inner.after_misc_write(&mut state, offset, value),
        }
    }

    /// Registers memory: the device may reach `len` bytes from `addr` on. False if some of it is registered already.
    ///
    /// # Safety
    ///
    /// The memory stays mapped, readable and writable until [`Device::unmap`] has returned or the device is gone, and
    /// where and while a request names it, nobody else uses it in a way that conflicts.
    pub unsafe fn map(&self, addr: u64, len: u64) -> bool {
        // SAFETY: the caller's promise, passed on.
        unsafe { self.inner.memory.insert(addr, len) }
    }

    /// Unregisters what was registered; the device is not in it when this returns.
    pub fn unmap(&self, addr: u64, len: u64) -> bool {
        self.inner.memory.remove(addr, len)
    }

    /// Whether all of a range is registered.
    pub fn is_mapped(&self, addr: u64, len: u64) -> bool {
        self.inner.memory.covers(addr, len)
    }

    /// Readable when an interrupt was raised.
    pub fn interrupt(&self) -> BorrowedFd<'_> {
        self.inner.interrupt.as_fd()
    }

    /// Raises an interrupt without a reason.
    pub fn stray_interrupt(&self) {
        let mut state = self.inner.state.lock();
        self.inner.interrupt(&mut state);
    }

    /// Has the physical function announce a restart. It happens when the driver is ready, or its patience ends.
    pub fn restart(&self) {
        let mut state = self.inner.state.lock();
        self.inner.announce_restart(&mut state);
        drop(state);
        self.inner.work.notify_all();
    }

    /// What goes wrong in the messages from now on.
    pub fn set_pf_faults(&self, faults: PfFaults) {
        self.inner.state.lock().pf.faults = faults;
    }

    /// Has the physical function say that the device is broken.
    pub fn fatal_error(&self) {
        let mut state = self.inner.state.lock();
        if state.pf.send(0x04, 0) {
            self.inner.interrupt_from_pf(&mut state);
        }
    }

    /// The counters.
    pub fn stats(&self) -> DeviceStats {
        self.inner.state.lock().stats
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.inner.state.lock().stop = true;
        self.inner.work.notify_all();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!(device = self.inner.config.name, "the firmware panicked");
        }
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Device").field("name", &self.inner.config.name).finish_non_exhaustive()
    }
}

impl State {
    fn register(&mut self, region: Region, offset: u64) -> Option<&mut u32> {
        match region {
            Region::Rings if offset < RINGS_BYTES => {
                let (bank, offset) = (offset / 0x2000, offset % 0x2000);
                self.banks.get_mut(usize::try_from(bank).ok()?)?.register(offset)
            }
            Region::Rings => None,
            Region::Misc => Some(match offset {
                0x0 => &mut self.interrupt_source,
                0x4 => &mut self.interrupt_mask,
                0x1000 => &mut self.pf_source,
                0x1004 => &mut self.pf_mask,
                0x1008 => &mut self.pf.from_pf,
                0x100c => &mut self.pf.to_pf,
                _ => return None,
            }),
        }
    }
}

impl Inner {
    fn after_ring_write(&self, state: &mut State, offset: u64) {
        let bank = usize::try_from(offset / 0x2000).unwrap_or(usize::MAX);
        match offset % 0x2000 {
            0x100 => {
                state.stats.tail_writes += 1;
                self.work.notify_all();
            }
            0x0c4 => {
                state.stats.head_writes += 1;
                self.work.notify_all();
            }
            0x19c => {
                self.work.notify_all();
            }
            // Armed again: what came meanwhile is announced.
            0x180 => {
                let Some(one) = state.banks.get_mut(bank) else { return };
                one.is_armed = true;
                if one.has_responses() {
                    self.announce(state, bank);
                }
            }
            _ => {}
        }
    }

    fn after_misc_write(&self, state: &mut State, offset: u64, value: u32) {
        match offset {
            0x100c => {
                self.work.notify_all();
            }
            0x1008 if value & 1 == 0 => {
                state.pf.taken();
                if state.pf.deliver() {
                    self.interrupt_from_pf(state);
                }
            }
            _ => {}
        }
    }

    /// Says that a ring pair has responses, if that is wanted; once, until it is armed again.
    pub(crate) fn announce(&self, state: &mut State, bank: usize) {
        if state.banks[bank].interrupts() {
            state.banks[bank].is_armed = false;
            state.interrupt_source |= 1 << bank;
            if state.interrupt_mask & 1 << bank == 0 {
                self.interrupt(state);
            }
        }
    }

    /// Says that the physical function has sent something.
    pub(crate) fn interrupt_from_pf(&self, state: &mut State) {
        state.pf_source |= 1;
        if state.pf_mask & 1 == 0 {
            self.interrupt(state);
        }
    }

    pub(crate) fn interrupt(&self, state: &mut State) {
        state.stats.interrupts += 1;
        // Full only after 2^64 interrupts that nobody took.
        let _ = self.interrupt.write(1);
    }

    pub(crate) fn announce_restart(&self, state: &mut State) {
        if state.pf.restart_by.is_none() {
            state.pf.restart_by = Some(Instant::now() + self.config.restart_patience);
            if state.pf.send(0x01, 0) {
                self.interrupt_from_pf(state);
            }
        }
    }
}
