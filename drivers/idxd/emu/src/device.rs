//! A device in this process: the model, a thread for each of its engines, and the host that answers its page requests.

use std::fmt;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use idxd_spec::EventLogEntry;
use idxd_spec::register::{Cmd, CmdCode, CmdError, DeviceState, GENSTS, GenSts, ResetType};

use idxd_spec::PermissionEntry;

use crate::bus::ProcessMemory;
use crate::configure::Identity;
use crate::doorbell::Command;
use crate::host::Host;
use crate::host::interrupts::Interrupts;
use crate::model::Model;
use crate::portal::Portal;
use crate::software_error::SoftwareError;
use crate::timing::Served;
use crate::{DeviceConfig, DeviceKind, DeviceStats, Error, PageRequestStats, Presence, QueueConfig};

/// How long a dropped device goes on with what is queued.
const DROP_DRAIN_TIME: Duration = Duration::from_secs(5);

/// How long an administrative command may take.
const COMMAND_TIME: Duration = Duration::from_secs(20);

/// A DSA or IAA that works on this process's memory, with threads of its own.
///
/// Dropped, it runs what is queued (for at most five seconds; see [`shutdown`](Self::shutdown)) and ends its threads.
/// An idle device uses no CPU.
///
/// ```
/// use idxd_emu::{Device, DeviceConfig, Submission};
/// use idxd_spec::{Completion, Descriptor, DstAddr, SrcAddr, Status};
///
/// let device = Device::start(DeviceConfig::default())?;
/// let (done, wait) = std::sync::mpsc::channel();
/// device.on_completion(move || _ = done.send(()));
///
/// #[repr(align(32))]
/// struct Record([u8; 32]);
/// let (src, dst, record) = (vec![7_u8; 10_000], vec![0_u8; 10_000], Box::new(Record([0; 32])));
/// let addr = |memory: *const u8| memory.expose_provenance() as u64;
/// let copy = Descriptor::memmove(SrcAddr(addr(src.as_ptr())), DstAddr(addr(dst.as_ptr())), 10_000)
///     .with_block_on_fault()
///     .with_completion(addr(record.0.as_ptr()));
/// assert_eq!(device.portal(0).unwrap().submit(&copy), Submission::Accepted);
///
/// wait.recv()?;
/// assert_eq!(Completion::from_bytes(&std::hint::black_box(&record).0).status(), Status::SUCCESS);
/// assert_eq!(std::hint::black_box(&dst), &src);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Device {
    config: DeviceConfig,
    model: Arc<Model<ProcessMemory>>,
    pasid: u32,
    queues: Vec<Arc<QueueConfig>>,
    engines: Vec<JoinHandle<()>>,
    interrupts: Arc<Interrupts>,
    /// Behind the engines: they need it until they have ended.
    host: Option<Host>,
}

impl Device {
    /// Starts the device, with all its work queues enabled.
    ///
    /// # Errors
    ///
    /// The configuration is out of range, `/proc/self/pagemap` cannot be opened, or a thread cannot be started.
    pub fn start(config: DeviceConfig) -> Result<Self, Error> {
        config.check()?;
        let bus = ProcessMemory::open()?;
        let presence = bus.presence();
        let (host, pages, pasid) = match config.prs {
            true => {
                let (host, pages, pasid) = Host::start(&config.name, config.fault_around_pages_max)?;
                (Some(host), Some(pages), pasid)
            }
            false => (None, None, 1),
        };
        let model = Model::unconfigured(&config.hardware(), config.plan.clone(), bus, pages);
        if let Some(timing) = config.timing {
            model.set_timing(timing);
        }
        let interrupts = Interrupts::start(&config, &model)?;
        model.configure(&config, &Identity { pasid, event_log: interrupts.event_log() })?;
        tracing::info!(
            device = config.name,
            kind = ?config.kind,
            version = ?config.version,
            engines = config.engines,
            queues = config.queues.len(),
            ?presence,
            plan = %config.plan,
            "emulated device started"
        );
        let queues = config.queues.iter().cloned().map(Arc::new).collect();
        let mut device = Self { config, model, pasid, queues, engines: Vec::new(), interrupts, host };
        for index in 0..device.config.engines {
            device.start_engine(index)?;
        }
        Ok(device)
    }

