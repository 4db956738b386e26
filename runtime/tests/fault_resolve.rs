//! Device page faults: what is populated, how often the device has to ask, and what an operation ends with when
//! a page cannot be had.

mod support;

use support::{BOTH, Cold, Device, End, Faulting, Options, Plan, Task, When, noise, until, within};
use svala::backend::{Completion, Failure};
use svala::{Access, Error, FaultPolicy, Faults, IoBuf, IoBufMut, PopulatedInVain, ResolverChoice, Runtime};

const PAGE: usize = 4096;
const RESOLVERS: [ResolverChoice; 2] = [ResolverChoice::Auto, ResolverChoice::Threads];

fn runtime(options: Options, resolver: ResolverChoice, faults: FaultPolicy) -> (Runtime, Device) {
    support::runtime_with(options, |config| {
        config.resolver = resolver;
        config.faults = faults;
    })
}

/// 16 KiB doubled up to 8 MiB: nine rounds for the first 8176 KiB, eight for the rest.
#[test]
fn a_cold_sequential_copy_takes_seventeen_resolutions() {
    for (completion, resolver) in BOTH.into_iter().flat_map(|c| RESOLVERS.map(|r| (c, r))) {
        let options = Options::all(completion, Plan::cold(When::Thread)).depth(1);
        let (runtime, _device) = runtime(options, resolver, FaultPolicy::Resolve);
        let len = 64 << 20;
        // The second time at the same addresses: behind the end of the first it would go on with its window.
        let mut buffers = (Cold::new(len), Cold::new(len));
        for _ in 0..2 {
            let done = within(runtime.copy(buffers.0, buffers.1)).expect("a copy");
            let pages = 2 * (len / PAGE) as u64;
            let want = Faults { faults: 17, resolutions: 17, pages_populated: pages, resubmissions: 17 };
            assert_eq!(done.report.faults, want, "{completion:?} {resolver:?}");
            assert_eq!(done.report.bytes, len as u64);
            buffers = done.buffers;
            assert_eq!(buffers.1.present(), len / PAGE);
            buffers.0.evict(0, len);
            buffers.1.evict(0, len);
        }
    }
}

/// The bytes are right when only some pages were there, for every operation.
#[test]
fn results_are_right_over_holes_of_absent_pages() {
    let options = Options::all(Completion::Notified, Plan::cold(When::Thread));
    let (runtime, _device) = runtime(options, ResolverChoice::Auto, FaultPolicy::Resolve);
    let len = 100 * PAGE + 123;
    let src = Cold::warm(&noise(len, 1));
    src.evict(3 * PAGE, 5 * PAGE);
    src.evict(60 * PAGE, 20 * PAGE);
    let mut want = noise(len, 1);
    want[3 * PAGE..8 * PAGE].fill(0);
    want[60 * PAGE..80 * PAGE].fill(0);
    let done = within(runtime.copy(src, Cold::new(len))).expect("a copy");
    assert!(done.report.faults.faults >= 2);
    assert_eq!(done.buffers.1.bytes(), want);
    let (src, dst) = done.buffers;
    src.evict(60 * PAGE, 10 * PAGE);
    let crc = within(runtime.crc32c(src, 7)).expect("a crc");
    assert_eq!(crc.value, support::crc32c(7, &want));
    let other = Cold::warm(&want);
    other.evict(70 * PAGE, 10 * PAGE);
    let compared = within(runtime.compare(dst, other)).expect("a comparison");
    assert_eq!(compared.value, None);
    let (dst, mut other) = compared.buffers;
    other.bytes_mut()[90 * PAGE + 5] ^= 1;
    other.evict(70 * PAGE, PAGE);
    let compared = within(runtime.compare(dst, other)).expect("a comparison");
    assert_eq!(compared.value, Some(90 * PAGE as u64 + 5));
    let (dst, _) = compared.buffers;
    dst.evict(0, 50 * PAGE);
    let filled = within(runtime.fill(dst, 0x0807_0605_0403_0201)).expect("a fill");
    assert!(filled.buffers.bytes().iter().zip((1..=8).cycle()).all(|(byte, want)| *byte == want));
}

