//! The fault path under loom: every interleaving (up to a bound on preemptions) of report, answer, detach, drain and
//! removal. The crate is the one that ships: only its `Env` is loom's, so a lost wake-up is a deadlock here, a count
//! that is off is an assertion, and a leaked or doubly freed handle is loom's own complaint.

use std::fmt;
use std::sync::atomic::Ordering as StdOrdering;
use std::sync::Arc as StdArc;

use loom::sync::atomic::{AtomicU32, Ordering};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;
use sva_core::env::{Counter, Env, Event, Lock, OutOfMemory, Rank, Word};
use sva_core::*;

mod stage;
use stage::{pasid, Recorder, Stage, Told, GROUP};

/// loom's primitives as this crate wants them.
enum Loom {}

impl Env for Loom {
    type Shared<T> = Arc<T>;
    type Lock<T> = LoomLock<T>;
    type Slots<T> = Box<[T]>;
    type Event = LoomEvent;
    type Word = LoomWord;
    type Counter = Uncounted;

    fn share<T>(value: T) -> Result<Arc<T>, OutOfMemory> {
        Ok(Arc::new(value))
    }

    fn slots<T>(len: usize, fill: impl FnMut(usize) -> T) -> Result<Box<[T]>, OutOfMemory> {
        Ok((0..len).map(fill).collect())
    }
}

struct LoomLock<T>(Mutex<T>);

impl<T> Lock<T> for LoomLock<T> {
    fn try_new(value: T, _rank: Rank) -> Result<Self, OutOfMemory> {
        Ok(Self(Mutex::new(value)))
    }

    fn with<R>(&self, body: impl FnOnce(&mut T) -> R) -> R {
        body(&mut self.0.lock().unwrap())
    }
}

struct LoomEvent {
    gate: Mutex<()>,
    changed: Condvar,
}

impl Event for LoomEvent {
    fn try_new() -> Result<Self, OutOfMemory> {
        Ok(Self { gate: Mutex::new(()), changed: Condvar::new() })
    }

    fn notify(&self) {
        drop(self.gate.lock().unwrap());
        self.changed.notify_all();
    }

    fn wait_until(&self, mut ready: impl FnMut() -> bool) {
        let mut gate = self.gate.lock().unwrap();
        while !ready() {
            gate = self.changed.wait(gate).unwrap();
        }
    }
}

struct LoomWord(AtomicU32);

impl Word for LoomWord {
    fn new(value: u32) -> Self {
        Self(AtomicU32::new(value))
    }

    fn load(&self) -> u32 {
        self.0.load(Ordering::Acquire)
    }

    fn compare_exchange(&self, current: u32, new: u32) -> Result<u32, u32> {
        self.0.compare_exchange(current, new, Ordering::AcqRel, Ordering::Acquire)
    }

    fn fetch_sub(&self, value: u32) -> u32 {
        self.0.fetch_sub(value, Ordering::AcqRel)
    }

    fn fetch_or(&self, bits: u32) -> u32 {
        self.0.fetch_or(bits, Ordering::AcqRel)
    }
}

/// A counter orders nothing, so loom need not know it.
struct Uncounted(std::sync::atomic::AtomicU64);

impl Counter for Uncounted {
    fn new() -> Self {
        Self(std::sync::atomic::AtomicU64::new(0))
    }

    fn add(&self, value: u64) {
        self.0.fetch_add(value, StdOrdering::Relaxed);
    }

    fn value(&self) -> u64 {
        self.0.load(StdOrdering::Relaxed)
    }
}

type P = Stage<Loom>;

const LIMITS: Limits =
    Limits { groups_max: 2, queued_max: 2, partials_max: 2, open_groups_max: 2, bonds_max: 2 };

/// Runs `body` in every interleaving with at most `preemptions` of them.
fn explore(preemptions: usize, body: impl Fn() + Sync + Send + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(preemptions);
    model.check(body);
}