    fn start_engine(&mut self, index: usize) -> Result<(), Error> {
        let name = format!("{}-engine{index}", self.config.name);
        let engine = self.model.engine(index);
        let thread = thread::Builder::new()
            .name(name.clone())
            .spawn(move || engine.serve())
            .map_err(|source| Error::Thread { name, source })?;
        self.engines.push(thread);
        Ok(())
    }

    /// The portal of a work queue; `None` if the device does not have so many.
    pub fn portal(&self, wq: usize) -> Option<Portal> {
        let config = self.queues.get(wq)?;
        Some(Portal::new(Arc::clone(&self.model), wq, Arc::clone(config), self.pasid))
    }

    /// Calls `hook` after each completion record is written, on the engine's thread. It stands for the direct wake-up
    /// a device in the same process can do; a real user work queue has no interrupt. It should be brief: the engine
    /// waits for it. Hooks add up.
    pub fn on_completion(&self, hook: impl Fn() + Send + Sync + 'static) {
        self.model.on_completion(hook);
    }

    /// What happened so far.
    pub fn stats(&self) -> DeviceStats {
        self.model.stats()
    }

    /// What descriptors since the last call would cost, see [`Model::take_served`]. None without
    /// [`DeviceConfig::timing`].
    pub fn take_served(&self) -> Vec<Served> {
        self.model.take_served()
    }

    /// What page requests came to on the bond with this process; none without page requests, or once it has ended.
    pub fn page_request_stats(&self) -> Option<PageRequestStats> {
        self.host.as_ref()?.stats()
    }

    /// The software error register: the first error there was no record to write to.
    pub fn software_error(&self) -> Option<SoftwareError> {
        self.model.software_error()
    }

    /// Clears the software error register.
    pub fn clear_software_error(&self) {
        self.model.clear_software_error();
    }

    /// Which accelerator it is; [`DeviceKind::gen_cap`] and [`DeviceKind::op_cap`] say what that can do.
    pub fn kind(&self) -> DeviceKind {
        self.model.kind
    }

    /// The PASID of this process on this device.
    pub fn pasid(&self) -> u32 {
        self.pasid
    }

    /// An entry of the inter-domain permissions table; `None` if the device does not have so many.
    pub fn permission_entry(&self, index: u16) -> Option<PermissionEntry> {
        self.model.permission_entry(index)
    }

    /// Writes an entry of the inter-domain permissions table, see [`Model::set_permission_entry`].
    pub fn set_permission_entry(&self, index: u16, entry: &PermissionEntry) -> bool {
        self.model.set_permission_entry(index, entry)
    }

    /// Makes the memory of `pasid` inaccessible to inter-domain operations, see [`Model::revoke_space`].
    pub fn revoke_space(&self, pasid: u32, revoked: bool) {
        self.model.revoke_space(pasid, revoked);
    }

    /// How the device finds out which pages are present.
    pub fn presence(&self) -> Presence {
        self.model.bus.presence()
    }

    /// Descriptors a work queue holds that no engine has taken.
    pub fn occupancy(&self, wq: usize) -> usize {
        self.model.queues.get(wq).map_or(0, |queue| queue.occupancy())
    }

    /// Lets engines finish what they run and take nothing more: for tests that want a full queue.
    pub fn hold(&self) {
        self.model.doorbell.command(Command::Hold);
    }

    /// Lets the engines go on after [`hold`](Self::hold).
    pub fn resume(&self) {
        self.model.doorbell.command(Command::Run);
    }

    /// Makes a work queue take descriptors again. Waits for a command that is active.
    pub fn enable_queue(&self, wq: usize) {
        let operand = u32::try_from(wq).unwrap_or(u32::MAX) & 0xff;
        // One that is enabled already stays so.
        let _ = self.command(Cmd::new(CmdCode::ENABLE_WQ).with_operand(operand));
    }

    /// Makes a work queue refuse descriptors. What it holds still runs, and is not waited for.
    pub fn disable_queue(&self, wq: usize) {
        let operand = u8::try_from(wq).map_or(0, Cmd::wq_operand);
        self.model.write_cmd(Cmd::new(CmdCode::DISABLE_WQ).with_operand(operand).0);
    }

    /// Issues an administrative command once none is active, and waits for its end: its result, or its error code.
    ///
    /// # Errors
    ///
    /// What the device answered; [`CmdError::HARDWARE`] if it does not answer for twenty seconds.
    pub fn command(&self, cmd: Cmd) -> Result<u16, CmdError> {
        self.model.execute(cmd, Instant::now() + COMMAND_TIME)
    }

