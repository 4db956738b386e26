//! The lock-free parts of a channel under loom: the free list, the handshake, whose turn it is to reap.
//!
//! The sources are compiled here by path, against loom's atomics. What surrounds them in a channel (the list
//! and its lock, the device's completion, the notifier's look at the list's length) is modelled in [`Model`],
//! line by line as `channel.rs` has it.
//!
//! Mutations that were tried by hand, and what catches them:
//!
//! | mutation | caught by |
//! | --- | --- |
//! | free list: tag not incremented; `push` with relaxed success ordering | `no_index_is_handed_out_twice` |
//! | handshake: no second look after `register` in `look` | `a_future_that_moved_is_woken_where_it_is` |
//! | handshake: `complete` or the load in `look` relaxed | `a_completed_operation_wakes_its_future` |
//! | handshake: `abandon` stores without comparing, or fails relaxed | `abandoned_or_completed_not_both` |
//! | handshake: `complete` does not know `EXPIRED` | `expired_abandoned_or_completed_once` |
//! | handshake: `expire` stores without comparing | `gone_before_the_bound_is_gone` |
//! | handshake: `hand_over` relaxed | none: the list's lock orders it as well |
//! | channel: length published after the look; no fence in the notifier | `a_completed_operation_wakes_its_future` |
//! | turn: `ask` or `begin` stores instead of swapping; no fence | `a_question_is_never_left_behind` |
//!
//! UNSAFETY: reads and writes loom's cells, which check the claims made here.
#![expect(unsafe_code, reason = "loom's cells hand out raw pointers")]

mod sync {
    pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence};
    use std::task::Waker;

    #[derive(Debug)]
    pub(crate) struct WakerCell(loom::future::AtomicWaker);

    impl WakerCell {
        pub(crate) fn new() -> Self {
            Self(loom::future::AtomicWaker::new())
        }

        pub(crate) fn register(&self, waker: &Waker) {
            self.0.register_by_ref(waker);
        }

        pub(crate) fn take(&self) -> Option<Waker> {
            self.0.take_waker()
        }
    }
}

#[path = "../src/slot/free_list.rs"]
mod free_list;
#[expect(dead_code, reason = "shutting down is not modelled")]
#[path = "../src/slot/handshake.rs"]
mod handshake;
#[path = "../src/channel/turn.rs"]
mod turn;

use std::future::poll_fn;
use std::task::{Poll, Waker};

use free_list::FreeList;
use handshake::{Completed, Handshake, Look};
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;
use sync::{AtomicBool, AtomicU32, Ordering, fence};
use turn::Turn;

fn explore(preemptions: usize, body: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(body);
}

/// Takes everything that is left and says which indices.
fn rest(list: &FreeList) -> Vec<u32> {
    let mut left: Vec<u32> = std::iter::from_fn(|| list.pop()).collect();
    left.sort_unstable();
    left
}

/// One thread pops twice and pushes the first back while another is in the middle of a pop: the classic ABA.
#[test]
fn no_index_is_handed_out_twice() {
    explore(3, || {
        let list = Arc::new(FreeList::new(3));
        let other = Arc::clone(&list);
        let thread = thread::spawn(move || {
            let first = other.pop();
            let second = other.pop();
            if let Some(first) = first {
                other.push(first);
            }
            second
        });
        let mine = list.pop();
        let theirs = thread.join().expect("the thread does not panic");
        let mut all = rest(&list);
        all.extend(mine);
        all.extend(theirs);
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2]);
    });
}

/// Whoever popped an index owns what is behind it, until it pushes it back.
#[test]
fn contents_follow_the_index() {
    explore(2, || {
        let list = Arc::new(FreeList::new(2));
        let cells = Arc::new([UnsafeCell::new(0_u32), UnsafeCell::new(0_u32)]);
        let work = |list: &FreeList, cells: &[UnsafeCell<u32>; 2]| {
            if let Some(index) = list.pop() {
                // SAFETY: loom reports it when two threads are here with one index.
                cells[index as usize].with_mut(|cell| unsafe { *cell += 1 });
                list.push(index);
            }
        };
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let (list, cells) = (Arc::clone(&list), Arc::clone(&cells));
                thread::spawn(move || work(&list, &cells))
            })
            .collect();
        work(&list, &cells);
        for thread in threads {
            thread.join().expect("the thread does not panic");
        }
        assert_eq!(rest(&list), [0, 1]);
    });
}

