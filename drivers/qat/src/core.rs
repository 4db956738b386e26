//! What the queue and its reactor share.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};

use nix::sys::eventfd::{EfdFlags, EventFd};
use parking_lot::Mutex;
use qat_spec::ring::misc;
use qat_spec::{Capabilities, Response, Service};
use svala::backend::{Completion, Notifier, QueueFault};

use crate::config::QatQueueConfig;
use crate::error::Error;
use crate::function::{Region, VirtualFunction};
use crate::lane::{Lane, State};
use crate::memory::Arena;
use crate::pf::{Conversation, Greeting};
use crate::ring::RingPair;
use crate::slot::{self, Slot};
use crate::work::Worker;

/// Whether the function can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// It can.
    Up,
    /// It is being restarted.
    Restarting,
    /// It is broken.
    Dead,
}

/// A function with its rings.
pub(crate) struct Core {
    pub(crate) worker: Worker,
    pub(crate) pairs: Vec<RingPair>,
    pub(crate) slots: Box<[Slot]>,
    pub(crate) conversation: Mutex<Conversation>,
    pub(crate) greeting: Greeting,
    life: AtomicU8,
    /// Ring pairs that a reset was refused for, one bit each.
    pub(crate) lost: AtomicU32,
    /// Counts up, four times in the time a request has.
    pub(crate) tick: AtomicU32,
    /// The reactor sleeps without an end.
    pub(crate) sleeps: AtomicBool,
    pub(crate) stop: AtomicBool,
    pub(crate) wake: EventFd,
    pub(crate) notifier: Mutex<Option<Notifier>>,
    /// Sees to its ring pairs without a thread for answers.
    pub(crate) is_polled: bool,
}

impl Core {
    /// Greets the physical function, makes the arena, sets the rings up.
    pub(crate) fn open(function: Arc<dyn VirtualFunction>, config: QatQueueConfig) -> Result<Self, Error> {
        let name = function.name().to_owned();
        let pf = |source| Error::Pf { function: name.clone(), source };
        // Answers are looked for; the reactor turns interrupts on.
        function.write32(Region::Misc, misc::PF2VM_MASK, 1);
        let mut conversation = Conversation::new(Arc::clone(&function), &config);
        let greeting = conversation.greet().map_err(pf)?;
        let compresses = greeting.capabilities.contains(Capabilities::COMPRESSION);
        let gcm = Capabilities::SYM.union(Capabilities::AESGCM_SPC);
        let encrypts = greeting.capabilities.contains(gcm);
        if !compresses && !encrypts {
            return Err(Error::NoService { function: name, capabilities: greeting.capabilities });
        }
        let banks = (0..qat_spec::ring::RING_PAIRS_MAX)
            .map(|pair| (pair as u64, greeting.map.service(pair)))
            .filter(|(_, service)| {
                *service == Service::COMPRESSION && compresses || *service == Service::SYM && encrypts
            })
            .collect::<Vec<_>>();
        if banks.is_empty() {
            return Err(Error::NoRingPair { function: name, map: greeting.map });
        }
        Self::with(function, config, conversation, greeting, &banks)
    }