fn device() -> (StdArc<Told>, PasidTable<P>, Iopf<P>) {
    let told = StdArc::new(Told::default());
    let table = PasidTable::try_new(pasid(1), pasid(4), 4).unwrap();
    let iopf = Iopf::try_new(Recorder::new(told.clone()), table.clone(), LIMITS).unwrap();
    (told, table, iopf)
}

fn write(pasid: PasidNumber) -> PageRequest {
    PageRequest::new(pasid, GROUP, 0x1000, Access::WRITE)
}

impl fmt::Debug for Loom {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}

fn work(queue: &Queue<P>) {
    while let Some(group) = queue.wait() {
        assert!(group.space().is_some(), "a group in flight holds its handle");
        group.respond(Code::Success);
    }
}

fn remove(iopf: Iopf<P, Quiesced>, told: &Told) -> IopfStats {
    let stats = iopf.wait_drained().remove();
    told.removed.store(true, StdOrdering::Relaxed);
    assert_eq!(stats.groups, stats.success + stats.invalid + stats.failure);
    stats
}

/// A request that races with unbind is answered once, by the worker or by the refusal, and unbind returns.
#[test]
fn report_against_unbind() {
    explore(2, || {
        let (told, table, iopf) = device();
        let bond = iopf.bind(told.named(1), PasidChoice::Any).unwrap();
        let (reporter, queue, number) = (iopf.reporter(), iopf.queue(), bond.pasid());
        let engine = thread::spawn(move || reporter.report(write(number)).map_err(|refused| refused.reason));
        let worker = thread::spawn(move || work(&queue));
        let token = bond.unbind().unwrap().wait();
        // Nothing that was accepted is unanswered when the wait is over.
        let accepted_before = told.answers().iter().filter(|answer| answer.code == Code::Success).count();
        drop(token);
        let reported = engine.join().unwrap();
        assert_eq!(reported.is_ok(), accepted_before == 1);
        remove(iopf.quiesce(Discard::AnswerInvalid), &told);
        worker.join().unwrap();
        assert_eq!(told.answers().len(), 1);
        assert_eq!((table.in_use(), told.alive()), (0, 0));
    });
}

/// A request that races with removal is answered once or, after the drain, not at all; the device hears nothing after
/// it is gone (the recorder asserts it).
#[test]
fn report_against_removal() {
    explore(2, || {
        let (told, _table, iopf) = device();
        let bond = iopf.bind(told.named(1), PasidChoice::Any).unwrap();
        let (reporter, queue, number) = (iopf.reporter(), iopf.queue(), bond.pasid());
        let engine = thread::spawn(move || reporter.report(write(number)));
        let worker = thread::spawn(move || work(&queue));
        let iopf = iopf.quiesce(Discard::AnswerInvalid);
        drop(bond);
        remove(iopf, &told);
        let heard = told.answers().len();
        match engine.join().unwrap() {
            Ok(_) => assert_eq!(heard, 1),
            Err(refused) => assert_eq!(heard, usize::from(refused.answered)),
        }
        worker.join().unwrap();
        assert_eq!((told.answers().len(), told.alive()), (heard, 0));
    });
}

/// Nobody waits for the detach: the PASID comes back with the last reference, once, whoever that is.
#[test]
fn answer_against_dropped_bond() {
    explore(3, || {
        let (told, table, iopf) = device();
        let bond = iopf.bind(told.named(1), PasidChoice::Any).unwrap();
        iopf.reporter().report(write(bond.pasid())).unwrap();
        let group = iopf.queue().take().unwrap();
        let worker = thread::spawn(move || group.respond(Code::Success));
        let (table_too, number) = (table.clone(), bond.pasid());
        let other = thread::spawn(move || match table_too.lookup::<Sva>(number, &1) {
            Ok(Some(handle)) => assert_eq!(handle.payload().name, 1),
            Ok(None) => {}
            Err(busy) => assert_eq!(busy.holder, Holder::Detaching),
        });
        drop(bond);
        worker.join().unwrap();
        other.join().unwrap();
        assert_eq!((table.in_use(), told.alive(), told.answers().len()), (0, 0, 1));
    });
}

