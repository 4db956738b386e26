//! LZ4, judged by the LZ4 project's own library.

use std::io::{Read as _, Write as _};

use lz4::liblz4::BlockChecksum;
use lz4::{BlockMode, BlockSize, ContentChecksum, EncoderBuilder};
use qat_emu::{Action, DeviceConfig, FaultPlan, Model};
use svala::{Error, Lz4Blocks, Operation, Path, Reason, Runtime, block_on};
use svala_qat::emulated;
use svala_software::{Format, Level, Lz4Start, SoftwareConfig, SoftwareQueue, Window, Xxh32, lz4_blocks_len};

use crate::support::{Machine, noise, settings, text};

fn corpus() -> Vec<Vec<u8>> {
    let mut mixed = text(150_000, 1);
    mixed.extend(noise(50_000, 2));
    mixed.extend(vec![0; 120_000]);
    vec![text(1, 3), text(100, 3), text(65_536, 4), noise(70_000, 5), mixed]
}

/// Blocks in a frame, expanded by the reference.
pub(crate) fn theirs(blocks: &[u8], data: &[u8]) -> Vec<u8> {
    let mut frame = Format::Lz4.header(Level::DEFAULT, Window::DEFLATE).to_vec();
    frame.extend_from_slice(blocks);
    frame.extend_from_slice(&Format::Lz4.trailer(Xxh32::of(data), data.len() as u64));
    let mut out = Vec::new();
    lz4::Decoder::new(&frame[..]).expect("a decoder").read_to_end(&mut out).expect("a frame");
    out
}

/// The blocks of a frame that the reference made.
fn encoded(data: &[u8], mode: BlockMode, size: BlockSize) -> (Vec<u8>, Lz4Blocks) {
    let mut builder = EncoderBuilder::new();
    builder.block_mode(mode).block_size(size).checksum(ContentChecksum::NoChecksum);
    builder.block_checksum(BlockChecksum::NoBlockChecksum);
    let mut encoder = builder.build(Vec::new()).expect("an encoder");
    encoder.write_all(data).expect("a vector takes all");
    let frame = encoder.finish().0;
    let Ok(Lz4Start::Frame(header)) = Lz4Start::parse(&frame) else { panic!("a frame") };
    let len = lz4_blocks_len(&frame[header.bytes..], header.blocks).expect("blocks");
    let block_bytes_max = u32::try_from(header.blocks.block_bytes_max).expect("small");
    let blocks = Lz4Blocks { linked: header.blocks.linked, checked: false, block_bytes_max };
    (frame[header.bytes..header.bytes + len].to_vec(), blocks)
}

/// A function, and the CPU behind it.
fn with_cpu(plan: FaultPlan) -> Runtime {
    let (queue, _) =
        emulated(DeviceConfig { plan, ..DeviceConfig::default() }, settings()).expect("a function");
    let cpu = SoftwareQueue::new(SoftwareConfig::default()).expect("the CPU");
    Runtime::builder().queue(queue).queue(cpu).build().expect("a runtime")
}

fn room(len: usize) -> Vec<u8> {
    vec![0; len + len / 64 + 2048]
}

#[test]
fn the_reference_expands_what_the_function_compresses() {
    for model in [Model::Gen4, Model::Gen5, Model::Gen6] {
        let machine = Machine::of(model);
        for data in corpus() {
            for level in [1, 6, 9] {
                let done = block_on(machine.runtime.lz4_compress(data.clone(), room(data.len()), level))
                    .expect("compresses");
                assert_eq!(done.report.path.to_string(), "emulated (qat)");
                let blocks = &done.buffers.1[..usize::try_from(done.value).expect("fits")];
                assert_eq!(theirs(blocks, &data), data, "{model:?} {} {level}", data.len());
            }
        }
        machine.assert_clean();
    }
}

#[test]
fn the_function_expands_what_the_reference_compresses() {
    // What repeats is found within the device's history.
    let near = text(10_000, 6).repeat(20);
    expands(Model::Gen4, &[text(1, 3), text(100, 3), text(20_000, 4), noise(70_000, 5), near]);
    // The history of the sixth is that of the format.
    let far = [noise(10_000, 7), vec![0; 40_000], noise(10_000, 7)].concat();
    expands(Model::Gen6, &[text(1, 3), text(200_000, 4), noise(70_000, 5), far]);
}

fn expands(model: Model, corpus: &[Vec<u8>]) {
    let machine = Machine::of(model);
    for data in corpus.iter().cloned() {
        let (blocks, how) = encoded(&data, BlockMode::Independent, BlockSize::Max64KB);
        // From place to place, and through bounce buffers.
        let mut src = machine.arena.allocate(blocks.len()).expect("room");
        src.copy_from_slice(&blocks);
        let dst = machine.arena.allocate(data.len()).expect("room");
        let done = block_on(machine.runtime.lz4_decompress(src, dst, how)).expect("expands");
        assert_eq!((done.value, &done.buffers.1[..]), (data.len() as u64, &data[..]));
        let done =
            block_on(machine.runtime.lz4_decompress(blocks, vec![0; data.len()], how)).expect("expands");
        assert_eq!((done.value, done.buffers.1), (data.len() as u64, data));
    }
    machine.assert_clean();
}

