//! No executor thread waits for memory: on a current-thread runtime, tasks and timers go on while an operation's page is
//! not to be had. Counted, not timed; how late a timer is says `cargo bench -p svala-benches --bench fault_executor`.
//!
//! UNSAFETY: submits raw jobs on memory of the test's own.
#![expect(unsafe_code, reason = "raw submissions")]

mod real_memory;

use std::sync::mpsc;
use std::time::Duration;

use real_memory::{Area, DEADLINE, Gate, PAGE, noise, not_run, runtime_as};
use svala::{FaultPolicy, Job, ResolverChoice};

const TICKS: u32 = 50;
const PAGES: usize = 64;

#[test]
fn timers_and_tasks_go_on_while_a_page_is_waited_for() {
    for resolver in [ResolverChoice::Auto, ResolverChoice::Threads] {
        for policy in
            [FaultPolicy::Resolve, FaultPolicy::Prefetch, FaultPolicy::BlockOnFault, FaultPolicy::Auto]
        {
            let name = format!("{policy} by {resolver:?}");
            let (src, dst) = (Area::warm(PAGES, 3), Area::cold(PAGES));
            let Some(gate) = Gate::on(&dst, 40, 1) else {
                return not_run("executor: no userfaultfd to be had");
            };
            let svala = runtime_as((policy, resolver));
            let tokio =
                tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
            let (ticked, ticks) = mpsc::channel();
            std::thread::scope(|scope| {
                let gate = &gate;
                scope.spawn(move || {
                    let page = gate.wait();
                    // Opened only when the executor has ticked so often behind it.
                    for _ in 0..TICKS {
                        ticks.recv_timeout(DEADLINE).expect("the executor ticks while the page is missing");
                    }
                    gate.supply(page, &[0; PAGE]);
                });
                tokio.block_on(async {
                    let job = Job::Copy { src: src.addr(0), dst: dst.addr(0), len: (PAGES * PAGE) as u64 };
                    // SAFETY: the areas live until the copy has ended, and nobody refers to them.
                    let copy = unsafe { svala.submit_raw(job) };
                    let ticker = async {
                        loop {
                            tokio::time::sleep(Duration::from_millis(1)).await;
                            if ticked.send(()).is_err() {
                                std::future::pending::<()>().await;
                            }
                        }
                    };
                    tokio::select! {
                        biased;
                        ended = copy => ended.unwrap_or_else(|failed| panic!("{name}: {}", failed.error)),
                        () = ticker => unreachable!("it never ends"),
                    }
                });
            });
            assert!(dst.read(0, PAGES) == noise(PAGES * PAGE, 3), "{name}");
        }
    }
}
