//! The threads that do large jobs, and the ring they take them from.
//!
//! A thread without work sleeps on a condition variable and costs nothing.
//!
//! UNSAFETY: runs pieces of jobs, whose memory is lent for as long as the job is under way.
#![expect(unsafe_code, reason = "running a job relies on its memory being lent")]

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use crossbeam_queue::ArrayQueue;
use parking_lot::{Condvar, Mutex};
use svala::backend::{Failure, Notifier, Refused};

use super::config::{QueueError, SoftwareConfig};
use super::line::Line;
use super::memory::{self, Contexts};
use super::ticket::{Next, PIECES_MAX, Taken, Ticket, Todo};
use crate::inflate::Inflater;

/// Compressors for callers' threads: so many can be in use at once before small jobs go to the workers, too.
const INLINE_CONTEXTS: usize = 4;
/// Streams that can be under way for each worker. More wait for one of them to end.
const STREAMS_PER_WORKER: usize = 4;

/// What the queue and its workers share.
pub(super) struct Shared {
    state: Mutex<State>,
    work: Condvar,
    notifier: OnceLock<Notifier>,
    inline: ArrayQueue<Contexts>,
}

struct State {
    /// Jobs with something to do now, in turn. Capacity for all there can be.
    ring: VecDeque<Arc<Ticket>>,
    /// Inflates that wait for a decompressor, in turn. The same.
    starved: VecDeque<Arc<Ticket>>,
    inflaters: Vec<Inflater>,
    line: Line,
    closing: bool,
}

impl Shared {
    pub(super) fn new(config: &SoftwareConfig) -> Self {
        let depth = config.depth as usize;
        let inline = ArrayQueue::new(INLINE_CONTEXTS);
        while inline.push(Contexts::new()).is_ok() {}
        let streams = config.workers.saturating_mul(STREAMS_PER_WORKER).min(depth);
        Self {
            state: Mutex::new(State {
                ring: VecDeque::with_capacity(depth),
                starved: VecDeque::with_capacity(depth),
                inflaters: (0..streams).map(|_| Inflater::new()).collect(),
                line: Line::new(depth),
                closing: false,
            }),
            work: Condvar::new(),
            notifier: OnceLock::new(),
            inline,
        }
    }

    pub(super) fn attach(&self, notifier: Notifier) {
        // Attached twice, the first one stays: there is one runtime to a queue.
        let _ = self.notifier.set(notifier);
    }

    /// A compressor for a caller's thread. It comes back by [`Shared::return_contexts`].
    pub(super) fn borrow_contexts(&self) -> Option<Contexts> {
        self.inline.pop()
    }

    pub(super) fn return_contexts(&self, contexts: Contexts) {
        // There is room: it came from here.
        let _ = self.inline.push(contexts);
    }

    /// Hands a ticket that was begun to the workers.
    pub(super) fn start(&self, ticket: &Arc<Ticket>) -> Result<(), Refused> {
        let mut state = self.state.lock();
        if state.closing {
            drop(state);
            ticket.forget();
            return Err(Refused::Failed(Failure::Cancelled));
        }
        ticket.join(state.line.enter());
        if let Some(check) = ticket.wants_inflater() {
            let Some(inflater) = state.inflaters.pop() else {
                state.starved.push_back(Arc::clone(ticket));
                return Ok(());
            };
            ticket.lend(inflater, check);
        }
        state.ring.push_back(Arc::clone(ticket));
        drop(state);
        self.work.notify_one();
        Ok(())
    }

    /// Lets a ticket wait for everything that was started before. False: that is over, and the ticket idle.
    pub(super) fn drain(&self, ticket: &Arc<Ticket>) -> Result<bool, Refused> {
        let mut state = self.state.lock();
        if state.closing {
            return Err(Refused::Failed(Failure::Cancelled));
        }
        if state.line.is_empty() {
            return Ok(false);
        }
        if !ticket.begin_drain() {
            return Err(Refused::Busy);
        }
        state.line.wait(Arc::clone(ticket));
        Ok(true)
    }

    /// Ends the workers, each after the piece it is at.
    pub(super) fn close(&self) {
        self.state.lock().closing = true;
        self.work.notify_all();
    }

    /// The ticket whose turn it is. Sleeps until there is one; none when closing.
    fn next(&self) -> Option<Arc<Ticket>> {
        let mut state = self.state.lock();
        loop {
            if state.closing {
                return None;
            }
            if let Some(ticket) = state.ring.pop_front() {
                return Some(ticket);
            }
            self.work.wait(&mut state);
        }
    }

