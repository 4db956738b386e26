//! Populating on threads of ours, where io_uring is forbidden.
//!
//! UNSAFETY: `madvise` on addresses that came from a device.
#![expect(unsafe_code, reason = "madvise is an unsafe call")]

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_queue::ArrayQueue;
use nix::sys::eventfd::EventFd;
use parking_lot::{Condvar, Mutex};

use super::resolver::{Answer, IN_FLIGHT_MAX, Request, advice};

/// Threads that populate. Two: one must not hold up another for a slow file.
const THREADS: usize = 2;

#[derive(Debug)]
struct Shared {
    todo: Mutex<Todo>,
    more: Condvar,
    answers: ArrayQueue<Answer>,
    wake: Arc<EventFd>,
}

#[derive(Debug)]
struct Todo {
    requests: VecDeque<Request>,
    /// Requests and answers not drained yet.
    in_flight: usize,
    closed: bool,
}

/// The threads, and the way to them.
#[derive(Debug)]
pub(crate) struct Threads {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Threads {
    pub(super) fn new(wake: &Arc<EventFd>) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            todo: Mutex::new(Todo {
                requests: VecDeque::with_capacity(IN_FLIGHT_MAX),
                in_flight: 0,
                closed: false,
            }),
            more: Condvar::new(),
            answers: ArrayQueue::new(IN_FLIGHT_MAX),
            wake: Arc::clone(wake),
        });
        let mut threads = Vec::with_capacity(THREADS);
        for i in 0..THREADS {
            let shared = Arc::clone(&shared);
            threads.push(
                std::thread::Builder::new().name(format!("svala-fault{i}")).spawn(move || shared.serve())?,
            );
        }
        Ok(Self { shared, threads })
    }

    pub(super) fn start(&self, requests: &[Request]) -> bool {
        let mut todo = self.shared.todo.lock();
        if todo.in_flight + requests.len() > IN_FLIGHT_MAX {
            return false;
        }
        todo.in_flight += requests.len();
        todo.requests.extend(requests);
        self.shared.more.notify_all();
        true
    }

    pub(super) fn drain(&self, each: &mut dyn FnMut(Answer)) -> bool {
        let mut any = false;
        while let Some(answer) = self.shared.answers.pop() {
            self.shared.todo.lock().in_flight -= 1;
            any = true;
            each(answer);
        }
        any
    }
}

impl Shared {
    fn serve(&self) {
        loop {
            let request = {
                let mut todo = self.todo.lock();
                loop {
                    if let Some(request) = todo.requests.pop_front() {
                        break request;
                    }
                    if todo.closed {
                        return;
                    }
                    self.more.wait(&mut todo);
                }
            };
            let errno = populate(&request);
            let answer = Answer { channel: request.channel, slot: request.slot, errno };
            let pushed = self.answers.push(answer);
            debug_assert!(pushed.is_ok(), "in_flight bounds the answers");
            let _ = self.wake.write(1);
        }
    }
}

fn populate(request: &Request) -> i32 {
    let pages = request.operand.span.pages();
    let addr = pages.addr.as_ptr::<libc::c_void>().cast_mut();
    let len = usize::try_from(pages.len).unwrap_or(usize::MAX);
    // SAFETY: populating reads and writes no byte of the range, and answers an error for what is not mapped.
    let answer = unsafe { libc::madvise(addr, len, advice(request.operand.access)) };
    if answer == 0 { 0 } else { io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO) }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.shared.todo.lock().closed = true;
        self.shared.more.notify_all();
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so; there is nothing to add.
            let _ = thread.join();
        }
    }
}
