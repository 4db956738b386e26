//! Futures that go, scopes, shutting down, and who is kept waiting.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use svala::{DeflateOptions, Runtime, Value};
use svala_software::{SoftwareConfig, SoftwareQueue};

use super::{Counted, never_inline, noise, runtime, runtime_with, text};

#[test]
fn dropped_futures_leave_nothing_behind() {
    let alive = Arc::new(AtomicUsize::new(0));
    let runtime = runtime_with(never_inline());
    for round in 0..50_usize {
        let len = 100_000 * (round % 7 + 1);
        let src = Counted::new(noise(len), &alive);
        let dst = Counted::new(vec![0; len], &alive);
        let mut copy = pin!(runtime.copy(src, dst));
        if round % 10 != 0 {
            // Under way, and dropped in the middle of it.
            let _ = copy.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        }
    }
    assert_eq!(runtime.shutdown().unanswered, 0);
    assert_eq!(runtime.snapshot().queues[0].in_flight, 0);
    drop(runtime);
    assert_eq!(alive.load(Ordering::SeqCst), 0, "buffers alive");
}

/// The timer is looked at before the copy, so it fires unless the very first look at the copy lasts to its end: that
/// would be a thread that is held. (256 MiB take longer than a millisecond.)
#[test]
fn executor_thread_is_free_while_a_large_job_runs() {
    const LEN: usize = 256 << 20;
    let runtime = runtime_with(SoftwareConfig { workers: 1, ..SoftwareConfig::default() });
    let executor = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let turns = executor.block_on(async {
        let mut copy = pin!(runtime.copy(vec![1_u8; LEN], vec![0_u8; LEN]));
        let mut turns = 0;
        let buffers = loop {
            tokio::select! {
                biased;
                () = tokio::time::sleep(Duration::from_millis(1)) => turns += 1,
                done = &mut copy => break done.unwrap().buffers,
            }
        };
        assert!(buffers.0 == buffers.1);
        turns
    });
    assert!(turns > 0, "no timer fired during the copy of 256 MiB");
}

