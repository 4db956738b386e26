//! Batches.

use pollster::block_on;
use svala::{Batch, Error, IoBuf, Lent, Value};

use crate::support::{Pages, Setup, noise};

pub(crate) fn mixed(setup: &Setup) {
    let mut batch = Batch::with_capacity(8);
    let bytes = noise(1000, 1);
    for _ in 0..2 {
        batch.copy(bytes.clone(), vec![0; 1000]).expect("room");
        batch.fill(vec![0; 17], 0x11_22_33_44_55_66_77_88).expect("room");
        batch.compare(bytes.clone(), noise(1000, 2)).expect("room");
        batch.crc32c(bytes.clone(), 0).expect("room");
        batch.copy(Vec::new(), Vec::new()).expect("room");
        let failed = batch.copy(vec![1], vec![]).expect_err("lengths differ");
        assert!(matches!(failed.error, Error::Length { .. }) && failed.buffers.is_some());
        let done = block_on(setup.runtime.run_batch(batch)).expect("runs");
        batch = done.buffers;
        let members: Vec<_> =
            batch.drain().map(|member| (member.result.expect("well"), member.lent)).collect();
        assert!(matches!(&members[0].1, Lent::Copy(src, dst) if src == dst));
        assert!(
            matches!(&members[1].1, Lent::Fill(dst) if dst[..9] == [0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 0x88])
        );
        let differ = bytes.iter().zip(noise(1000, 2)).position(|(a, b)| *a != b).map(|at| at as u64);
        assert_eq!(members[2].0.value, Value::Difference(differ));
        let crc = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI).checksum(&bytes);
        assert_eq!(members[3].0.value, Value::Crc(crc.into()));
        assert_eq!(members[4].0.bytes, 0);
    }
    for _ in 0..8 {
        batch.fill(vec![0], 1).expect("room");
    }
    assert!(matches!(batch.fill(vec![0], 1).expect_err("full").error, Error::BatchFull { members_max: 8 }));
}

pub(crate) fn cold(setup: &Setup) {
    let mut batch = Batch::<Pages, Pages>::with_capacity(5);
    let lens = [100, 5000, 70_000, setup.transfer_bytes_max + 5, 4096];
    for (seed, len) in (0..).zip(lens) {
        batch.copy(Pages::warm(&noise(len, seed)), Pages::cold(len)).expect("room");
    }
    let mut done = block_on(setup.runtime.run_batch(batch)).expect("runs");
    for (seed, (member, len)) in (0..).zip(done.buffers.drain().zip(lens)) {
        assert_eq!(member.result.expect("well").bytes, len as u64);
        let Lent::Copy(_, dst) = member.lent else { panic!("a copy went in") };
        assert!(dst.bytes() == &noise(len, seed)[..], "{len} bytes");
    }
}

pub(crate) fn bad_member(setup: &Setup) {
    let mut batch = Batch::<Pages, Pages>::with_capacity(3);
    let bytes = noise(8192, 4);
    let bad = Pages::cold(8192);
    bad.protect(1, libc::PROT_READ);
    batch.copy(Pages::warm(&bytes), Pages::cold(8192)).expect("room");
    batch.copy(Pages::warm(&bytes), bad).expect("room");
    batch.copy(Pages::warm(&bytes), Pages::cold(8192)).expect("room");
    let mut batch = match block_on(setup.runtime.run_batch(batch)) {
        Ok(done) => done.buffers,
        Err(failed) => failed.buffers.expect("the batch comes back"),
    };
    let results: Vec<_> = batch.drain().map(|member| (member.result.is_ok(), member.lent)).collect();
    assert_eq!(results.iter().map(|(ok, _)| *ok).collect::<Vec<_>>(), [true, false, true]);
    for (ok, lent) in results {
        let Lent::Copy(_, dst) = lent else { panic!("a copy went in") };
        assert!(!ok || dst.bytes() == &bytes[..]);
    }
}
