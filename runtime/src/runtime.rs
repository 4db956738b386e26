//! The runtime: its queues, its completion thread, its end.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::backend::{Capabilities, Kind, Notifier, Queue, Submission};
use crate::channel::{Again, By, CHOSEN_WITH_CARE, Channel, Shared};
use crate::choice::{Choice, Peer, QUEUES_MAX, Turn};
use crate::config::Config;
use crate::driver::{Bound, Driver};
use crate::error::Error;
use crate::fault::{
    Auto, AutoSnapshot, FaultPolicy, HELPERS, IN_FLIGHT_MAX, Pool, Resolver, memory_bytes_max,
};
use crate::fork::Lineage;
use crate::job::{Check, Job, Operation};
use crate::path::{Path, QueueName, Reason};
use crate::reactor::{self, Doorbell, Reactor};
use crate::report::{Report, Snapshot};
use crate::wait::Waitpkg;

/// Queues, in order of preference, about to become a [`Runtime`].
pub struct Builder {
    config: Config,
    drivers: Vec<Box<dyn Driver>>,
}

impl Builder {
    /// Changes the settings.
    #[must_use]
    pub fn config(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    /// Adds a queue, to be used where those before it cannot.
    #[must_use]
    pub fn queue<Q: Queue>(mut self, queue: Q) -> Self {
        self.drivers.push(Box::new(Bound::new(queue)));
        self
    }

    /// Starts the runtime: one thread, two more where there is a device, one eventfd, and an io_uring where it is allowed.
    ///
    /// # Errors
    ///
    /// [`Error::Os`] when there is no thread or no eventfd to be had.
    pub fn build(self) -> Result<Runtime, Error> {
        let os = |what| move |source: io::Error| Error::Os { what, source };
        let doorbell = Arc::new(Doorbell::new().map_err(os("eventfd"))?);
        let resolver = Arc::new(Resolver::new(self.config.resolver, &doorbell.eventfd));
        let helpers = Arc::new(Pool::default());
        let lineage = Arc::new(Lineage::new().map_err(os("madvise(MADV_WIPEONFORK)"))?);
        let choice = Choice::new(peers(&self.drivers));
        let (doorbells, lineages) = (Arc::clone(&doorbell), Arc::clone(&lineage));
        let auto = (self.config.faults == FaultPolicy::Auto).then(|| Arc::new(Auto::new(self.config.costs)));
        let shared = Shared {
            resolver: Arc::clone(&resolver),
            helpers: Arc::clone(&helpers),
            auto: auto.clone(),
            memory_bytes_max: memory_bytes_max(),
            doorbell: doorbells,
            lineage: lineages,
            is_choice: choice.is_some(),
        };
        let channels: Arc<[Arc<Channel>]> = (0_u16..)
            .zip(self.drivers)
            .map(|(index, driver)| Arc::new(Channel::new(index, driver, shared.clone(), self.config.clone())))
            .collect();
        for channel in channels.iter() {
            channel.publish();
            attach(channel, &doorbell);
        }
        let of_kind = |kind| channels.iter().any(|channel| channel.capabilities().kind == kind);
        let is_for_size = of_kind(Kind::Hardware) && of_kind(Kind::Software);
        let closing = Arc::new(AtomicBool::new(false));
        let waitpkg = Waitpkg::detect();
        let reactor = Reactor {
            channels: Arc::clone(&channels),
            resolver: Arc::clone(&resolver),
            doorbell: Arc::clone(&doorbell),
            closing: Arc::clone(&closing),
            waitpkg,
        };
        let thread = std::thread::Builder::new()
            .name("svala".into())
            .spawn(move || reactor.run())
            .map_err(os("starting the completion thread"))?;
        tracing::debug!(
            queues = channels.len(),
            resolver = resolver.name(),
            umwait = waitpkg.is_some(),
            "runtime up"
        );
        let runtime = Runtime {
            inner: Arc::new(Inner {
                channels,
                resolver,
                helpers,
                auto,
                doorbell,
                closing,
                lineage,
                choice,
                is_for_size,
                thread: Mutex::new(Some(thread)),
                waitpkg,
                config: self.config,
            }),
        };
        runtime.start_helpers().map_err(os("starting the threads that populate"))?;
        Ok(runtime)
    }
}

fn attach(channel: &Arc<Channel>, doorbell: &Arc<Doorbell>) {
    let (weak, doorbell) = (Arc::downgrade(channel), Arc::clone(doorbell));
    channel.driver().attach(Notifier::new(move || {
        if let Some(channel) = weak.upgrade() {
            // Perhaps it is back: the completion thread asks.
            if !channel.health().is_up() {
                doorbell.ring(true);
            }
            // Without anybody waiting there is nothing to do: futures look for themselves.
            if channel.is_waited_for() && channel.reap(None, By::Notifier).looking != 0 {
                doorbell.ring(true);
            }
        }
    }));
}

/// An accelerator runtime: operations to await, on the queues it was built with.
///
/// Cheap to clone; the last one dropped shuts the runtime down as [`Runtime::shutdown`] does.
#[derive(Clone)]
pub struct Runtime {
    inner: Arc<Inner>,
}

struct Inner {
    channels: Arc<[Arc<Channel>]>,
    resolver: Arc<Resolver>,
    helpers: Arc<Pool>,
    auto: Option<Arc<Auto>>,
    doorbell: Arc<Doorbell>,
    closing: Arc<AtomicBool>,
    lineage: Arc<Lineage>,
    /// None with one device, or none.
    choice: Option<Choice>,
    /// Small jobs stay on the CPU: there is one, and silicon.
    is_for_size: bool,
    thread: Mutex<Option<JoinHandle<()>>>,
    waitpkg: Option<Waitpkg>,
    config: Config,
}

/// How shutting down went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Drained {
    /// Operations whose device has not answered within the bound. Their buffers and records are leaked when the
    /// runtime goes, because the device may still write to them.
    pub unanswered: u32,
}

