//! Batches: little ones at once, large ones over the workers, each member with its own result.

use svala::{Batch, Error, FileMap, Lent, Runtime, Value};

use super::{never_inline, noise, runtime, runtime_with};

const CRC32C: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI);

/// One of each kind, `rounds` times.
fn filled(rounds: usize, len: usize) -> Batch<Vec<u8>, Vec<u8>> {
    let mut batch = Batch::with_capacity(rounds * 5);
    for round in 0..rounds {
        let len = len + round;
        let mut other = noise(len);
        other[len / 2] ^= 1;
        batch.copy(noise(len), vec![0; len]).unwrap();
        batch.fill(vec![0; len], 0x0807_0605_0403_0201).unwrap();
        batch.compare(noise(len), other).unwrap();
        batch.crc32c(noise(len), 0).unwrap();
        batch.crc32c(Vec::new(), 99).unwrap();
    }
    batch
}

fn run(runtime: &Runtime, rounds: usize, len: usize) {
    let done = pollster::block_on(runtime.run_batch(filled(rounds, len))).unwrap();
    let mut batch = done.buffers;
    let mut members = batch.drain();
    for round in 0..rounds {
        let len = len + round;
        let mut next = || {
            let member = members.next().unwrap();
            (member.result.unwrap().value, member.lent)
        };
        let Lent::Copy(src, dst) = next().1 else { panic!() };
        assert!(src == dst && src == noise(len));
        let Lent::Fill(dst) = next().1 else { panic!() };
        assert!(dst.iter().zip((1..=8).cycle()).all(|(byte, wanted)| *byte == wanted));
        assert_eq!(next().0, Value::Difference(Some(len as u64 / 2)));
        assert_eq!(next().0, Value::Crc(CRC32C.checksum(&noise(len)).into()));
        assert_eq!(next().0, Value::Crc(99), "empty, so it had its result before");
    }
    assert!(members.next().is_none());
}

#[test]
fn members_have_their_own_results() {
    for runtime in [runtime(), runtime_with(never_inline())] {
        run(&runtime, 1, 10);
        run(&runtime, 200, 100);
        run(&runtime, 200, 4096);
        run(&runtime, 20, 300_000);
        run(&runtime, 2, 10 << 20);
        // And once more in slots that have carried larger ones.
        run(&runtime, 3, 5);
        assert_eq!(runtime.shutdown().unanswered, 0);
    }
}

#[test]
fn member_that_fails_leaves_the_others_alone() {
    for runtime in [runtime(), runtime_with(never_inline())] {
        for len in [8192, 3 << 20] {
            let file = tempfile::tempfile().unwrap();
            file.set_len(len).unwrap();
            let size = usize::try_from(len).unwrap();
            let map = || FileMap::range(&file, 0, len).unwrap();
            let good = tempfile::tempfile().unwrap();
            good.set_len(len).unwrap();
            let mut batch = Batch::with_capacity(3);
            batch.copy(FileMap::open(&good).unwrap(), vec![1_u8; size]).unwrap();
            batch.copy(map(), vec![1_u8; size]).unwrap();
            batch.fill(vec![1_u8; size], 0).unwrap();
            file.set_len(0).unwrap();
            let mut batch = pollster::block_on(runtime.run_batch(batch)).unwrap().buffers;
            let results: Vec<_> = batch.drain().map(|member| member.result.map_err(|error| *error)).collect();
            assert_eq!(results[0].as_ref().unwrap().bytes, len);
            assert!(matches!(results[1], Err(Error::Vanished { .. })), "{:?}", results[1]);
            assert_eq!(results[2].as_ref().unwrap().bytes, len);
        }
    }
}

#[test]
fn batches_and_single_jobs_share_the_slots() {
    let runtime = runtime_with(svala_software::SoftwareConfig { depth: 3, ..never_inline() });
    let executor = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    executor.block_on(async {
        let tasks: Vec<_> = (0..30_usize)
            .map(|i| {
                let runtime = runtime.clone();
                tokio::spawn(async move {
                    if i % 2 == 0 {
                        let batch = filled(i + 1, 1000);
                        let mut batch = runtime.run_batch(batch).await.unwrap().buffers;
                        assert!(batch.drain().all(|member| member.result.is_ok()));
                    } else {
                        let data = noise(i * 10_000);
                        let crc = runtime.crc32c(data.clone(), 0).await.unwrap().value;
                        assert_eq!(crc, CRC32C.checksum(&data));
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
}
