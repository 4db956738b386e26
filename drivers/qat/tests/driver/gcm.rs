//! AES-GCM, against messages that OpenSSL has encrypted.

use qat_emu::{Action, DeviceConfig, FaultPlan, Model};
use svala::{
    AesKey, Cipher, CipherFault, Completed, Encrypted, Error, IoBuf as _, Operation, Path, Reason, Runtime,
    block_on,
};
use svala_qat::{QatFlight, QatQueueConfig, emulated};
use svala_software::{SoftwareConfig, SoftwareQueue};

use crate::support::{Machine, all, impatient, inflate, noise, settings, stream, text};
use crate::vectors::{Vector, vectors};

type Both = (Vec<u8>, Vec<u8>);

/// A function that compresses and encrypts.
fn machine(plan: FaultPlan, config: QatQueueConfig) -> Machine {
    Machine::with(DeviceConfig { plan, ..DeviceConfig::default() }.with_ciphers(), config)
}

fn key(bytes: &[u8]) -> AesKey {
    AesKey::new(bytes).expect("a length of AES")
}

fn cipher_of(vector: &Vector) -> Cipher {
    let nonce = vector.iv[..].try_into().expect("a nonce");
    Cipher::gcm(key(&vector.key), nonce).with_aad(&vector.aad[..])
}

/// What a function takes: at least a byte, and no more than 240 that are only authenticated.
fn taken() -> impl Iterator<Item = Vector> {
    gcm().filter(|vector| !vector.message.is_empty() && vector.aad.len() <= 240)
}

fn gcm() -> impl Iterator<Item = Vector> {
    vectors().filter(|vector| vector.mode == "gcm")
}

fn encrypt(runtime: &Runtime, data: &[u8], cipher: Cipher) -> Result<Completed<Encrypted, Both>, Error> {
    block_on(runtime.encrypt(data.to_vec(), vec![0xee; data.len()], cipher)).map_err(|failed| {
        assert!(failed.buffers.is_some(), "the buffers come back with {}", failed.error);
        failed.error
    })
}

#[test]
fn messages_are_encrypted_as_openssl_does_and_come_back() {
    for model in [Model::Gen4, Model::Gen5, Model::Gen6] {
        let machine =
            Machine::with(DeviceConfig { model, ..DeviceConfig::default() }.with_ciphers(), settings());
        let mut count = 0;
        for vector in taken() {
            let len = vector.message.len();
            let done = encrypt(&machine.runtime, &vector.message, cipher_of(&vector)).expect("encrypts");
            assert!(vector.is_encrypted(&done.buffers.1), "{len} bytes");
            assert_eq!((done.value.written, done.value.tag), (len as u64, vector.tag), "{len} bytes");
            assert_eq!(
                (done.report.bytes, done.report.path.to_string()),
                (len as u64, "emulated (qat)".into())
            );
            let cipher = cipher_of(&vector).with_tag(vector.tag.expect("a tag"));
            let back = block_on(machine.runtime.decrypt(done.buffers.1, vec![0xee; len], cipher))
                .unwrap_or_else(|failed| panic!("{len} bytes: {}", failed.error));
            assert!(back.buffers.1 == vector.message && back.value == len as u64, "{len} bytes");
            count += 1;
        }
        assert!(count > 20, "{count} messages");
        machine.assert_clean();
        assert_eq!(machine.function.device().stats().requests, 2 * count);
    }
}

/// In place: nothing is copied, and more goes than would fit a bounce buffer.
#[test]
fn messages_in_the_arena_are_not_copied() {
    let machine = machine(FaultPlan::default(), settings());
    let data = noise(3 << 20, 1);
    let cipher = || Cipher::gcm(key(&[7; 32]), [9; 12]).with_aad(*b"header");
    let mut src = machine.arena.allocate(data.len()).expect("room");
    src.copy_from_slice(&data);
    let dst = machine.arena.allocate(data.len()).expect("room");
    let done = block_on(machine.runtime.encrypt(src, dst, cipher())).expect("encrypts");
    let mut theirs = vec![0; data.len()];
    let rule = svala_software::cipher::Cipher::Gcm { key: &[7; 32], nonce: &[9; 12], aad: b"header" };
    let tag = svala_software::cipher::encrypt(&rule, &data, &mut theirs).expect("encrypts");
    assert!(done.buffers.1.bytes() == theirs && done.value.tag == tag);
    let (src, dst) = done.buffers;
    let cipher = cipher().with_tag(tag.expect("a tag"));
    let back = block_on(machine.runtime.decrypt(dst, src, cipher)).expect("decrypts");
    assert!(back.buffers.1.bytes() == data);
    machine.assert_clean();
}