/// The reference a fault group holds keeps the PASID from its next user.
#[test]
fn rebind_against_answer() {
    explore(3, || {
        let (told, _table, iopf) = device();
        let bond = iopf.bind(told.named(1), PasidChoice::Number(pasid(2))).unwrap();
        iopf.reporter().report(write(pasid(2))).unwrap();
        let group = iopf.queue().take().unwrap();
        drop(bond);
        let told_too = told.clone();
        let worker = thread::spawn(move || {
            assert_eq!(group.space().unwrap().name, 1);
            group.respond(Code::Success);
            drop(told_too);
        });
        match iopf.bind(told.named(2), PasidChoice::Number(pasid(2))) {
            Ok(bond) => {
                assert_eq!(told.answers().len(), 1, "bound while a group of the old bond was in flight");
                drop(bond);
            }
            Err(error) => {
                assert_eq!(error, Error::Busy(Busy { pasid: pasid(2), holder: Holder::Detaching }));
            }
        }
        worker.join().unwrap();
    });
}

/// Two threads bind the same address space: one attachment, programmed once, cleared once.
#[test]
fn bind_against_bind_of_the_same_space() {
    explore(3, || {
        let (told, table, iopf) = device();
        let iopf = Arc::new(iopf);
        let (iopf_too, told_too) = (iopf.clone(), told.clone());
        let other = thread::spawn(move || iopf_too.bind(told_too.named(1), PasidChoice::Any).unwrap());
        let bond = iopf.bind(told.named(1), PasidChoice::Any).unwrap();
        let other = other.join().unwrap();
        assert_eq!(bond.pasid(), other.pasid());
        assert_eq!(told.programmings.load(StdOrdering::Relaxed), 1);
        let last = thread::spawn(move || drop(other));
        drop(bond);
        last.join().unwrap();
        assert_eq!((table.in_use(), told.alive()), (0, 0));
        assert!(told.programmed.lock().unwrap().is_empty());
    });
}

/// Faults are accepted only for a PASID whose hardware entry was programmed before.
#[test]
fn report_against_bind() {
    explore(3, || {
        let (told, _table, iopf) = device();
        let iopf = Arc::new(iopf);
        let iopf_too = iopf.clone();
        let engine = thread::spawn(move || {
            if iopf_too.reporter().report(write(pasid(2))).is_ok() {
                assert!(iopf_too.device().is_programmed(pasid(2)));
            }
        });
        let bond = iopf.bind(told.named(1), PasidChoice::Number(pasid(2))).unwrap();
        engine.join().unwrap();
        drop(bond);
        drop(iopf);
        assert_eq!((told.answers().len(), told.alive()), (1, 0));
    });
}

/// Two workers, two groups: each group has one answer. The workers end when the device is quiesced.
#[test]
fn two_workers_take_each_group_once() {
    explore(2, || {
        let (told, _table, iopf) = device();
        let bond = iopf.bind(told.named(1), PasidChoice::Any).unwrap();
        for index in [1, 2] {
            let request = PageRequest::new(bond.pasid(), GroupIndex(index), 0x1000, Access::READ);
            iopf.reporter().report(request).unwrap();
        }
        let workers = [iopf.queue(), iopf.queue()].map(|queue| thread::spawn(move || work(&queue)));
        drop(bond);
        assert_eq!(remove(iopf.quiesce(Discard::AnswerInvalid), &told).success, 2);
        for worker in workers {
            worker.join().unwrap();
        }
        let mut answered: Vec<_> = told.answers().iter().map(|answer| answer.index.0).collect();
        answered.sort_unstable();
        assert_eq!(answered, [1, 2]);
    });
}

