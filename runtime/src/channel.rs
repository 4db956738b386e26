//! One queue with its slots: submission, reaping, waiting for room.
//!
//! The hard idea is who drives a slot. A future that submits keeps its slot to itself and looks at it directly: a
//! small operation that completes at once takes no lock and wakes nobody. Only when it has to wait does it
//! *hand over* the slot to the list of flights that are waited for; from then on whoever reaps (the device's
//! own thread through the [`Notifier`](crate::backend::Notifier), or the completion thread) drives it, under
//! the list's lock: resubmission, faults, completion.
//!
//! UNSAFETY: dereferences slot contents, by the ownership the handshake establishes.
#![expect(unsafe_code, reason = "slot contents are owned by protocol")]

mod in_flight;
mod life;
mod line;
mod resolve;
mod small;
mod turn;

pub(crate) use in_flight::{Again, Ended, InFlight, Offer};
pub(crate) use small::By;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use parking_lot::Mutex;

use crate::address::PAGE_BYTES;
use crate::backend::{Capabilities, Failure, Kind, Polled, Refused, Submission, Submitted};
use crate::config::Config;
use crate::driver::Driver;
use crate::error::Error;
use crate::fault::{Auto, Circumstances, FaultPolicy, PREFETCH_BYTES, Pool, Resolver, Streams, WindowBounds};
use crate::fork::Lineage;
use crate::health::{Health, ProbeBounds, QueueFault};
use crate::job::{Done, Operation, Operations};
use crate::path::Path;
use crate::reactor::Doorbell;
use crate::report::{Faults, QueueSnapshot};
use crate::slot::{Completed, Contents, FreeList, Held, Phase, Slot};
use crate::sync::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence};
use line::{Joined, Line};
use small::Smalls;
use turn::Turn;

/// Operations whose queue depends on more than what the operation is.
pub(crate) const CHOSEN_WITH_CARE: [Operation; 31] = [
    Operation::Deflate,
    Operation::Inflate,
    Operation::Dualcast,
    Operation::CreateDelta,
    Operation::ApplyDelta,
    Operation::DixGenerate,
    Operation::SetMembership,
    Operation::Select,
    Operation::Expand,
    Operation::RleBurst,
    Operation::FindUnique,
    Operation::Scan,
    Operation::Extract,
    Operation::ZeroDecompress8,
    Operation::ZeroDecompress16,
    Operation::ZeroDecompress32,
    Operation::CrcAny,
    Operation::EncryptGcm,
    Operation::DecryptGcm,
    Operation::EncryptCfb,
    Operation::DecryptCfb,
    Operation::EncryptXts,
    Operation::DecryptXts,
    Operation::DeflateDictionary,
    Operation::InflateDictionary,
    Operation::DecryptInflate,
    Operation::DecryptScan,
    Operation::DecryptExtract,
    Operation::DeflateMiniblocks,
    Operation::IndexMiniblocks,
    Operation::InflateMiniblocks,
];

/// What wakes and drops one round of reaping may leave to do with the list unlocked.
const AFTER_MAX: usize = 16;

/// A queue, its slots and the operations in flight on it.
///
/// # Invariants
///
/// The contents of a slot are touched by the future that claimed it, or, once it is in `handed`, by whoever
/// holds the lock of `handed` (see [`Handshake`](crate::slot::Handshake)).
pub(crate) struct Channel {
    /// This channel's number in the runtime.
    index: u16,
    driver: Box<dyn Driver>,
    /// The driver's, at hand.
    capabilities: Capabilities,
    /// The path of what comes here without a further reason.
    path: Path,
    slots: Box<[Slot]>,
    free: FreeList,
    /// Futures that wait for a slot.
    line: Line,
    /// Slots that are waited for. Capacity for all of them.
    handed: Mutex<Vec<u32>>,
    handed_len: AtomicU32,
    turn: Turn,
    closed: AtomicBool,
    health: Health,
    /// Held while the health is made known, so that what is known last is true.
    publishing: Mutex<()>,
    /// What may come here without a further look while the queue is up: all of `any`, or nothing where several queues
    /// are chosen from.
    at_once: Operations,
    lineage: Arc<Lineage>,
    /// Bytes under way, and [`JOB_WEIGHT`] for each job. Counted where several queues are chosen from.
    load: AtomicU64,
    counts_load: bool,
    resolver: Arc<Resolver>,
    helpers: Arc<Pool>,
    /// Small ranges that wait to be populated.
    smalls: Smalls,
    /// Where windows of transfers ended.
    streams: Mutex<Streams>,
    /// Bytes that the control groups of the process let it have.
    memory_bytes_max: Option<u64>,
    /// Chooses a policy for each operation.
    auto: Option<Arc<Auto>>,
    doorbell: Arc<Doorbell>,
    config: Config,
}