/// A hole lies within the window but after the faulting page: the page alone is populated and the copy goes on
/// up to the hole.
#[test]
fn a_hole_ends_the_copy_where_it_begins() {
    for (completion, resolver) in BOTH.into_iter().flat_map(|c| RESOLVERS.map(|r| (c, r))) {
        let options = Options::all(completion, Plan::cold(When::Thread));
        let (runtime, device) = runtime(options, resolver, FaultPolicy::Resolve);
        let len = 40 * PAGE;
        let (src, dst) = (Cold::warm(&noise(len, 3)), Cold::new(len));
        dst.forbid(10 * PAGE, PAGE);
        let hole = dst.addr().add(10 * PAGE as u64);
        let failed = within(runtime.copy(src, dst)).err().expect("a hole");
        let Error::Fault { addr, access, done, len: asked, status, source, .. } = failed.error else {
            panic!("{:?}", failed.error)
        };
        assert_eq!((addr, access), (hole, Access::Write));
        assert_eq!((done, asked, status), (10 * PAGE as u64, len as u64, 0x84));
        assert!(source.expect("the kernel was asked").raw_os_error().is_some());
        assert_eq!(failed.report.bytes, 10 * PAGE as u64);
        let (src, dst) = failed.buffers.expect("both come back");
        assert_eq!(dst.bytes()[..10 * PAGE], src.bytes()[..10 * PAGE]);
        assert_eq!(device.stats().cancelled, 1);
        // And the slot is as good as new.
        let done = within(runtime.copy(Cold::warm(&[5; 5000]), Cold::new(5000))).expect("a copy");
        assert_eq!(done.buffers.1.bytes(), [5; 5000]);
        assert_eq!(done.report.faults.resolutions, 1);
    }
}

/// Past the hole there is nothing to do: the transfer ends before it, so the single page is all that is retried.
#[test]
fn a_window_is_retried_with_its_first_page() {
    let options = Options::all(Completion::Notified, Plan::cold(When::Thread));
    let (runtime, _device) = runtime(options, ResolverChoice::Auto, FaultPolicy::Resolve);
    let (src, dst) = (Cold::warm(&noise(16 * PAGE, 3)), Cold::new(16 * PAGE));
    dst.forbid(15 * PAGE, PAGE);
    let failed = within(runtime.copy(src, dst)).err().expect("a hole");
    let Error::Fault { done, .. } = failed.error else { panic!("{:?}", failed.error) };
    assert_eq!(done, 15 * PAGE as u64);
    // Two windows; one that the kernel populates up to the hole, and its first page alone; the hole's window, the hole
    // alone.
    assert_eq!(failed.report.faults.faults, 4);
    assert_eq!(failed.report.faults.resolutions, 6);
}

#[test]
fn an_unresolvable_first_page_has_done_nothing() {
    for resolver in RESOLVERS {
        let options = Options::all(Completion::Polled, Plan::cold(When::Inline));
        let (runtime, _device) = runtime(options, resolver, FaultPolicy::Resolve);
        let src = Cold::new(8 * PAGE);
        src.forbid(0, 8 * PAGE);
        let at = src.addr();
        let failed = within(runtime.crc32c(src, 0)).err().expect("no page");
        let Error::Fault { addr, access, done, .. } = failed.error else { panic!("{:?}", failed.error) };
        assert_eq!((addr, access, done), (at, Access::Read, 0));
        assert!(failed.buffers.is_some());
    }
}

