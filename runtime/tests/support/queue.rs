//! A queue that does as it is told.
//!
//! A script gives each job a [`Plan`]: when it is done, where it faults, how it ends. The device checks what the
//! runtime promises (a flight is used by one at a time, polled only while it flies, resumed only where it
//! faulted, and the memory stays) and the test's [`Device`] fails the test when something is off.
//!
//! UNSAFETY: implements a queue; the work itself is in `engine`.
#![expect(unsafe_code, reason = "implements an unsafe trait")]

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::ThreadId;

use svala::backend::{
    Capabilities, Completion, Failure, Kind, Member, Notifier, Polled, Queue, QueueFault, Refused,
    Submission, Submitted, Verdict,
};
use svala::{Done, Job, Operation, Operations, QueueName, Span, Value};

use super::engine::{Lane, State};
use super::wait::DEADLINE;

/// When a job is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// On submission.
    Inline,
    /// When it is polled for the n-th time.
    Polls(u32),
    /// By the device's thread, as soon as it gets there.
    Thread,
    /// By the device's thread, once the test has released it.
    Held,
    /// By another thread, which also notifies, while it is polled for the n-th time; that poll has not seen it.
    DuringPoll(u32),
}

/// Where a job faults.
#[derive(Clone, Debug)]
pub enum Faulting {
    No,
    /// At each page that is not present.
    Cold {
        restarts: bool,
    },
    /// Once at each of these offsets of the last operand, present or not.
    At {
        offsets: Vec<u64>,
        restarts: bool,
    },
    /// At this offset, again and again.
    Stuck {
        at: u64,
    },
}

/// How a job ends.
#[derive(Clone, Copy, Debug)]
pub enum End {
    Well,
    /// With this value, whatever was asked.
    Value(Value),
    Failed(Failure),
}

/// What becomes of one job.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Times it is refused first.
    pub refuse: u32,
    /// What it is refused with for good.
    pub fail: Option<Failure>,
    pub when: When,
    pub faulting: Faulting,
    pub end: End,
}

impl Plan {
    pub const fn done(when: When) -> Self {
        Self { refuse: 0, fail: None, when, faulting: Faulting::No, end: End::Well }
    }

    pub fn faulting(mut self, faulting: Faulting) -> Self {
        self.faulting = faulting;
        self
    }

    /// Faults at absent pages.
    pub fn cold(when: When) -> Self {
        Self::done(when).faulting(Faulting::Cold { restarts: false })
    }

    pub const fn end(mut self, end: End) -> Self {
        self.end = end;
        self
    }

    /// When the n-th job is done, going round these.
    pub fn by_turns<const N: usize>(n: u64, whens: [When; N]) -> Self {
        Self::done(whens[usize::try_from(n).expect("64-bit") % N])
    }

    pub const fn refuse(mut self, times: u32) -> Self {
        self.refuse = times;
        self
    }
}

/// What the queue is, and its script.
pub struct Options {
    pub completion: Completion,
    pub depth: u32,
    pub batch_max: u32,
    pub block_on_fault: bool,
    pub spin_polls: u32,
    pub operations: Operations,
    pub name: &'static str,
    pub numa_node: Option<u16>,
    /// The device's thread takes its work in a random order with this seed.
    pub shuffle: Option<u64>,
    script: Script,
}

type Script = Box<dyn Fn(u64, &Job) -> Plan + Send + Sync>;

impl Options {
    /// Jobs are numbered from 0, in the order they are first offered; members of a batch each count.
    pub fn new(completion: Completion, script: impl Fn(u64, &Job) -> Plan + Send + Sync + 'static) -> Self {
        Self {
            completion,
            depth: 8,
            batch_max: 64,
            block_on_fault: false,
            spin_polls: 0,
            operations: Operations::NONE
                .with(Operation::Copy)
                .with(Operation::Fill)
                .with(Operation::Compare)
                .with(Operation::Crc32c),
            name: "scripted",
            numa_node: None,
            shuffle: None,
            script: Box::new(script),
        }
    }

