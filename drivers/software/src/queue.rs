//! The CPU as a queue of the runtime: small jobs at once, large ones in pieces on worker threads.
//!
//! A job that costs no more than copying [`SoftwareConfig::inline_bytes_max`] bytes is done inside
//! [`Queue::submit`], on the caller's thread: handing it over would take longer. Everything else goes to a fixed
//! set of workers, so that no executor thread is held. There the hard idea is fairness: a job is in the
//! [ring](workers) once, a worker takes one [piece](unit) from it and puts it back at the end, so jobs advance in
//! turn whatever their sizes, and a job of one piece waits for one piece of every other job at most.
//!
//! Nothing is allocated for a job: tickets, ring and compressors are made at start-up. (The exception is the first
//! batch a slot carries to the workers: its ticket grows to that size and keeps it.)
//!
//! UNSAFETY: implements the trait whose promise is about when memory is used.
#![expect(unsafe_code, reason = "a queue promises when it stops using memory")]

mod cipher;
mod column;
mod config;
mod cost;
mod integrity;
mod line;
mod lz4;
mod memory;
mod miniblock;
mod numbers;
mod stream;
mod ticket;
mod unit;
mod work;
mod workers;

pub use config::{QueueError, SoftwareConfig};

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use std::thread::JoinHandle;

use svala::backend::{
    AddressMode, Capabilities, Completion, Failure, Kind, Member, Notifier, Polled, Queue, Refused,
    Submission, Submitted, Verdict,
};
use svala::{Done, Job, Operation, Operations, QueueName, Value};

use crate::cache::CacheLines;
use cost::cost;
use memory::{Contexts, Trust};
use ticket::Ticket;
use workers::Shared;