#[test]
fn prefetch_leaves_no_fault() {
    for (completion, resolver) in BOTH.into_iter().flat_map(|c| RESOLVERS.map(|r| (c, r))) {
        let options = Options::all(completion, Plan::cold(When::Thread));
        let (runtime, device) = runtime(options, resolver, FaultPolicy::Prefetch);
        let len = 160 << 20;
        let done = within(runtime.fill(Cold::new(len), u64::MAX)).expect("a fill");
        assert_eq!(done.report.faults.faults, 0);
        // 64 MiB at a time.
        assert_eq!(done.report.faults.resolutions, 3);
        assert_eq!(done.buffers.present(), len / PAGE);
        assert_eq!(device.stats().resubmitted, 0);
    }
}

/// A hole does not stop the prefetch: the device meets it and the operation ends there.
#[test]
fn prefetch_over_a_hole_ends_in_its_fault() {
    let options = Options::all(Completion::Notified, Plan::cold(When::Thread));
    let (runtime, _device) = runtime(options, ResolverChoice::Auto, FaultPolicy::Prefetch);
    let dst = Cold::new(32 * PAGE);
    dst.forbid(20 * PAGE, PAGE);
    let failed = within(runtime.fill(dst, 1)).err().expect("a hole");
    assert!(matches!(failed.error, Error::Fault { done, .. } if done == 20 * PAGE as u64), "{failed:?}");
}

#[test]
fn policy_fail_populates_nothing() {
    for when in [When::Inline, When::Thread, When::Polls(3)] {
        let options = Options::all(Completion::Notified, Plan::cold(when));
        let (runtime, _device) = runtime(options, ResolverChoice::Auto, FaultPolicy::Fail);
        let dst = Cold::new(32 * PAGE);
        let failed = within(runtime.fill(dst, 1)).err().expect("a fault");
        assert!(matches!(failed.error, Error::Fault { done: 0, source: None, .. }), "{failed:?}");
        assert_eq!(failed.report.faults, Faults { faults: 1, ..Faults::default() });
        assert_eq!(failed.buffers.expect("it comes back").present(), 0);
    }
}

/// The policy asks the device to block only where the device can.
#[test]
fn blocking_on_faults_is_asked_of_devices_that_can() {
    for can in [true, false] {
        let mut options = Options::all(Completion::Polled, Plan::cold(When::Thread));
        options.block_on_fault = can;
        let (runtime, device) = runtime(options, ResolverChoice::Auto, FaultPolicy::BlockOnFault);
        let done = within(runtime.fill(Cold::new(PAGE), 1)).expect("a fill");
        assert_eq!(device.stats().blocked_on_fault, u64::from(can));
        assert_eq!(done.report.faults.resolutions, 1, "the scripted device faults all the same");
    }
}

#[test]
fn a_page_that_faults_for_ever_ends_the_operation() {
    for (completion, when) in BOTH.into_iter().flat_map(|c| [When::Inline, When::Thread].map(|w| (c, w))) {
        let plan = Plan::done(when).faulting(Faulting::Stuck { at: 2 * PAGE as u64 });
        let (runtime, _device) =
            runtime(Options::all(completion, plan), ResolverChoice::Auto, FaultPolicy::Resolve);
        let failed = within(runtime.fill(vec![0; 4 * PAGE], 1)).expect_err("stuck");
        let Error::Fault { done, source, .. } = failed.error else { panic!("{:?}", failed.error) };
        assert_eq!(done, 2 * PAGE as u64);
        let source = source.expect("a reason");
        let in_vain = source.get_ref().and_then(|why| why.downcast_ref::<PopulatedInVain>());
        let in_vain = in_vain.unwrap_or_else(|| panic!("{source}"));
        assert_eq!(in_vain.faults, runtime.config().fault_retries_max + 1);
        // The first made progress, then as many as are allowed, then the one too many.
        assert_eq!(failed.report.faults.faults, 1 + u64::from(runtime.config().fault_retries_max) + 1);
    }
}

