//! Groups: jobs queued one by one travel together, and each comes back with its buffers, in order.

mod support;

use std::pin::pin;
use std::task::{Context, Waker};

use support::{BOTH, Cold, Drops, End, Options, Plan, When, crc32c, noise, until, within};
use svala::backend::{Completion, Failure};
use svala::{
    Batch, Crc, Error, Group, GroupOptions, Grouped, IoBuf, Lent, MemberOutcome, Path, Runtime, Value,
};

type Vecs = Group<Vec<u8>, Vec<u8>>;

fn options(list_max: usize, lists: usize) -> GroupOptions {
    let mut options = GroupOptions::default();
    options.list_max = list_max;
    options.lists = lists;
    options
}

/// All results there are.
fn rest<S: IoBuf, D: svala::IoBufMut>(group: &mut Group<S, D>) -> Vec<Grouped<S, D>> {
    std::iter::from_fn(|| within(group.next())).collect()
}

fn accepted(device: &support::Device) -> u64 {
    device.stats().accepted
}

#[test]
fn results_come_in_the_order_of_queueing_whatever_the_device_does() {
    let whens = [When::Inline, When::Polls(3), When::Thread];
    for (completion, when) in BOTH.into_iter().flat_map(|c| whens.map(|w| (c, w))) {
        let mut options_of_queue = Options::all(completion, Plan::done(when));
        options_of_queue.shuffle = Some(7);
        let (runtime, device) = support::runtime(options_of_queue);
        let mut group = Vecs::new(&runtime, options(4, 3));
        let mut seen = 0_u64;
        let mut check = |done: Grouped<Vec<u8>, Vec<u8>>| {
            assert!(done.result.is_ok(), "{:?}", done.result);
            assert!(matches!(done.path, Path::Emulated { .. }));
            let Some(Lent::Copy(src, dst)) = done.lent else { panic!("copies went in") };
            assert!(src == noise(100, seen) && src == dst, "job {seen}");
            seen += 1;
        };
        for seed in 0..50 {
            while let Some(done) = within(group.make_room()) {
                check(done);
            }
            group.copy(noise(100, seed), vec![0; 100]).expect("there is room");
        }
        rest(&mut group).into_iter().for_each(&mut check);
        assert_eq!(seen, 50);
        assert!(group.is_empty() && within(group.next()).is_none());
        // Twelve lists of four, and one of two.
        assert_eq!((accepted(&device), device.stats().offered), (13, 50));
    }
}

#[test]
fn every_operation_has_its_own_result() {
    let mut operations = Options::all(Completion::Notified, Plan::done(When::Thread));
    operations.operations = svala::Operations::all();
    let (runtime, _device) = support::runtime(operations);
    let mut group = Vecs::new(&runtime, GroupOptions::default());
    group.copy(noise(500, 1), vec![0; 500]).expect("room");
    group.fill(vec![0; 10], 0x0807_0605_0403_0201).expect("room");
    group.compare(vec![1, 2, 3], vec![1, 2, 4]).expect("room");
    group.crc32c(noise(999, 3), 5).expect("room");
    group.crc(noise(999, 3), Crc::CRC32C, 5).expect("room");
    group.copy(Vec::new(), Vec::new()).expect("room");
    let done = rest(&mut group);
    let values: Vec<_> = done.iter().map(|done| done.result.as_ref().expect("it went well").value).collect();
    let crc = Value::Crc(crc32c(5, &noise(999, 3)).into());
    assert_eq!(values, [Value::None, Value::None, Value::Difference(Some(2)), crc, crc, Value::None]);
    assert!(matches!(&done[1].lent, Some(Lent::Fill(dst)) if dst == &[1, 2, 3, 4, 5, 6, 7, 8, 1, 2]));
    assert!(matches!(&done[2].lent, Some(Lent::Compare(a, b)) if a != b));
    assert!(matches!(&done[3].lent, Some(Lent::Read(src)) if src.len() == 999));
}

#[test]
fn a_group_that_is_full_gives_the_buffers_back() {
    for completion in BOTH {
        let (runtime, device) = support::runtime(Options::all(completion, Plan::done(When::Held)));
        let mut group = Vecs::new(&runtime, options(2, 3));
        for i in 0..6 {
            group.fill(vec![0; 8], i).expect("room for six");
        }
        assert!(!group.has_room());
        let failed = group.fill(vec![7; 8], 1).expect_err("full");
        assert!(matches!(failed.error, Error::Busy { .. }));
        assert_eq!(failed.buffers, Some(vec![7; 8]));
        let failed = group.copy(vec![1], vec![2]).expect_err("full");
        assert_eq!(failed.buffers, Some((vec![1], vec![2])));
        assert_eq!(group.len(), 6);
        device.release_all();
        // The oldest list's results make room for another list.
        let first = within(group.make_room()).expect("a result");
        assert!(matches!(first.lent, Some(Lent::Fill(dst)) if dst == [0; 8]));
        assert!(group.has_room() && within(group.make_room()).is_none());
        assert_eq!(rest(&mut group).len(), 5);
    }
}

