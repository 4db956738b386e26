//! Operations on no data: what a queue costs, and what its caches hold.

use std::future::Future;

use super::{Outcome, Room};
use crate::ask;
use crate::buffer::IoBuf;
use crate::job::Job;
use crate::runtime::Runtime;

impl Runtime {
    /// Does nothing, on the first queue that does it: what it costs is the way there and back.
    ///
    /// # Errors
    ///
    /// What the queue or the device said. Source: DSA §8.3.1.
    pub fn noop(&self) -> impl Future<Output = Outcome<(), ()>> + Send + Unpin {
        self.run((), |()| Ok(Job::Noop), Room::Wait)
    }

    /// Waits for everything the first queue that does it was given before. A runtime with several queues drains one.
    ///
    /// # Errors
    ///
    /// What the queue or the device said. Source: DSA §8.3.3.
    pub fn drain(&self) -> impl Future<Output = Outcome<(), ()>> + Send + Unpin {
        self.run((), |()| Ok(Job::Drain), Room::Wait)
    }

    /// Writes `buffer` back from the CPU's caches and drops it from them.
    ///
    /// # Errors
    ///
    /// As [`Runtime::copy`]. Source: DSA §8.3.26.
    pub fn cache_flush<S: IoBuf>(&self, buffer: S) -> impl Future<Output = Outcome<(), S>> + Send + Unpin {
        self.run(buffer, |buffer| ask::cache_flush(buffer, true), Room::Wait)
    }

    /// Writes `buffer` back from the CPU's caches, which may keep it.
    ///
    /// # Errors
    ///
    /// As [`Runtime::copy`]. Source: DSA §8.3.26.
    pub fn cache_write_back<S: IoBuf>(
        &self,
        buffer: S,
    ) -> impl Future<Output = Outcome<(), S>> + Send + Unpin {
        self.run(buffer, |buffer| ask::cache_flush(buffer, false), Room::Wait)
    }

    /// Has the device translate the addresses of `buffer` ahead of their use, which makes absent pages present, for
    /// reading.
    ///
    /// # Errors
    ///
    /// As [`Runtime::copy`]. Source: DSA §8.3.11.
    pub fn translation_fetch<S: IoBuf>(
        &self,
        buffer: S,
    ) -> impl Future<Output = Outcome<(), S>> + Send + Unpin {
        self.run(buffer, |buffer| ask::translation_fetch(buffer), Room::Wait)
    }
}
