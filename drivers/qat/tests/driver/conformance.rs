//! Results of every operation, over sizes, tiers of memory, generations and settings.

use qat_emu::{DeviceConfig, Model};
use svala::backend::{AddressMode, Completion};
use svala::{Check, DeflateOptions, Error, Path, Runtime, block_on};
use svala_qat::{InstantFunction, QatQueueConfig};

use crate::support::{Machine, all, deflate, inflate, noise, settings, stream, text, until};

const CRC: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);
const ADLER: crc_adler::Adler = crc_adler::Adler;

/// Adler-32 by its definition.
mod crc_adler {
    pub(super) struct Adler;
    impl Adler {
        pub(super) fn checksum(&self, data: &[u8]) -> u32 {
            let (a, b) = data.iter().fold((1_u32, 0_u32), |(a, b), byte| {
                let a = (a + u32::from(*byte)) % 65521;
                (a, (b + a) % 65521)
            });
            b << 16 | a
        }
    }
}

fn options(level: u8, check: Check) -> DeflateOptions {
    DeflateOptions { level, last: true, check }
}

/// Sizes around pages, parts, and the minimum room of the generations.
const SIZES: [usize; 11] = [1, 5, 100, 511, 512, 4095, 4097, 65_535, 65_537, 200_000, 700_001];

#[test]
fn what_is_compressed_expands_elsewhere() {
    for model in [Model::Gen4, Model::Gen5, Model::Gen6] {
        let machine = Machine::of(model);
        for (index, len) in SIZES.into_iter().enumerate() {
            for (data, level) in [(text(len, index as u64), 1), (noise(len, 7), 6), (vec![0; len], 9)] {
                let room = vec![0; len + len / 4 + 4096];
                let done =
                    block_on(machine.runtime.deflate(data.clone(), room, options(level, Check::Crc32)))
                        .unwrap_or_else(|failed| panic!("{model:?} {len}: {}", failed.error));
                assert_eq!(inflate(stream(&done)), data, "{model:?} {len}");
                assert_eq!(done.value.check, CRC.checksum(&data));
                assert_eq!(done.report.path.to_string(), "emulated (qat)");
                assert_eq!(done.report.bytes, len as u64);
            }
        }
        machine.assert_clean();
    }
}

#[test]
fn what_is_compressed_elsewhere_expands() {
    for model in [Model::Gen4, Model::Gen6] {
        let machine = Machine::of(model);
        for (index, len) in SIZES.into_iter().enumerate() {
            let data = text(len, index as u64);
            let mut packed = deflate(&data);
            let read = packed.len() as u64;
            packed.extend_from_slice(b"what comes after the stream");
            let done =
                block_on(machine.runtime.inflate(packed, vec![0; len], Check::Adler32)).expect("expands");
            assert_eq!(done.buffers.1, data);
            assert_eq!((done.value.read, done.value.written), (read, len as u64));
            assert_eq!(done.value.check, ADLER.checksum(&data));
        }
        machine.assert_clean();
    }
}

#[test]
fn parts_of_a_stream_follow_each_other() {
    let machine = Machine::of(Model::Gen4);
    let data = text(300_000, 3);
    let mut whole = Vec::new();
    let pieces: Vec<_> = data.chunks(70_000).collect();
    for (index, piece) in pieces.iter().enumerate() {
        let how = DeflateOptions { level: 6, last: index + 1 == pieces.len(), check: Check::None };
        let done =
            block_on(machine.runtime.deflate(piece.to_vec(), vec![0; 100_000], how)).expect("compresses");
        whole.extend_from_slice(stream(&done));
    }
    assert_eq!(inflate(&whole), data);
}

#[test]
fn memory_of_the_arena_is_used_in_place() {
    let machine = Machine::of(Model::Gen4);
    let data = text(3_000_000, 1);
    let mut src = machine.arena.allocate(data.len()).expect("room");
    src.copy_from_slice(&data);
    let dst = machine.arena.allocate(data.len()).expect("room");
    let before = machine.function.device().stats().requests;
    let done = block_on(machine.runtime.deflate(src, dst, options(1, Check::Adler32))).expect("compresses");
    assert_eq!(inflate(stream(&done)), data);
    assert_eq!(done.value.check, ADLER.checksum(&data), "combined over parts");
    assert_eq!(machine.function.device().stats().requests - before, 3, "parts of 1 MiB, none of them copied");
    let back =
        block_on(machine.runtime.inflate(done.buffers.1, done.buffers.0, Check::Crc32)).expect("expands");
    assert_eq!(&*back.buffers.1, &data[..]);
    assert_eq!(back.value.check, CRC.checksum(&data));
    machine.assert_clean();
}

#[test]
fn the_queue_says_what_it_is() {
    let machine = Machine::of(Model::Gen4);
    let capabilities = machine.runtime.capabilities().next().expect("a queue").clone();
    assert_eq!(capabilities.address_mode, AddressMode::PinnedVa);
    assert!(capabilities.adler32);
    let error = block_on(machine.runtime.copy(vec![1], vec![0])).expect_err("no copies").error;
    assert!(matches!(error, Error::Unsupported { .. }), "{error}");
}

#[test]
fn looking_works_as_well_as_interrupts() {
    let config = QatQueueConfig { completion: Completion::Polled, ..settings() };
    let machine = Machine::with(DeviceConfig::default(), config);
    for len in SIZES {
        let data = text(len, 9);
        let done =
            block_on(machine.runtime.deflate(data.clone(), vec![0; 2 * len + 2048], options(6, Check::None)))
                .expect("compresses");
        assert_eq!(inflate(stream(&done)), data);
    }
    machine.assert_clean();
    assert_eq!(machine.function.device().stats().interrupts, 0);
}

