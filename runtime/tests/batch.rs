//! Batches: every member has its own answer.

mod support;

use support::{BOTH, Cold, Drops, End, Options, Plan, Task, When, crc32c, noise, until, within};
use svala::backend::{Completion, Failure};
use svala::{Access, Batch, Error, FaultPolicy, IoBuf, Job, Lent, Path, Reason, Value};

const PAGE: usize = 4096;
type Vecs = Batch<Vec<u8>, Vec<u8>>;

/// Fills a batch with one of everything, zero-length members among them, and checks what comes back.
fn mixed(batch: &mut Vecs, seed: u64) {
    batch.copy(noise(5000, seed), vec![0; 5000]).expect("room");
    batch.fill(vec![0; 10], seed).expect("room");
    batch.crc32c(Vec::new(), 77).expect("room");
    batch.compare(noise(300, seed), noise(300, seed)).expect("room");
    batch.compare(vec![1, 2, 3], vec![1, 2, 4]).expect("room");
    batch.copy(Vec::new(), Vec::new()).expect("room");
    batch.crc32c(noise(999, seed), 5).expect("room");
}

fn check_mixed(batch: &mut Vecs, seed: u64) {
    let ended: Vec<_> = batch.drain().collect();
    let values: Vec<_> =
        ended.iter().map(|member| member.result.as_ref().expect("it went well").value).collect();
    let crc = crc32c(5, &noise(999, seed));
    let (none, equal) = (Value::None, Value::Difference(None));
    let want = [none, none, Value::Crc(77), equal, Value::Difference(Some(2)), none, Value::Crc(crc.into())];
    assert_eq!(values, want);
    assert!(matches!(&ended[0].lent, Lent::Copy(src, dst) if src == dst && src.len() == 5000));
    assert!(matches!(&ended[1].lent, Lent::Fill(dst) if dst[..8] == seed.to_le_bytes()));
}

#[test]
fn mixed_members_each_have_their_result_and_a_batch_is_used_again() {
    for (completion, when) in
        BOTH.into_iter().flat_map(|c| [When::Inline, When::Thread, When::Polls(3)].map(|w| (c, w)))
    {
        let (runtime, device) = support::runtime(Options::all(completion, Plan::done(when)));
        let mut batch = Vecs::with_capacity(8);
        for seed in 0..10 {
            mixed(&mut batch, seed);
            let done = within(runtime.run_batch(batch)).expect("a batch");
            batch = done.buffers;
            check_mixed(&mut batch, seed);
            assert!(batch.is_empty());
        }
        // Those without a byte were never offered.
        assert_eq!(device.stats().offered, 50);
        assert_eq!(device.stats().accepted, 10);
    }
}

/// A batch of nothing but empty members, and one that has run already, go nowhere.
#[test]
fn nothing_to_do_is_done_at_once() {
    let (runtime, device) = support::runtime(Options::all(Completion::Polled, Plan::done(When::Thread)));
    let mut batch = Vecs::with_capacity(2);
    batch.copy(Vec::new(), Vec::new()).expect("room");
    let done = within(runtime.run_batch(batch)).expect("nothing to do");
    assert_eq!(done.report.path, Path::Software { reason: Reason::Empty });
    let mut batch = done.buffers;
    batch.fill(vec![0; 8], 1).expect("room");
    let batch = within(runtime.run_batch(batch)).expect("a batch").buffers;
    let mut batch = within(runtime.run_batch(batch)).expect("it has run").buffers;
    assert_eq!(device.stats().accepted, 1);
    assert!(batch.drain().all(|member| member.result.is_ok()));
}

#[test]
fn a_full_batch_gives_the_buffers_back() {
    let mut batch = Vecs::with_capacity(1);
    batch.fill(vec![0; 8], 1).expect("room");
    let failed = batch.copy(vec![1], vec![2]).expect_err("full");
    assert!(matches!(failed.error, Error::BatchFull { members_max: 1 }));
    assert_eq!(failed.buffers, Some((vec![1], vec![2])));
    let mut batch = Vecs::with_capacity(1);
    assert!(matches!(batch.copy(vec![1], vec![]).expect_err("unequal").error, Error::Length { .. }));
    assert!(batch.is_empty());
}

/// A member that fails says so; the rest goes on.
#[test]
fn a_failing_member_fails_alone() {
    for completion in BOTH {
        let options = Options::new(completion, |n, _| {
            let plan = Plan::done(When::Thread);
            let failure = Failure::Status { status: 0x10, name: "bad", done_bytes: 0 };
            if n == 1 { plan.end(End::Failed(failure)) } else { plan }
        });
        let (runtime, _device) = support::runtime(options);
        let mut batch = Vecs::with_capacity(3);
        for i in 0..3 {
            batch.fill(vec![0; 8], i).expect("room");
        }
        let mut done = within(runtime.run_batch(batch)).expect("a batch");
        let results: Vec<_> =
            done.buffers.drain().map(|member| member.result.map_err(|error| *error)).collect();
        assert!(
            matches!(results[..], [Ok(_), Err(Error::Status { status: 0x10, .. }), Ok(_)]),
            "{results:?}"
        );
    }
}

