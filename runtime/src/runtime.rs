//! The runtime: its queues, its completion thread, its end.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::backend::{Capabilities, Kind, Notifier, Queue, Submission};
use crate::channel::Channel;
use crate::config::Config;
use crate::driver::{Bound, Driver};
use crate::error::Error;
use crate::fault::{FaultPolicy, Resolver};
use crate::job::{Check, Job};
use crate::path::{Path, Reason};
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

    /// Starts the runtime: one thread, one eventfd, and an io_uring where it is allowed.
    ///
    /// # Errors
    ///
    /// [`Error::Os`] when there is no thread or no eventfd to be had.
    pub fn build(self) -> Result<Runtime, Error> {
        let os = |what| move |source: io::Error| Error::Os { what, source };
        let doorbell = Arc::new(Doorbell::new().map_err(os("eventfd"))?);
        let resolver = Resolver::new(self.config.resolver, &doorbell.eventfd);
        let resolver = Arc::new(resolver.map_err(os("starting the resolver's threads"))?);
        let channels: Arc<[Arc<Channel>]> = (0_u16..)
            .zip(self.drivers)
            .map(|(index, driver)| {
                let (resolver, doorbell) = (Arc::clone(&resolver), Arc::clone(&doorbell));
                Arc::new(Channel::new(index, driver, resolver, doorbell, self.config.clone()))
            })
            .collect();
        for channel in channels.iter() {
            attach(channel, &doorbell);
        }
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
        Ok(Runtime {
            inner: Arc::new(Inner {
                channels,
                resolver,
                doorbell,
                closing,
                thread: Mutex::new(Some(thread)),
                waitpkg,
                config: self.config,
            }),
        })
    }
}

fn attach(channel: &Arc<Channel>, doorbell: &Arc<Doorbell>) {
    let (weak, doorbell) = (Arc::downgrade(channel), Arc::clone(doorbell));
    channel.driver().attach(Notifier::new(move || {
        if let Some(channel) = weak.upgrade() {
            // Without anybody waiting there is nothing to do: futures look for themselves.
            if channel.is_waited_for() && channel.reap(None).looking != 0 {
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
    doorbell: Arc<Doorbell>,
    closing: Arc<AtomicBool>,
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
            waiting: if self.inner.waitpkg.is_some() { "umwait" } else { "sleep" },
        }
    }

    /// Takes no new operations and waits until those under way have ended, at most `drain_within`.
    ///
    /// Blocks the calling thread. Operations that wait for a slot end with [`Error::Closed`].
    pub fn shutdown(&self) -> Drained {
        for channel in self.inner.channels.iter() {
            channel.close();
        }
        self.inner.drain()
    }

    /// The queue for `job`, and the path to report.
    #[inline]
    pub(crate) fn choose(&self, job: &Job) -> Option<(&Channel, Path)> {
        match self.inner.channels.first() {
            Some(first) if first.takes_any(job.operation()) => Some((first, first.path())),
            _ => self.choose_with_care(job),
        }
    }

    fn choose_with_care(&self, job: &Job) -> Option<(&Channel, Path)> {
        let operation = job.operation();
        let mut reason = None;
        for channel in self.inner.channels.iter() {
            let capabilities = channel.capabilities();
            let device = capabilities.kind != Kind::Software;
            if !capabilities.operations.contains(operation) {
                if device {
                    reason.get_or_insert(Reason::NotOffered { operation });
                }
            } else if job.check() == Check::Adler32 && !capabilities.adler32 {
                reason = Some(Reason::Check);
            } else if device && !job.has_device_shape() {
                reason = Some(Reason::Shape);
            } else if !job.can_split() && job.bytes() > capabilities.unsplit_bytes_max {
                reason = Some(Reason::Large { bytes_max: capabilities.unsplit_bytes_max });
            } else if job.bytes() == 0 && device && !job.in_step() {
                reason = Some(Reason::Empty);
            } else if capabilities.kind == Kind::Hardware
                && job.bytes() < self.inner.config.offload_bytes_min
                && self.software().is_some_and(|cpu| cpu.capabilities().operations.contains(operation))
            {
                reason = Some(Reason::Small);
            } else {
                let reason = reason.unwrap_or(self.inner.config.software_reason);
                return Some((channel, capabilities.path(reason)));
            }
        }
        None
    }

    pub(crate) fn channels(&self) -> impl Iterator<Item = &Channel> {
        self.inner.channels.iter().map(|channel| &**channel)
    }

    /// The CPU's queue.
    pub(crate) fn software(&self) -> Option<&Channel> {
        self.inner
            .channels
            .iter()
            .find(|channel| channel.capabilities().kind == Kind::Software)
            .map(|channel| &**channel)
    }

    pub(crate) fn submission(&self) -> Submission {
        Submission { block_on_fault: self.inner.config.faults == FaultPolicy::BlockOnFault, unchecked: false }
    }

    /// A report of an operation that got nowhere.
    pub(crate) fn blank_report(&self) -> Report {
        let path = self.inner.channels.first().map(|channel| channel.path());
        Report::new(path.unwrap_or(Path::Software { reason: self.inner.config.software_reason }))
    }
}

impl Inner {
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