#[test]
fn what_is_not_what_its_tag_was_made_of_is_refused_and_wiped() {
    let machine = with_cpu(DeviceConfig::default().with_ciphers());
    for vector in taken().filter(|vector| vector.message.len() < 5000) {
        let done = encrypt(&machine, &vector.message, cipher_of(&vector)).expect("encrypts");
        let (encrypted, tag) = (done.buffers.1, vector.tag.expect("a tag"));
        let mut other = tag;
        other[15] ^= 0x80;
        let mut damaged = encrypted.clone();
        *damaged.last_mut().expect("a byte") ^= 1;
        for (bytes, cipher) in [
            (encrypted.clone(), cipher_of(&vector).with_tag(other)),
            (damaged, cipher_of(&vector).with_tag(tag)),
            (encrypted.clone(), cipher_of(&vector).with_aad(*b"another").with_tag(tag)),
        ] {
            let failed =
                block_on(machine.decrypt(bytes, vec![0xee; encrypted.len()], cipher)).expect_err("another");
            assert!(
                matches!(failed.error, Error::Cipher { fault: CipherFault::Tag, .. }),
                "{}",
                failed.error
            );
            assert_eq!(failed.report.path.to_string(), "emulated (qat)");
            let (_, dst) = failed.buffers.expect("they come back");
            assert!(dst.iter().all(|byte| *byte == 0), "what the device wrote is left");
        }
    }
    let failed = block_on(machine.decrypt(vec![0; 9], vec![0; 9], Cipher::gcm(key(&[1; 16]), [0; 12])))
        .expect_err("no tag");
    assert!(matches!(failed.error, Error::Cipher { fault: CipherFault::NoTag, .. }), "{}", failed.error);
}

fn with_cpu(device: DeviceConfig) -> Runtime {
    let (queue, _) = emulated(device, settings()).expect("a function");
    let cpu = SoftwareQueue::new(SoftwareConfig::default()).expect("the CPU");
    Runtime::builder().queue(queue).queue(cpu).build().expect("a runtime")
}

/// Empty ones, and those with too much beside them: the CPU does them, and the result says why.
#[test]
fn messages_a_function_does_not_take_go_to_the_cpu() {
    let runtime = with_cpu(DeviceConfig::default().with_ciphers());
    let long = vec![3; 241];
    let cases = [(Vec::new(), vec![1; 20]), (text(100, 1), long), (text(3 << 20, 2), Vec::new())];
    for (data, aad) in cases {
        let cipher = || Cipher::gcm(key(&[7; 16]), [9; 12]).with_aad(&aad[..]);
        let done = encrypt(&runtime, &data, cipher()).expect("encrypts");
        let path = done.report.path;
        let reason = if data.is_empty() { Reason::Empty } else { Reason::Shape };
        assert_eq!(path, Path::Software { reason }, "{} bytes", data.len());
        let cipher = cipher().with_tag(done.value.tag.expect("a tag"));
        let back = block_on(runtime.decrypt(done.buffers.1, vec![0; data.len()], cipher)).expect("decrypts");
        assert!(back.buffers.1 == data);
    }
}

#[test]
fn a_function_says_what_its_ring_pairs_do() {
    let operations = |device: DeviceConfig| {
        let machine = Machine::with(device, settings());
        let queue = machine.runtime.capabilities().next().expect("a queue").operations;
        [Operation::Deflate, Operation::EncryptGcm, Operation::DecryptGcm, Operation::EncryptXts]
            .map(|operation| queue.contains(operation))
    };
    let both = DeviceConfig::default().with_ciphers();
    assert_eq!(operations(DeviceConfig::default()), [true, false, false, false]);
    assert_eq!(operations(both.clone()), [true, true, true, false]);
    assert_eq!(operations(DeviceConfig { ring_map: 0o3333, ..both.clone() }), [false, true, true, false]);
    assert_eq!(operations(DeviceConfig { model: Model::Gen6, ..both }), [true, true, true, false]);
}