/// What the queue does on every machine. Besides, where the processor can, [`Operation::CacheFlush`].
const DONE: [Operation; 59] = [
    Operation::Noop,
    Operation::Drain,
    Operation::Copy,
    Operation::Dualcast,
    Operation::Fill,
    Operation::Fill16,
    Operation::Compare,
    Operation::ComparePattern,
    Operation::CreateDelta,
    Operation::ApplyDelta,
    Operation::Crc32c,
    Operation::Crc64,
    Operation::CopyCrc32c,
    Operation::CopyCrc64,
    Operation::DifCheck,
    Operation::DifInsert,
    Operation::DifStrip,
    Operation::DifUpdate,
    Operation::DixGenerate,
    Operation::TranslationFetch,
    Operation::Convert,
    Operation::Reduce,
    Operation::ReduceDualcast,
    Operation::GatherReduce,
    Operation::GatherCopy,
    Operation::ScatterCopy,
    Operation::ScatterFill,
    Operation::Deflate,
    Operation::Inflate,
    Operation::Scan,
    Operation::SetMembership,
    Operation::Extract,
    Operation::Select,
    Operation::Expand,
    Operation::RleBurst,
    Operation::FindUnique,
    Operation::ZeroCompress8,
    Operation::ZeroCompress16,
    Operation::ZeroCompress32,
    Operation::ZeroDecompress8,
    Operation::ZeroDecompress16,
    Operation::ZeroDecompress32,
    Operation::CrcAny,
    Operation::Lz4Compress,
    Operation::Lz4Decompress,
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

fn operations() -> Operations {
    let done = DONE.iter().fold(Operations::NONE, |set, operation| set.with(*operation));
    if CacheLines::detect().is_some() { done.with(Operation::CacheFlush) } else { done }
}

/// What a member of a batch costs besides its bytes, in bytes copied.
const MEMBER_COST: u64 = 256;

/// The CPU engine's queue.
///
/// Does every operation, with no limit on sizes; flushing caches where the processor has an instruction for it.
/// Closing it, or dropping it, ends its threads.
///
/// A drain waits for what was handed to the workers before it. What is done on the callers' threads is over when
/// `submit` returns.
pub struct SoftwareQueue {
    capabilities: Capabilities,
    config: SoftwareConfig,
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// One job in flight on a [`SoftwareQueue`].
#[derive(Debug)]
pub struct SoftwareFlight(Arc<Ticket>);

impl SoftwareQueue {
    /// Starts the workers, and makes the compressors they and the callers' threads use.
    ///
    /// # Errors
    ///
    /// [`QueueError::Thread`] when there is no thread to be had, and the others for a configuration out of bounds.
    pub fn new(config: SoftwareConfig) -> Result<Self, QueueError> {
        let config = config.checked()?;
        memory::prepare();
        let shared = Arc::new(Shared::new(&config));
        let threads = workers::start(&shared, &config)?;
        tracing::debug!(workers = config.workers, depth = config.depth, "CPU engine up");
        Ok(Self {
            capabilities: Capabilities {
                name: QueueName::new("cpu"),
                kind: Kind::Software,
                operations: operations(),
                address_mode: AddressMode::Sva,
                completion: Completion::Notified,
                depth: config.depth,
                batch_max: config.batch_max,
                unsplit_bytes_max: u64::MAX,
                block_on_fault: true,
                adler32: true,
                spin_bytes_max: 0,
                spin_polls: 0,
                numa_node: None,
            },
            config,
            shared,
            threads: Mutex::new(threads),
        })
    }

    /// Worker threads.
    pub fn workers(&self) -> usize {
        self.config.workers
    }

    /// Whether work of this cost is done on the caller's thread.
    fn is_small(&self, cost: u64) -> bool {
        cost <= self.config.inline_bytes_max
    }

    /// Runs `job` on this thread. None: it needs a compressor and all are in use.
    ///
    /// # Safety
    ///
    /// As [`memory::run`].
    unsafe fn run_here(&self, job: &Job, trust: Trust) -> Option<Result<Done, Failure>> {
        if !memory::compresses(job) {
            // SAFETY: the caller's contract.
            return Some(unsafe { memory::run(job, trust, None) });
        }
        let mut contexts = self.shared.borrow_contexts()?;
        // SAFETY: the caller's contract.
        let outcome = unsafe { memory::run(job, trust, Some(&mut contexts)) };
        self.shared.return_contexts(contexts);
        Some(outcome)
    }

    /// Runs the open members on this thread. None: one needs a compressor and all are in use.
    ///
    /// # Safety
    ///
    /// As [`memory::run`], for each open member.
    unsafe fn run_members_here(&self, members: &mut [Member], trust: Trust) -> Option<Done> {
        let mut contexts: Option<Contexts> = None;
        if open(members).any(memory::compresses) {
            contexts = Some(self.shared.borrow_contexts()?);
        }
        let mut bytes = 0;
        for member in members.iter_mut().filter(|member| member.result.is_none()) {
            // SAFETY: the caller's contract.
            let result = unsafe { memory::run(&member.job, trust, contexts.as_mut()) };
            bytes += result.map_or(0, |done| done.bytes);
            member.result = Some(result);
        }
        if let Some(contexts) = contexts {
            self.shared.return_contexts(contexts);
        }
        Some(Done { bytes, value: Value::None })
    }
}

/// The jobs of the members without a result.
fn open(members: &[Member]) -> impl Iterator<Item = &Job> {
    members.iter().filter(|member| member.result.is_none()).map(|member| &member.job)
}

fn cost_of_members(members: &[Member]) -> u64 {
    open(members).fold(0, |sum, job| sum.saturating_add(cost(job)).saturating_add(MEMBER_COST))
}

const fn trust(submission: Submission) -> Trust {
    if submission.unchecked { Trust::Check } else { Trust::Lent }
}

// SAFETY: a job's memory is used inside `submit`, and otherwise by workers between `Shared::start` and the moment
// the ticket says that it is over, which is what `poll` answers by; pieces stay inside the job's operands
// (`Unit::part`).
unsafe impl Queue for SoftwareQueue {
    type Flight = SoftwareFlight;

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn flight(&self) -> SoftwareFlight {
        SoftwareFlight(Arc::new(Ticket::new()))
    }

    fn attach(&self, notifier: Notifier) {
        self.shared.attach(notifier);
    }

    unsafe fn submit(
        &self,
        flight: &SoftwareFlight,
        job: &Job,
        submission: Submission,
    ) -> Result<Submitted, Refused> {
        if matches!(job, Job::Drain) {
            let waits = self.shared.drain(&flight.0)?;
            return Ok(if waits { Submitted::Flying } else { Submitted::Done(Done::default()) });
        }
        let trust = trust(submission);
        if self.is_small(cost(job)) {
            // SAFETY: the caller's contract, and `trust` says whether the memory has to be checked.
            match unsafe { self.run_here(job, trust) } {
                Some(Ok(done)) => return Ok(Submitted::Done(done)),
                // The job has run, so it is not to be refused: the outcome waits for the runtime to look.
                Some(Err(failure)) if flight.0.end_at_once(failure) => return Ok(Submitted::Flying),
                Some(Err(_)) => return Err(Refused::Busy),
                None => {}
            }
        }
        if !flight.0.begin(job, trust, self.config.workers) {
            return Err(Refused::Busy);
        }
        self.shared.start(&flight.0).map(|()| Submitted::Flying)
    }

    unsafe fn submit_batch(
        &self,
        flight: &SoftwareFlight,
        members: &mut [Member],
        submission: Submission,
    ) -> Result<Submitted, Refused> {
        let trust = trust(submission);
        let cost = cost_of_members(members);
        if self.is_small(cost) {
            // SAFETY: the caller's contract, and `trust` says whether the memory has to be checked.
            if let Some(done) = unsafe { self.run_members_here(members, trust) } {
                return Ok(Submitted::Done(done));
            }
        }
        if !flight.0.begin_batch(open(members), cost, trust, self.config.workers) {
            return Err(Refused::Busy);
        }
        self.shared.start(&flight.0).map(|()| Submitted::Flying)
    }

    fn poll(&self, flight: &SoftwareFlight, members: &mut [Member]) -> Polled {
        flight.0.take(members).map_or(Polled::Pending, Polled::Done)
    }

    /// Never called: the CPU waits for its pages, so no lane ever faults.
    fn resume(&self, _: &SoftwareFlight, _: &mut [Member], _: u16, _: Verdict) {}

    fn close(&self) {
        self.shared.close();
        let threads = std::mem::take(&mut *self.threads.lock());
        for thread in threads {
            // The last runtime may be dropped by a task that a worker wakes: that worker ends by itself.
            if thread.thread().id() != std::thread::current().id() && thread.join().is_err() {
                tracing::error!("a worker of the CPU engine panicked");
            }
        }
    }
}

impl Drop for SoftwareQueue {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for SoftwareQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SoftwareQueue").field("config", &self.config).finish_non_exhaustive()
    }
}
