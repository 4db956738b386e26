//! The seam: what a driver supplies, and what it may rely on.
//!
//! A driver implements [`Queue`]. The runtime gives it slots: for each there is a [`Queue::Flight`], made at
//! start-up, that holds whatever the driver and its device need for one job in flight: descriptors, completion
//! records, progress. A flight never moves and is freed only after the device is done with it; should a device
//! never answer, it is leaked on purpose.
//!
//! The hard idea is who may touch a flight. The runtime makes calls for one flight one at a time and orders
//! them, so a flight needs to be [`Send`] only and may use [`Cell`](std::cell::Cell): no locks, no atomics but
//! those the device itself needs. Calls for different flights come from many threads at once.
//!
//! ```text
//!   submit --> Flying --poll--> Pending*  --> Done
//!                 ^                |
//!                 |              Fault (the lane waits)
//!                 +----resume------+
//! ```
//!
//! UNSAFETY: declares the trait; what is unsafe about it is said there.
#![expect(unsafe_code, reason = "a queue promises when it stops using memory")]

use std::fmt;
use std::sync::Arc;

use crate::address::{Access, VirtAddr};
use crate::cipher::CipherFault;
use crate::dif::DifMismatch;
use crate::filter::ColumnFault;
use crate::job::{Done, Job, Operands, Operations};
use crate::miniblock::MiniblockFault;
use crate::path::{Path, QueueName, Reason};

pub use crate::health::QueueFault;

/// How the bytes of a job reach the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AddressMode {
    /// Shared virtual addressing: the process's own page tables, faults and all.
    Sva,
    /// The process's addresses, but only over memory pinned beforehand.
    PinnedVa,
    /// Through buffers of the driver's own.
    Bounce,
}

/// What runs behind a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Silicon.
    Hardware,
    /// A device model.
    Emulated,
    /// The CPU.
    Software,
}

/// How the runtime learns that work is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Completion {
    /// Only by looking: user work queues have no interrupt.
    Polled,
    /// The queue calls its [`Notifier`] after each completion.
    Notified,
}

/// What a queue is and can do.
#[derive(Clone, Debug)]
pub struct Capabilities {
    /// The queue's name in results and messages.
    pub name: QueueName,
    /// What is behind it.
    pub kind: Kind,
    /// Operations it takes.
    pub operations: Operations,
    /// How it addresses memory.
    pub address_mode: AddressMode,
    /// How completions are noticed.
    pub completion: Completion,
    /// Jobs it should hold at most: the number of slots the runtime makes for it.
    pub depth: u32,
    /// Most members of a batch.
    pub batch_max: u32,
    /// Largest job in bytes, for operations the driver cannot split; others are split by the driver.
    pub unsplit_bytes_max: u64,
    /// Whether a job may ask the device to block on a page fault.
    pub block_on_fault: bool,
    /// Whether deflate and inflate can compute an Adler-32.
    pub adler32: bool,
    /// Jobs up to this size are worth a short spin of the awaiting task; 0 turns spinning off.
    pub spin_bytes_max: u64,
    /// Polls of such a spin.
    pub spin_polls: u32,
    /// The memory node the device is at, where that is known.
    pub numa_node: Option<u16>,
}

impl Capabilities {
    /// The path a job takes that was sent here by choice.
    pub const fn path(&self, reason: Reason) -> Path {
        match self.kind {
            Kind::Hardware => Path::Hardware { queue: self.name },
            Kind::Emulated => Path::Emulated { queue: self.name },
            Kind::Software => Path::Software { reason },
        }
    }
}

/// How a job is to be run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Submission {
    /// The device waits for absent pages, through page requests, instead of reporting them.
    pub block_on_fault: bool,
    /// The addresses are a caller's word, not memory lent by a buffer: a driver that would crash on a bad
    /// address checks them first.
    pub unchecked: bool,
}

/// What came of a submission that was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Submitted {
    /// Under way; ask [`Queue::poll`].
    Flying,
    /// Done on the spot. The flight is idle.
    Done(Done),
}

/// Why a submission was not accepted. The flight is idle and the job has touched nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// No room now. Also what `ENQCMD` answers for a queue that is disabled, so the runtime asks again a bounded
    /// number of times.
    Busy,
    /// The job as it stands cannot be run here.
    Failed(Failure),
}