/// The device is told how far its answers have been read once for 32 of them, and not for each.
#[test]
fn the_head_is_written_late() {
    let config = QatQueueConfig { completion: Completion::Polled, ..settings() };
    let machine = Machine::with(DeviceConfig { ring_map: 0o0002, ..DeviceConfig::default() }, config);
    let before = machine.function.device().stats();
    let data = text(500, 9);
    for _ in 0..320 {
        block_on(machine.runtime.deflate(data.clone(), vec![0; 4096], options(1, Check::None)))
            .expect("compresses");
    }
    // Whoever reads the last answer hands it over first.
    let heads = || machine.function.device().stats().head_writes - before.head_writes;
    until("ten writes", || heads() == 10);
    assert_eq!(machine.function.device().stats().responses - before.responses, 320);
    machine.assert_clean();
}

#[test]
fn fixed_codes_are_asked_for_where_there_are_any() {
    for (model, fixed) in [(Model::Gen4, true), (Model::Gen6, false)] {
        let config = QatQueueConfig { fixed_codes: true, ..settings() };
        let machine = Machine::with(DeviceConfig { model, ..DeviceConfig::default() }, config);
        let data = text(10_000, 4);
        let done = block_on(machine.runtime.deflate(data.clone(), vec![0; 20_000], options(6, Check::None)))
            .unwrap_or_else(|failed| panic!("{model:?} {fixed}: {}", failed.error));
        assert_eq!(inflate(stream(&done)), data);
        machine.assert_clean();
    }
}

/// Room below what the device wants to be offered: the output goes by way of a bounce buffer.
#[test]
fn just_enough_room_is_enough() {
    let machine = Machine::of(Model::Gen4);
    let data = vec![b'a'; 1000];
    let needed = {
        let done = block_on(machine.runtime.deflate(data.clone(), vec![0; 4096], options(6, Check::None)))
            .expect("compresses");
        usize::try_from(done.value.written).expect("small")
    };
    let done = block_on(machine.runtime.deflate(data.clone(), vec![0; needed], options(6, Check::None)))
        .expect("fits");
    assert_eq!(inflate(stream(&done)), data);
    let failed = block_on(machine.runtime.deflate(data, vec![0; needed - 1], options(6, Check::None)))
        .expect_err("does not fit");
    assert!(matches!(failed.error, Error::OutputFull { bytes_max, .. } if bytes_max == needed as u64 - 1));
    assert!(failed.buffers.is_some());
}

#[test]
fn an_expansion_stays_within_its_room() {
    let machine = Machine::of(Model::Gen4);
    let bomb = deflate(&vec![0; 10 << 20]);
    let failed =
        block_on(machine.runtime.inflate(bomb, vec![0; 100_000], Check::None)).expect_err("does not fit");
    assert!(matches!(failed.error, Error::OutputFull { bytes_max: 100_000, .. }), "{}", failed.error);
    machine.assert_clean();
}

#[test]
fn broken_streams_are_told_apart() {
    let machine = Machine::of(Model::Gen4);
    let whole = deflate(&text(50_000, 2));
    let cut = whole[..whole.len() / 2].to_vec();
    let len = cut.len() as u64;
    let failed = block_on(machine.runtime.inflate(cut, vec![0; 60_000], Check::None)).expect_err("cut off");
    assert!(matches!(failed.error, Error::Truncated { len: at, .. } if at == len), "{}", failed.error);
    let failed = block_on(machine.runtime.inflate(vec![0xff; 1000], vec![0; 60_000], Check::None))
        .expect_err("no stream");
    assert!(matches!(failed.error, Error::Corrupt { .. }), "{}", failed.error);
}

/// What does not fit bounce buffers is for the CPU, and the result says so.
#[test]
fn a_stream_too_large_to_copy_goes_to_the_cpu() {
    let (queue, _function) = svala_qat::emulated(DeviceConfig::default(), settings()).expect("a function");
    let cpu = svala_software::SoftwareQueue::new(svala_software::SoftwareConfig::default()).expect("a CPU");
    let runtime = Runtime::builder().queue(queue).queue(cpu).build().expect("a runtime");
    let data = text(5 << 20, 8);
    let packed = deflate(&data);
    let done = block_on(runtime.inflate(packed, vec![0; data.len()], Check::None)).expect("expands");
    assert_eq!(done.buffers.1, data);
    assert!(
        matches!(done.report.path, Path::Software { reason: svala::Reason::Stream }),
        "{}",
        done.report.path
    );
}

#[test]
fn many_at_once_are_answered_each() {
    let machine = Machine::of(Model::Gen4);
    let before = machine.function.device().stats().tail_writes;
    let inputs: Vec<_> = (0..40).map(|index| text(1000 + 100 * index, index as u64)).collect();
    let future = |data: &Vec<u8>| {
        Box::pin(machine.runtime.deflate(data.clone(), vec![0; 20_000], options(6, Check::Crc32)))
    };
    for (data, done) in inputs.iter().zip(all(inputs.iter().map(future).collect())) {
        let done = done.expect("compresses");
        assert_eq!(inflate(stream(&done)), *data);
        assert_eq!(done.value.check, CRC.checksum(data));
    }
    assert!(machine.function.device().stats().tail_writes > before);
    machine.assert_clean();
}

#[test]
fn the_instant_function_answers_every_request() {
    let queue =
        InstantFunction::queue(QatQueueConfig { name: "instant".into(), ..settings() }).expect("a queue");
    let runtime = Runtime::builder().queue(queue).build().expect("a runtime");
    for _ in 0..1000 {
        let done = block_on(runtime.inflate(vec![3; 64], vec![0; 64], Check::None)).expect("answers");
        assert_eq!(done.report.path.to_string(), "emulated (instant)");
    }
}