    /// Sets the rings up for a function that is in use.
    pub(crate) fn with(
        function: Arc<dyn VirtualFunction>,
        config: QatQueueConfig,
        conversation: Conversation,
        greeting: Greeting,
        banks: &[(u64, Service)],
    ) -> Result<Self, Error> {
        let generation = function.generation();
        let lz4 = greeting.capabilities.contains(Capabilities::LZ4);
        let does = |service| banks.iter().any(|(_, of_bank)| *of_bank == service);
        let (compresses, encrypts) = (does(Service::COMPRESSION), does(Service::SYM));
        let is_polled = config.completion == Completion::Polled;
        let arena = Arena::new(function, config.arena_bytes)?;
        let pairs = banks
            .iter()
            .map(|bank| RingPair::new(&arena, *bank, config.ring_messages, !is_polled))
            .collect::<Result<Vec<_>, _>>()?;
        let wake = EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)
            .map_err(|errno| Error::Os { what: "eventfd", source: io::Error::from(errno) })?;
        let slots = config.depth.max(1) as usize * config.batch_max.max(1) as usize;
        Ok(Self {
            worker: Worker {
                arena,
                generation,
                lz4,
                compresses,
                encrypts,
                config,
                counters: Default::default(),
            },
            pairs,
            slots: (0..slots).map(|_| Slot::default()).collect(),
            conversation: Mutex::new(conversation),
            greeting,
            life: AtomicU8::new(Life::Up as u8),
            lost: AtomicU32::new(0),
            tick: AtomicU32::new(0),
            sleeps: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            wake,
            notifier: Mutex::new(None),
            is_polled,
        })
    }

    pub(crate) fn life(&self) -> Life {
        match self.life.load(Ordering::Acquire) {
            0 => Life::Up,
            1 => Life::Restarting,
            _ => Life::Dead,
        }
    }

    pub(crate) fn set_life(&self, life: Life) {
        self.life.store(life as u8, Ordering::Release);
    }

    /// What is wrong with the function as a whole.
    pub(crate) fn fault(&self) -> Option<QueueFault> {
        match self.life() {
            Life::Restarting => Some(QueueFault::Disabled),
            Life::Dead => Some(QueueFault::Halted),
            Life::Up => {
                let lost = self.lost.load(Ordering::Relaxed).count_ones() as usize;
                (lost == self.pairs.len()).then_some(QueueFault::Halted)
            }
        }
    }

    /// Whether every ring pair that does this is out of use.
    pub(crate) fn is_lost(&self, service: Service) -> bool {
        let lost = self.lost.load(Ordering::Relaxed);
        let of_service = |(_, pair): &(usize, &RingPair)| pair.service() == service;
        lost != 0 && self.pairs.iter().enumerate().filter(of_service).all(|(index, _)| lost & 1 << index != 0)
    }

    /// Sends the requests of lanes that have one, of as many as there is room for, with one write of a tail for each ring
    /// pair. How many.
    pub(crate) fn send<'l>(&self, lanes: impl Iterator<Item = &'l Lane> + Clone) -> u32 {
        let mut sent = 0;
        if self.worker.compresses {
            sent += self.send_to(Service::COMPRESSION, lanes.clone());
        }
        if self.worker.encrypts {
            sent += self.send_to(Service::SYM, lanes);
        }
        sent
    }

    #[inline]
    fn send_to<'l>(&self, service: Service, lanes: impl Iterator<Item = &'l Lane>) -> u32 {
        let is_for_it = |lane: &&Lane| lane.state.get() == State::ToSend && lane.service() == service;
        let mut lanes = lanes.filter(is_for_it).peekable();
        let mut sent = 0;
        let home = home();
        for step in 0..self.pairs.len() {
            if lanes.peek().is_none() {
                break;
            }
            let index = (home + step) % self.pairs.len();
            if self.pairs[index].service() != service {
                continue;
            }
            let Some(mut batch) = self.pairs[index].begin() else { continue };
            while let Some(lane) = lanes.peek() {
                if !batch.put(|| self.arm(lane, index)) {
                    break;
                }
                lanes.next();
            }
            sent += batch.count();
            if batch.count() != 0 {
                self.worker.counters.tail_writes.add(1);
            }
        }
        if sent != 0 {
            self.worker.counters.requests.add(sent.into());
            // The reactor stores this before it looks whether anything is in flight; what was sent is counted by now.
            if self.sleeps.load(Ordering::SeqCst) {
                self.rouse();
            }
        }
        sent
    }

    #[inline]
    fn arm(&self, lane: &Lane, pair: usize) -> qat_spec::Request {
        let tick = self.tick.load(Ordering::Relaxed);
        let generation = self.slots[lane.slot as usize].arm(u32::try_from(pair).unwrap_or(u32::MAX), tick);
        lane.pair.set(pair);
        lane.state.set(State::Sent);
        self.worker.request(lane, slot::cookie(lane.slot, generation))
    }

    /// Finds the slot of a response. Whether it was waited for.
    #[inline]
    pub(crate) fn found(&self, pair: usize, response: &Response) -> bool {
        let (index, generation) = slot::of_cookie(response.opaque());
        let pair = u32::try_from(pair).unwrap_or(u32::MAX);
        let is_waited_for = self.slots.get(index).is_some_and(|slot| slot.answer(pair, generation, response));
        if !is_waited_for {
            self.stray(response);
        }
        is_waited_for
    }

    #[cold]
    fn stray(&self, response: &Response) {
        self.worker.counters.strays.add(1);
        tracing::warn!(?response, "answer to no request");
    }

    /// Wakes the reactor.
    pub(crate) fn rouse(&self) {
        self.sleeps.store(false, Ordering::SeqCst);
        let _ = self.wake.write(1);
    }

    /// Requests in flight.
    pub(crate) fn in_flight(&self) -> u32 {
        self.pairs.iter().map(RingPair::in_flight).sum()
    }

    pub(crate) fn notify(&self) {
        let notifier = self.notifier.lock().clone();
        if let Some(notifier) = notifier {
            notifier.notify();
        }
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core")
            .field("arena", &self.worker.arena)
            .field("greeting", &self.greeting)
            .field("life", &self.life())
            .field("in_flight", &self.in_flight())
            .field("counters", &self.worker.counters.read())
            .finish_non_exhaustive()
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        if self.worker.arena.is_forked() {
            return;
        }
        for pair in &self.pairs {
            pair.stop();
        }
        if self.life() == Life::Up
            && let Err(error) = self.conversation.lock().shut_down()
        {
            tracing::debug!(%error, "shutting down");
        }
    }
}

/// Which ring pair a thread goes to first: each has its own as far as there are enough.
fn home() -> usize {
    use std::cell::Cell;
    use std::sync::atomic::AtomicUsize;
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static HOME: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    HOME.with(|home| {
        if home.get() == usize::MAX {
            home.set(THREADS.fetch_add(1, Ordering::Relaxed) % (1 << 16));
        }
        home.get()
    })
}