/// Progress between faults resets the bound: as many faults as pages are no reason to give up.
#[test]
fn many_faults_with_progress_are_fine() {
    let offsets: Vec<u64> = (0..200).map(|page| page * PAGE as u64).collect();
    let plan = Plan::done(When::Thread).faulting(Faulting::At { offsets, restarts: false });
    let options = Options::all(Completion::Notified, plan);
    let (runtime, _device) = runtime(options, ResolverChoice::Auto, FaultPolicy::Resolve);
    let bytes = noise(200 * PAGE, 9);
    let done = within(runtime.copy(bytes.clone(), vec![0; 200 * PAGE])).expect("a copy");
    assert_eq!(done.buffers.1, bytes);
    assert_eq!(done.report.faults.faults, 200);
    assert_eq!(done.report.faults.resubmissions, 200);
    assert!(done.report.faults.resolutions < 20, "most are covered: {:?}", done.report.faults);
}

/// What keeps nothing of a partial run has all of its memory populated at the first fault.
#[test]
fn a_restarting_operation_is_populated_whole() {
    for resolver in RESOLVERS {
        let plan = Plan::done(When::Thread).faulting(Faulting::Cold { restarts: true });
        let options = Options::all(Completion::Notified, plan);
        let (runtime, _device) = runtime(options, resolver, FaultPolicy::Resolve);
        let len = 3000 * PAGE;
        let src = Cold::new(len);
        let done = within(runtime.copy(src, Cold::new(len))).expect("a copy");
        let want = Faults { faults: 1, resolutions: 1, pages_populated: 6000, resubmissions: 1 };
        assert_eq!(done.report.faults, want);
    }
}

/// A window of nothing would be answered by nobody.
#[test]
fn a_window_of_zero_bytes_populates_the_page() {
    let options = Options::all(Completion::Notified, Plan::cold(When::Thread));
    let (runtime, _device) = support::runtime_with(options, |config| {
        config.window_bytes_min = 0;
        config.window_bytes_max = 0;
    });
    let done = within(runtime.fill(Cold::new(5 * PAGE), 1)).expect("a fill");
    assert_eq!(done.report.faults.resolutions, 5);
}

/// Many lanes fault before any has done a byte: that is not one lane that is stuck.
#[test]
fn cold_members_of_a_batch_are_not_stuck() {
    for completion in BOTH {
        let options = Options::all(completion, Plan::cold(When::Thread));
        let (runtime, _device) = runtime(options, ResolverChoice::Auto, FaultPolicy::Resolve);
        let mut batch = svala::Batch::<Cold, Cold>::with_capacity(60);
        for i in 0..60 {
            batch.fill(Cold::new(2 * PAGE), i).expect("room");
        }
        let mut done = within(runtime.run_batch(batch)).expect("a batch");
        assert!(done.report.faults.faults >= 60);
        for (i, member) in (0_u64..).zip(done.buffers.drain()) {
            assert_eq!(member.result.expect("a fill").bytes, 2 * PAGE as u64);
            let svala::Lent::Fill(dst) = member.lent else { panic!("a fill") };
            assert_eq!(dst.bytes()[..8], i.to_le_bytes());
        }
    }
}

/// A source is absent up to the middle, the destination from there on. The second of two copies continues the windows of the
/// first, which were for the other of the two.
#[test]
fn a_window_goes_on_in_the_other_operand() {
    for completion in BOTH {
        let options = Options::all(completion, Plan::cold(When::Thread)).depth(1);
        let (runtime, _device) = runtime(options, ResolverChoice::Auto, FaultPolicy::Resolve);
        let half = 1 << 20;
        let (mut src, mut dst) = (Cold::warm(&noise(2 * half, 6)), Cold::warm(&noise(2 * half, 7)));
        src.evict(0, half);
        dst.evict(half, half);
        let (src, dst) = (src.bytes_mut(), dst.bytes_mut());
        let faults = [0, half].map(|at| {
            runtime.scope(|scope| {
                let copy = scope.copy(&src[at..at + half], &mut dst[at..at + half]).expect("room");
                copy.wait().expect("a copy").1.faults.faults
            })
        });
        // 16 KiB doubled six times, and the rest; then a window of 1 MiB.
        assert_eq!(faults, [7, 1], "{completion:?}");
        assert!(dst == src);
    }
}