/// What polling a flight found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Polled {
    /// Nothing new.
    Pending,
    /// Nothing new, and some of the job still waits for room in the device: poll again soon, nothing will
    /// announce it.
    Stalled,
    /// A lane met a page it cannot use. It waits for [`Queue::resume`]; other lanes go on.
    Fault(LaneFault),
    /// Over. Nobody touches the job's memory any more and the flight is idle.
    Done(Result<Done, Failure>),
}

/// A translation the device could not make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneFault {
    /// Which part of the job: a driver's own number, at most [`LANES_MAX`]. For a batch, the member.
    pub lane: u16,
    /// What was attempted.
    pub access: Access,
    /// Where, as the device reported it.
    pub addr: VirtAddr,
    /// Bytes of the whole job done so far, over all lanes.
    pub done_bytes: u64,
    /// Bytes done of the job from where it begins without a gap (a member of a batch: of the member): another can go on
    /// behind them. Parts that run in any order leave gaps.
    pub unbroken_bytes: u64,
    /// The device's raw status byte.
    pub status: u8,
    /// What the interrupted descriptor still has to touch.
    pub rest: Operands,
    /// The operation keeps nothing of a partial run: all of `rest` must be present before it is run again.
    pub restarts: bool,
}

/// Most lanes of a flight, and members of a batch.
pub const LANES_MAX: u16 = 1024;

/// What to do about a lane that faulted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The page should be there now: go on.
    Resubmit,
    /// Give the job up. The flight still has to be polled until its other lanes are quiet; it then ends with
    /// [`Failure::Cancelled`] unless something worse happened. In a batch only the lane's member is given up, and
    /// the batch ends as if the member had failed by itself: a result that is in place already says why.
    Cancel,
}

/// Why a job failed, as far as the driver can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// The queue does not do this.
    Unsupported,
    /// An address cannot be used at all.
    Address {
        /// What was attempted.
        access: Access,
        /// Where.
        addr: VirtAddr,
        /// Bytes done before.
        done_bytes: u64,
    },
    /// The device answered with an error status.
    Status {
        /// Raw status byte.
        status: u8,
        /// Name of the status in the specification.
        name: &'static str,
        /// Bytes done before.
        done_bytes: u64,
    },
    /// The device's answer makes no sense.
    Nonsense {
        /// What is wrong with it.
        what: &'static str,
        /// First eight bytes of the record as written.
        record: u64,
    },
    /// The output does not fit.
    OutputFull {
        /// Room there was, in bytes.
        bytes_max: u64,
    },
    /// The compressed stream, or the delta record, is broken.
    Corrupt {
        /// Input offset, in bytes.
        offset: u64,
    },
    /// A data integrity field does not match.
    Dif {
        /// The block, from 0.
        block: u64,
        /// What of its field.
        mismatch: DifMismatch,
    },
    /// The compressed stream ends too early.
    Truncated {
        /// Bytes there were.
        len: u64,
    },
    /// The device cannot decode this stream; another engine may.
    Stream,
    /// A column, its second input or what is asked of it is not what it should be.
    Column {
        /// What is wrong.
        fault: ColumnFault,
    },
    /// A stream has no miniblocks of the size that was asked for.
    Miniblock {
        /// What is wrong.
        fault: MiniblockFault,
        /// Bytes of the block's data that come before.
        data_at: u64,
    },
    /// A message is not what its tag was made of, or cannot be.
    Cipher {
        /// What is wrong.
        fault: CipherFault,
    },
    /// Memory vanished under the operation: a mapped file was truncated.
    Vanished {
        /// Where.
        addr: VirtAddr,
    },
    /// The device refused the rest of the job too often.
    Refused {
        /// Times it was asked.
        tries: u32,
    },
    /// Given up on request.
    Cancelled,
    /// Not this job: the queue itself takes no more. As a [`Refused::Failed`] it says that the job has touched nothing,
    /// and the runtime may run it elsewhere.
    Queue(QueueFault),
    /// The part of the device that does this operation takes no more; other operations it does as before. As a
    /// [`Refused::Failed`], the CPU may do the job.
    Operation(QueueFault),
}

/// One member of a batch: a job, and room for its answer.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    /// What to do.
    pub job: Job,
    /// What came of it; none until the batch is done.
    pub result: Option<Result<Done, Failure>>,
}