/// A member whose page cannot be had fails with that address; the others, cold as they are, are resolved.
#[test]
fn an_unresolvable_member_fails_alone() {
    for (completion, policy) in
        BOTH.into_iter().flat_map(|c| [FaultPolicy::Resolve, FaultPolicy::Prefetch].map(|p| (c, p)))
    {
        let options = Options::all(completion, Plan::cold(When::Thread));
        let (runtime, _device) = support::runtime_with(options, |config| config.faults = policy);
        let mut batch = Batch::<Cold, Cold>::with_capacity(20);
        let mut holes = Vec::new();
        for i in 0..20 {
            let dst = Cold::new(4 * PAGE);
            if i % 7 == 3 {
                dst.forbid(2 * PAGE, PAGE);
                holes.push(dst.addr().add(2 * PAGE as u64));
            }
            batch.fill(dst, i).expect("room");
        }
        let mut done = within(runtime.run_batch(batch)).expect("a batch");
        let mut holes = holes.into_iter();
        for (i, member) in (0..).zip(done.buffers.drain()) {
            if i % 7 == 3 {
                let error = *member.result.expect_err("a hole");
                let Error::Fault { addr, access, .. } = error else { panic!("member {i}: {error}") };
                assert_eq!((Some(addr), access), (holes.next(), Access::Write));
            } else {
                assert_eq!(member.result.expect("a fill").bytes, 4 * PAGE as u64);
                let Lent::Fill(dst) = member.lent else { panic!("a fill") };
                assert!(dst.bytes().chunks(8).all(|word| word == u64::to_le_bytes(i)));
            }
        }
        assert!(done.report.faults.faults >= 3);
    }
}

/// With the policy to fail, each member's fault is its own.
#[test]
fn policy_fail_fails_cold_members_only() {
    let options = Options::all(Completion::Notified, Plan::cold(When::Inline));
    let (runtime, _device) = support::runtime_with(options, |config| config.faults = FaultPolicy::Fail);
    let mut batch = Batch::<Cold, Cold>::with_capacity(2);
    batch.fill(Cold::new(PAGE), 1).expect("room");
    batch.fill(Cold::warm(&[1; PAGE]), 1).expect("room");
    let mut done = within(runtime.run_batch(batch)).expect("a batch");
    let results: Vec<_> = done.buffers.drain().map(|member| member.result.map_err(|error| *error)).collect();
    assert!(matches!(results[..], [Err(Error::Fault { .. }), Ok(_)]), "{results:?}");
}

/// Refused as a whole, the batch can run again; what is open is what has no result.
#[test]
fn a_refused_batch_can_run_again() {
    let options = Options::new(Completion::Polled, |n, job| {
        assert!(matches!(job, Job::Fill { .. }));
        Plan::done(When::Thread).refuse(if n == 0 { u32::MAX } else { 0 })
    });
    let (runtime, device) = support::runtime_with(options, |config| config.submit_tries_max = 3);
    let mut batch = Vecs::with_capacity(2);
    batch.fill(vec![0; 8], 1).expect("room");
    batch.copy(Vec::new(), Vec::new()).expect("room");
    let failed = within(runtime.run_batch(batch)).expect_err("refused");
    assert!(matches!(failed.error, Error::Refused { tries: 3, .. }));
    let mut batch = failed.buffers.expect("it comes back");
    let results: Vec<_> = batch.drain().map(|member| member.result.map_err(|error| *error)).collect();
    assert!(matches!(results[..], [Err(Error::Closed { .. }), Ok(_)]), "never run, and empty: {results:?}");
    batch.fill(vec![0; 16], 1).expect("room");
    within(runtime.run_batch(batch)).expect("a batch");
    assert_eq!(device.stats().accepted, 1);
}

/// More members than the queue takes is the caller's mistake.
#[test]
fn too_many_members_are_unsupported() {
    let mut options = Options::all(Completion::Polled, Plan::done(When::Thread));
    options.batch_max = 2;
    let (runtime, _device) = support::runtime(options);
    let mut batch = Vecs::with_capacity(3);
    for i in 0..3 {
        batch.fill(vec![0; 8], i).expect("room");
    }
    let failed = within(runtime.run_batch(batch)).expect_err("too many");
    assert!(matches!(failed.error, Error::Unsupported { .. }));
    assert_eq!(failed.buffers.expect("it comes back").len(), 3);
}

/// Dropped in flight, the members' memory stays until the device is done.
#[test]
fn a_dropped_batch_keeps_its_buffers() {
    for completion in BOTH {
        let (runtime, device) = support::runtime(Options::all(completion, Plan::done(When::Held)));
        let drops = Drops::default();
        let mut batch = Batch::with_capacity(10);
        for _ in 0..10 {
            let (src, dst) = (drops.buffer(&device, vec![1; 100]), drops.buffer(&device, vec![0; 100]));
            assert!(batch.copy(src, dst).is_ok());
        }
        let mut task = Task::new(runtime.run_batch(batch));
        task.poll_pending();
        drop(task);
        assert_eq!(drops.count(), 0);
        device.release(0);
        until("the buffers go", || drops.count() == 20);
    }
}