impl Runtime {
    /// Begins a runtime.
    pub fn builder() -> Builder {
        Builder { config: Config::default(), drivers: Vec::new() }
    }

    /// The threads that populate, where there is a device: the CPU's faults are the kernel's business.
    fn start_helpers(&self) -> io::Result<()> {
        let channels = Arc::clone(&self.inner.channels);
        if channels.iter().all(|channel| channel.capabilities().kind == Kind::Software) {
            return Ok(());
        }
        self.inner.resolver.start_threads()?;
        let help: Arc<dyn Fn() + Send + Sync> =
            Arc::new(move || channels.iter().for_each(|channel| channel.help()));
        self.inner.helpers.start("svala-small", HELPERS, &help)
    }

    /// What each queue can do, in order of preference.
    pub fn capabilities(&self) -> impl Iterator<Item = &Capabilities> {
        self.inner.channels.iter().map(|channel| channel.capabilities())
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.inner.config
    }

    /// The counters, read without stopping anything.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            queues: self.inner.channels.iter().map(|channel| channel.snapshot()).collect(),
            resolver: self.inner.resolver.name(),
            resolver_reason: self.inner.resolver.reason(),
            resolver_threads_max: self.inner.resolver.threads_max() + HELPERS,
            resolver_ranges_max: u32::try_from(IN_FLIGHT_MAX).unwrap_or(u32::MAX),
            auto: self.fault_choices(),
            waiting: if self.inner.waitpkg.is_some() { "umwait" } else { "sleep" },
        }
    }

    /// What [`FaultPolicy::Auto`] knows and has chosen; none under another policy.
    pub fn fault_choices(&self) -> Option<AutoSnapshot> {
        self.inner.auto.as_ref().map(|auto| auto.snapshot())
    }

    /// Takes no new operations and waits until those under way have ended, at most `drain_within`.
    ///
    /// Blocks the calling thread. Operations that wait for a slot end with [`Error::Closed`].
    ///
    /// In a child of the process that made the runtime there is nothing to wait for, and nothing is touched.
    pub fn shutdown(&self) -> Drained {
        if self.inner.lineage.is_forked() {
            return Drained { unanswered: 0 };
        }
        for channel in self.inner.channels.iter() {
            channel.close();
        }
        self.inner.drain()
    }

    /// The queue for `job`, and the path to report.
    #[inline]
    pub(crate) fn choose(&self, job: &Job) -> Option<(&Channel, Path)> {
        // In a child process nothing is taken at once, nor is any queue up.
        if self.inner.lineage.at_once().contains(job.operation())
            && let Some(first) = self.inner.channels.first()
        {
            return Some((first, first.path()));
        }
        match &self.inner.choice {
            Some(choice) => self.choose_among(choice, job),
            None => self.choose_with_care(job),
        }
    }

    /// The queue for `job` among devices that stand in for each other.
    fn choose_among(&self, choice: &Choice, job: &Job) -> Option<(&Channel, Path)> {
        let set = choice.set(job.operation()) & self.inner.lineage.up();
        if set == 0 || job.bytes() < self.inner.config.offload_bytes_min && self.inner.is_for_size {
            return self.choose_with_care(job);
        }
        let channel = self.pick(choice, set, job.bytes(), Some(job))?;
        Some((channel, channel.path()))
    }

    /// One queue of `set`, which is not empty.
    fn pick(&self, choice: &Choice, set: u64, weight: u64, job: Option<&Job>) -> Option<&Channel> {
        let channels = &self.inner.channels;
        let node = match (choice.nodes(), job) {
            (Some(nodes), Some(job)) => {
                let largest = job.operands().into_iter().flatten().max_by_key(|operand| operand.span.len);
                largest.and_then(|operand| nodes.of(operand.span.addr, operand.span.len))
            }
            _ => None,
        };
        let load = |index: usize| channels.get(index).map_or(0, |channel| channel.load());
        channels.get(choice.pick(set, node, weight, Turn::next(), load)).map(|channel| &**channel)
    }

    /// Whether this is a child of the process that made the runtime.
    pub(crate) fn is_forked(&self) -> bool {
        self.inner.lineage.is_forked()
    }

    /// Why no queue was found for an operation.
    #[cold]
    pub(crate) fn nowhere(&self, operation: Operation) -> Error {
        if self.is_forked() {
            return Error::Forked { operation };
        }
        let does = |channel: &&Arc<Channel>| channel.offers(operation);
        let out = self.inner.channels.iter().filter(does).find_map(|channel| {
            let queue = channel.capabilities().name;
            channel.health().why().map(|why| Error::QueueOut { queue, operation, why })
        });
        out.unwrap_or(Error::Unsupported { operation })
    }

    /// Another queue for a job that one has failed to do, if one is up.
    #[cold]
    pub(crate) fn choose_again(&self, job: &Job, again: Again) -> Option<(&Channel, Path)> {
        match again {
            Again::No => None,
            Again::Elsewhere => self.choose(job).filter(|(channel, _)| channel.health().is_up()),
            Again::OnCpu(fault) => {
                let cpu = self.software().filter(|cpu| cpu.offers(job.operation()))?;
                Some((cpu, cpu.capabilities().path(Reason::QueueOut { fault })))
            }
        }
    }

    fn choose_with_care(&self, job: &Job) -> Option<(&Channel, Path)> {
        if self.is_forked() {
            return None;
        }
        let mut reason = None;
        // One that is out because it is slow, for want of another.
        let mut last_resort = None;
        for (index, channel) in self.inner.channels.iter().enumerate() {
            if let Err(why_not) = self.fits(channel, job) {
                reason = why_not.or(reason);
            } else if let Some(fault) = channel.health().why() {
                reason = Some(Reason::QueueOut { fault });
                last_resort = last_resort.or(fault.is_soft().then_some((&**channel, channel.path())));
            } else {
                let channel =
                    self.or_a_peer(index, job.bytes(), Some(job), |peer| self.fits(peer, job).is_ok());
                let reason = reason.unwrap_or(self.inner.config.software_reason);
                return Some((channel, channel.capabilities().path(reason)));
            }
        }
        last_resort
    }

    /// Whether a queue can do a job; if not, why the CPU may have to.
    fn fits(&self, channel: &Channel, job: &Job) -> Result<(), Option<Reason>> {
        let capabilities = channel.capabilities();
        let device = capabilities.kind != Kind::Software;
        let operation = job.operation();
        let why_not = if !capabilities.operations.contains(operation) {
            return Err(device.then_some(Reason::NotOffered { operation }));
        } else if let Some(mode) = job.decryption()
            && !capabilities.operations.contains(Operation::of_cipher(mode, false))
        {
            return Err(device.then_some(Reason::NotOffered { operation: Operation::of_cipher(mode, false) }));
        } else if job.check() == Check::Adler32 && !capabilities.adler32 {
            Reason::Check
        } else if device && !job.has_device_shape() {
            Reason::Shape
        } else if !job.can_split() && job.range_bytes_max() > capabilities.unsplit_bytes_max {
            Reason::Large { bytes_max: capabilities.unsplit_bytes_max }
        } else if job.bytes() == 0 && device && !job.in_step() {
            Reason::Empty
        } else if capabilities.kind == Kind::Hardware
            && job.bytes() < self.inner.config.offload_bytes_min
            && self.software().is_some_and(|cpu| cpu.offers(operation))
        {
            Reason::Small
        } else {
            return Ok(());
        };
        Err(Some(why_not))
    }

    /// The queue with this number, which is up, or one that stands in for it.
    pub(crate) fn or_a_peer(
        &self,
        index: usize,
        weight: u64,
        job: Option<&Job>,
        fits: impl Fn(&Channel) -> bool,
    ) -> &Channel {
        let first = &self.inner.channels[index];
        let Some(choice) = self.inner.choice.as_ref().filter(|choice| choice.is_peer(index)) else {
            return first;
        };
        let up = self.inner.lineage.up();
        let is_there =
            |(at, peer): &(usize, &Arc<Channel>)| choice.is_peer(*at) && up >> *at & 1 != 0 && fits(peer);
        let peers = self.inner.channels.iter().enumerate().take(QUEUES_MAX).filter(is_there);
        let set = peers.fold(0, |set, (at, _)| set | 1_u64 << at);
        if set == 0 { first } else { self.pick(choice, set, weight, job).unwrap_or(first) }
    }

    pub(crate) fn channels(&self) -> impl Iterator<Item = &Channel> {
        self.inner.channels.iter().map(|channel| &**channel)
    }

    /// The CPU's queue.
    pub(crate) fn software(&self) -> Option<&Channel> {
        if self.is_forked() {
            return None;
        }
        self.inner
            .channels
            .iter()
            .find(|channel| channel.capabilities().kind == Kind::Software)
            .map(|channel| &**channel)
    }

    pub(crate) fn submission(&self) -> Submission {
        // Whether the device is to block, the policy says when the slot is taken.
        Submission { block_on_fault: false, unchecked: false }
    }

    /// The name of the first queue, for messages.
    pub(crate) fn first_name(&self) -> QueueName {
        let first = self.inner.channels.first();
        first.map_or_else(|| QueueName::new("none"), |channel| channel.capabilities().name)
    }

    /// A report of an operation that got nowhere.
    pub(crate) fn blank_report(&self) -> Report {
        let path = self.inner.channels.first().map(|channel| channel.path());
        Report::new(path.unwrap_or(Path::Software { reason: self.inner.config.software_reason }))
    }
}