/// A work queue, as a driver supplies it.
///
/// # Safety
///
/// After [`Queue::submit`] was accepted and until [`Queue::poll`] answered [`Polled::Done`], the implementation
/// may have the job's memory read and written; outside that time neither it nor its device touches it. Within
/// that time it touches nothing outside the job's operands. [`Refused`] and [`Submitted::Done`] mean the job's
/// memory is not in use.
pub unsafe trait Queue: Send + Sync + 'static {
    /// What one job in flight needs: records, descriptors, progress. Idle when made.
    type Flight: Send;

    /// What the queue is and can do. The same for the queue's whole life.
    fn capabilities(&self) -> &Capabilities;

    /// Makes the memory of one slot. Called `depth` times at start-up.
    fn flight(&self) -> Self::Flight;

    /// Called once before the first submission. A [`Completion::Notified`] queue keeps the notifier.
    fn attach(&self, notifier: Notifier);

    /// Starts a job; never blocks.
    ///
    /// # Errors
    ///
    /// [`Refused::Busy`] without room, [`Refused::Failed`] for what cannot be run here.
    ///
    /// # Safety
    ///
    /// `flight` is idle. The job's operands are readable and writable as [`Job::operands`] says until the job
    /// is done, or, with [`Submission::unchecked`], are at least memory that nobody unmaps or uses meanwhile.
    unsafe fn submit(
        &self,
        flight: &Self::Flight,
        job: &Job,
        submission: Submission,
    ) -> Result<Submitted, Refused>;

    /// Starts up to `batch_max` jobs at once, in no particular order. Members that have a result already are
    /// skipped; at least one has none.
    ///
    /// # Errors
    ///
    /// As [`Queue::submit`]; a member that cannot be run says so in its own result.
    ///
    /// # Safety
    ///
    /// As [`Queue::submit`], for each member; the members are independent of each other.
    unsafe fn submit_batch(
        &self,
        flight: &Self::Flight,
        members: &mut [Member],
        submission: Submission,
    ) -> Result<Submitted, Refused>;

    /// Looks how a flight is doing. `members` is what was given to [`Queue::submit_batch`], empty for a single
    /// job; results of members are in place when the answer is [`Polled::Done`].
    fn poll(&self, flight: &Self::Flight, members: &mut [Member]) -> Polled;

    /// Memory whose cache line is written when a single job's flight completes, for `UMWAIT`. None when there is
    /// no such line or more than one.
    fn watch(&self, _flight: &Self::Flight) -> Option<*const u8> {
        None
    }

    /// Answers a [`Polled::Fault`] of that lane.
    fn resume(&self, flight: &Self::Flight, members: &mut [Member], lane: u16, verdict: Verdict);

    /// What is wrong with the queue as a whole, if the driver can tell. Asked when a queue refuses or does not answer, and
    /// before it is probed; not on the way of a job. What was said once is asked about again at each notification: a driver
    /// that has nothing more to say, as after a restart, calls its [`Notifier`], and is used again at once.
    fn fault(&self) -> Option<QueueFault> {
        None
    }

    /// Notifications that may be held up at once, each for as long as a few pages take to come, while the queue does all
    /// else it should: the threads that notify, less one. The runtime then populates small ranges on them, which saves
    /// two hand-overs between threads. 0 where one thread must do, or where nobody notifies.
    fn held_max(&self) -> u32 {
        0
    }

    /// No more work will come. Every flight is idle, or its memory has been leaked. The last reference to a queue may
    /// afterwards go on its own notifying thread, which `Drop` must not wait for.
    fn close(&self) {}
}

/// Tells the runtime that a queue has completions, or is back.
///
/// Cheap to clone. Calling it costs a look at the flights that are waited for and wakes their tasks on the
/// calling thread, and as far as [`Queue::held_max`] allows populates what they miss; calling it once too often does no
/// harm.
#[derive(Clone)]
pub struct Notifier(Arc<dyn Fn() + Send + Sync>);

impl Notifier {
    /// A notifier that calls `notify`.
    pub fn new(notify: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Arc::new(notify))
    }

    /// Says that something completed.
    pub fn notify(&self) {
        (self.0)();
    }
}

impl fmt::Debug for Notifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Notifier")
    }
}