/// What a QAT does not look back to, what it does not read, and what is broken: the CPU does it, and says so, and what is
/// wrong.
#[test]
fn what_the_function_cannot_read_the_cpu_can() {
    let runtime = with_cpu(FaultPlan::default());
    let by_cpu = Path::Software { reason: Reason::Stream };
    // The same noise twice, 40 KiB apart, within one block.
    let data = [noise(10_000, 7), vec![0; 40_000], noise(10_000, 7)].concat();
    let (far, how) = encoded(&data, BlockMode::Independent, BlockSize::Max64KB);
    let done = block_on(runtime.lz4_decompress(far, vec![0; data.len()], how)).expect("expands");
    assert_eq!((done.report.path, done.buffers.1), (by_cpu, data.clone()));
    let (linked, how) = encoded(&text(200_000, 1), BlockMode::Linked, BlockSize::Max64KB);
    assert!(how.linked);
    let done = block_on(runtime.lz4_decompress(linked.clone(), vec![0; 200_000], how)).expect("expands");
    assert_eq!((done.report.path, done.buffers.1), (by_cpu, text(200_000, 1)));
    // Blocks that are linked, and said not to be.
    let lie = Lz4Blocks { linked: false, ..how };
    let failed = block_on(runtime.lz4_decompress(linked, vec![0; 200_000], lie)).expect_err("a lie");
    assert!(
        matches!(failed.error, Error::Corrupt { operation: Operation::Lz4Decompress, .. }),
        "{}",
        failed.error
    );
    assert!(failed.buffers.is_some());
    let (mut broken, how) = encoded(&text(5000, 2), BlockMode::Independent, BlockSize::Max64KB);
    broken.truncate(broken.len() - 1);
    let failed = block_on(runtime.lz4_decompress(broken, vec![0; 5000], how)).expect_err("too short");
    assert!(matches!(failed.error, Error::Truncated { .. }), "{}", failed.error);
}

#[test]
fn caps_are_kept() {
    let machine = Machine::of(Model::Gen4);
    let data = text(10_000, 9).repeat(10);
    let (blocks, how) = encoded(&data, BlockMode::Independent, BlockSize::Max64KB);
    let failed =
        block_on(machine.runtime.lz4_decompress(blocks, vec![0; 99_999], how)).expect_err("a byte too few");
    assert!(matches!(failed.error, Error::OutputFull { bytes_max: 99_999, .. }), "{}", failed.error);
    let failed = block_on(machine.runtime.lz4_compress(noise(100_000, 1), vec![0; 99_999], 1))
        .expect_err("noise grows");
    assert!(matches!(failed.error, Error::OutputFull { bytes_max: 99_999, .. }), "{}", failed.error);
    let (src, dst) = failed.buffers.expect("they come back");
    assert_eq!((src.len(), dst.len()), (100_000, 99_999));
    machine.assert_clean();
}

#[test]
fn what_goes_wrong_in_the_device_is_an_error_or_put_right() {
    let data = text(3000, 5);
    let outcome = |action| {
        let machine = Machine::new(FaultPlan::default().at(1, action));
        block_on(machine.runtime.lz4_compress(data.clone(), room(3000), 6))
    };
    for action in [
        Action::CnvFailure,
        Action::NoCnvFlag,
        Action::SliceHang,
        Action::Overflow,
        Action::Boasts,
        Action::NotValid,
    ] {
        assert!(outcome(action).is_err(), "{action:?}");
    }
    let stored = outcome(Action::CnvRecovered).expect("stored");
    assert_eq!(stored.value, 3004, "a block that is stored");
    assert_eq!(theirs(&stored.buffers.1[..3004], &data), data);
    let (blocks, how) = encoded(&data, BlockMode::Independent, BlockSize::Max64KB);
    for action in [Action::SliceHang, Action::Boasts, Action::NotValid] {
        let machine = Machine::new(FaultPlan::default().at(1, action));
        let outcome = block_on(machine.runtime.lz4_decompress(blocks.clone(), vec![0; 3000], how));
        assert!(outcome.is_err(), "{action:?}");
    }
}

#[test]
fn a_function_without_lz4_is_not_asked() {
    let plain = DeviceConfig { capabilities: 0x20, ..DeviceConfig::default() };
    let (queue, _) = emulated(plain, settings()).expect("a function");
    let cpu = SoftwareQueue::new(SoftwareConfig::default()).expect("the CPU");
    let runtime = Runtime::builder().queue(queue).queue(cpu).build().expect("a runtime");
    let data = text(100_000, 3);
    let done = block_on(runtime.lz4_compress(data.clone(), room(data.len()), 1)).expect("compresses");
    let reason = Reason::NotOffered { operation: Operation::Lz4Compress };
    assert_eq!(done.report.path, Path::Software { reason });
    assert_eq!(theirs(&done.buffers.1[..usize::try_from(done.value).expect("fits")], &data), data);
}

/// Large input goes in parts, several functions' worth of blocks one behind the other.
#[test]
fn parts_follow_each_other() {
    let machine = Machine::of(Model::Gen4);
    let data = text(3 << 20, 8);
    let mut src = machine.arena.allocate(data.len()).expect("room");
    src.copy_from_slice(&data);
    let dst = machine.arena.allocate(data.len() + (data.len() >> 6)).expect("room");
    let done = block_on(machine.runtime.lz4_compress(src, dst, 1)).expect("compresses");
    assert_eq!(machine.function.device().stats().requests, 3, "parts of a mebibyte");
    assert_eq!(theirs(&done.buffers.1[..usize::try_from(done.value).expect("fits")], &data), data);
    machine.assert_clean();
}
