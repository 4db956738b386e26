//! The queue of the runtime.
//!
//! UNSAFETY: promises what [`svala::backend::Queue`] asks for: the function has a job's memory only while the job's request
//! is in flight, and a request is in flight until it is answered or its ring pair was reset.
#![expect(unsafe_code, reason = "implements an unsafe trait; no unsafe operation in here")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;

use parking_lot::Mutex;
use qat_spec::{Capabilities as DeviceCapabilities, RingMap};
use svala::backend::{
    AddressMode, Capabilities, Completion, Failure, Member, Notifier, Polled, Queue, QueueFault, Refused,
    Submission, Submitted, Verdict,
};
use svala::{Done, Job, Operation, Operations, QueueName, Value};

use crate::config::QatQueueConfig;
use crate::core::{Core, Life};
use crate::error::Error;
use crate::function::VirtualFunction;
use crate::lane::{Lane, State, service_of};
use crate::memory::Arena;
use crate::reactor;
use crate::slot::Found;
use crate::stats::QatStats;
use crate::work::{After, Worker};

/// A virtual function of a QAT, for compression and AES-GCM.
#[derive(Debug)]
pub struct QatQueue {
    core: Arc<Core>,
    capabilities: Capabilities,
    slots: AtomicU32,
    reactor: Mutex<Option<JoinHandle<()>>>,
}

/// The memory of one job in flight, or one batch.
#[derive(Debug)]
pub struct QatFlight {
    lanes: Box<[Lane]>,
}

impl QatQueue {
    /// Brings a function up: versions, capabilities, what its ring pairs do; rings; memory.
    ///
    /// # Errors
    ///
    /// One variant of [`Error`] for each thing that can be wrong.
    pub fn open(function: Arc<dyn VirtualFunction>, config: QatQueueConfig) -> Result<Self, Error> {
        Self::start(Core::open(function, checked(config)?)?)
    }

    pub(crate) fn start(core: Core) -> Result<Self, Error> {
        let core = Arc::new(core);
        let config = &core.worker.config;
        let function = core.worker.arena.function();
        let polled = core.is_polled;
        let capabilities = Capabilities {
            name: QueueName::new(&config.name),
            kind: function.kind(),
            operations: operations(&core.worker),
            address_mode: AddressMode::PinnedVa,
            completion: if polled { Completion::Polled } else { Completion::Notified },
            depth: config.depth.max(1),
            batch_max: config.batch_max.max(1),
            unsplit_bytes_max: config.bounce_bytes_max,
            block_on_fault: true,
            adler32: true,
            spin_bytes_max: if polled { 4 << 10 } else { 0 },
            spin_polls: if polled { 200 } else { 0 },
            numa_node: function.numa_node(),
        };
        let thread = std::thread::Builder::new()
            .name(config.name.clone())
            .spawn({
                let core = Arc::clone(&core);
                move || reactor::run(core)
            })
            .map_err(|source| Error::Os { what: "thread", source })?;
        tracing::debug!(function = function.name(), pairs = core.pairs.len(), "QAT function up");
        Ok(Self { core, capabilities, slots: AtomicU32::new(0), reactor: Mutex::new(Some(thread)) })
    }

    /// Memory that the function reaches without a copy.
    pub fn arena(&self) -> Arena {
        self.core.worker.arena.clone()
    }

    /// The function.
    pub fn function(&self) -> &Arc<dyn VirtualFunction> {
        self.core.worker.arena.function()
    }

    /// The counters.
    pub fn stats(&self) -> QatStats {
        self.core.worker.counters.read()
    }

    /// What the device can do, and what each ring pair does.
    pub fn services(&self) -> (DeviceCapabilities, RingMap) {
        (self.core.greeting.capabilities, self.core.greeting.map)
    }

    /// Ring pairs that take requests.
    pub fn open_pairs(&self) -> usize {
        self.core.pairs.iter().filter(|pair| pair.is_open()).count()
    }

    /// Looks whether a function that is looked at has answered.
    #[inline]
    fn look(&self, lane: &Lane) {
        if self.core.is_polled {
            let pair = lane.pair.get();
            self.core.pairs[pair].try_reap(|response| self.core.found(pair, response));
        }
    }