    /// Every job by the same plan.
    pub fn all(completion: Completion, plan: Plan) -> Self {
        Self::new(completion, move |_, _| plan.clone())
    }

    pub const fn depth(mut self, depth: u32) -> Self {
        self.depth = depth;
        self
    }
}

/// What the device has seen.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    pub offered: u64,
    pub refused: u64,
    pub accepted: u64,
    /// Flights whose end the runtime has fetched.
    pub fetched: u64,
    /// Polls by other threads than the completion thread.
    pub polls: u64,
    pub resubmitted: u64,
    pub cancelled: u64,
    pub blocked_on_fault: u64,
    pub closed: bool,
    /// Who fetched last.
    pub fetched_by: Option<ThreadId>,
    wrong: Vec<String>,
}

struct Shared {
    todo: Mutex<Todo>,
    more: Condvar,
    stats: Mutex<Stats>,
    changed: Condvar,
    in_use: Mutex<Vec<(u64, Span)>>,
    notifier: Mutex<Option<Notifier>>,
    fault: Mutex<Option<QueueFault>>,
    completion: Completion,
    script: Script,
}

struct Todo {
    ready: VecDeque<Arc<Cell>>,
    held: Vec<(u64, Arc<Cell>)>,
    shuffle: Option<super::Random>,
    stop: bool,
}

/// One flight.
struct Cell {
    run: Mutex<Run>,
    in_call: AtomicBool,
}

#[derive(Default)]
struct Run {
    flying: bool,
    number: u64,
    when: Option<When>,
    polls: u32,
    lanes: Vec<Lane>,
    /// The plan of a job that is being refused, and how often it was.
    offered: Option<(Job, u64, Plan, u32)>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl Shared {
    fn note(&self, change: impl FnOnce(&mut Stats)) {
        change(&mut lock(&self.stats));
        self.changed.notify_all();
    }

    fn wrong(&self, what: impl Into<String>) {
        let what = what.into();
        self.note(|stats| stats.wrong.push(what));
    }

    fn notify(&self) {
        if self.completion == Completion::Notified {
            self.notify_always();
        }
    }

    fn notify_always(&self) {
        let notifier = lock(&self.notifier).clone();
        if let Some(notifier) = notifier {
            notifier.notify();
        }
    }

    fn push(&self, cell: &Arc<Cell>) {
        lock(&self.todo).ready.push_back(Arc::clone(cell));
        self.more.notify_all();
    }

    /// The device's thread.
    fn serve(&self) {
        loop {
            let cell = {
                let mut todo = lock(&self.todo);
                loop {
                    let Todo { ready, shuffle, .. } = &mut *todo;
                    let next = shuffle.as_mut().map_or(0, |random| random.below(ready.len().max(1) as u64));
                    if let Some(cell) = ready.remove(usize::try_from(next).expect("64-bit")) {
                        break cell;
                    }
                    if todo.stop {
                        return;
                    }
                    todo = self.more.wait(todo).unwrap_or_else(std::sync::PoisonError::into_inner);
                }
            };
            lock(&cell.run).work();
            drop(cell);
            self.notify();
        }
    }
}

impl Run {
    fn work(&mut self) {
        for index in 0..self.lanes.len() {
            if self.lanes[index].is_ready() {
                let all: u64 = self.lanes.iter().map(|lane| lane.offset).sum();
                let others = all - self.lanes[index].offset;
                self.lanes[index].run(others);
            }
        }
    }
}

/// The test's side.
pub struct Device(Arc<Shared>);

/// Tells the device that a buffer is freed.
pub struct Witness(Arc<Shared>);

impl Witness {
    pub fn freed(&self, span: Span) {
        if lock(&self.0.in_use).iter().any(|(_, used)| used.overlaps(span)) {
            self.0.wrong("a buffer was freed while the device used it");
        }
    }
}

impl Device {
    pub fn witness(&self) -> Witness {
        Witness(Arc::clone(&self.0))
    }

    pub fn stats(&self) -> Stats {
        lock(&self.0.stats).clone()
    }

