//! Compressions and expansions in one batch: one write of a tail for all of them.

use qat_emu::{Action, DeviceConfig, FaultPlan, Model, PfFaults, ResetRefusal};
use svala::backend::{Failure, Member, Polled, Queue, QueueFault, Refused, Submission, Submitted};
use svala::{
    AesKey, Batch, Check, Cipher, CipherMode, DeflateOptions, Error, IoBuf as _, IoBufMut as _, Job, Lent,
    Path, Reason, Runtime, Value, block_on,
};
use svala_qat::{ArenaBuf, QatQueue, emulated};
use svala_software::{SoftwareConfig, SoftwareQueue};

use crate::support::{Machine, deflate, impatient, inflate, text, until};

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
    let before = machine.function.device().stats().tail_writes;
    let done = block_on(machine.runtime.run_batch(batch)).expect("runs");
    assert_eq!(machine.function.device().stats().tail_writes - before, 1, "one for all 32");
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

/// A function of which ring pairs of one kind are lost for good, by the first request, and the others are not.
fn half_lost(ring_map: u16) -> DeviceConfig {
    let faults = PfFaults {
        refused_resets: u32::MAX,
        refusal: Some(ResetRefusal::NotSupported),
        ..PfFaults::default()
    };
    let plan = FaultPlan::default().at(1, Action::NeverAnswers).pf(faults);
    DeviceConfig { plan, ring_map, ..DeviceConfig::default().with_ciphers() }
}

/// Two buffers in the arena, and a job on them.
fn deflates(queue: &QatQueue) -> (Job, ArenaBuf, ArenaBuf) {
    let arena = queue.arena();
    let (mut src, mut dst) = (arena.allocate(4000).expect("room"), arena.allocate(8000).expect("room"));
    src.copy_from_slice(&text(4000, 1));
    let job = Job::Deflate { src: src.span(), dst: dst.span_mut(), level: 6, last: true, check: Check::None };
    (job, src, dst)
}

fn encrypts(queue: &QatQueue, cipher: &Cipher) -> (Job, ArenaBuf, ArenaBuf) {
    let arena = queue.arena();
    let (src, mut dst) = (arena.allocate(4000).expect("room"), arena.allocate(4000).expect("room"));
    let (from, to, cipher, mode) = (src.span().addr, dst.span_mut().addr, cipher.addr(), CipherMode::Gcm);
    (Job::Cipher { src: from, dst: to, len: 4000, cipher, mode, encrypts: true }, src, dst)
}

/// Nothing waits for a ring pair that does not come back, and nothing else suffers from it.
#[test]
#[expect(unsafe_code, reason = "a batch of both kinds is submitted to the queue itself")]
fn members_whose_ring_pairs_are_all_lost_end_and_the_others_go_on() {
    let (queue, function) = emulated(half_lost(0o2232), impatient()).expect("a function");
    let cipher = Cipher::gcm(AesKey::new(&[7; 16]).expect("a key"), [1; 12]);
    let (lost, flight) = (encrypts(&queue, &cipher), queue.flight());
    // SAFETY: the flight is idle; cipher, buffers and flight live as long as the queue, whose device may still use them.
    let submitted = unsafe { queue.submit(&flight, &lost.0, Submission::default()) };
    assert_eq!(submitted, Ok(Submitted::Flying));
    until("the ring pair is lost", || queue.open_pairs() == 3 && queue.stats().resets_refused != 0);
    let jobs = [deflates(&queue), encrypts(&queue, &cipher), deflates(&queue), encrypts(&queue, &cipher)];
    let mut members = jobs.each_ref().map(|(job, ..)| Member { job: *job, result: None });
    let both = queue.flight();
    // SAFETY: the flight is idle, and polled to its end below; cipher and buffers outlive it.
    let submitted = unsafe { queue.submit_batch(&both, &mut members, Submission::default()) };
    assert_eq!(submitted, Ok(Submitted::Flying));
    until("the batch ends", || matches!(queue.poll(&both, &mut members), Polled::Done(Ok(_))));
    let gone = Some(Err(Failure::Operation(QueueFault::Halted)));
    assert_eq!((members[1].result, members[3].result), (gone, gone));
    for (member, (_, src, dst)) in members.iter().zip(&jobs).step_by(2) {
        let Some(Ok(done)) = member.result else { panic!("{member:?}") };
        let Value::Deflate { written, .. } = done.value else { panic!("{done:?}") };
        assert_eq!(inflate(&dst[..usize::try_from(written).expect("fits")]), src[..]);
    }
    // Of one kind only: as a whole, so that the CPU may do it.
    let mut members = [members[1]; 2].map(|member| Member { result: None, ..member });
    // SAFETY: as above; it is refused.
    let submitted = unsafe { queue.submit_batch(&both, &mut members, Submission::default()) };
    assert_eq!(submitted, Err(Refused::Failed(Failure::Operation(QueueFault::Halted))));
    assert_eq!(queue.fault(), None, "it still compresses");
    drop(queue);
    assert_eq!(function.device().stats().late_faults, 0);
}

/// What the function did with them the CPU does, and says why; what it does with others it goes on with.
#[test]
fn operations_whose_ring_pairs_are_lost_are_the_cpus_and_the_rest_is_not() {
    let (queue, _) = emulated(half_lost(0o3333 ^ 0o0001), impatient()).expect("a function");
    let cpu = SoftwareQueue::new(SoftwareConfig::default()).expect("the CPU");
    let runtime = Runtime::builder()
        .queue(queue)
        .queue(cpu)
        .config(|config| config.answer_within = std::time::Duration::from_secs(3))
        .build()
        .expect("a runtime");
    let by_cpu = Path::Software { reason: Reason::QueueOut { fault: QueueFault::Halted } };
    let data = text(4000, 1);
    let failed = block_on(runtime.deflate(data.clone(), vec![0; 8000], HOW)).expect_err("never answered");
    assert!(matches!(failed.error, Error::NoAnswer { .. }), "{}", failed.error);
    // Silent means out, for a while.
    until("it is asked again", || runtime.snapshot().queues[0].state == svala::QueueState::Up);
    for _ in 0..3 {
        let done = block_on(runtime.deflate(data.clone(), vec![0; 8000], HOW)).expect("the CPU does it");
        assert_eq!(done.report.path, by_cpu);
        assert_eq!(inflate(crate::support::stream(&done)), data);
        let cipher = Cipher::gcm(AesKey::new(&[7; 16]).expect("a key"), [1; 12]);
        let done = block_on(runtime.encrypt(data.clone(), vec![0; 4000], cipher)).expect("encrypts");
        assert_eq!(done.report.path.to_string(), "emulated (qat)");
    }
    let mut batch = Batch::with_capacity(4);
    for _ in 0..4 {
        batch.deflate(data.clone(), vec![0; 8000], HOW).expect("room");
    }
    let done = block_on(runtime.run_batch(batch)).expect("runs");
    assert_eq!(done.report.path, by_cpu);
    let mut batch = done.buffers;
    assert_eq!(batch.drain().filter(|member| member.result.is_ok()).count(), 4);
    assert_eq!(runtime.snapshot().queues[0].state, svala::QueueState::Up);
}