/// What the channels of a runtime share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) resolver: Arc<Resolver>,
    pub(crate) helpers: Arc<Pool>,
    pub(crate) auto: Option<Arc<Auto>>,
    pub(crate) memory_bytes_max: Option<u64>,
    pub(crate) doorbell: Arc<Doorbell>,
    pub(crate) lineage: Arc<Lineage>,
    /// There are several devices to choose from.
    pub(crate) is_choice: bool,
}

/// What a look at a slot found.
enum Step {
    /// Nothing to do before something announces itself.
    Keep,
    /// Worth another look soon.
    Stalled,
    /// The outcome is in the contents.
    Over,
}

/// What is left to do with the list unlocked: both run code that is not ours.
enum After {
    Wake(Waker),
    Drop(Held),
}

/// What reaping left behind.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reaped {
    /// Some slot finished.
    pub(crate) finished: bool,
    /// Another thread is reaping; what it leaves behind is not counted here.
    pub(crate) elsewhere: bool,
    /// Slots in flight that only looking will find.
    pub(crate) looking: u32,
    /// Slots in flight.
    pub(crate) in_flight: u32,
    /// A line that changes when the only one in flight completes.
    pub(crate) watch: Option<*const u8>,
}

impl Channel {
    pub(crate) fn new(index: u16, driver: Box<dyn Driver>, shared: Shared, config: Config) -> Self {
        let Shared { resolver, helpers, auto, memory_bytes_max, doorbell, lineage, is_choice } = shared;
        let capabilities = driver.capabilities().clone();
        let depth = capabilities.depth;
        let path = capabilities.path(config.software_reason);
        let any = capabilities.operations.without_any_of(&CHOSEN_WITH_CARE);
        Self {
            index,
            at_once: match capabilities.kind {
                Kind::Emulated | Kind::Software if index == 0 && !is_choice => any,
                // Small jobs may stay on the CPU.
                _ => Operations::NONE,
            },
            health: Health::new(ProbeBounds { min: config.probe_after_min, max: config.probe_after_max }),
            publishing: Mutex::new(()),
            lineage,
            load: AtomicU64::new(0),
            counts_load: is_choice && capabilities.kind != Kind::Software,
            path,
            capabilities,
            slots: (0..depth).map(|_| Slot::new(path)).collect(),
            free: FreeList::new(depth),
            line: Line::new(),
            handed: Mutex::new(Vec::with_capacity(depth as usize)),
            handed_len: AtomicU32::new(0),
            turn: Turn::new(),
            closed: AtomicBool::new(false),
            smalls: Smalls::new(depth, driver.held_max()),
            driver,
            resolver,
            helpers,
            streams: Mutex::new(Streams::new()),
            memory_bytes_max,
            auto,
            doorbell,
            config,
        }
    }

