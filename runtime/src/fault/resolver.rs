//! The resolver: makes memory present, off every thread that has something else to do.
//!
//! `madvise(MADV_POPULATE_READ | MADV_POPULATE_WRITE)` does what a CPU access would do, copy-on-write and file
//! reads included, without reading or writing a byte, so it races with nobody. Threads of ours call it, a slice at a
//! time: that is work for a CPU, and what does it has to give way. Memory that is not there for want of a disk or a fault
//! handler is no work but waiting, and nobody can tell beforehand: when all threads are held up, io_uring gets what
//! waits behind them, whose workers are many. Where io_uring is forbidden it waits.
//!
//! Whoever meets a fault only puts its ranges in a bounded table and calls a thread. The completion thread alone submits
//! to io_uring: what has come together goes in one call, through a ring that is registered for that thread; the
//! kernel's workers are its, so that they are bounded and none goes with a thread that ends.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

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

/// Bytes populated at once, before it is another range's turn.
pub(super) const SLICE_BYTES: u64 = 256 << 10;
/// How long all threads may be held up before the kernel's workers get what waits.
const HELD_UP_MAX: Duration = Duration::from_millis(2);

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

    /// A slice of it is done. If more is left, that goes behind the others that wait.
    pub(super) fn go_on(&mut self, at: usize) -> bool {
        let Some(Some(request)) = self.entries.get_mut(at) else { return false };
        let pages = request.operand.span.pages();
        let rest = pages.part(SLICE_BYTES, u64::MAX);
        if rest.len == 0 {
            return false;
        }
        request.operand.span = rest;
        self.waiting.push_back(at);
        true
    }

    /// Whether there are some that nobody has begun.
    fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
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

/// What became of ranges that were to be made present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Started {
    /// There is no room for all of them, and none was taken.
    NoRoom,
    /// A thread has been called, or the completion thread knows.
    Begun,
    /// All threads are at work: the completion thread has to keep an eye on what waits.
    Waits,
}

/// What the completion thread has to do next for the resolver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pumped {
    /// Nothing.
    Nothing,
    /// Look again, before that much time has passed.
    LookIn(Duration),
    /// Look again at once: the kernel would not have all of it.
    Again,
}

/// Whoever populates.
#[derive(Debug)]
pub(crate) struct Resolver {
    table: Arc<Mutex<Table>>,
    threads: Threads,
    overflow: Result<Box<Mutex<Overflow>>, Option<String>>,
}

/// The kernel's workers, and whether they are needed.
#[derive(Debug)]
struct Overflow {
    uring: Uring,
    /// Slices when ranges were first seen to wait since the last slice ended, and when that was.
    seen: Option<(u64, Instant)>,
}

impl Resolver {
    /// Sets up a resolver that writes to `wake` after each answer.
    pub(crate) fn new(choice: policy::ResolverChoice, wake: &Arc<EventFd>) -> Self {
        let table = Arc::new(Mutex::new(Table::new()));
        let overflow = match choice {
            ResolverChoice::Auto => match Uring::new(wake) {
                Ok(uring) => Ok(Box::new(Mutex::new(Overflow { uring, seen: None }))),
                Err(error) => Err(Some(format!("io_uring: {error}"))),
            },
            ResolverChoice::Threads => Err(None),
        };
        let threads = Threads::new(&table, wake, overflow.is_ok());
        Self { table, threads, overflow }
    }

    /// Starts its threads, where there is a device: the CPU's faults are the kernel's business.
    ///
    /// # Errors
    ///
    /// What thread creation says.
    pub(crate) fn start_threads(&self) -> io::Result<()> {
        self.threads.start()
    }

    /// `threads and io_uring` or `threads`.
    pub(crate) const fn name(&self) -> &'static str {
        match &self.overflow {
            Ok(_) => "threads and io_uring",
            Err(_) => "threads",
        }
    }

    /// Why not io_uring.
    pub(crate) fn reason(&self) -> Option<String> {
        self.overflow.as_ref().err().cloned().flatten()
    }

    /// Threads that populate at most: ours, and the kernel's.
    pub(crate) const fn threads_max(&self) -> u32 {
        match &self.overflow {
            Ok(_) => self.threads.count() + super::uring::WORKERS_MAX,
            Err(_) => self.threads.count(),
        }
    }

    /// Takes in all of `requests`, or none of them for want of room.
    pub(crate) fn start(&self, requests: &[Request]) -> Started {
        if !self.table.lock().add(requests) {
            return Started::NoRoom;
        }
        // No short circuit: one call for each range.
        let is_begun = requests.iter().fold(true, |begun, _| self.threads.call() && begun);
        if is_begun { Started::Begun } else { Started::Waits }
    }

    /// The completion thread's: hands to the kernel's workers what has waited while all threads were held up.
    pub(crate) fn pump(&self) -> Pumped {
        let Ok(overflow) = &self.overflow else { return Pumped::Nothing };
        let mut overflow = overflow.lock();
        let table = self.table.lock();
        let has_waiting = table.has_waiting();
        self.threads.watch(has_waiting);
        drop(table);
        if !has_waiting {
            overflow.seen = None;
            return if overflow.uring.flush() { Pumped::Nothing } else { Pumped::Again };
        }
        let (slices, now) = (self.threads.slices(), Instant::now());
        let since = match overflow.seen {
            Some((then, since)) if then == slices => since,
            _ => now,
        };
        overflow.seen = Some((slices, since));
        let waited = now.duration_since(since);
        if waited < HELD_UP_MAX {
            return Pumped::LookIn(HELD_UP_MAX - waited);
        }
        // Not over with it: what is left of a slice waits again.
        if overflow.uring.pump(&self.table) { Pumped::LookIn(HELD_UP_MAX) } else { Pumped::Again }
    }

    /// The completion thread's: hands out the answers there are; says whether there were any.
    pub(crate) fn drain(&self, each: &mut dyn FnMut(Answer)) -> bool {
        let mut any = false;
        loop {
            // Handed out with nothing locked: an answer may start the next request.
            let Some((at, errno)) = self.threads.next().or_else(|| self.next_of_kernel()) else { return any };
            let request = self.table.lock().end(at);
            let Some(Request { channel, slot, .. }) = request else { continue };
            any = true;
            each(Answer { channel, slot, errno });
        }
    }

    /// The next range that the kernel's workers are done with.
    fn next_of_kernel(&self) -> Option<(usize, i32)> {
        let mut overflow = self.overflow.as_ref().ok()?.lock();
        loop {
            let (at, errno) = overflow.uring.next()?;
            if errno != 0 || !self.table.lock().go_on(at) {
                return Some((at, errno));
            }
            // A thread that is free has the rest; if none is, the completion thread is about to look.
            self.threads.call();
        }
    }
}
