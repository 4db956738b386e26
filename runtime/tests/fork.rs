//! A child process that inherits a runtime: every operation ends with an error and its buffers, nothing hangs, and the
//! parent's runtime goes on as if nothing had happened.
//!
//! A binary and one test of its own: what forks must have no other threads that allocate or print at that moment.
//!
//! UNSAFETY: forks.
#![expect(unsafe_code, reason = "fork is an unsafe call")]

mod support;

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use support::{Options, Plan, When, noise, within};
use svala::backend::Completion;
use svala::{Batch, Error, Group, GroupOptions, Runtime};

/// Runs `body` in a child and says how it ended: 0 when all was well, the number of the check that was not, or a signal.
fn in_child(body: impl FnOnce() -> Result<(), i32>) -> Result<(), String> {
    // SAFETY: the child has this thread alone, touches no lock another thread may have held but the allocator's, which the
    // C library sees to, and leaves by `_exit`.
    match unsafe { libc::fork() } {
        -1 => Err(format!("fork: {}", std::io::Error::last_os_error())),
        0 => {
            // SAFETY: ends the child should it hang.
            unsafe { libc::alarm(20) };
            let code = match std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)) {
                Ok(Ok(())) => 0,
                Ok(Err(check)) => check,
                Err(_) => 99,
            };
            // SAFETY: ends the child without running anything that is the parent's.
            unsafe { libc::_exit(code) }
        }
        child => {
            let mut status = 0;
            // SAFETY: waits for the child made above; `status` is ours.
            let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
            if waited != child {
                return Err("waitpid".into());
            }
            match (libc::WIFEXITED(status), libc::WEXITSTATUS(status)) {
                (true, 0) => Ok(()),
                (true, check) => Err(format!("check {check} failed in the child")),
                _ => Err(format!("the child was ended by signal {}", libc::WTERMSIG(status))),
            }
        }
    }
}

/// The future's answer, which must be there at once.
fn at_once<F: Future + Unpin>(mut future: F) -> Option<F::Output> {
    match Pin::new(&mut future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

fn check(number: i32, holds: bool) -> Result<(), i32> {
    if holds { Ok(()) } else { Err(number) }
}

/// New operations of every kind, in the child.
fn new_operations(runtime: &Runtime) -> Result<(), i32> {
    let copy = at_once(runtime.copy(vec![1; 100], vec![2; 100])).ok_or(1)?;
    let failed = copy.err().ok_or(2)?;
    check(3, matches!(failed.error, Error::Forked { .. }))?;
    check(4, failed.buffers == Some((vec![1; 100], vec![2; 100])))?;
    let tried = at_once(runtime.try_fill(vec![3; 8], 1)).ok_or(5)?;
    check(6, tried.is_err_and(|failed| failed.buffers == Some(vec![3; 8])))?;

    let mut batch = Batch::<Vec<u8>, Vec<u8>>::with_capacity(2);
    check(7, batch.fill(vec![4; 8], 1).is_ok())?;
    let failed = at_once(Box::pin(runtime.run_batch(batch))).ok_or(8)?.err().ok_or(9)?;
    check(10, matches!(failed.error, Error::Forked { .. }) && failed.buffers.is_some())?;

    let mut group = Group::<Vec<u8>, Vec<u8>>::new(runtime, GroupOptions::default());
    check(11, group.fill(vec![5; 8], 1).is_ok())?;
    let done = at_once(Box::pin(group.next())).ok_or(12)?.ok_or(13)?;
    check(14, done.result.is_err_and(|error| matches!(*error, Error::Forked { .. })) && done.lent.is_some())?;
    drop(group);

    let mut bytes = [0; 8];
    let begun = runtime.scope(|scope| scope.fill(&mut bytes, 1).map(drop));
    check(15, matches!(begun, Err(Error::Forked { .. })))?;
    check(16, runtime.snapshot().queues.len() == 1)
}

#[test]
fn a_child_gets_errors_and_the_parent_goes_on() {
    for completion in support::BOTH {
        let (runtime, device) = support::runtime(
            Options::new(completion, |n, _| {
                Plan::done(if n == 1 || n == 2 { When::Held } else { When::Thread })
            })
            .depth(2),
        );
        within(runtime.fill(vec![0; 8], 1)).expect("before");

        // Two that the device has, one of which was polled by a future that is not polled in the child; one in line.
        let mut cx = Context::from_waker(Waker::noop());
        let mut flying = runtime.fill(vec![6; 8], 2);
        assert!(Pin::new(&mut flying).poll(&mut cx).is_pending());
        let mut dropped = runtime.fill(vec![7; 8], 3);
        assert!(Pin::new(&mut dropped).poll(&mut cx).is_pending());
        let mut in_line = runtime.fill(vec![8; 8], 4);
        assert!(Pin::new(&mut in_line).poll(&mut cx).is_pending());
        let mut group = Group::<Vec<u8>, Vec<u8>>::new(&runtime, GroupOptions::default());
        group.fill(vec![9; 8], 5).expect("room");

        let ended = in_child(|| {
            new_operations(&runtime)?;
            let failed = at_once(&mut flying).ok_or(20)?.err().ok_or(21)?;
            check(22, matches!(failed.error, Error::Forked { .. }))?;
            // Kept when the completion thread was about to look at it in the very moment of the fork.
            check(23, failed.buffers.is_none_or(|buffer| buffer == [6; 8]))?;
            let failed = at_once(&mut in_line).ok_or(24)?.err().ok_or(25)?;
            check(26, matches!(failed.error, Error::Forked { .. }) && failed.buffers == Some(vec![8; 8]))?;
            // A runtime of the child's own works.
            let (own, _device) = support::runtime(Options::all(Completion::Polled, Plan::done(When::Inline)));
            let done = within(own.copy(noise(100, 1), vec![0; 100])).map_err(|_| 27)?;
            check(28, done.buffers.1 == noise(100, 1))?;
            drop(own);
            check(29, runtime.shutdown().unanswered == 0)
        });
        assert_eq!(ended, Ok(()));

        // Dropping everything in a child, what is under way as well: at once, and without the parent's noticing.
        let ended = in_child(|| {
            // SAFETY: the child ends without using what is dropped here once more.
            drop(unsafe { twin(&flying) });
            // SAFETY: as above.
            drop(unsafe { twin(&dropped) });
            // SAFETY: as above.
            drop(unsafe { twin(&in_line) });
            // SAFETY: as above.
            drop(unsafe { twin(&group) });
            // SAFETY: as above. The last of the runtime.
            drop(unsafe { twin(&runtime) });
            Ok(())
        });
        assert_eq!(ended, Ok(()));

        // The parent's operations end as they would have.
        device.release_all();
        assert_eq!(within(flying).expect("a fill").buffers, 2_u64.to_le_bytes());
        drop(dropped);
        assert_eq!(within(in_line).expect("a fill").buffers, 4_u64.to_le_bytes());
        assert!(within(group.next()).expect("one").result.is_ok());
        drop(group);
        device.check();
        assert_eq!(runtime.shutdown().unanswered, 0);
    }
}

/// The same value once more.
///
/// # Safety
///
/// One of the two is not used any more, nor dropped.
unsafe fn twin<T>(value: &T) -> T {
    // SAFETY: the caller's contract.
    unsafe { std::ptr::read(value) }
}
