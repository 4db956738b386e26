//! More jobs than room.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Waker};

use svala::{Error, Outcome, Runtime};
use svala_software::SoftwareConfig;

use super::{never_inline, noise, runtime_with};

fn depth(depth: u32) -> SoftwareConfig {
    SoftwareConfig { depth, ..never_inline() }
}

#[test]
fn hundred_jobs_fit_through_two_slots() {
    let runtime = runtime_with(depth(2));
    for threads in [false, true] {
        let mut builder = if threads {
            tokio::runtime::Builder::new_multi_thread()
        } else {
            tokio::runtime::Builder::new_current_thread()
        };
        let executor = builder.build().unwrap();
        executor.block_on(async {
            let tasks: Vec<_> = (0..100_usize)
                .map(|i| {
                    let runtime = runtime.clone();
                    tokio::spawn(async move {
                        let src = noise(i * 5000 + 1);
                        let dst = vec![0_u8; src.len()];
                        let (src, dst) = runtime.copy(src, dst).await.unwrap().buffers;
                        assert!(src == dst, "job {i}");
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
        });
    }
    assert_eq!(runtime.snapshot().queues[0].operations, 200);
}

/// A job under way, whose slot is taken until it has been polled to its end.
fn hold(runtime: &Runtime) -> Pin<Box<dyn Future<Output = Outcome<(), Vec<u8>>> + '_>> {
    loop {
        let mut job = Box::pin(runtime.fill(vec![0_u8; 64 << 20], 1));
        // Ready at once if this thread was kept from running between handing the job over and looking at it.
        if job.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
            return job;
        }
    }
}

#[test]
fn without_room_try_says_busy_and_gives_the_buffers_back() {
    let runtime = runtime_with(depth(1));
    let holds = hold(&runtime);

    let failed = pollster::block_on(runtime.try_copy(noise(10), noise(10))).unwrap_err();
    assert!(matches!(failed.error, Error::Busy { .. }), "{failed}");
    assert_eq!(failed.buffers, Some((noise(10), noise(10))));
    assert!(pollster::block_on(runtime.try_fill(noise(1), 0)).unwrap_err().error.is_busy());
    assert!(pollster::block_on(runtime.try_compare(noise(1), noise(1))).unwrap_err().error.is_busy());
    assert!(pollster::block_on(runtime.try_crc32c(noise(1), 0)).unwrap_err().error.is_busy());
    let deflate = runtime.try_deflate(noise(1), noise(1), svala::DeflateOptions::default());
    assert!(pollster::block_on(deflate).unwrap_err().error.is_busy());
    let inflate = runtime.try_inflate(noise(1), noise(1), svala::Check::None);
    assert!(pollster::block_on(inflate).unwrap_err().error.is_busy());

    pollster::block_on(holds).unwrap();
    assert_eq!(pollster::block_on(runtime.try_fill(noise(2), 0)).unwrap().buffers, [0, 0]);
}

#[test]
fn those_who_wait_for_room_are_told_when_it_closes() {
    let runtime = runtime_with(depth(1));
    let context = &mut Context::from_waker(Waker::noop());
    let holds = hold(&runtime);
    let mut waits = pin!(runtime.fill(vec![0_u8; 9], 1));
    assert!(waits.as_mut().poll(context).is_pending());
    assert_eq!(runtime.shutdown().unanswered, 0);
    let failed = pollster::block_on(waits).unwrap_err();
    assert!(matches!(failed.error, Error::Closed { .. }), "{failed}");
    assert_eq!(failed.buffers, Some(vec![0; 9]));
    assert!(pollster::block_on(holds).is_ok(), "what was under way has ended well");
}