/// A channel with one slot, as `channel.rs` has it.
struct Model {
    free: FreeList,
    handshake: Handshake,
    /// Stands for the contents: the number of the operation, 0 when empty.
    contents: UnsafeCell<u32>,
    /// Operations the device has done.
    device: AtomicU32,
    /// The list's lock, with the orderings of parking_lot's: acquire when taken, release when let go.
    locked: AtomicBool,
    /// The list: whether the slot is on it. Under the lock.
    listed: UnsafeCell<bool>,
    listed_len: AtomicU32,
    turn: Turn,
    /// Operations the reaper cleaned up after, and operations whose future did.
    by_reaper: AtomicU32,
    by_future: AtomicU32,
}

impl Model {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            free: FreeList::new(1),
            handshake: Handshake::new(),
            contents: UnsafeCell::new(0),
            device: AtomicU32::new(0),
            locked: AtomicBool::new(false),
            listed: UnsafeCell::new(false),
            listed_len: AtomicU32::new(0),
            turn: Turn::new(),
            by_reaper: AtomicU32::new(0),
            by_future: AtomicU32::new(0),
        })
    }

    fn try_lock(&self) -> bool {
        if self.locked.load(Ordering::Relaxed) {
            return false;
        }
        self.locked.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    fn lock(&self) {
        while !self.try_lock() {
            thread::yield_now();
        }
    }

    fn unlock(&self) {
        // parking_lot lets go with a compare-and-exchange.
        let _ = self.locked.compare_exchange(true, false, Ordering::Release, Ordering::Relaxed);
    }

    fn write(&self, operation: u32) {
        // SAFETY: loom reports it when somebody else is here.
        self.contents.with_mut(|contents| unsafe { *contents = operation });
    }

    fn read(&self) -> u32 {
        // SAFETY: as above.
        self.contents.with(|contents| unsafe { *contents })
    }

    fn set_listed(&self, listed: bool) {
        // SAFETY: the lock is held, and loom reports it when it is not.
        self.listed.with_mut(|place| unsafe { *place = listed });
        self.listed_len.store(u32::from(listed), Ordering::SeqCst);
    }

    fn is_listed(&self) -> bool {
        // SAFETY: as above.
        self.listed.with(|place| unsafe { *place })
    }

    /// `Channel::look_at`. True: over.
    fn look_at(&self) -> Option<Option<Waker>> {
        if self.device.load(Ordering::Acquire) < self.read() {
            return None;
        }
        match self.handshake.complete() {
            Completed::Future(waker) => Some(waker),
            Completed::Reaper => {
                self.write(0);
                self.by_reaper.fetch_add(1, Ordering::Relaxed);
                self.give_back();
                Some(None)
            }
        }
    }

    /// `Channel::put_on_list`.
    fn put_on_list(&self) {
        self.lock();
        self.set_listed(true);
        fence(Ordering::SeqCst);
        if self.look_at().is_some() {
            self.set_listed(false);
        }
        self.unlock();
        if self.turn.is_asked() {
            self.reap(false);
        }
    }

    /// `Channel::reap`.
    fn reap(&self, expire: bool) {
        self.turn.ask();
        while self.turn.is_asked() {
            if !self.try_lock() {
                break;
            }
            self.turn.begin();
            let mut wake = None;
            if self.is_listed() {
                if let Some(waker) = self.look_at() {
                    wake = waker;
                    self.set_listed(false);
                } else if expire {
                    wake = self.handshake.expire();
                }
            }
            self.unlock();
            if let Some(waker) = wake {
                waker.wake();
            }
        }
    }

    /// What the notifier does on the device's thread.
    fn notify(&self) {
        fence(Ordering::SeqCst);
        if self.listed_len.load(Ordering::SeqCst) != 0 {
            self.reap(false);
        }
    }

    fn give_back(&self) {
        self.handshake.release();
        self.free.push(0);
    }

    /// The future takes the slot and submits.
    fn start(&self, operation: u32) {
        assert_eq!(self.free.pop(), Some(0));
        self.handshake.claim();
        assert_eq!(self.read(), 0, "the slot was given back empty");
        self.write(operation);
    }

    /// The future has the contents again.
    fn end(&self, operation: u32) {
        assert_eq!(self.read(), operation);
        self.write(0);
        self.by_future.fetch_add(1, Ordering::Relaxed);
        self.give_back();
    }

    fn run(&self, operation: u32) {
        self.start(operation);
        let mut handed = false;
        loom::future::block_on(poll_fn(|cx| {
            if !handed {
                handed = true;
                self.handshake.hand_over(cx.waker());
                self.put_on_list();
            }
            match self.handshake.look(cx.waker()) {
                Look::Pending => Poll::Pending,
                Look::Done => Poll::Ready(()),
                Look::Expired => unreachable!("nothing expires here"),
            }
        }));
        self.end(operation);
    }
}