    fn queue(&self, ticket: &Arc<Ticket>) {
        self.state.lock().ring.push_back(Arc::clone(ticket));
        self.work.notify_one();
    }

    /// Takes a ticket out of the ring. False: somebody else has.
    fn withdraw(&self, ticket: &Arc<Ticket>) -> bool {
        let mut state = self.state.lock();
        let at = state.ring.iter().position(|other| Arc::ptr_eq(other, ticket));
        at.and_then(|at| state.ring.remove(at)).is_some()
    }

    /// Takes a decompressor back, or passes it on to who has waited longest.
    fn return_inflater(&self, inflater: Inflater) {
        let mut state = self.state.lock();
        let Some(ticket) = state.starved.pop_front() else {
            state.inflaters.push(inflater);
            return;
        };
        if let Some(check) = ticket.wants_inflater() {
            ticket.lend(inflater, check);
        } else {
            state.inflaters.push(inflater);
        }
        state.ring.push_back(ticket);
        drop(state);
        self.work.notify_one();
    }

    /// Does what is to be done with a ticket next.
    fn go_on(&self, ticket: &Arc<Ticket>, next: Next) {
        match next {
            Next::Nothing => {}
            Next::Queue => self.queue(ticket),
            Next::Withdraw => {
                if self.withdraw(ticket) {
                    self.go_on(ticket, ticket.withdrawn());
                }
            }
            Next::Settled => self.announce(ticket),
        }
    }

    /// A job of `group` is over, and with it the drains that have waited for it last.
    fn leave(&self, group: u64) {
        let mut state = self.state.lock();
        state.line.leave(group);
        while let Some(drain) = state.line.next_drained() {
            drain.announce();
        }
    }

    fn announce(&self, ticket: &Ticket) {
        if let Some(inflater) = ticket.take_inflater() {
            self.return_inflater(inflater);
        }
        let group = ticket.group();
        ticket.announce();
        self.leave(group);
        if let Some(notifier) = self.notifier.get() {
            // Wakes tasks and drops buffers, which is other people's code: if it panics, that is not our end.
            let notified = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| notifier.notify()));
            if notified.is_err() {
                tracing::error!("a waker, or the drop of a buffer, panicked on a worker of the CPU engine");
            }
        }
    }
}

/// Starts the workers. They end by [`Shared::close`].
pub(super) fn start(
    shared: &Arc<Shared>,
    config: &SoftwareConfig,
) -> Result<Vec<JoinHandle<()>>, QueueError> {
    let mut threads = Vec::with_capacity(config.workers);
    for index in 0..config.workers {
        let mut worker = Worker {
            shared: Arc::clone(shared),
            contexts: Contexts::new(),
            taken: Vec::with_capacity(PIECES_MAX),
        };
        let started = std::thread::Builder::new()
            .name(format!("{}-{index}", config.thread_name))
            .spawn(move || worker.run());
        match started {
            Ok(thread) => threads.push(thread),
            Err(source) => {
                shared.close();
                for thread in threads {
                    let _ = thread.join();
                }
                return Err(QueueError::Thread { index, source });
            }
        }
    }
    Ok(threads)
}

/// One thread's belongings.
struct Worker {
    shared: Arc<Shared>,
    contexts: Contexts,
    /// What it is at; empty in between.
    taken: Vec<Taken>,
}

impl Worker {
    fn run(&mut self) {
        while let Some(ticket) = self.shared.next() {
            let next = self.work(&ticket);
            self.shared.go_on(&ticket, next);
        }
    }

    /// Does one turn's worth of work for a ticket.
    fn work(&mut self, ticket: &Arc<Ticket>) -> Next {
        match ticket.claim(&mut self.taken) {
            Todo::Nothing => Next::Nothing,
            Todo::Settled => Next::Settled,
            Todo::Check(job) => ticket.checked(memory::check(&job)),
            Todo::Stretch(job, mut stream) => {
                // SAFETY: the ticket's job is under way, so its memory is lent until the ticket settles, and it has
                // been checked where that was asked for; `stream` comes from the ticket, so nobody else is at it.
                let outcome = unsafe { memory::run_stretch(&job, &mut stream) };
                ticket.stretched(stream, outcome)
            }
            Todo::Pieces { trust, more } => {
                if more {
                    self.shared.queue(ticket);
                }
                for taken in &mut self.taken {
                    let job = &taken.piece.job;
                    // SAFETY: the piece is part of a job under way, whose memory is lent until the ticket settles;
                    // pieces that are out together share nothing that is written (`Order`).
                    taken.outcome = unsafe { memory::run(job, trust, Some(&mut self.contexts)) };
                }
                ticket.merge(&mut self.taken)
            }
        }
    }
}