/// The order in which jobs of one worker end, handed over large ones first.
fn order_of_ends() -> Vec<&'static str> {
    let runtime = runtime_with(SoftwareConfig { workers: 1, ..never_inline() });
    let executor = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let order = Arc::new(Mutex::new(Vec::new()));
    executor.block_on(async {
        let jobs = [("copy", 128 << 20), ("crc", 64 << 20), ("small", 1 << 20)];
        let tasks: Vec<_> = jobs
            .into_iter()
            .map(|(name, len)| {
                let (runtime, order) = (runtime.clone(), Arc::clone(&order));
                tokio::spawn(async move {
                    match name {
                        "crc" => drop(runtime.crc32c(vec![0_u8; len], 0).await.unwrap()),
                        _ => drop(runtime.copy(vec![0_u8; len], vec![0_u8; len]).await.unwrap()),
                    }
                    order.lock().push(name);
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    Arc::into_inner(order).expect("the tasks have ended").into_inner()
}

/// Seen once is enough: where jobs are done one after the other it never happens. It may take another try if this
/// thread was kept from handing the small job over while the large ones were done.
#[test]
fn small_job_overtakes_the_rest_of_large_ones() {
    assert!((0..20).any(|_| order_of_ends()[0] == "small"));
}

#[test]
#[expect(clippy::forget_non_drop, reason = "that a handle may be leaked is the point")]
fn scope_borrows_and_waits_even_for_handles_that_were_leaked() {
    for runtime in [runtime(), runtime_with(never_inline())] {
        let src = noise(3 << 20);
        let (mut waited, mut leaked, mut dropped) =
            (vec![0; src.len()], vec![0; src.len()], vec![0; src.len()]);
        runtime.scope(|scope| {
            let copy = scope.copy(&src, &mut waited).unwrap();
            std::mem::forget(scope.copy(&src, &mut leaked).unwrap());
            drop(scope.copy(&src, &mut dropped).unwrap());
            let crc = scope.crc32c(&src, 0).unwrap();
            let compare = scope.compare(&src, &src).unwrap();
            assert_eq!(copy.wait().unwrap().0, Value::None);
            let wanted = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI).checksum(&src);
            assert_eq!(crc.wait().unwrap().0, Value::Crc(wanted.into()));
            assert_eq!(compare.wait().unwrap().0, Value::Difference(None));
        });
        assert!(waited == src && leaked == src && dropped == src);
        assert_eq!(runtime.shutdown().unanswered, 0);
    }
}

fn threads_called(name: &str) -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|thread| thread.starts_with(name)).count()
}

/// Threads name themselves when they begin and leave the list a moment after they were joined.
fn wait_for_threads(name: &str, count: usize) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while threads_called(name) != count {
        assert!(Instant::now() < deadline, "{} threads {name}, not {count}", threads_called(name));
        std::thread::yield_now();
    }
}

/// Counts threads by a name of its own, since other tests have theirs.
#[test]
fn dropping_the_runtime_ends_the_workers() {
    let config = SoftwareConfig { thread_name: "svala-life".into(), workers: 3, ..SoftwareConfig::default() };
    let runtime = runtime_with(config.clone());
    pollster::block_on(runtime.crc32c(noise(1 << 20), 0)).unwrap();
    wait_for_threads("svala-life", 3);
    drop(runtime);
    wait_for_threads("svala-life", 0);
    let unused = SoftwareQueue::new(config).unwrap();
    drop(unused);
    wait_for_threads("svala-life", 0);
}

/// A task that runs where it is woken: on a worker of the engine.
struct RunsWhereWoken(Mutex<Option<Pin<Box<dyn Future<Output = ()> + Send>>>>);

impl Wake for RunsWhereWoken {
    fn wake(self: Arc<Self>) {
        let task = self.0.lock().take();
        if let Some(mut task) = task
            && task.as_mut().poll(&mut Context::from_waker(&Waker::from(Arc::clone(&self)))).is_pending()
        {
            *self.0.lock() = Some(task);
        }
    }
}

/// The task owns the last handle on the runtime, so the runtime ends on the worker that has done the task's job.
#[test]
fn runtime_that_ends_on_a_worker_does_not_wait_for_itself() {
    let config = SoftwareConfig { thread_name: "svala-self".into(), ..never_inline() };
    let runtime = runtime_with(config);
    let (sender, receiver) = std::sync::mpsc::channel();
    let task = async move {
        let done = runtime.copy(noise(32 << 20), vec![0; 32 << 20]).await;
        drop(runtime);
        let _ = sender.send((std::thread::current().name().map(String::from), done.is_ok()));
    };
    Arc::new(RunsWhereWoken(Mutex::new(Some(Box::pin(task))))).wake();
    let (thread, ok) = receiver.recv_timeout(Duration::from_secs(60)).expect("the runtime has ended");
    assert!(ok);
    assert!(thread.is_some_and(|name| name.starts_with("svala-self")), "not woken by a worker");
    wait_for_threads("svala-self", 0);
}

/// Devices have no time at all to answer here. The runtime looks four times a second, and this takes longer.
#[test]
fn job_on_the_cpu_may_take_as_long_as_it_needs() {
    let queue = SoftwareQueue::new(SoftwareConfig { workers: 1, ..never_inline() }).unwrap();
    let builder = Runtime::builder().config(|config| config.answer_within = Duration::ZERO);
    let runtime = builder.queue(queue).build().unwrap();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(600) {
        let options = DeflateOptions { level: 9, ..DeflateOptions::default() };
        let done = pollster::block_on(runtime.deflate(text(24 << 20), vec![0; 32 << 20], options));
        assert!(done.is_ok(), "{}", done.unwrap_err());
    }
}

#[test]
fn configuration_out_of_bounds_is_refused() {
    for config in [
        SoftwareConfig { workers: 0, ..SoftwareConfig::default() },
        SoftwareConfig { depth: 0, ..SoftwareConfig::default() },
        SoftwareConfig { batch_max: 1025, ..SoftwareConfig::default() },
    ] {
        let message = SoftwareQueue::new(config).unwrap_err().to_string();
        assert!(message.starts_with("cpu: "), "{message}");
    }
}

/// Idle workers use no CPU: over a while their clocks do not move.
#[test]
fn idle_workers_use_no_cpu() {
    let config = SoftwareConfig { thread_name: "svala-idle".into(), workers: 2, ..SoftwareConfig::default() };
    let runtime = runtime_with(config);
    pollster::block_on(runtime.crc32c(noise(4 << 20), 0)).unwrap();
    wait_for_threads("svala-idle", 2);
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut before = ticks();
    loop {
        std::thread::sleep(Duration::from_millis(50));
        let now = ticks();
        if now == before {
            return;
        }
        assert!(Instant::now() < deadline, "still running");
        before = now;
    }
}

/// User and system time, and switches, of the idle test's workers.
fn ticks() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().filter_map(Result::ok);
    let mut stats = Vec::new();
    for task in tasks {
        let Ok(status) = std::fs::read_to_string(task.path().join("status")) else { continue };
        if status.starts_with("Name:\tsvala-idle") {
            stats.extend(status.lines().filter(|line| line.contains("ctxt_switches")).map(String::from));
        }
    }
    assert_eq!(stats.len(), 4, "two workers");
    stats
}