    /// Sees a job on. None: not over.
    fn drive(&self, lane: &Lane) -> Result<Progress, Failure> {
        loop {
            match lane.state.get() {
                State::Idle => return Ok(Progress::Idle),
                State::ToSend => {
                    if self.core.send(std::iter::once(lane)) != 0 {
                        return Ok(Progress::Pending);
                    }
                    return self.no_room(lane);
                }
                State::Sent => match self.core.slots[lane.slot as usize].take() {
                    Found::Nothing => return Ok(Progress::Pending),
                    Found::Answer(response) => match self.core.worker.answered(lane, &response) {
                        After::Over(outcome) => {
                            lane.end();
                            return outcome.map(Progress::Done);
                        }
                        After::Part => match self.core.worker.load(lane) {
                            Ok(()) => {}
                            Err(Refused::Failed(failure)) => return Err(self.over(lane, failure)),
                            // Nothing was sent; the part is made anew when there is room.
                            Err(Refused::Busy) => {
                                lane.part.set(Default::default());
                                lane.state.set(State::ToSend);
                                return self.no_room(lane);
                            }
                        },
                    },
                    Found::Overdue => {
                        let done_bytes = lane.read.get();
                        let name = "not answered in time, ring pair reset";
                        return Err(self.over(lane, Failure::Status { status: 0, name, done_bytes }));
                    }
                    Found::Swept => {
                        lane.resends.set(lane.resends.get() + 1);
                        if lane.resends.get() > self.core.worker.config.resends_max {
                            return Err(self.over(lane, Failure::Refused { tries: lane.resends.get() }));
                        }
                        self.core.worker.counters.resent.add(1);
                        lane.state.set(State::ToSend);
                    }
                },
            }
        }
    }

    fn over(&self, lane: &Lane, failure: Failure) -> Failure {
        lane.end();
        failure
    }

    /// What to do about a part without room.
    fn no_room(&self, lane: &Lane) -> Result<Progress, Failure> {
        if self.core.life() == Life::Dead {
            return Err(self.over(lane, Failure::Queue(QueueFault::Halted)));
        }
        lane.tries.set(lane.tries.get() + 1);
        // A restart takes the time it takes; the runtime has a bound of its own on waiting.
        if self.core.life() == Life::Restarting {
            return Ok(Progress::Stalled);
        }
        if self.core.is_lost(lane.service()) {
            return Err(self.over(lane, Failure::Operation(QueueFault::Halted)));
        }
        if lane.tries.get() >= self.core.worker.config.submit_tries_max {
            return Err(self.over(lane, Failure::Refused { tries: lane.tries.get() }));
        }
        Ok(Progress::Stalled)
    }

    fn refuse_if_down(&self) -> Result<(), Refused> {
        self.core.fault().map_or(Ok(()), |fault| Err(Refused::Failed(Failure::Queue(fault))))
    }

    /// Makes a job's first request, if there is a ring pair for it.
    fn begin(&self, lane: &Lane, job: &Job, unchecked: bool) -> Result<(), Refused> {
        if self.core.is_lost(service_of(job)) {
            return Err(Refused::Failed(Failure::Operation(QueueFault::Halted)));
        }
        self.core.worker.begin(lane, job, unchecked)
    }
}

/// What seeing a job on came to.
enum Progress {
    Idle,
    Pending,
    Stalled,
    Done(Done),
}

// SAFETY: requests name only the operands of their job (`work.rs` cuts parts out of them) and pieces of the arena; one is
// in flight exactly while its lane is `Sent`, which ends by its answer, or by a reset of its ring pair that was confirmed.
// `Polled::Done` is answered only with the lane idle; a job that is refused has sent nothing.
unsafe impl Queue for QatQueue {
    type Flight = QatFlight;

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn flight(&self) -> QatFlight {
        let lanes = self.capabilities.batch_max;
        let first = self.slots.fetch_add(lanes, Ordering::Relaxed);
        QatFlight { lanes: (first..first + lanes).map(Lane::new).collect() }
    }

    fn attach(&self, notifier: Notifier) {
        *self.core.notifier.lock() = Some(notifier);
    }

    unsafe fn submit(
        &self,
        flight: &QatFlight,
        job: &Job,
        submission: Submission,
    ) -> Result<Submitted, Refused> {
        self.refuse_if_down()?;
        let lane = &flight.lanes[0];
        self.begin(lane, job, submission.unchecked)?;
        if self.core.send(std::iter::once(lane)) == 0 {
            lane.end();
            return Err(Refused::Busy);
        }
        Ok(Submitted::Flying)
    }

    unsafe fn submit_batch(
        &self,
        flight: &QatFlight,
        members: &mut [Member],
        submission: Submission,
    ) -> Result<Submitted, Refused> {
        self.refuse_if_down()?;
        let mut open = members.iter().filter(|member| member.result.is_none());
        if open.all(|member| self.core.is_lost(service_of(&member.job))) {
            return Err(Refused::Failed(Failure::Operation(QueueFault::Halted)));
        }
        let mut loaded = 0_u32;
        let mut busy = false;
        for (lane, member) in flight.lanes.iter().zip(members.iter_mut()) {
            if member.result.is_some() {
                continue;
            }
            match self.begin(lane, &member.job, submission.unchecked) {
                Ok(()) => loaded += 1,
                Err(Refused::Failed(failure)) => member.result = Some(Err(failure)),
                Err(Refused::Busy) => {
                    busy = true;
                    // Made when there is room: as a part that is left.
                    lane.begin(&member.job);
                    lane.part.set(Default::default());
                    lane.state.set(State::ToSend);
                }
            }
        }
        let idle = |flight: &QatFlight| flight.lanes.iter().for_each(Lane::end);
        if loaded == 0 {
            idle(flight);
            return match busy {
                true => Err(Refused::Busy),
                false => Ok(Submitted::Done(Done::default())),
            };
        }
        let made = |lane: &&Lane| lane.state.get() == State::ToSend && lane.part.get().src_bytes != 0;
        if self.core.send(flight.lanes.iter().filter(made)) == 0 {
            idle(flight);
            return Err(Refused::Busy);
        }
        Ok(Submitted::Flying)
    }