    /// This channel, for as long as anybody may want.
    ///
    /// # Safety
    ///
    /// What comes of it is gone before the runtime is.
    pub(crate) unsafe fn outliving(&self) -> &'static Self {
        // SAFETY: a channel is made behind an `Arc` that the runtime keeps, so it does not move, and as the caller
        // promises nobody uses the reference once the runtime is gone.
        unsafe { &*std::ptr::from_ref(self) }
    }

    pub(crate) fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    pub(crate) fn driver(&self) -> &dyn Driver {
        &*self.driver
    }

    /// Takes a slot if one is free, nobody has waited longer and the channel is open.
    #[inline]
    pub(crate) fn try_acquire(&self) -> Option<u32> {
        if self.is_closed() || self.line.is_waited_in() {
            return None;
        }
        self.take_slot()
    }

    fn take_slot(&self) -> Option<u32> {
        let slot = self.free.pop()?;
        self.slots[slot as usize].handshake.claim();
        Some(slot)
    }

    /// Why there was no slot to be had by waiting.
    pub(crate) fn unserved(&self, operation: Operation) -> Error {
        if self.lineage.is_forked() {
            Error::Forked { operation }
        } else if self.is_closed() {
            Error::Closed { operation }
        } else if let Some(why) = self.health.why() {
            Error::QueueOut { queue: self.capabilities.name, operation, why }
        } else {
            Error::Busy { queue: self.capabilities.name }
        }
    }

    /// Waits for a slot; none when the channel closes, or when for `answer_within` nobody got one. First come, first
    /// served.
    pub(crate) fn acquire(&self) -> Acquire<'_> {
        Acquire { channel: self, ticket: None }
    }

    /// Frees a slot whose contents have been emptied. Calls wakers: no lock may be held.
    fn give_back(&self, slot: u32) {
        self.free_slot(slot);
        self.serve_line();
    }

    fn free_slot(&self, slot: u32) {
        if self.counts_load {
            self.unload(slot);
        }
        self.slots[slot as usize].handshake.release();
        self.free.push(slot);
    }

    fn serve_line(&self) {
        if self.line.is_waited_in() {
            self.line.serve(|| self.take_slot());
        }
    }

    /// What to do about the faults of work that is about to be submitted.
    #[inline]
    fn policy(&self, offer: Offer<'_>) -> FaultPolicy {
        match &self.auto {
            None => self.config.faults,
            Some(auto) => self.policy_of(auto, offer),
        }
    }

    fn policy_of(&self, auto: &Auto, offer: Offer<'_>) -> FaultPolicy {
        // The CPU's faults are the kernel's business.
        if self.capabilities.kind == Kind::Software {
            return FaultPolicy::Resolve;
        }
        let how = Circumstances { can_block: self.capabilities.block_on_fault, window: self.window_bounds() };
        match offer {
            Offer::One(job) => auto.choose([*job].into_iter(), how),
            Offer::Many(work) => auto.choose(work.jobs(), how),
        }
    }

    /// The policy of operations that are over at once.
    #[inline]
    pub(crate) fn usual_policy(&self) -> FaultPolicy {
        if self.auto.is_some() { FaultPolicy::Resolve } else { self.config.faults }
    }

    /// A submission as `policy` wants it.
    fn blocking(&self, submission: Submission, policy: FaultPolicy) -> Submission {
        let block_on_fault = policy == FaultPolicy::BlockOnFault && self.capabilities.block_on_fault;
        Submission { block_on_fault, ..submission }
    }

    /// An operation was over at once.
    #[inline]
    fn note_warm(&self, policy: FaultPolicy) {
        if let Some(auto) = &self.auto
            && policy == FaultPolicy::Resolve
        {
            auto.note(false);
        }
    }

    fn window_bounds(&self) -> WindowBounds {
        let WindowBounds { min, max } =
            WindowBounds { min: self.config.window_bytes_min, max: self.config.window_bytes_max };
        WindowBounds { min, max: max.min(self.share_of_memory(16)).max(min) }
    }

    /// Bytes of each operand populated in one go before submission.
    fn prefetch_bytes(&self) -> u64 {
        PREFETCH_BYTES.min(self.share_of_memory(8))
    }

    /// One of `parts` of what memory the process may have, in whole pages.
    fn share_of_memory(&self, parts: u64) -> u64 {
        let bytes = self.memory_bytes_max.unwrap_or(u64::MAX) / parts;
        (bytes & !(PAGE_BYTES - 1)).max(PAGE_BYTES)
    }

    /// No new operations; waiting ones end.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.line.close();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// Slots whose memory a device may still use, or whose future was leaked before it ended.
    pub(crate) fn busy_slots(&self) -> u32 {
        let busy = self.slots.iter().filter(|slot| slot.handshake.is_busy()).count();
        u32::try_from(busy).unwrap_or(u32::MAX)
    }

    /// Slots that are waited for or left behind.
    pub(crate) fn handed_len(&self) -> u32 {
        self.handed_len.load(Ordering::SeqCst)
    }

    /// Whether slots are waited for, asked by whoever has just completed one of them.
    pub(crate) fn is_waited_for(&self) -> bool {
        // The completion comes before the look at the list; `put_on_list` has it the other way round.
        fence(Ordering::SeqCst);
        self.handed_len() != 0
    }

    /// Puts a slot on the list, looks at it once, and makes sure that somebody will look again.
    ///
    /// The handshake has already given the contents to the reaper's side.
    fn put_on_list(&self, slot: u32) {
        let mut after = None;
        let mut stalled = false;
        {
            let mut handed = self.handed.lock();
            // On the list before the look: a completion that the look misses finds the list not empty.
            handed.push(slot);
            self.note_len(&handed);
            fence(Ordering::SeqCst);
            match self.look_at(slot, &mut after) {
                Step::Over => {
                    handed.pop();
                    self.note_len(&handed);
                }
                Step::Keep => {}
                Step::Stalled => stalled = true,
            }
        }
        if let Some(after) = after {
            // The waker is that of the future that is being polled: it looks again anyway.
            if let After::Drop(_) = after {
                self.do_after(after);
            }
        } else {
            let polled = self.capabilities().completion == crate::backend::Completion::Polled;
            self.doorbell.ring(polled || stalled);
        }
        // This is an executor's thread: somebody else populates.
        self.tend_passing();
        // A notification that came while the lock was held found it taken.
        if (self.turn.is_asked() || self.has_fresh()) && self.reap(None, By::Passing).looking != 0 {
            self.doorbell.ring(true);
        }
    }

    /// Drives every slot that is waited for. With `now`, tells futures that have waited too long.
    pub(crate) fn reap(&self, now: Option<Instant>, by: By) -> Reaped {
        let mut reaped = self.reap_list(now);
        if self.has_fresh() {
            self.tend(by, &mut reaped);
        }
        reaped
    }

    fn reap_list(&self, now: Option<Instant>) -> Reaped {
        let mut reaped = Reaped::default();
        self.turn.ask();
        // Whoever holds the lock looks for questions after letting go of it, so nothing is missed by leaving.
        while self.turn.is_asked() {
            let Some(mut handed) = self.handed.try_lock() else {
                reaped.elsewhere = true;
                break;
            };
            self.turn.begin();
            let mut after: [Option<After>; AFTER_MAX] = [const { None }; AFTER_MAX];
            let mut used = 0;
            let mut i = 0;
            reaped.looking = 0;
            while i < handed.len() {
                if used == AFTER_MAX {
                    self.turn.ask();
                    break;
                }
                let slot = handed[i];
                match self.look_at(slot, &mut after[used]) {
                    Step::Over => {
                        handed.swap_remove(i);
                        reaped.finished = true;
                    }
                    Step::Keep => i += 1,
                    Step::Stalled => {
                        reaped.looking += 1;
                        i += 1;
                    }
                }
                used += usize::from(after[used].is_some());
            }
            self.note_state(&handed, &mut reaped);
            if let Some(now) = now {
                self.expire(&handed, now, &mut after[used..]);
            }
            drop(handed);
            for after in after.into_iter().flatten() {
                self.do_after(after);
            }
        }
        if let Some(now) = now
            && self.capabilities.kind != Kind::Software
            && self.line.is_waited_in()
        {
            self.line.tire(now, self.config.answer_within);
        }
        reaped
    }

    fn note_len(&self, handed: &[u32]) -> u32 {
        let len = u32::try_from(handed.len()).unwrap_or(u32::MAX);
        self.handed_len.store(len, Ordering::SeqCst);
        len
    }

    fn note_state(&self, handed: &[u32], reaped: &mut Reaped) {
        let len = self.note_len(handed);
        reaped.in_flight = len;
        if self.capabilities().completion == crate::backend::Completion::Polled {
            reaped.looking = len;
            if let [only] = *handed {
                // SAFETY: the slot is on the list whose lock the caller holds.
                reaped.watch = unsafe { self.driver.watch(only) };
            }
        }
    }

    fn expire(&self, handed: &[u32], now: Instant, after: &mut [Option<After>]) {
        if self.capabilities().kind == Kind::Software {
            // The CPU always answers: what takes long is a large job, or many before it.
            return;
        }
        let mut after = after.iter_mut().peekable();
        for &slot in handed {
            // Without room for another waker the rest hears in the next round.
            if after.peek().is_none() {
                self.turn.ask();
                return;
            }
            // SAFETY: the slot is on the list whose lock the caller holds, so the contents are ours.
            let since = unsafe { (*self.slots[slot as usize].contents()).since };
            if since.is_none_or(|since| now.saturating_duration_since(since) < self.config.answer_within) {
                continue;
            }
            // Only a waker takes up a place: those told before, or gone, must not keep the others from hearing.
            if let Some(waker) = self.slots[slot as usize].handshake.expire()
                && let Some(place) = after.next()
            {
                self.take_out(QueueFault::Silent);
                *place = Some(After::Wake(waker));
            }
        }
    }

    /// Runs code that is not ours. Should it panic, neither the other wake-ups of the round nor the thread go.
    fn do_after(&self, after: After) {
        let run = move || match after {
            After::Wake(waker) => waker.wake(),
            After::Drop(held) => drop(held),
        };
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_err() {
            let queue = self.capabilities().name;
            tracing::error!(%queue, "a waker or a buffer panicked on the thread that reaps");
        }
        // A slot may have become free with the list locked, where nobody can be woken.
        self.serve_line();
    }

    /// Drives one slot of the reaper's. The lock of `handed` is held.
    fn look_at(&self, slot: u32, after: &mut Option<After>) -> Step {
        let place = &self.slots[slot as usize];
        // SAFETY: the slot has been handed over and the caller holds the lock, so the contents are ours, and
        // this is the only reference made here.
        let contents = unsafe { &mut *place.contents() };
        let step = self.advance(slot, contents);
        if matches!(step, Step::Over) {
            *after = match place.handshake.complete() {
                Completed::Future(waker) => waker.map(After::Wake),
                Completed::Reaper => {
                    place.tally.count_abandoned();
                    let held = contents.held.move_out();
                    self.free_slot(slot);
                    Some(After::Drop(held))
                }
            };
        }
        step
    }

    /// Takes an operation as far as it goes without waiting. The caller owns the contents.
    fn advance(&self, slot: u32, contents: &mut Contents) -> Step {
        loop {
            match contents.phase {
                Phase::ToSubmit => {
                    if self.slots[slot as usize].handshake.is_abandoned() {
                        return self.over(slot, contents, Err(Failure::Cancelled));
                    }
                    if let Some(step) = self.submit(slot, contents) {
                        return step;
                    }
                }
                Phase::Populating { next, then } => {
                    if contents.resolution.pending != 0 {
                        return Step::Keep;
                    }
                    if let Some(step) = self.populate_all(slot, contents, next, then) {
                        return step;
                    }
                }
                Phase::Fetching { operand, flying } => {
                    if let Some(step) = self.fetch(slot, contents, operand, flying) {
                        return step;
                    }
                }
                Phase::Resolving(_) => return Step::Keep,
                Phase::ToResolve(fault) => {
                    if !self.resolve(slot, contents, fault) {
                        return Step::Stalled;
                    }
                }
                Phase::Flying => {
                    // SAFETY: the caller owns the contents, and with them the flight and the members.
                    match unsafe { self.driver.poll(slot, &contents.work) } {
                        Polled::Pending => return Step::Keep,
                        Polled::Stalled => return Step::Stalled,
                        Polled::Done(outcome) => return self.over(slot, contents, outcome),
                        Polled::Fault(fault) => self.on_fault(slot, contents, fault),
                    }
                }
            }
        }
    }

    /// Offers the job to the queue. None: accepted, go on.
    fn submit(&self, slot: u32, contents: &mut Contents) -> Option<Step> {
        // SAFETY: the caller owns the contents; `held` keeps the job's memory until the outcome is known, or
        // whoever made an unchecked job has promised to.
        let answer = unsafe { self.driver.submit(slot, &contents.work, contents.submission) };
        self.offered(slot, contents, answer)
    }

    /// Notes what the queue said to an offer. None: accepted, go on.
    fn offered(
        &self,
        slot: u32,
        contents: &mut Contents,
        answer: Result<Submitted, Refused>,
    ) -> Option<Step> {
        match answer {
            Ok(Submitted::Flying) => {
                contents.phase = Phase::Flying;
                contents.tries = 0;
                if !self.health.is_up() {
                    self.show_life(QueueFault::Refusing);
                }
                None
            }
            Ok(Submitted::Done(done)) => Some(self.over(slot, contents, Ok(done))),
            Err(Refused::Busy) => {
                contents.tries += 1;
                let tries = contents.tries;
                if tries >= self.config.submit_tries_max {
                    self.take_out(QueueFault::Refusing);
                } else if !self.is_out_for_others() {
                    return Some(Step::Stalled);
                }
                contents.untouched = true;
                Some(self.over(slot, contents, Err(Failure::Refused { tries })))
            }
            Err(Refused::Failed(failure)) => {
                contents.untouched = true;
                Some(self.over(slot, contents, Err(failure)))
            }
        }
    }

    fn over(&self, slot: u32, contents: &mut Contents, outcome: Result<Done, Failure>) -> Step {
        match outcome {
            Ok(_) if !self.health.is_up() => self.show_life(QueueFault::Silent),
            Err(Failure::Queue(why)) => self.take_out(why),
            _ => {}
        }
        self.slots[slot as usize].tally.count(&outcome, &contents.faults);
        if let Some(auto) = &self.auto
            && contents.policy == FaultPolicy::Resolve
        {
            auto.note(contents.faults.faults != 0);
        }
        contents.outcome = Some(outcome);
        Step::Over
    }

    /// The counters of this queue.
    pub(crate) fn snapshot(&self) -> QueueSnapshot {
        let capabilities = self.capabilities();
        let (state, outs) = self.health.state(Instant::now());
        let mut snapshot = QueueSnapshot {
            name: capabilities.name,
            kind: capabilities.kind,
            depth: capabilities.depth,
            in_flight: u64::from(self.handed_len()),
            operations: 0,
            failures: 0,
            bytes: 0,
            abandoned: 0,
            faults: Faults::NONE,
            state,
            outs,
            load: self.load(),
            numa_node: capabilities.numa_node,
        };
        for slot in &self.slots {
            slot.tally.add_to(&mut snapshot);
        }
        snapshot
    }

    /// The path results carry when nothing else was decided for them.
    pub(crate) fn path(&self) -> Path {
        self.path
    }
}

