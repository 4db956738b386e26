//! The resolver: makes memory present, off every thread that has something else to do.
//!
//! `madvise(MADV_POPULATE_READ | MADV_POPULATE_WRITE)` does what a CPU access would do, copy-on-write and file
//! reads included, without reading or writing a byte, so it races with nobody. io_uring runs it in the kernel's
//! own workers; where io_uring is forbidden, threads of ours do.

use std::io;
use std::sync::Arc;

use nix::sys::eventfd::EventFd;

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

/// Ranges that may be under way at once.
pub(crate) const IN_FLIGHT_MAX: usize = 128;

/// The advice that makes memory present for `access`.
pub(super) const fn advice(access: Access) -> i32 {
    match access {
        Access::Read => libc::MADV_POPULATE_READ,
        Access::Write => libc::MADV_POPULATE_WRITE,
    }
}

/// Whoever populates.
#[derive(Debug)]
pub(crate) enum Resolver {
    Uring(Box<Uring>),
    Threads(Threads, Option<String>),
}

impl Resolver {
    /// Sets up a resolver that writes to `wake` after each answer.
    ///
    /// # Errors
    ///
    /// What thread creation says, when neither way can be had.
    pub(crate) fn new(choice: policy::ResolverChoice, wake: &Arc<EventFd>) -> io::Result<Self> {
        let reason = match choice {
            ResolverChoice::Auto => match Uring::new(wake) {
                Ok(uring) => return Ok(Self::Uring(Box::new(uring))),
                Err(error) => Some(format!("io_uring: {error}")),
            },
            ResolverChoice::Threads => None,
        };
        Ok(Self::Threads(Threads::new(wake)?, reason))
    }

    /// `io_uring` or `threads`.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Uring(_) => "io_uring",
            Self::Threads(..) => "threads",
        }
    }

    /// Why not io_uring.
    pub(crate) fn reason(&self) -> Option<String> {
        match self {
            Self::Uring(_) => None,
            Self::Threads(_, reason) => reason.clone(),
        }
    }

    /// Starts all of `requests`, or none of them and answers false for want of room.
    pub(crate) fn start(&self, requests: &[Request]) -> bool {
        match self {
            Self::Uring(uring) => uring.start(requests),
            Self::Threads(threads, _) => threads.start(requests),
        }
    }

    /// Hands out the answers there are; says whether there were any.
    pub(crate) fn drain(&self, each: &mut dyn FnMut(Answer)) -> bool {
        match self {
            Self::Uring(uring) => uring.drain(each),
            Self::Threads(threads, _) => threads.drain(each),
        }
    }
}