    /// Reads a register of BAR0: `size` bytes, 1, 2, 4 or 8, aligned.
    pub fn read(&self, offset: u64, size: u32) -> u64 {
        self.model.read(offset, size)
    }

    /// Writes a register of BAR0: `size` bytes, 1, 2, 4 or 8, aligned.
    pub fn write(&self, offset: u64, size: u32, value: u64) {
        self.model.write(offset, size, value);
    }

    /// The general status: whether the device works, or is halted and by what it comes back.
    pub fn status(&self) -> GenSts {
        GenSts(u32::try_from(self.read(GENSTS, 4)).unwrap_or(0))
    }

    /// How often entry `vector` of the MSI-X table was raised.
    pub fn interrupts(&self, vector: u16) -> u64 {
        self.interrupts.count(vector)
    }

    /// Calls `hook` with the vector for each interrupt, on the thread that raises it.
    pub fn on_interrupt(&self, hook: impl Fn(u16) + Send + Sync + 'static) {
        self.interrupts.add_hook(Box::new(hook));
    }

    /// Entries of the event log that the reader has handled, the newest last; of many, the last 1024.
    pub fn events(&self) -> Vec<EventLogEntry> {
        self.interrupts.events()
    }

    /// Halts the device, as an error inside it would.
    pub fn halt(&self, reset: ResetType) {
        self.model.halt(reset);
    }

    /// Resets the device, by the command or, where that does not do, by a function-level reset, and enables it again
    /// with the configuration it was started with. What was queued or in flight is abandoned.
    ///
    /// # Errors
    ///
    /// The device refuses its configuration, which it did not before.
    pub fn recover(&self) -> Result<(), Error> {
        let needs_more =
            self.status().state() == DeviceState::Halted && self.status().reset() != ResetType::Software;
        if needs_more || self.command(Cmd::new(CmdCode::RESET_DEVICE)).is_err() {
            self.model.function_level_reset();
        }
        let event_log = self.interrupts.event_log();
        self.interrupts.restart();
        self.model.configure(&self.config, &Identity { pasid: self.pasid, event_log })
    }

    /// Waits until a work queue is empty and idle; `false` at the deadline.
    pub fn drain_queue(&self, wq: usize, deadline: Instant) -> bool {
        self.model.drain_queue(wq, deadline)
    }

    /// Throws away what a work queue holds and says how many descriptors that were. As with hardware they get no
    /// record (DSA §3.15).
    pub fn abort_queue(&self, wq: usize) -> usize {
        self.model.abort_queue(wq)
    }

    /// Refuses new descriptors, runs what is queued until `deadline`, abandons the rest, and ends the threads. Returns
    /// how many descriptors were abandoned: they get no record, so whoever waits for theirs must be told.
    ///
    /// What engines are running at the deadline is still finished, and waited for.
    #[must_use = "abandoned descriptors never complete"]
    pub fn shutdown(mut self, deadline: Instant) -> usize {
        self.stop(deadline)
    }

    fn stop(&mut self, deadline: Instant) -> usize {
        if self.engines.is_empty() && self.host.is_none() {
            return 0;
        }
        let queues = 0..self.model.queues.len();
        self.model.queues.iter().for_each(|queue| queue.close());
        let is_halted = self.model.life.current().is_none();
        self.model.doorbell.command(Command::Finish);
        let this_thread = thread::current().id();
        let called_by_engine = self.engines.iter().any(|engine| engine.thread().id() == this_thread);
        let mut abandoned = 0;
        for wq in queues {
            // An engine that drops its own device in a hook cannot wait for itself.
            if called_by_engine || is_halted || !self.model.drain_queue(wq, deadline) {
                abandoned += self.model.abort_queue(wq);
            }
        }
        for engine in self.engines.drain(..) {
            if engine.thread().id() != this_thread {
                let _ = engine.join();
            }
        }
        self.interrupts.stop();
        self.host = None;
        if abandoned > 0 {
            tracing::warn!(device = self.config.name, abandoned, "device ended with descriptors queued");
        }
        abandoned
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.stop(Instant::now() + DROP_DRAIN_TIME);
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Device")
            .field("name", &self.config.name)
            .field("kind", &self.model.kind)
            .field("engines", &self.engines.len())
            .field("stats", &self.model.stats())
            .finish_non_exhaustive()
    }
}
