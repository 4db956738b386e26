//! Every operation, at every size that matters, under three executors, against loops and other people's crates.

use std::future::Future;

use svala::{Error, Path, Reason, Runtime};
use svala_software::SoftwareConfig;

use super::{LENGTHS, never_inline, noise, runtime, runtime_with};

const CRC32C: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI);

/// Runs what `make` makes to its end on a plain thread, on a current-thread tokio and on a worker of a tokio pool.
fn on_every_executor<F: Future<Output = ()> + Send + 'static>(make: impl Fn(Runtime) -> F) {
    for runtime in [runtime(), runtime_with(never_inline())] {
        pollster::block_on(make(runtime.clone()));
        let current = tokio::runtime::Builder::new_current_thread().build().unwrap();
        current.block_on(make(runtime.clone()));
        let pool = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
        pool.block_on(pool.spawn(make(runtime.clone()))).unwrap();
        assert_eq!(runtime.shutdown().unanswered, 0);
    }
}

#[test]
fn copy_writes_what_was_read() {
    on_every_executor(|runtime| async move {
        for len in LENGTHS {
            let done = runtime.copy(noise(len), vec![0xaa_u8; len]).await.unwrap();
            assert!(done.buffers.1 == noise(len), "{len} bytes");
            assert!(done.buffers.0 == noise(len), "{len} bytes");
            assert_eq!(done.report.bytes, len as u64);
            let reason = if len == 0 { Reason::Empty } else { Reason::Asked };
            assert_eq!(done.report.path, Path::Software { reason });
        }
    });
}

#[test]
fn fill_repeats_its_pattern() {
    const PATTERN: u64 = 0x0807_0605_0403_0201;
    on_every_executor(|runtime| async move {
        for len in LENGTHS {
            let done = runtime.fill(vec![0xaa_u8; len], PATTERN).await.unwrap();
            assert!(done.buffers.iter().zip((1..=8).cycle()).all(|(byte, wanted)| *byte == wanted), "{len}");
        }
    });
}

#[test]
fn compare_finds_the_first_difference() {
    on_every_executor(|runtime| async move {
        for len in LENGTHS {
            let equal = runtime.compare(noise(len), noise(len)).await.unwrap();
            assert_eq!((equal.value, equal.report.bytes), (None, len as u64));
            for at in [0, len / 3, len.saturating_sub(1)].into_iter().filter(|at| *at < len) {
                let mut other = noise(len);
                other[at] ^= 0x40;
                // A second one behind it, which another worker may come to first.
                other[len - 1] ^= 0x10;
                let found = runtime.compare(noise(len), other).await.unwrap();
                assert_eq!((found.value, found.report.bytes), (Some(at as u64), at as u64), "{len} bytes");
            }
        }
    });
}

#[test]
fn crc32c_agrees_with_the_crc_crate_and_chains() {
    on_every_executor(|runtime| async move {
        for len in LENGTHS {
            let data = noise(len);
            let crc = runtime.crc32c(data.clone(), 0).await.unwrap().value;
            assert_eq!(crc, CRC32C.checksum(&data), "{len} bytes");
            let chained = runtime.crc32c(data.clone(), CRC32C.checksum(b"before")).await.unwrap().value;
            assert_eq!(chained, CRC32C.checksum(&[b"before", &data[..]].concat()), "{len} bytes");
        }
    });
}

#[test]
fn lengths_that_differ_give_the_buffers_back() {
    let runtime = runtime();
    let failed = pollster::block_on(runtime.copy(noise(10), noise(11))).unwrap_err();
    assert!(matches!(failed.error, Error::Length { first: 10, second: 11, .. }), "{failed}");
    assert_eq!(failed.buffers, Some((noise(10), noise(11))));
    let failed = pollster::block_on(runtime.compare(noise(1), noise(0))).unwrap_err();
    assert_eq!(failed.buffers, Some((noise(1), noise(0))));
}

#[test]
fn many_jobs_at_once_each_get_their_own_answer() {
    let pool = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let runtime = runtime();
    pool.block_on(async {
        let tasks: Vec<_> = (0..64_usize)
            .map(|i| {
                let runtime = runtime.clone();
                tokio::spawn(async move {
                    let data = noise(i * 37_000 + 1);
                    let crc = runtime.crc32c(data.clone(), 0).await.unwrap().value;
                    assert_eq!(crc, CRC32C.checksum(&data), "job {i}");
                    let len = data.len();
                    let copied = runtime.copy(data, vec![0_u8; len]).await.unwrap().buffers;
                    assert!(copied.0 == copied.1, "job {i}");
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    let snapshot = runtime.snapshot();
    assert_eq!((snapshot.queues[0].operations, snapshot.queues[0].failures), (128, 0));
}

/// Comparisons that end early are still in the ring when they do, while other workers are about to take them up.
#[test]
fn comparisons_that_end_early_among_others_all_end() {
    const LEN: usize = 6 << 20;
    let pool = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let runtime = runtime_with(SoftwareConfig { workers: 4, depth: 8, ..never_inline() });
    pool.block_on(async {
        let tasks: Vec<_> = (0..16_usize)
            .map(|task| {
                let runtime = runtime.clone();
                tokio::spawn(async move {
                    let (mut a, mut b) = (vec![3_u8; LEN], vec![3_u8; LEN]);
                    for round in 0..40 {
                        let at = (task * 7919 + round * 104_729) * 4096 % LEN;
                        b[at] = 4;
                        let found = runtime.compare(a, b).await.unwrap();
                        assert_eq!(found.value, Some(at as u64));
                        (a, b) = found.buffers;
                        b[at] = 3;
                        if round % 8 == task % 8 {
                            a = runtime.crc32c(a, 0).await.unwrap().buffers;
                        }
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
}
