//! Operations on borrowed memory, blocking.
//!
//! A future that borrows its buffers can be leaked, and the memory freed while a device still writes to it. So
//! borrowed buffers go through a scope, as threads do in [`std::thread::scope`]: it does not return before every
//! operation begun in it has ended, whatever becomes of the handles.
//!
//! UNSAFETY: starts operations on memory that is only borrowed.
#![expect(unsafe_code, reason = "the scope's end is what keeps borrowed memory alive long enough")]

use std::marker::PhantomData;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use crate::address::{Span, VirtAddr};
use crate::channel::{Ended, InFlight};
use crate::crc::Crc;
use crate::error::Error;
use crate::job::{Done, Job, Operation, Value};
use crate::path::{Path, Reason};
use crate::report::Report;
use crate::runtime::Runtime;
use crate::slot::Work;

/// Counts the operations of a scope whose memory may still be in use.
#[derive(Debug, Default)]
struct Leases {
    out: Mutex<usize>,
    back: Condvar,
}

/// What a slot holds for a scoped operation: dropped when the device is done with the memory.
struct Lease(Arc<Leases>);

impl Lease {
    fn new(leases: &Arc<Leases>) -> Self {
        *leases.out.lock() += 1;
        Self(Arc::clone(leases))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        *self.0.out.lock() -= 1;
        self.0.back.notify_all();
    }
}

/// One operation of a scope.
enum Flight<'env> {
    Under(InFlight<'env, Lease>, Job),
    Empty(Value),
    Taken,
}

/// A scope for operations on borrowed memory. See [`Runtime::scope`].
pub struct Scope<'scope, 'env: 'scope> {
    runtime: &'env Runtime,
    leases: Arc<Leases>,
    flights: Mutex<Vec<Flight<'env>>>,
    scope: PhantomData<&'scope mut &'scope ()>,
    env: PhantomData<&'env mut &'env ()>,
}

/// An operation begun in a scope.
#[derive(Debug)]
#[must_use = "the result of the operation is only known by waiting for it"]
pub struct Scoped<'scope> {
    scope: ScopeRef<'scope>,
    index: usize,
}

/// The scope, without its second lifetime.
trait Take: Sync {
    fn finish(&self, index: usize) -> Result<(Done, Report), Error>;
}

#[derive(Clone, Copy)]
struct ScopeRef<'scope>(&'scope dyn Take);

impl std::fmt::Debug for ScopeRef<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Scope")
    }
}

impl Scoped<'_> {
    /// Blocks until the operation has ended: what it found ([`Value::None`] for copies and fills), and what
    /// happened.
    ///
    /// # Errors
    ///
    /// As the operation's own method of [`Runtime`].
    pub fn wait(self) -> Result<(Value, Report), Error> {
        let (done, report) = self.scope.0.finish(self.index)?;
        Ok((done.value, report))
    }
}

impl Take for Scope<'_, '_> {
    fn finish(&self, index: usize) -> Result<(Done, Report), Error> {
        let flight = std::mem::replace(&mut self.flights.lock()[index], Flight::Taken);
        match flight {
            Flight::Under(flight, job) => self.see_to_end(flight, &job),
            Flight::Empty(value) => {
                let report = Report::new(Path::Software { reason: Reason::Empty });
                Ok((Done { bytes: 0, value }, report))
            }
            Flight::Taken => unreachable!("handle {index} is made with its operation and waits for it once"),
        }
    }
}

impl<'env> Scope<'_, 'env> {
    /// Waits for an operation; one that a failing queue has not touched goes to another.
    fn see_to_end(&self, flight: InFlight<'env, Lease>, job: &Job) -> Result<(Done, Report), Error> {
        let mut ended = pollster::block_on(flight);
        for _ in 0..self.runtime.config().detours_max {
            let Ended { outcome: Err(_), buffers: Some(_), again, .. } = ended else { break };
            let Some((channel, path)) = self.runtime.choose_again(job, again) else { break };
            let Some(slot) = channel.try_acquire().or_else(|| pollster::block_on(channel.acquire())) else {
                break;
            };
            let Some(lease) = ended.buffers.take() else { break };
            // SAFETY: as in `start`: the lease keeps the scope from ending.
            let flight = unsafe {
                InFlight::start(channel, slot, lease, Work::One(*job), self.runtime.submission(), path)
            };
            ended = pollster::block_on(flight);
        }
        ended.outcome.map(|done| (done, ended.report))
    }

    /// Sees to the end what nobody waited for.
    fn finish_rest(&self) {
        let mut index = 0;
        while index < self.flights.lock().len() {
            if let Flight::Under(flight, job) =
                std::mem::replace(&mut self.flights.lock()[index], Flight::Taken)
                && let Err(error) = self.see_to_end(flight, &job)
            {
                tracing::warn!(%error, "an operation of a scope failed, and nobody asked");
            }
            index += 1;
        }
    }
}