/// What the choice between queues is made by. If the first is a device, devices of its kind stand in for each other.
fn peers(drivers: &[Box<dyn Driver>]) -> impl Iterator<Item = Peer> {
    let first =
        drivers.first().map(|driver| driver.capabilities().kind).filter(|kind| *kind != Kind::Software);
    drivers.iter().map(move |driver| {
        let capabilities = driver.capabilities();
        Peer {
            is_peer: Some(capabilities.kind) == first,
            any: capabilities.operations.without_any_of(&CHOSEN_WITH_CARE),
            numa_node: capabilities.numa_node,
        }
    })
}

impl Inner {
    /// In a child process: leaves everything as it is. Threads that are to be joined do not exist, and what else there is
    /// belongs to the parent as well.
    fn forget(&mut self) {
        std::mem::forget(Arc::clone(&self.channels));
        std::mem::forget(Arc::clone(&self.resolver));
        self.helpers.forget();
        std::mem::forget(Arc::clone(&self.doorbell));
        std::mem::forget(Arc::clone(&self.lineage));
        std::mem::forget(self.thread.get_mut().take());
    }

    /// Waits for what is in flight, within the bound.
    fn drain(&self) -> Drained {
        let until = Instant::now() + self.config.drain_within;
        loop {
            let unanswered: u32 = self.channels.iter().map(|channel| channel.busy_slots()).sum();
            if unanswered == 0 || Instant::now() >= until {
                return Drained { unanswered };
            }
            std::thread::sleep(Duration::from_micros(200));
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if self.lineage.is_forked() {
            self.forget();
            return;
        }
        for channel in self.channels.iter() {
            channel.close();
        }
        let _ = self.drain();
        reactor::stop(&self.doorbell, &self.closing);
        if let Some(thread) = self.thread.get_mut().take()
            && thread.thread().id() != std::thread::current().id()
            && thread.join().is_err()
        {
            tracing::error!("the completion thread panicked");
        }
        self.closing.store(true, Ordering::SeqCst);
        self.helpers.stop();
        for channel in self.channels.iter() {
            let busy = channel.busy_slots();
            if busy != 0 {
                let queue = channel.capabilities().name;
                tracing::error!(%queue, busy, "leaking memory that a device may still write to");
                std::mem::forget(Arc::clone(channel));
            }
            channel.driver().close();
        }
    }
}