/// More slots fault at once than the resolver has room for.
#[test]
fn a_full_resolver_is_waited_for() {
    for (completion, resolver) in BOTH.into_iter().flat_map(|c| RESOLVERS.map(|r| (c, r))) {
        let options = Options::all(completion, Plan::cold(When::Held)).depth(200);
        let (runtime, device) = runtime(options, resolver, FaultPolicy::Resolve);
        let bytes = noise(3 * PAGE, 4);
        let mut tasks: Vec<_> =
            (0..200).map(|_| Task::new(runtime.copy(Cold::warm(&bytes), Cold::new(3 * PAGE)))).collect();
        for task in &mut tasks {
            task.poll_pending();
        }
        device.release_all();
        for task in tasks {
            let done = task.finish().expect("a copy");
            assert_eq!(done.buffers.1.bytes(), bytes);
        }
    }
}

/// The thread that submitted a resolution ends before it is answered; what io_uring says about that is no
/// reason to fail.
#[test]
fn the_submitting_thread_may_end() {
    let options = Options::all(Completion::Polled, Plan::cold(When::Inline)).depth(16);
    let (runtime, device) = runtime(options, ResolverChoice::Auto, FaultPolicy::Resolve);
    for _ in 0..20 {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let runtime = runtime.clone();
                std::thread::spawn(move || {
                    let fill = async move { runtime.fill(Cold::new(64 * PAGE), 0x0101_0101_0101_0101).await };
                    let mut task = Task::new(fill);
                    let first = task.poll();
                    (task, first)
                })
            })
            .collect();
        for thread in threads {
            let (task, first) = thread.join().expect("no panic");
            let done = match first {
                std::task::Poll::Ready(done) => done,
                std::task::Poll::Pending => {
                    task.wait_woken();
                    task.finish()
                }
            };
            let done = done.expect("a fill");
            assert!(done.buffers.bytes().iter().all(|byte| *byte == 1));
        }
    }
    device.check();
}

/// The future goes while its fault is resolved: the answer comes, the device is told to stop, the slot is free.
#[test]
fn an_answer_after_the_future_has_gone() {
    for resolver in RESOLVERS {
        let options = Options::new(Completion::Notified, |n, _| {
            if n % 2 == 0 { Plan::cold(When::Inline) } else { Plan::done(When::Thread) }
        });
        let (runtime, device) = runtime(options.depth(1), resolver, FaultPolicy::Resolve);
        for round in 1..=30 {
            let mut task = Task::new(runtime.fill(Cold::new(256 * PAGE), 1));
            let _ = task.poll();
            drop(task);
            device.wait("the flight lands", |stats| stats.fetched == 2 * round - 1);
            within(runtime.fill(vec![0; 10], 1)).expect("the slot is free");
        }
    }
}

/// A failure that is worse than the fault is what the caller hears.
#[test]
fn a_device_error_after_a_fault_is_the_device_error() {
    let failure = Failure::Status { status: 0x1a, name: "hardware error", done_bytes: PAGE as u64 };
    let plan = Plan::cold(When::Thread).end(End::Failed(failure));
    let (runtime, _device) =
        runtime(Options::all(Completion::Polled, plan), ResolverChoice::Auto, FaultPolicy::Resolve);
    let failed = within(runtime.fill(Cold::new(4 * PAGE), 1)).err().expect("an error");
    assert!(matches!(failed.error, Error::Status { status: 0x1a, .. }));
    assert_eq!(failed.report.faults.faults, 1);
    until("counted", || runtime.snapshot().queues[0].faults.faults == 1);
}