#[test]
fn unequal_lengths_are_refused_and_the_list_goes_on() {
    let (runtime, _device) = support::runtime(Options::all(Completion::Polled, Plan::done(When::Inline)));
    let mut group = Vecs::new(&runtime, GroupOptions::default());
    group.fill(vec![0; 8], 1).expect("room");
    let failed = group.copy(vec![1], vec![]).expect_err("unequal");
    assert!(matches!(failed.error, Error::Length { .. }));
    assert_eq!(failed.buffers, Some((vec![1], vec![])));
    group.fill(vec![0; 8], 2).expect("room");
    assert_eq!(rest(&mut group).len(), 2);
}

#[test]
fn a_list_goes_when_it_is_full_or_flushed_or_asked_for() {
    let (runtime, device) = support::runtime(Options::all(Completion::Notified, Plan::done(When::Held)));
    let mut group = Vecs::new(&runtime, options(3, 4));
    group.fill(vec![0; 8], 1).expect("room");
    group.fill(vec![0; 8], 1).expect("room");
    assert_eq!(accepted(&device), 0);
    group.fill(vec![0; 8], 1).expect("room");
    assert_eq!(accepted(&device), 1, "full");
    group.fill(vec![0; 8], 1).expect("room");
    group.flush();
    group.flush();
    assert_eq!(accepted(&device), 2, "flushed");
    group.fill(vec![0; 8], 1).expect("room");
    let mut cx = Context::from_waker(Waker::noop());
    assert!(pin!(group.next()).poll(&mut cx).is_pending());
    assert_eq!(accepted(&device), 3, "asked for");
    device.release_all();
    assert_eq!(rest(&mut group).len(), 5);
}

