//! The resolver: makes memory present, off every thread that has something else to do.
//!
//! `madvise(MADV_POPULATE_READ | MADV_POPULATE_WRITE)` does what a CPU access would do, copy-on-write and file
//! reads included, without reading or writing a byte, so it races with nobody. io_uring runs it in the kernel's
//! own workers; where io_uring is forbidden, threads of ours do.
//!
//! Whoever meets a fault only puts its ranges in a bounded table. The completion thread alone submits to io_uring: what
//! has come together since its last round goes in one call, through a ring that is registered for that thread; the
//! kernel's workers are its, so that they are bounded and none goes with a thread that ends; and no executor thread
//! makes a system call for a fault.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use nix::sys::eventfd::EventFd;
use parking_lot::Mutex;

use super::threads::Threads;
use super::uring::Uring;
use super::{ResolverChoice, policy};
use crate::address::Access;
use crate::job::Operand;

/// One range to make present, on behalf of a slot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    /// Which of the runtime's channels.
    pub(crate) channel: u16,
    /// Which slot of it.
    pub(crate) slot: u32,
    /// What is needed.
    pub(crate) operand: Operand,
}

/// What became of a [`Request`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    pub(crate) channel: u16,
    pub(crate) slot: u32,
    /// 0, or what `madvise` said.
    pub(crate) errno: i32,
}

/// Ranges that may wait and be under way at once.
pub(crate) const IN_FLIGHT_MAX: usize = 128;

/// The advice that makes memory present for `access`.
pub(super) const fn advice(access: Access) -> i32 {
    match access {
        Access::Read => libc::MADV_POPULATE_READ,
        Access::Write => libc::MADV_POPULATE_WRITE,
    }
}

/// The ranges that wait or are under way, by number.
#[derive(Debug)]
pub(super) struct Table {
    entries: [Option<Request>; IN_FLIGHT_MAX],
    free: Vec<usize>,
    /// Those nobody has begun, oldest first: operations take turns, whatever their sizes.
    waiting: VecDeque<usize>,
}

impl Table {
    fn new() -> Self {
        Self {
            entries: [None; IN_FLIGHT_MAX],
            free: (0..IN_FLIGHT_MAX).rev().collect(),
            waiting: VecDeque::with_capacity(IN_FLIGHT_MAX),
        }
    }

    /// Takes in all of `requests`, or none for want of room.
    fn add(&mut self, requests: &[Request]) -> bool {
        if self.free.len() < requests.len() {
            return false;
        }
        for request in requests {
            let Some(at) = self.free.pop() else { unreachable!("room was counted") };
            self.entries[at] = Some(*request);
            self.waiting.push_back(at);
        }
        true
    }

    /// The oldest that nobody has begun.
    pub(super) fn begin(&mut self) -> Option<(usize, Request)> {
        let at = self.waiting.pop_front()?;
        self.entries[at].map(|request| (at, request))
    }

    /// It goes back to those that wait, behind the others, with this much left to do.
    pub(super) fn put_back(&mut self, at: usize, request: Request) {
        self.entries[at] = Some(request);
        self.waiting.push_back(at);
    }

    /// It could not be begun after all: it is the next again.
    pub(super) fn undo(&mut self, at: usize) {
        self.waiting.push_front(at);
    }

    /// It is over.
    pub(super) fn end(&mut self, at: usize) -> Option<Request> {
        let request = self.entries.get_mut(at)?.take()?;
        self.free.push(at);
        Some(request)
    }
}

/// Whoever populates.
#[derive(Debug)]
pub(crate) struct Resolver {
    table: Arc<Mutex<Table>>,
    way: Way,
}

#[derive(Debug)]
enum Way {
    Uring(Box<Mutex<Uring>>),
    Threads(Threads, Option<String>),
}

impl Resolver {
    /// Sets up a resolver that writes to `wake` after each answer.
    ///
    /// # Errors
    ///
    /// What thread creation says, when neither way can be had.
    pub(crate) fn new(choice: policy::ResolverChoice, wake: &Arc<EventFd>) -> io::Result<Self> {
        let table = Arc::new(Mutex::new(Table::new()));
        let reason = match choice {
            ResolverChoice::Auto => match Uring::new(wake) {
                Ok(uring) => return Ok(Self { table, way: Way::Uring(Box::new(Mutex::new(uring))) }),
                Err(error) => Some(format!("io_uring: {error}")),
            },
            ResolverChoice::Threads => None,
        };
        let threads = Threads::new(&table, wake)?;
        Ok(Self { table, way: Way::Threads(threads, reason) })
    }

    /// `io_uring` or `threads`.
    pub(crate) const fn name(&self) -> &'static str {
        match &self.way {
            Way::Uring(_) => "io_uring",
            Way::Threads(..) => "threads",
        }
    }

    /// Why not io_uring.
    pub(crate) fn reason(&self) -> Option<String> {
        match &self.way {
            Way::Uring(_) => None,
            Way::Threads(_, reason) => reason.clone(),
        }
    }

    /// Threads that populate at most: the kernel's, or ours.
    pub(crate) const fn threads_max(&self) -> u32 {
        match &self.way {
            Way::Uring(_) => super::uring::WORKERS_MAX,
            Way::Threads(..) => super::threads::THREADS,
        }
    }

    /// Takes in all of `requests`, or none of them and answers false for want of room. If this says so, the completion
    /// thread has to be told: it makes them begin.
    pub(crate) fn start(&self, requests: &[Request]) -> bool {
        let taken = self.table.lock().add(requests);
        if let (Way::Threads(threads, _), true) = (&self.way, taken) {
            threads.wake();
        }
        taken
    }

    /// Whether what was started waits for the completion thread.
    pub(crate) const fn needs_pump(&self) -> bool {
        matches!(self.way, Way::Uring(_))
    }

    /// The completion thread's: hands to the kernel what has come together since the last time. False: it would not
    /// have all of it now, ask again.
    pub(crate) fn pump(&self) -> bool {
        match &self.way {
            Way::Uring(uring) => uring.lock().pump(&self.table),
            Way::Threads(..) => true,
        }
    }

    /// The completion thread's: hands out the answers there are; says whether there were any.
    pub(crate) fn drain(&self, each: &mut dyn FnMut(Answer)) -> bool {
        let mut any = false;
        loop {
            // Handed out with nothing locked: an answer may start the next request.
            let next = match &self.way {
                Way::Uring(uring) => uring.lock().next(),
                Way::Threads(threads, _) => threads.next(),
            };
            let Some((at, errno)) = next else { return any };
            let Some(Request { channel, slot, .. }) = self.table.lock().end(at) else { continue };
            any = true;
            each(Answer { channel, slot, errno });
        }
    }
}