/// A device that completes and notifies at any moment: the future is woken (a lost wake-up is a deadlock to
/// loom), and the contents never have two users.
#[test]
fn a_completed_operation_wakes_its_future() {
    explore(3, || {
        let model = Model::new();
        let device = Arc::clone(&model);
        let thread = thread::spawn(move || {
            device.device.store(1, Ordering::Release);
            device.notify();
        });
        model.run(1);
        thread.join().expect("the device does not panic");
        assert_eq!(model.by_future.load(Ordering::Relaxed), 1);
    });
}

/// The slot is used again at once, while whoever reaped the first operation may still be about to take a waker.
#[test]
fn a_slot_used_again_keeps_its_new_waker() {
    explore(2, || {
        let model = Model::new();
        let device = Arc::clone(&model);
        let thread = thread::spawn(move || {
            for done in 1..=2 {
                device.device.store(done, Ordering::Release);
                device.notify();
            }
        });
        model.run(1);
        model.run(2);
        thread.join().expect("the device does not panic");
        assert_eq!(model.by_future.load(Ordering::Relaxed), 2);
    });
}

/// The future is polled by one task and then by another: the other is woken.
#[test]
fn a_future_that_moved_is_woken_where_it_is() {
    explore(3, || {
        let model = Model::new();
        let device = Arc::clone(&model);
        let thread = thread::spawn(move || {
            device.device.store(1, Ordering::Release);
            device.notify();
        });
        model.start(1);
        let first = loom::future::block_on(poll_fn(|cx| {
            model.handshake.hand_over(cx.waker());
            model.put_on_list();
            Poll::Ready(model.handshake.look(cx.waker()))
        }));
        if first == Look::Pending {
            loom::future::block_on(poll_fn(|cx| match model.handshake.look(cx.waker()) {
                Look::Pending => Poll::Pending,
                Look::Done => Poll::Ready(()),
                Look::Expired => unreachable!("nothing expires here"),
            }));
        }
        model.end(1);
        thread.join().expect("the device does not panic");
    });
}

/// The future goes while the bound passes, and then the device completes: the reaper cleans up.
#[test]
fn gone_before_the_bound_is_gone() {
    explore(3, || {
        let model = Model::new();
        let clock = Arc::clone(&model);
        let clock = thread::spawn(move || clock.reap(true));
        model.start(1);
        loom::future::block_on(poll_fn(|cx| {
            model.handshake.hand_over(cx.waker());
            Poll::Ready(())
        }));
        model.put_on_list();
        assert!(model.handshake.abandon(), "nothing has completed");
        clock.join().expect("the clock does not panic");
        model.device.store(1, Ordering::Release);
        model.notify();
        assert_eq!(model.by_reaper.load(Ordering::Relaxed), 1);
        assert_eq!(rest(&model.free), [0]);
    });
}