/// A future that waits for a slot.
pub(crate) struct Acquire<'c> {
    channel: &'c Channel,
    /// The place in the line, while there is one.
    ticket: Option<u64>,
}

impl Future for Acquire<'_> {
    type Output = Option<u32>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<u32>> {
        let line = &self.channel.line;
        let Some(ticket) = self.ticket else {
            if self.channel.is_inherited() {
                return Poll::Ready(None);
            }
            return match line.join(cx.waker(), || self.channel.take_slot()) {
                Joined::Slot(slot) => Poll::Ready(Some(slot)),
                Joined::Closed => Poll::Ready(None),
                Joined::Ticket(ticket) => {
                    self.ticket = Some(ticket);
                    Poll::Pending
                }
            };
        };
        if self.channel.is_inherited() {
            self.ticket = None;
            return Poll::Ready(None);
        }
        let polled = line.poll(ticket, cx.waker());
        if polled.is_ready() {
            self.ticket = None;
        }
        polled
    }
}

impl Drop for Acquire<'_> {
    fn drop(&mut self) {
        if self.ticket.is_some() && self.channel.is_inherited() {
            return;
        }
        if let Some(slot) = self.ticket.and_then(|ticket| self.channel.line.leave(ticket)) {
            self.channel.give_back(slot);
        }
    }
}