    /// Waits until the device has seen something.
    pub fn wait(&self, what: &str, condition: impl Fn(&Stats) -> bool) {
        let stats = lock(&self.0.stats);
        let (stats, timeout) = self
            .0
            .changed
            .wait_timeout_while(stats, DEADLINE, |stats| !condition(stats))
            .expect("the device does not panic");
        assert!(!timeout.timed_out(), "never happened: {what}; {:?}", *stats);
    }

    /// Jobs that wait to be released.
    pub fn held(&self) -> usize {
        lock(&self.0.todo).held.len()
    }

    /// Lets the job with this number go on.
    pub fn release(&self, number: u64) {
        let mut todo = lock(&self.0.todo);
        let at = todo.held.iter().position(|(n, _)| *n == number).expect("the job is held");
        let (_, cell) = todo.held.remove(at);
        todo.ready.push_back(cell);
        drop(todo);
        self.0.more.notify_all();
    }

    /// Lets every held job go on.
    pub fn release_all(&self) {
        let mut todo = lock(&self.0.todo);
        let held = std::mem::take(&mut todo.held);
        todo.ready.extend(held.into_iter().map(|(_, cell)| cell));
        drop(todo);
        self.0.more.notify_all();
    }

    /// Calls the notifier for no reason.
    pub fn notify(&self) {
        self.0.notify();
    }

    /// Has the driver say that the queue as a whole is out, or take that back; it then takes no job.
    pub fn say(&self, fault: Option<QueueFault>) {
        *lock(&self.0.fault) = fault;
        self.0.notify_always();
    }

    /// Fails the test if the runtime has broken a promise.
    pub fn check(&self) {
        let stats = lock(&self.0.stats);
        assert!(stats.wrong.is_empty(), "{:?}", stats.wrong);
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        lock(&self.0.todo).stop = true;
        self.0.more.notify_all();
        if !std::thread::panicking() {
            self.check();
        }
    }
}

/// The queue.
pub struct Scripted {
    shared: Arc<Shared>,
    capabilities: Capabilities,
}

impl Scripted {
    pub fn new(options: Options) -> (Self, Device) {
        let capabilities = Capabilities {
            name: QueueName::new(options.name),
            kind: Kind::Emulated,
            operations: options.operations,
            address_mode: svala::backend::AddressMode::Sva,
            completion: options.completion,
            depth: options.depth,
            batch_max: options.batch_max,
            unsplit_bytes_max: u64::MAX,
            block_on_fault: options.block_on_fault,
            adler32: false,
            spin_bytes_max: u64::MAX,
            spin_polls: options.spin_polls,
            numa_node: options.numa_node,
        };
        let shared = Arc::new(Shared {
            todo: Mutex::new(Todo {
                ready: VecDeque::with_capacity(1024),
                held: Vec::with_capacity(1024),
                shuffle: options.shuffle.map(super::Random::new),
                stop: false,
            }),
            more: Condvar::new(),
            stats: Mutex::default(),
            changed: Condvar::new(),
            in_use: Mutex::new(Vec::with_capacity(4096)),
            notifier: Mutex::new(None),
            fault: Mutex::new(None),
            completion: options.completion,
            script: options.script,
        });
        let device = Arc::clone(&shared);
        std::thread::Builder::new().name("device".into()).spawn(move || device.serve()).expect("a thread");
        (Self { shared: Arc::clone(&shared), capabilities }, Device(shared))
    }

    /// Decides about an offer: a number and a plan, or the refusal.
    fn decide(&self, run: &mut Run, job: &Job) -> Result<(u64, Plan), Refused> {
        if run.flying {
            self.shared.wrong("a flight was submitted twice");
        }
        if let Some(fault) = self.fault() {
            return Err(Refused::Failed(Failure::Queue(fault)));
        }
        let known = run.offered.take().filter(|(offered, ..)| offered == job);
        let (_, number, plan, refused) = known.unwrap_or_else(|| {
            let number = self.next_number();
            (*job, number, (self.shared.script)(number, job), 0)
        });
        if refused < plan.refuse {
            self.shared.note(|stats| stats.refused += 1);
            run.offered = Some((*job, number, plan, refused + 1));
            return Err(Refused::Busy);
        }
        match plan.fail {
            Some(failure) => Err(Refused::Failed(failure)),
            None => Ok((number, plan)),
        }
    }