/// Compressions and encryptions at once: each goes to ring pairs of its kind.
#[test]
fn both_services_work_side_by_side() {
    let machine = machine(FaultPlan::default().every(3, 1, Action::Late(4)), settings());
    let inputs: Vec<_> =
        (0..48_u64).map(|index| text(1000 + 100 * usize::try_from(index).expect("small"), index)).collect();
    let how = svala::DeflateOptions { level: 6, last: true, check: svala::Check::None };
    let future = |(index, data): (usize, &Vec<u8>)| {
        let (machine, data) = (&machine, data.clone());
        Box::pin(async move {
            if index % 2 == 0 {
                let done =
                    machine.runtime.deflate(data.clone(), vec![0; 20_000], how).await.expect("compresses");
                assert_eq!(inflate(stream(&done)), data);
                return;
            }
            let nonce = [u8::try_from(index).expect("small"); 12];
            let cipher = Cipher::gcm(key(&[5; 16]), nonce);
            let done =
                machine.runtime.encrypt(data.clone(), vec![0; data.len()], cipher).await.expect("encrypts");
            let mut theirs = vec![0; data.len()];
            let rule = svala_software::cipher::Cipher::Gcm { key: &[5; 16], nonce: &nonce, aad: b"" };
            let tag = svala_software::cipher::encrypt(&rule, &data, &mut theirs).expect("encrypts");
            assert!(done.buffers.1 == theirs && done.value.tag == tag);
        })
    };
    all(inputs.iter().enumerate().map(future).collect());
    machine.assert_clean();
}

#[test]
fn a_device_that_fails_or_is_silent_is_told_apart_from_a_wrong_tag() {
    let plan =
        FaultPlan::default().at(1, Action::SliceHang).at(3, Action::NotValid).at(4, Action::NeverAnswers);
    let machine = machine(plan, impatient());
    let one = || {
        let encrypted = vec![1; 1000];
        let cipher = Cipher::gcm(key(&[5; 16]), [1; 12]).with_tag([0; 16]);
        let failed = block_on(machine.runtime.decrypt(encrypted, vec![0; 1000], cipher)).expect_err("fails");
        failed.error
    };
    let error = one();
    assert!(matches!(error, Error::Status { name: "SSM_ERROR", .. }), "{error}");
    assert!(matches!(one(), Error::Cipher { fault: CipherFault::Tag, .. }));
    let error = one();
    assert!(matches!(error, Error::Nonsense { .. }), "{error}");
    let error = one();
    assert!(error.to_string().contains("ring pair reset"), "{error}");
    assert!(matches!(one(), Error::Cipher { fault: CipherFault::Tag, .. }), "the ring pair works again");
    machine.assert_clean();
}

/// Of a key nothing is left in memory that the device reaches, whatever became of the job.
#[test]
fn keys_are_overwritten_when_a_job_is_over() {
    use svala::backend::{Polled, Queue as _, Submission, Submitted};
    use svala::{CipherMode, Job};

    let plan = FaultPlan::default().at(2, Action::SliceHang);
    let device = DeviceConfig { plan, ..DeviceConfig::default() }.with_ciphers();
    let (queue, function) = emulated(device, settings()).expect("a function");
    let arena = queue.arena();
    let flight: QatFlight = queue.flight();
    let mark = *b"a key to look for, 32 bytes long";
    let cipher = Cipher::gcm(key(&mark), [1; 12]);
    for round in 1..=3 {
        let (src, mut dst) = (arena.allocate(5000).expect("room"), arena.allocate(5000).expect("room"));
        let (from, to) = (src.span().addr, svala::IoBufMut::span_mut(&mut dst).addr);
        let mode = CipherMode::Gcm;
        let job = Job::Cipher { src: from, dst: to, len: 5000, cipher: cipher.addr(), mode, encrypts: true };
        // SAFETY: the flight is idle; buffers and cipher are there until the answer, which is waited for.
        #[expect(unsafe_code, reason = "a job is submitted to the queue itself")]
        let submitted = unsafe { queue.submit(&flight, &job, Submission::default()) };
        assert_eq!(submitted, Ok(Submitted::Flying));
        crate::support::until("an answer", || matches!(queue.poll(&flight, &mut []), Polled::Done(_)));
        let start = src.as_ptr();
        drop((src, dst));
        // SAFETY: the arena's, from the first buffer on, mapped as long as `arena` is held; nobody owns any of it now. What a
        // job has besides its buffers is put behind them, as the first place that is free.
        #[expect(unsafe_code, reason = "memory nobody owns is looked at")]
        let free = unsafe { std::slice::from_raw_parts(start, 1 << 16) };
        let found = free.windows(mark.len()).filter(|window| *window == mark).count();
        assert_eq!(found, 0, "round {round}");
    }
    assert_eq!(function.device().stats().requests, 3);
}