    fn poll(&self, flight: &QatFlight, members: &mut [Member]) -> Polled {
        if members.is_empty() {
            let lane = &flight.lanes[0];
            self.look(lane);
            return match self.see_on(lane) {
                Ok(Progress::Done(done)) => Polled::Done(Ok(done)),
                Ok(Progress::Stalled) => Polled::Stalled,
                Ok(Progress::Pending | Progress::Idle) => Polled::Pending,
                Err(failure) => Polled::Done(Err(failure)),
            };
        }
        let (mut pending, mut stalled) = (false, false);
        for (lane, member) in flight.lanes.iter().zip(members.iter_mut()) {
            if lane.state.get() == State::Idle {
                continue;
            }
            self.look(lane);
            match self.see_on(lane) {
                Ok(Progress::Done(done)) => member.result = Some(Ok(done)),
                Ok(Progress::Pending) => pending = true,
                Ok(Progress::Stalled) => stalled = true,
                Ok(Progress::Idle) => {}
                Err(failure) => member.result = Some(Err(failure)),
            }
        }
        match (stalled, pending) {
            (true, _) => Polled::Stalled,
            (false, true) => Polled::Pending,
            (false, false) => {
                let done = members.iter().filter_map(|member| member.result?.ok());
                let bytes = done.map(|done| done.bytes).sum();
                Polled::Done(Ok(Done { bytes, value: Value::None }))
            }
        }
    }

    /// There are no faults to go on from: memory is pinned.
    fn resume(&self, _flight: &QatFlight, _members: &mut [Member], _lane: u16, _verdict: Verdict) {}

    fn fault(&self) -> Option<QueueFault> {
        self.core.fault()
    }

    fn close(&self) {
        self.core.stop.store(true, Ordering::Release);
        self.core.rouse();
    }
}

impl QatQueue {
    /// Makes the part that had no room for its bounce buffers, then sees the job on.
    #[inline]
    fn see_on(&self, lane: &Lane) -> Result<Progress, Failure> {
        if lane.state.get() == State::ToSend && lane.part.get().src_bytes == 0 {
            match self.core.worker.load(lane) {
                Ok(()) => {}
                Err(Refused::Failed(failure)) => return Err(self.over(lane, failure)),
                Err(Refused::Busy) => return self.no_room(lane),
            }
        }
        self.drive(lane)
    }
}

impl Drop for QatQueue {
    fn drop(&mut self) {
        self.close();
        let thread = self.reactor.lock().take();
        if let Some(thread) = thread
            && thread.thread().id() != std::thread::current().id()
            && thread.join().is_err()
        {
            tracing::error!(queue = %self.capabilities.name, "the reactor panicked");
        }
    }
}

fn operations(worker: &Worker) -> Operations {
    let all = [
        (worker.compresses, [Operation::Deflate, Operation::Inflate]),
        (worker.compresses && worker.lz4, [Operation::Lz4Compress, Operation::Lz4Decompress]),
        (worker.encrypts, [Operation::EncryptGcm, Operation::DecryptGcm]),
    ];
    let done = all.into_iter().filter(|(does, _)| *does).flat_map(|(_, operations)| operations);
    done.fold(Operations::NONE, Operations::with)
}

/// Settings within their bounds.
fn checked(config: QatQueueConfig) -> Result<QatQueueConfig, Error> {
    let bad = |setting, value, what| Err(Error::Config { setting, value, what });
    if config.batch_max > svala::backend::LANES_MAX.into() || config.batch_max == 0 {
        return bad("batch_max", config.batch_max.into(), "1 to 1024");
    }
    if config.depth == 0 || config.depth > 1 << 16 {
        return bad("depth", config.depth.into(), "1 to 65536");
    }
    if config.part_bytes_max == 0 || config.part_bytes_max > 1 << 30 {
        return bad("part_bytes_max", config.part_bytes_max, "1 to 2^30");
    }
    if config.bounce_part_bytes_max == 0 || config.bounce_part_bytes_max > config.arena_bytes / 8 {
        return bad("bounce_part_bytes_max", config.bounce_part_bytes_max, "1 to an eighth of the arena");
    }
    if config.bounce_bytes_max > config.arena_bytes / 4 {
        return bad("bounce_bytes_max", config.bounce_bytes_max, "a quarter of the arena at most");
    }
    Ok(config)
}