/// A queue that overflows discards while the last request of a group arrives: the partial request is part of exactly
/// one answer, and its memory comes back.
#[test]
fn discard_against_the_last_request() {
    explore(3, || {
        let (told, _table, iopf) = device();
        let bond = iopf.bind(told.named(1), PasidChoice::Any).unwrap();
        let reporter = iopf.reporter();
        reporter.report(write(bond.pasid()).with_last(false)).unwrap();
        let (reporter_too, number) = (reporter.clone(), bond.pasid());
        let engine = thread::spawn(move || reporter_too.report(write(number)).unwrap());
        let discarded = reporter.discard_partials(Discard::AnswerInvalid);
        engine.join().unwrap();
        let group = iopf.queue().take().unwrap();
        assert_eq!(u64::from(group.len()), 2 - discarded);
        drop(group);
        assert_eq!(told.answers().len() as u64, 1 + discarded);
        assert_eq!((iopf.held().free_partials, bond.stats().faults), (2, 2));
    });
}

/// The waiter sleeps on the handle, the workers on the queue: no wake-up is lost when the detach and the last answer
/// meet (a lost one would be a deadlock).
#[test]
fn wait_against_the_last_answer() {
    explore(4, || {
        let (told, table, iopf) = device();
        let bond = iopf.bind(told.named(1), PasidChoice::Any).unwrap();
        iopf.reporter().report(write(bond.pasid())).unwrap();
        let group = iopf.queue().take().unwrap();
        let worker = thread::spawn(move || group.respond(Code::Failure));
        drop(bond.unbind().unwrap().wait());
        assert_eq!((told.answers().len(), table.in_use()), (1, 0));
        worker.join().unwrap();
        assert_eq!(told.alive(), 0);
    });
}

/// The owner sleeps until the device is drained, and what it waits for is a bond: unbinding wakes it.
#[test]
fn drain_against_the_last_bond() {
    explore(4, || {
        let (told, _table, iopf) = device();
        let bond = iopf.bind(told.named(1), PasidChoice::Any).unwrap();
        let user = thread::spawn(move || drop(bond));
        remove(iopf.quiesce(Discard::AnswerInvalid), &told);
        assert!(told.programmed.lock().unwrap().is_empty());
        user.join().unwrap();
        assert_eq!(told.alive(), 0);
    });
}

/// The memory of an address space goes while a group of it is on its way, and then the bond. The handler sees that and
/// the group is answered invalid, or it was quicker; and no handler runs once unbinding has waited, so that what stands
/// behind the address space can be freed.
#[test]
fn exit_of_an_mm_against_a_fault() {
    explore(2, || {
        let (told, table, iopf) = device();
        let bond = iopf.bind(told.named(1), PasidChoice::Any).unwrap();
        let (reporter, queue, number) = (iopf.reporter(), iopf.queue(), bond.pasid());
        let (exited, freed) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let engine = thread::spawn(move || reporter.report(write(number)).is_ok());
        let (exited_too, freed_too) = (exited.clone(), freed.clone());
        let worker = thread::spawn(move || {
            let mut populate = |_: &stage::Named, _: &PageRequest| {
                assert_eq!(freed_too.load(Ordering::Acquire), 0, "populated after unbinding");
                match exited_too.load(Ordering::Acquire) {
                    0 => Ok(()),
                    _ => Err(Unresolved::Invalid),
                }
            };
            while let Some(group) = queue.wait() {
                handle(group, &mut populate);
            }
        });
        exited.store(1, Ordering::Release);
        drop(bond.unbind().unwrap().wait());
        freed.store(1, Ordering::Release);
        let accepted = engine.join().unwrap();
        let stats = remove(iopf.quiesce(Discard::AnswerInvalid), &told);
        worker.join().unwrap();
        assert_eq!((told.answers().len(), stats.groups), (1, 1));
        assert!(accepted || stats.invalid == 1);
        assert_eq!((table.in_use(), told.alive()), (0, 0));
    });
}

/// A worker sleeps on an empty queue: a report wakes it.
#[test]
fn report_against_a_sleeping_worker() {
    explore(4, || {
        let (told, _table, iopf) = device();
        let bond = iopf.bind(told.named(1), PasidChoice::Any).unwrap();
        let queue = iopf.queue();
        let worker = thread::spawn(move || queue.wait().expect("a group").respond(Code::Success));
        iopf.reporter().report(write(bond.pasid())).unwrap();
        worker.join().unwrap();
        drop(bond);
        assert_eq!(remove(iopf.quiesce(Discard::AnswerInvalid), &told).success, 1);
    });
}

