// SPDX-License-Identifier: MIT OR Apache-2.0

//! Counters. They only grow, are read without locks, and reconcile once nothing is in flight.

use super::env::{Counter, Env};
use super::latency::Latency;
use super::request::Code;

/// What happened on one bond (one attach handle).
///
/// With nothing in flight, `groups == success + invalid + failure`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BondStats {
    /// Page requests in the groups below.
    pub faults: u64,
    /// Groups that reached this handle.
    pub groups: u64,
    /// Groups answered [`Code::Success`].
    pub success: u64,
    /// Groups answered [`Code::Invalid`], overflows included.
    pub invalid: u64,
    /// Groups answered [`Code::Failure`].
    pub failure: u64,
    /// Groups answered invalid because a bound was met.
    pub overflows: u64,
}

/// What happened on one device.
///
/// With nothing in flight, `groups == success + invalid + failure`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IopfStats {
    /// Page requests reported, stop markers not included.
    pub requests: u64,
    /// Groups taken on for answering: completed ones, refused or not, and discarded ones that were
    /// answered.
    pub groups: u64,
    /// Groups answered [`Code::Success`].
    pub success: u64,
    /// Groups answered [`Code::Invalid`].
    pub invalid: u64,
    /// Groups answered [`Code::Failure`].
    pub failure: u64,
    /// Requests for which there was no room: lost partials, and last requests that met a full
    /// queue.
    pub overflows: u64,
    /// Incomplete groups given up by a discard or by a stop marker.
    pub discarded: u64,
    /// Stop markers.
    pub stop_markers: u64,
    /// Requests that came after the device was drained, or made no sense; this crate did not answer
    /// them.
    pub ignored: u64,
}

/// Answers, by code.
pub(crate) struct Answers<E: Env> {
    success: E::Counter,
    invalid: E::Counter,
    failure: E::Counter,
}

impl<E: Env> Answers<E> {
    fn new() -> Self {
        Self {
            success: E::Counter::new(),
            invalid: E::Counter::new(),
            failure: E::Counter::new(),
        }
    }

    pub(crate) fn count(&self, code: Code) {
        match code {
            Code::Success => self.success.add(1),
            Code::Invalid => self.invalid.add(1),
            Code::Failure => self.failure.add(1),
        }
    }
}

/// Answers, by code, under a lock.
#[derive(Clone, Copy, Default)]
pub(crate) struct Answered {
    success: u64,
    invalid: u64,
    failure: u64,
}

impl Answered {
    pub(crate) fn count(&mut self, code: Code) {
        match code {
            Code::Success => self.success += 1,
            Code::Invalid => self.invalid += 1,
            Code::Failure => self.failure += 1,
        }
    }
}

pub(crate) struct BondCounters<E: Env> {
    pub(crate) faults: E::Counter,
    pub(crate) groups: E::Counter,
    pub(crate) answers: Answers<E>,
    pub(crate) overflows: E::Counter,
    pub(crate) latency: Latency<E>,
}

impl<E: Env> BondCounters<E> {
    pub(crate) fn new() -> Self {
        Self {
            faults: E::Counter::new(),
            groups: E::Counter::new(),
            answers: Answers::new(),
            overflows: E::Counter::new(),
            latency: Latency::new(),
        }
    }

    pub(crate) fn snapshot(&self) -> BondStats {
        BondStats {
            faults: self.faults.value(),
            groups: self.groups.value(),
            success: self.answers.success.value(),
            invalid: self.answers.invalid.value(),
            failure: self.answers.failure.value(),
            overflows: self.overflows.value(),
        }
    }
}

/// What is counted outside the state lock: nothing that happens to every request.
pub(crate) struct IopfCounters<E: Env> {
    pub(crate) overflows: E::Counter,
    pub(crate) discarded: E::Counter,
    pub(crate) stop_markers: E::Counter,
    pub(crate) ignored: E::Counter,
}

impl<E: Env> IopfCounters<E> {
    pub(crate) fn new() -> Self {
        Self {
            overflows: E::Counter::new(),
            discarded: E::Counter::new(),
            stop_markers: E::Counter::new(),
            ignored: E::Counter::new(),
        }
    }

    /// The counters, with those that are counted under the state lock.
    pub(crate) fn snapshot(&self, requests: u64, groups: u64, answers: Answered) -> IopfStats {
        IopfStats {
            requests,
            groups,
            success: answers.success,
            invalid: answers.invalid,
            failure: answers.failure,
            overflows: self.overflows.value(),
            discarded: self.discarded.value(),
            stop_markers: self.stop_markers.value(),
            ignored: self.ignored.value(),
        }
    }
}