    fn next_number(&self) -> u64 {
        let mut number = 0;
        self.shared.note(|stats| {
            number = stats.offered;
            stats.offered += 1;
        });
        number
    }

    fn launch(&self, cell: &Arc<Cell>, run: &mut Run, number: u64, when: When, how: Submission) -> Submitted {
        run.flying = true;
        run.number = number;
        run.polls = 0;
        run.when = Some(when);
        let mut in_use = lock(&self.shared.in_use);
        for lane in &run.lanes {
            in_use.extend(lane.job.operands().into_iter().flatten().map(|operand| (number, operand.span)));
        }
        drop(in_use);
        self.shared.note(|stats| {
            stats.accepted += 1;
            stats.blocked_on_fault += u64::from(how.block_on_fault);
        });
        match when {
            When::Inline => {
                run.work();
                if let [Lane { state: State::Over(Ok(done)), index: 0, .. }] = run.lanes[..] {
                    self.land(run);
                    return Submitted::Done(done);
                }
            }
            When::Thread => self.shared.push(cell),
            When::Held => lock(&self.shared.todo).held.push((number, Arc::clone(cell))),
            When::Polls(_) | When::DuringPoll(_) => {}
        }
        Submitted::Flying
    }

    /// The flight is over and the runtime knows.
    fn land(&self, run: &mut Run) {
        run.flying = false;
        lock(&self.shared.in_use).retain(|(number, _)| *number != run.number);
        self.shared.note(|stats| {
            stats.fetched += 1;
            stats.fetched_by = Some(std::thread::current().id());
        });
    }

    fn enter<'c>(&self, cell: &'c Cell) -> InCall<'c> {
        if cell.in_call.swap(true, Ordering::Acquire) {
            self.shared.wrong("two calls for one flight at once");
        }
        InCall(cell)
    }

    fn finish(&self, run: &mut Run, members: &mut [Member]) -> Polled {
        self.land(run);
        if members.is_empty() {
            return match run.lanes[0].state {
                State::Over(result) => Polled::Done(result),
                _ => unreachable!("checked by the caller"),
            };
        }
        let mut bytes = 0;
        for lane in &run.lanes {
            let State::Over(result) = lane.state else { unreachable!("checked by the caller") };
            bytes += result.map_or(0, |done| done.bytes);
            members[usize::from(lane.index)].result.get_or_insert(result);
        }
        Polled::Done(Ok(Done { bytes, value: Value::None }))
    }
}

struct InCall<'c>(&'c Cell);

impl Drop for InCall<'_> {
    fn drop(&mut self) {
        self.0.in_call.store(false, Ordering::Release);
    }
}

/// What a slot has of the device.
pub struct Flight(Arc<Cell>);

// SAFETY: memory is touched in `Lane::run` only, on lanes of a flight that was accepted and has not landed, and
// there only within the job's operands.
unsafe impl Queue for Scripted {
    type Flight = Flight;

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn flight(&self) -> Flight {
        let lanes = Vec::with_capacity(self.capabilities.batch_max.max(1) as usize);
        let run = Mutex::new(Run { lanes, ..Run::default() });
        Flight(Arc::new(Cell { run, in_call: AtomicBool::new(false) }))
    }

    fn attach(&self, notifier: Notifier) {
        *lock(&self.shared.notifier) = Some(notifier);
    }

    fn fault(&self) -> Option<QueueFault> {
        *lock(&self.shared.fault)
    }

    unsafe fn submit(&self, flight: &Flight, job: &Job, how: Submission) -> Result<Submitted, Refused> {
        let _call = self.enter(&flight.0);
        let mut run = lock(&flight.0.run);
        let (number, plan) = self.decide(&mut run, job)?;
        let when = plan.when;
        run.lanes.clear();
        run.lanes.push(Lane::new(0, *job, plan));
        Ok(self.launch(&flight.0, &mut run, number, when, how))
    }