/// The future goes, before or while the device completes: one side cleans up, and the slot is free afterwards.
#[test]
fn abandoned_or_completed_not_both() {
    explore(3, || {
        let model = Model::new();
        let device = Arc::clone(&model);
        let thread = thread::spawn(move || {
            device.device.store(1, Ordering::Release);
            device.notify();
        });
        model.start(1);
        loom::future::block_on(poll_fn(|cx| {
            model.handshake.hand_over(cx.waker());
            Poll::Ready(())
        }));
        model.put_on_list();
        if !model.handshake.abandon() {
            model.end(1);
        }
        thread.join().expect("the device does not panic");
        let cleaned = model.by_future.load(Ordering::Relaxed) + model.by_reaper.load(Ordering::Relaxed);
        assert_eq!(cleaned, 1);
        assert_eq!(rest(&model.free), [0]);
    });
}

/// The future goes without ever having waited.
#[test]
fn what_is_left_behind_is_cleaned_up_once() {
    explore(3, || {
        let model = Model::new();
        let device = Arc::clone(&model);
        let thread = thread::spawn(move || {
            device.device.store(1, Ordering::Release);
            device.notify();
        });
        model.start(1);
        model.handshake.leave();
        model.put_on_list();
        thread.join().expect("the device does not panic");
        assert_eq!(model.by_reaper.load(Ordering::Relaxed), 1);
        assert_eq!(rest(&model.free), [0]);
    });
}

/// The bound passes, the device completes and the future looks, in any order: the future hears of one of them
/// and one side cleans up.
#[test]
fn expired_abandoned_or_completed_once() {
    explore(2, || {
        let model = Model::new();
        let device = Arc::clone(&model);
        let device = thread::spawn(move || {
            device.device.store(1, Ordering::Release);
            device.notify();
        });
        let clock = Arc::clone(&model);
        let clock = thread::spawn(move || clock.reap(true));
        model.start(1);
        let mut handed = false;
        loom::future::block_on(poll_fn(|cx| {
            if !handed {
                handed = true;
                model.handshake.hand_over(cx.waker());
                model.put_on_list();
            }
            match model.handshake.look(cx.waker()) {
                Look::Pending => Poll::Pending,
                Look::Done => {
                    model.end(1);
                    Poll::Ready(())
                }
                Look::Expired => {
                    if !model.handshake.abandon() {
                        model.end(1);
                    }
                    Poll::Ready(())
                }
            }
        }));
        device.join().expect("the device does not panic");
        clock.join().expect("the clock does not panic");
        let cleaned = model.by_future.load(Ordering::Relaxed) + model.by_reaper.load(Ordering::Relaxed);
        assert_eq!(cleaned, 1);
        assert_eq!(rest(&model.free), [0]);
    });
}

/// Whoever asks and finds the lock taken leaves it to the holder: what happened before the question is seen.
#[test]
fn a_question_is_never_left_behind() {
    explore(3, || {
        let model = Model::new();
        let seen = Arc::new(AtomicU32::new(0));
        let event = Arc::new(AtomicU32::new(0));
        let round = |model: &Model, event: &AtomicU32, seen: &AtomicU32| {
            model.turn.ask();
            while model.turn.is_asked() {
                if !model.try_lock() {
                    break;
                }
                model.turn.begin();
                seen.store(event.load(Ordering::Relaxed), Ordering::Relaxed);
                model.unlock();
            }
        };
        let asker = {
            let (model, event, seen) = (Arc::clone(&model), Arc::clone(&event), Arc::clone(&seen));
            thread::spawn(move || {
                event.store(1, Ordering::Relaxed);
                round(&model, &event, &seen);
            })
        };
        round(&model, &event, &seen);
        asker.join().expect("the asker does not panic");
        assert_eq!(seen.load(Ordering::Relaxed), 1);
    });
}
