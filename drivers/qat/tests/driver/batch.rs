//! Compressions and expansions in one batch: one write of a tail for all of them.

use qat_emu::{Action, FaultPlan, Model};
use svala::{Batch, Check, DeflateOptions, Error, Lent, Reason, Runtime, Value, block_on};
use svala_software::{SoftwareConfig, SoftwareQueue};

use crate::support::{Machine, deflate, inflate, text};

const HOW: DeflateOptions = DeflateOptions { level: 6, last: true, check: Check::Adler32 };

fn adler(data: &[u8]) -> u32 {
    data.iter().fold(1_u32, |sum, byte| {
        let a = ((sum & 0xffff) + u32::from(*byte)) % 65521;
        ((((sum >> 16) + a) % 65521) << 16) | a
    })
}

#[test]
fn members_of_both_directions_are_sent_together() {
    let machine = Machine::of(Model::Gen4);
    let data: Vec<_> =
        (0..16).map(|seed| text(2000 + 100 * usize::try_from(seed).expect("small"), seed)).collect();
    let mut batch = Batch::with_capacity(32);
    for data in &data {
        batch.deflate(data.clone(), vec![0; 8192], HOW).expect("room");
        batch.inflate(deflate(data), vec![0; data.len()], Check::Crc32).expect("room");
    }
    let done = block_on(machine.runtime.run_batch(batch)).expect("runs");
    assert_eq!(done.report.path.to_string(), "emulated (qat)");
    let mut batch = done.buffers;
    for (index, member) in batch.drain().enumerate() {
        let want = &data[index / 2];
        let Lent::Copy(src, dst) = member.lent else { panic!("two buffers") };
        match member.result.expect("does well").value {
            Value::Deflate { written, check } => {
                assert_eq!((index % 2, check, &src), (0, adler(want), want));
                assert_eq!(&inflate(&dst[..usize::try_from(written).expect("fits")]), want);
            }
            Value::Inflate { read, written, check } => {
                assert_eq!((index % 2, read, written), (1, src.len() as u64, want.len() as u64));
                assert_eq!(check, crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC).checksum(want));
                assert_eq!(&dst, want);
            }
            other => panic!("{other:?}"),
        }
    }
    machine.assert_clean();
}

#[test]
fn a_member_that_fails_leaves_the_others() {
    let machine = Machine::new(FaultPlan::default().at(3, Action::SliceHang));
    let data = text(4000, 1);
    let mut batch = Batch::with_capacity(8);
    for _ in 0..6 {
        batch.deflate(data.clone(), vec![0; 8192], HOW).expect("room");
    }
    // Not a stream; and one without room for what is in it.
    batch.inflate(vec![0xff; 100], vec![0; 100], Check::None).expect("room");
    batch.inflate(deflate(&data), vec![0; 3999], Check::None).expect("room");
    let done = block_on(machine.runtime.run_batch(batch)).expect("runs");
    let mut batch = done.buffers;
    let results: Vec<_> = batch.drain().map(|member| member.result).collect();
    let (made, read) = results.split_at(6);
    assert_eq!(made.iter().filter(|result| result.is_ok()).count(), 5, "{made:?}");
    let hang = made.iter().find_map(|result| result.as_ref().err()).expect("one hung");
    assert!(matches!(**hang, Error::Status { .. }), "{hang}");
    assert!(
        matches!(read[0].as_ref().map_err(|error| &**error), Err(Error::Corrupt { .. })),
        "{:?}",
        read[0]
    );
    let full = read[1].as_ref().map_err(|error| &**error);
    assert!(matches!(full, Err(Error::OutputFull { bytes_max: 3999, .. })), "{full:?}");
}

/// The CPU takes the same batches; it is asked where no device computes the checksum.
#[test]
fn the_cpu_does_what_no_device_takes() {
    let cpu = SoftwareQueue::new(SoftwareConfig::default()).expect("the CPU");
    let runtime = Runtime::builder().queue(cpu).build().expect("a runtime");
    let data = text(50_000, 4);
    let mut batch = Batch::with_capacity(2);
    batch.deflate(data.clone(), vec![0; 80_000], HOW).expect("room");
    batch.lz4_compress(data.clone(), vec![0; 80_000], 1).expect("room");
    let full = batch.deflate(vec![], vec![], HOW).expect_err("two are enough");
    assert!(matches!(full.error, Error::BatchFull { members_max: 2 }), "{}", full.error);
    let done = block_on(runtime.run_batch(batch)).expect("runs");
    assert_eq!(done.report.path, svala::Path::Software { reason: Reason::Asked });
    let mut batch = done.buffers;
    let values: Vec<_> = batch.drain().map(|member| member.result.expect("does well").value).collect();
    assert!(matches!(values[0], Value::Deflate { check, .. } if check == adler(&data)), "{values:?}");
    assert!(matches!(values[1], Value::Written(bytes) if bytes < 50_000), "{values:?}");
}