    unsafe fn submit_batch(
        &self,
        flight: &Flight,
        members: &mut [Member],
        how: Submission,
    ) -> Result<Submitted, Refused> {
        let _call = self.enter(&flight.0);
        let mut run = lock(&flight.0.run);
        let Some(first) = members.iter().position(|member| member.result.is_none()) else {
            self.shared.wrong("a batch without an open member");
            return Ok(Submitted::Done(Done::default()));
        };
        let (number, plan) = self.decide(&mut run, &members[first].job)?;
        let when = plan.when;
        run.lanes.clear();
        let mut plan = Some(plan);
        for (index, member) in members.iter().enumerate().filter(|(_, member)| member.result.is_none()) {
            let plan = plan.take().unwrap_or_else(|| (self.shared.script)(self.next_number(), &member.job));
            run.lanes.push(Lane::new(u16::try_from(index).expect("few members"), member.job, plan));
        }
        match self.launch(&flight.0, &mut run, number, when, how) {
            Submitted::Flying => Ok(Submitted::Flying),
            // One member, done on the spot: its result is still to be fetched.
            Submitted::Done(done) => {
                members[first].result = Some(Ok(done));
                Ok(Submitted::Done(Done { bytes: done.bytes, value: Value::None }))
            }
        }
    }

    fn poll(&self, flight: &Flight, members: &mut [Member]) -> Polled {
        let _call = self.enter(&flight.0);
        // The device's thread is at it.
        let Ok(mut run) = flight.0.run.try_lock() else { return Polled::Pending };
        if !run.flying {
            self.shared.wrong("a flight was polled that does not fly");
            return Polled::Done(Err(Failure::Cancelled));
        }
        run.polls += 1;
        let elsewhere = std::thread::current().name() != Some("svala");
        lock(&self.shared.stats).polls += u64::from(elsewhere);
        match run.when {
            Some(When::Inline) => run.work(),
            Some(When::Polls(n)) if run.polls >= n => run.work(),
            // After a fault there is nobody else to go on.
            Some(When::DuringPoll(n)) if run.polls > n => run.work(),
            Some(When::DuringPoll(n)) if run.polls == n => {
                drop(run);
                let (cell, shared) = (&flight.0, &self.shared);
                std::thread::scope(|scope| {
                    scope.spawn(|| {
                        lock(&cell.run).work();
                        shared.notify();
                    });
                });
                return Polled::Pending;
            }
            _ => {}
        }
        for lane in &mut run.lanes {
            if let State::Faulted(fault, told @ false) = &mut lane.state {
                *told = true;
                return Polled::Fault(*fault);
            }
        }
        if run.lanes.iter().all(Lane::is_over) {
            return self.finish(&mut run, members);
        }
        let looked_at = matches!(run.when, Some(When::Polls(_)));
        if looked_at && self.capabilities.completion == Completion::Notified {
            return Polled::Stalled;
        }
        Polled::Pending
    }

    fn resume(&self, flight: &Flight, _members: &mut [Member], lane: u16, verdict: Verdict) {
        let _call = self.enter(&flight.0);
        let mut run = lock(&flight.0.run);
        let when = run.when;
        let Some(place) = run.lanes.iter_mut().find(|place| place.index == lane) else {
            return self.shared.wrong("a lane was resumed that does not exist");
        };
        if !matches!(place.state, State::Faulted(_, true)) {
            self.shared.wrong("a lane was resumed that did not fault");
        }
        match verdict {
            Verdict::Resubmit => {
                place.state = State::Ready;
                self.shared.note(|stats| stats.resubmitted += 1);
                if matches!(when, Some(When::Thread | When::Held)) {
                    self.shared.push(&flight.0);
                }
            }
            Verdict::Cancel => {
                place.state = State::Over(Err(Failure::Cancelled));
                self.shared.note(|stats| stats.cancelled += 1);
            }
        }
    }

    fn close(&self) {
        self.shared.note(|stats| stats.closed = true);
    }
}