/// A worker that wakes and finds its group taken by another sleeps on; it ends only when the device is quiesced.
#[test]
fn wait_against_another_taker() {
    explore(4, || {
        let (told, _table, iopf) = device();
        let bond = iopf.bind(told.named(1), PasidChoice::Any).unwrap();
        iopf.reporter().report(write(bond.pasid())).unwrap();
        let (queue, other) = (iopf.queue(), iopf.queue());
        let sleeper = thread::spawn(move || queue.wait().expect("not quiesced").respond(Code::Success));
        if let Some(group) = other.take() {
            group.respond(Code::Success);
            iopf.reporter().report(write(bond.pasid())).unwrap();
        }
        sleeper.join().unwrap();
        drop(bond);
        let stats = remove(iopf.quiesce(Discard::AnswerInvalid), &told);
        assert_eq!((stats.success, stats.groups), (stats.groups, told.answers().len() as u64));
    });
}

/// A handler outside answers while the device is removed: the device hears one answer, before it is gone.
#[test]
fn answer_from_a_ledger_against_removal() {
    explore(3, || {
        let (told, _table, iopf) = device();
        let bond = iopf.bind(told.named(1), PasidChoice::Any).unwrap();
        let ledger = Arc::new(Ledger::try_new(2).unwrap());
        iopf.reporter().report(write(bond.pasid())).unwrap();
        let receipt = ledger.deposit(iopf.queue().take().unwrap()).unwrap();
        let theirs = ledger.clone();
        let handler = thread::spawn(move || {
            if let Some(group) = theirs.take(&receipt) {
                group.respond(Code::Success);
            }
        });
        drop(bond);
        let iopf = iopf.quiesce(Discard::AnswerInvalid);
        ledger.close().for_each(drop);
        remove(iopf, &told);
        handler.join().unwrap();
        assert_eq!(told.answers().len(), 1);
    });
}

/// A request that races with the replacement of a handle belongs to the old one or to the new one, whole.
#[test]
fn report_against_replacement() {
    explore(2, || {
        let (told, table, iopf) = device();
        let number = pasid(3);
        let reserved = table.claim(number).unwrap().reserve();
        let old = reserved.publish::<User>(NewHandle::try_new(told.named(1)).unwrap());
        let (reporter, queue) = (iopf.reporter(), iopf.queue());
        let engine = thread::spawn(move || {
            reporter.report(write(number)).unwrap();
            drop(queue.take());
        });
        let (new, retired) = old.replace(NewHandle::<P, User>::try_new(told.named(2)).unwrap());
        retired.wait();
        engine.join().unwrap();
        assert!(table.lookup::<User>(number, &2).unwrap().is_some());
        drop(new.detach().wait());
        remove(iopf.quiesce(Discard::AnswerInvalid), &told);
        assert_eq!(told.answers().len(), 1);
        assert_eq!((table.in_use(), told.alive()), (0, 0));
    });
}

/// A reporter that handles its groups itself races with removal: each is answered once, and the device hears nothing
/// after the drain.
#[test]
fn receive_against_removal() {
    explore(3, || {
        let (told, _table, iopf) = device();
        let bond = iopf.bind(told.named(1), PasidChoice::Any).unwrap();
        let (reporter, number) = (iopf.reporter(), bond.pasid());
        let engine = thread::spawn(move || match reporter.receive(write(number), None) {
            Ok(group) => {
                let mut place = group;
                let mut populate = |_: &stage::Named, _: &PageRequest| Ok(());
                assert_eq!(attempt_in(&mut place, &mut populate), Some(Code::Success));
                assert!(place.is_none());
                1
            }
            Err(refused) => usize::from(refused.answered),
        });
        drop(bond);
        remove(iopf.quiesce(Discard::AnswerInvalid), &told);
        let heard = told.answers().len();
        assert_eq!((engine.join().unwrap(), told.answers().len()), (heard, heard));
    });
}