impl<'scope, 'env> Scope<'scope, 'env> {
    /// Copies `src` to `dst`.
    ///
    /// # Errors
    ///
    /// [`Error::Length`]; [`Error::Busy`] when every slot is taken while this scope holds some: wait for one of
    /// its operations first.
    pub fn copy(&'scope self, src: &'scope [u8], dst: &'scope mut [u8]) -> Result<Scoped<'scope>, Error> {
        let (first, second) = (src.len() as u64, dst.len() as u64);
        if first != second {
            return Err(Error::Length { operation: Operation::Copy, first, second });
        }
        let dst = VirtAddr::of(dst.as_mut_ptr().cast_const());
        self.start(Job::Copy { src: VirtAddr::of(src.as_ptr()), dst, len: first })
    }

    /// Fills `dst` with `pattern`.
    ///
    /// # Errors
    ///
    /// As [`Scope::copy`].
    pub fn fill(&'scope self, dst: &'scope mut [u8], pattern: u64) -> Result<Scoped<'scope>, Error> {
        let len = dst.len() as u64;
        self.start(Job::Fill { dst: VirtAddr::of(dst.as_mut_ptr().cast_const()), len, pattern })
    }

    /// Compares `a` and `b`.
    ///
    /// # Errors
    ///
    /// As [`Scope::copy`].
    pub fn compare(&'scope self, a: &'scope [u8], b: &'scope [u8]) -> Result<Scoped<'scope>, Error> {
        let (first, second) = (a.len() as u64, b.len() as u64);
        if first != second {
            return Err(Error::Length { operation: Operation::Compare, first, second });
        }
        self.start(Job::Compare { a: VirtAddr::of(a.as_ptr()), b: VirtAddr::of(b.as_ptr()), len: first })
    }

    /// CRC-32C of `src`.
    ///
    /// # Errors
    ///
    /// As [`Scope::copy`].
    pub fn crc32c(&'scope self, src: &'scope [u8], seed: u32) -> Result<Scoped<'scope>, Error> {
        let span = Span::new(VirtAddr::of(src.as_ptr()), src.len() as u64);
        self.start(Job::Crc { src: span.addr, len: span.len, crc: Crc::CRC32C, seed: seed.into() })
    }

    fn start(&'scope self, job: Job) -> Result<Scoped<'scope>, Error> {
        let operation = job.operation();
        let (channel, path) = self.runtime.choose(&job).ok_or_else(|| self.runtime.nowhere(operation))?;
        let mut flights = self.flights.lock();
        if job.bytes() == 0
            && let Some(value) = job.empty_value()
        {
            flights.push(Flight::Empty(value));
            return Ok(Scoped { scope: ScopeRef(self), index: flights.len() - 1 });
        }
        let slot = match channel.try_acquire() {
            Some(slot) => slot,
            None if flights.iter().any(|flight| matches!(flight, Flight::Under(..))) => {
                return Err(Error::Busy { queue: channel.capabilities().name });
            }
            None => pollster::block_on(channel.acquire()).ok_or_else(|| channel.unserved(operation))?,
        };
        let lease = Lease::new(&self.leases);
        // SAFETY: the memory is borrowed for `'scope`, and the scope does not end before the lease, which the
        // slot holds until nobody uses the memory any more, has come back.
        let flight =
            unsafe { InFlight::start(channel, slot, lease, Work::One(job), self.runtime.submission(), path) };
        flights.push(Flight::Under(flight, job));
        Ok(Scoped { scope: ScopeRef(self), index: flights.len() - 1 })
    }
}

/// Waits for the leases, also when the scope's body panicked.
struct End<'e>(&'e Leases, &'e Runtime);

impl Drop for End<'_> {
    fn drop(&mut self) {
        if self.1.is_forked() {
            // In a child process: what is lent is lent in the parent.
            return;
        }
        let answer_within = self.1.config().answer_within;
        let mut out = self.0.out.lock();
        while *out != 0 {
            if self.0.back.wait_for(&mut out, answer_within).timed_out() {
                tracing::error!(operations = *out, "a scope waits for a device that does not answer");
            }
        }
    }
}

impl Runtime {
    /// Runs `body`, which may begin operations on borrowed memory, and returns when all of them have ended: those
    /// that nobody waited for are seen to their end, unless `body` panics.
    ///
    /// Blocks, so it has no place on an executor's thread. A device that never answers keeps the scope from
    /// returning: that is logged, because returning would free memory it may still write to.
    pub fn scope<'env, R>(&'env self, body: impl for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> R) -> R {
        let leases = Arc::new(Leases::default());
        // Dropped last: by then the flights that nobody waited for have been left to the runtime.
        let _end = End(&leases, self);
        let scope = Scope {
            runtime: self,
            leases: Arc::clone(&leases),
            flights: Mutex::new(Vec::new()),
            scope: PhantomData,
            env: PhantomData,
        };
        let result = body(&scope);
        scope.finish_rest();
        result
    }
}
