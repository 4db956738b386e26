//! One job under way: which part of it a request is for, and what is done of it.

use std::cell::{Cell, RefCell};

use qat_spec::Service;
use svala::Job;

use crate::gcm::GcmPage;
use crate::memory::Piece;

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// There is none.
    Idle,
    /// The next request is made, and waits for room.
    ToSend,
    /// It was sent.
    Sent,
}

/// The part of a job that a request is for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Part {
    pub(crate) src_addr: u64,
    pub(crate) src_bytes: u32,
    pub(crate) dst_addr: u64,
    pub(crate) dst_bytes: u32,
    /// The stream ends with it.
    pub(crate) last: bool,
    /// The output is written in place.
    pub(crate) in_place: bool,
}

/// A job's place in a flight.
#[derive(Debug)]
pub(crate) struct Lane {
    /// Its slot.
    pub(crate) slot: u32,
    pub(crate) state: Cell<State>,
    pub(crate) job: Cell<Job>,
    pub(crate) part: Cell<Part>,
    /// Ring pair of the request that was sent.
    pub(crate) pair: Cell<usize>,
    /// Input bytes of finished parts.
    pub(crate) read: Cell<u64>,
    /// Output bytes of finished parts.
    pub(crate) written: Cell<u64>,
    /// Checksum of what was read.
    pub(crate) check: Cell<u32>,
    /// Times the part found no room.
    pub(crate) tries: Cell<u32>,
    /// Times the part was sent again.
    pub(crate) resends: Cell<u32>,
    /// Copies of input and of output.
    pub(crate) src: RefCell<Option<Piece>>,
    pub(crate) dst: RefCell<Option<Piece>>,
    /// Key and tag of a cipher.
    pub(crate) gcm: RefCell<Option<GcmPage>>,
}

impl Lane {
    pub(crate) const fn new(slot: u32) -> Self {
        Self {
            slot,
            state: Cell::new(State::Idle),
            job: Cell::new(Job::Noop),
            part: Cell::new(Part {
                src_addr: 0,
                src_bytes: 0,
                dst_addr: 0,
                dst_bytes: 0,
                last: false,
                in_place: false,
            }),
            pair: Cell::new(0),
            read: Cell::new(0),
            written: Cell::new(0),
            check: Cell::new(0),
            tries: Cell::new(0),
            resends: Cell::new(0),
            src: RefCell::new(None),
            dst: RefCell::new(None),
            gcm: RefCell::new(None),
        }
    }

    /// Begins a job.
    #[inline]
    pub(crate) fn begin(&self, job: &Job) {
        self.job.set(*job);
        self.read.set(0);
        self.written.set(0);
        self.check.set(0);
        self.tries.set(0);
        self.resends.set(0);
    }

    /// The service that does it.
    #[inline]
    pub(crate) fn service(&self) -> Service {
        service_of(&self.job.get())
    }

    /// Ends it: bounce buffers go back, and keys are gone.
    #[inline]
    pub(crate) fn end(&self) {
        self.state.set(State::Idle);
        self.src.replace(None);
        self.dst.replace(None);
        self.gcm.replace(None);
    }
}

/// The service that does a job.
#[inline]
pub(crate) const fn service_of(job: &Job) -> Service {
    if let Job::Cipher { .. } = job { Service::SYM } else { Service::COMPRESSION }
}