#[test]
fn large_jobs_go_alone_and_keep_their_place() {
    let (runtime, device) = support::runtime(Options::all(Completion::Notified, Plan::done(When::Thread)));
    let mut sizes = options(8, 6);
    sizes.alone_bytes_min = 1000;
    let mut group = Vecs::new(&runtime, sizes);
    for len in [10, 1000, 1001, 20, 30, 5000, 6000] {
        group.copy(noise(len, 1), vec![0; len]).expect("room");
    }
    let lens: Vec<_> = rest(&mut group)
        .into_iter()
        .map(|done| match (done.result, done.lent) {
            (Ok(result), Some(Lent::Copy(src, dst))) => {
                assert!(src == dst && result.bytes == src.len() as u64);
                src.len()
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(lens, [10, 1000, 1001, 20, 30, 5000, 6000]);
    assert_eq!(accepted(&device), 5, "two lists and three jobs");
}

#[test]
fn a_failing_job_fails_alone_and_a_refused_list_fails_whole() {
    let script = |n: u64, _: &svala::Job| match n {
        1 => Plan::done(When::Thread).end(End::Failed(Failure::Status {
            status: 0x10,
            name: "bad",
            done_bytes: 0,
        })),
        3 => Plan { fail: Some(Failure::Nonsense { what: "no", record: 9 }), ..Plan::done(When::Inline) },
        _ => Plan::done(When::Thread),
    };
    let (runtime, _device) = support::runtime(Options::new(Completion::Polled, script));
    let mut group = Vecs::new(&runtime, options(3, 4));
    for i in 0..6 {
        group.fill(vec![0; 8], i).expect("room");
    }
    let done = rest(&mut group);
    let failed: Vec<_> = done.iter().map(|done| done.result.is_err()).collect();
    assert_eq!(failed[..3], [false, true, false]);
    assert!(matches!(
        done[1].result.as_ref().map_err(AsRef::as_ref),
        Err(Error::Status { status: 0x10, .. })
    ));
    assert!(
        done[3..]
            .iter()
            .all(|done| matches!(done.result.as_ref().map_err(AsRef::as_ref), Err(Error::Nonsense { .. })))
    );
    assert!(done.iter().all(|done| matches!(&done.lent, Some(Lent::Fill(dst)) if dst.len() == 8)));
}

#[test]
fn faults_inside_a_list_are_resolved() {
    for completion in BOTH {
        let (runtime, _device) = support::runtime(Options::all(completion, Plan::cold(When::Thread)));
        let mut group = Group::<Cold, Cold>::new(&runtime, options(4, 2));
        for i in 0..8 {
            assert!(group.fill(Cold::new(8192), i).is_ok());
        }
        let done = rest(&mut group);
        assert_eq!(done.len(), 8);
        for (i, done) in (0_u64..).zip(done) {
            assert!(done.result.is_ok());
            let Some(Lent::Fill(dst)) = done.lent else { panic!("fills went in") };
            assert!(dst.bytes().chunks(8).all(|word| word == i.to_le_bytes()));
        }
        assert!(runtime.snapshot().queues[0].faults.faults >= 8);
    }
}

#[test]
fn a_future_that_is_dropped_loses_no_result() {
    let (runtime, device) = support::runtime(Options::all(Completion::Notified, Plan::done(When::Held)));
    let mut group = Vecs::new(&runtime, options(2, 2));
    let mut cx = Context::from_waker(Waker::noop());
    for i in 0..3 {
        group.fill(vec![0; 8], i).expect("room");
        for _ in 0..3 {
            assert!(pin!(group.next()).poll(&mut cx).is_pending());
        }
        // Asked for, each went by itself; when that fills the group, there is no room.
        if !group.has_room() {
            break;
        }
    }
    let queued = group.len();
    device.release_all();
    assert_eq!(rest(&mut group).len(), queued);
}

#[test]
fn a_group_that_is_dropped_leaves_nothing_behind() {
    for completion in BOTH {
        let (runtime, device) = support::runtime(Options::all(completion, Plan::done(When::Held)).depth(1));
        let drops = Drops::default();
        // One list flies, one waits for a slot, one is being filled, one job is alone.
        let mut sizes = options(2, 4);
        sizes.alone_bytes_min = 1000;
        let mut group = Group::<support::Counted, support::Counted>::new(&runtime, sizes);
        for len in [10, 10, 10, 10, 5000, 10] {
            assert!(group.fill(drops.buffer(&device, vec![0; len]), 1).is_ok());
        }
        let mut next = Box::pin(async move {
            let _ = group.next().await;
            group
        });
        assert!(next.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        drop(next);
        until("what never flew goes at once", || drops.count() == 4);
        device.release_all();
        until("what flew goes when the device is done", || drops.count() == 6);
        assert_eq!(runtime.shutdown().unanswered, 0);
    }
}

#[test]
fn a_group_keeps_its_runtime() {
    let mut group = {
        let (runtime, device) =
            support::runtime(Options::all(Completion::Notified, Plan::done(When::Thread)));
        std::mem::forget(device);
        Vecs::new(&runtime, GroupOptions::default())
    };
    group.fill(vec![0; 8], 3).expect("room");
    assert_eq!(rest(&mut group).len(), 1);
}

#[test]
fn jobs_of_a_silent_device_are_reported_without_buffers_and_the_group_goes_on() {
    let options_of_queue =
        Options::new(Completion::Notified, |n, _| Plan::done(if n < 2 { When::Held } else { When::Inline }));
    let (runtime, device) = support::runtime_with(options_of_queue, |config| {
        config.answer_within = std::time::Duration::from_millis(1);
    });
    let mut group = Vecs::new(&runtime, options(2, 1));
    for round in 0..3 {
        group.fill(vec![0; 8], 1).expect("room");
        group.fill(vec![0; 8], 1).expect("room");
        let done = rest(&mut group);
        assert_eq!(done.len(), 2);
        for done in done {
            let silent = matches!(done.result.as_ref().map_err(AsRef::as_ref), Err(Error::NoAnswer { .. }));
            assert_eq!((silent, done.lent.is_none()), (round == 0, round == 0));
        }
    }
    device.release_all();
}

/// Lists at a time and results one by one, from the same group: nothing is lost, doubled or out of order between them.
#[test]
fn results_can_be_taken_a_list_at_a_time() {
    for completion in BOTH {
        let (runtime, device) = support::runtime(Options::all(completion, Plan::done(When::Thread)));
        let mut group = Vecs::new(&runtime, options(4, 3));
        (0..11).for_each(|seed| group.copy(noise(64, seed), vec![0; 64]).expect("room"));
        let mut seen = 0_u64;
        let mut check = |MemberOutcome { result, lent }: MemberOutcome<Vec<u8>, Vec<u8>>| {
            assert!(result.is_ok());
            let Lent::Copy(src, dst) = lent else { panic!("copies went in") };
            assert!(src == noise(64, seen) && src == dst, "job {seen}");
            seen += 1;
        };
        let next_list = |group: &mut Vecs| within(group.next_list()).expect("a list").map(|list| list.len());
        assert!(matches!(next_list(&mut group), Ok(4)), "all of the first, and none of it taken");
        let list = within(group.next_list()).expect("a list").expect("answered");
        assert_eq!((list.len(), list.report().bytes), (4, 256));
        assert!(matches!(list.report().path, Path::Emulated { .. }));
        list.for_each(&mut check);
        // Of the second list one result, then another on its own, then what is left of it.
        let mut list = within(group.next_list()).expect("a list").expect("answered");
        check(list.next().expect("a result"));
        let Grouped { result, lent, .. } = within(group.next()).expect("a result");
        check(MemberOutcome { result, lent: lent.expect("given back") });
        assert!(matches!(next_list(&mut group), Ok(2)));
        within(group.next_list()).expect("a list").expect("answered").for_each(&mut check);
        // The third is not full, and goes because it is asked for.
        for outcome in within(group.next_list()).expect("a list").expect("answered") {
            check(outcome);
        }
        assert_eq!((seen, accepted(&device)), (11, 3));
        assert!(group.is_empty() && within(group.next_list()).is_none());
    }
}

#[test]
fn a_list_whose_device_is_silent_is_one_error() {
    let plans =
        Options::new(Completion::Notified, |n, _| Plan::done(if n < 3 { When::Held } else { When::Inline }));
    let (runtime, device) = support::runtime_with(plans, |config| {
        config.answer_within = std::time::Duration::from_millis(1);
    });
    let mut group = Vecs::new(&runtime, options(3, 1));
    (0..3).for_each(|_| group.fill(vec![0; 8], 1).expect("room"));
    // One of its jobs on its own, the others at once.
    let one = within(group.next()).expect("a result");
    assert!(one.result.is_err() && one.lent.is_none());
    let list = within(group.next_list()).expect("a list").map(|list| list.len());
    assert!(matches!(list, Err(Error::NoAnswer { .. })), "{list:?}");
    assert!(group.is_empty() && within(group.next_list()).is_none());
    group.fill(vec![0; 8], 1).expect("room");
    assert!(matches!(within(group.next_list()).expect("a list").map(|list| list.len()), Ok(1)));
    device.release_all();
}

/// More groups than slots: lists stand in line, first come, first served.
#[test]
fn groups_share_a_queue() {
    let (runtime, _device) =
        support::runtime(Options::all(Completion::Notified, Plan::done(When::Thread)).depth(2));
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let runtime: &Runtime = &runtime;
            scope.spawn(move || {
                let mut group = Vecs::new(runtime, options(3, 3));
                let mut results = 0;
                for i in 0..100 {
                    while within(group.make_room()).is_some() {
                        results += 1;
                    }
                    group.fill(vec![0; 8], thread * 1000 + i).expect("room");
                }
                results += rest(&mut group).len();
                assert_eq!(results, 100);
            });
        }
    });
}

#[test]
fn closing_the_runtime_ends_what_is_queued() {
    let (runtime, _device) = support::runtime(Options::all(Completion::Notified, Plan::done(When::Thread)));
    let mut group = Vecs::new(&runtime, GroupOptions::default());
    group.fill(vec![5; 8], 1).expect("room");
    let _ = runtime.shutdown();
    let done = rest(&mut group);
    assert!(matches!(done[0].result.as_ref().map_err(AsRef::as_ref), Err(Error::Closed { .. })), "{done:?}");
    assert!(matches!(&done[0].lent, Some(Lent::Fill(dst)) if dst == &[5; 8]));
}

/// Both destinations come back with the member they were lent to, and with no other.
#[test]
fn a_batch_with_dualcasts_gives_every_destination_back() {
    let mut all = Options::all(Completion::Notified, Plan::done(When::Thread));
    all.operations = svala::Operations::all();
    let (runtime, _device) = support::runtime(all);
    let mut batch = Batch::<Vec<u8>, Vec<u8>>::with_capacity(4);
    for round in 0..2_u8 {
        batch.copy(vec![1], vec![round]).expect("room");
        batch.dualcast(vec![2, 2], vec![3, 3], vec![4, 4]).expect("room");
        batch.fill16(vec![5; 3], [round; 16]).expect("room");
        batch.dualcast(vec![6], vec![7], vec![8]).expect("room");
        assert!(batch.dualcast(vec![6], vec![7], vec![8]).expect_err("full").buffers.is_some());
        // Not run: what comes back is what went in.
        let lent: Vec<_> = batch.drain().map(|member| member.lent).collect();
        let want = [
            Lent::Copy(vec![1], vec![round]),
            Lent::Dualcast(vec![2, 2], vec![3, 3], vec![4, 4]),
            Lent::Fill(vec![5; 3]),
            Lent::Dualcast(vec![6], vec![7], vec![8]),
        ];
        assert_eq!(lent, want);
    }
    // Destinations that no device takes: no device is asked.
    batch.dualcast(vec![1; 64], vec![0; 64], vec![0; 64]).expect("room");
    let ended = within(runtime.run_batch(batch));
    match ended {
        // Allocated with the same offset in their pages.
        Ok(done) => assert!(matches!(done.report.path, Path::Emulated { .. })),
        Err(failed) => assert!(matches!(failed.error, Error::Unsupported { .. })),
    }
}
