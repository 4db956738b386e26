//! A decompression over several descriptors: the AECS carries it over every split of input and output, and a device
//! refuses one that no job can have left. zlib and the `crc` crate are the oracles.

use flate2::{Compress, Compression, FlushCompress};
use idxd_emu::{DeviceConfig, DeviceKind};
use idxd_spec::iaa::{Completion, Decompress, DecompressAecs, DecompressFlags, Descriptor, ErrorCode};
use idxd_spec::{Flags, Status};
use proptest::prelude::*;

use crate::support::{Memory, PAGE, Rig, bytes};

const SIZE: usize = DecompressAecs::SIZE;

fn iaa() -> Rig {
    Rig::new(DeviceConfig { name: "iax1".into(), kind: DeviceKind::Iaa, ..DeviceConfig::default() })
}

/// Words that repeat, noise, runs: a thousand bytes of each in turn.
fn mixed(len: usize, seed: u64) -> Vec<u8> {
    let noise = bytes(len, seed);
    let words = ["swallow ", "descriptor ", "portal ", "record ", "fault\n"];
    let mut out = Vec::new();
    for (turn, part) in noise.chunks(1000).enumerate() {
        match turn % 3 {
            0 => out.extend(
                part.iter().flat_map(|draw| words[usize::from(*draw) % words.len()].bytes()).take(1000),
            ),
            1 => out.extend_from_slice(part),
            _ => out.extend(part.iter().step_by(50).flat_map(|byte| [*byte; 50])),
        }
    }
    out.truncate(len);
    out
}

/// Blocks that do not refer to each other, so that no distance is over the 4 KiB of the device.
fn deflate(data: &[u8], level: u32, block: usize) -> Vec<u8> {
    let mut state = Compress::new(Compression::new(level), false);
    let mut stream = Vec::with_capacity(2 * data.len() + 100_000);
    for block in data.chunks(block.clamp(1, 4096)) {
        state.compress_vec(block, &mut stream, FlushCompress::Full).unwrap();
    }
    state.compress_vec(&[], &mut stream, FlushCompress::Finish).unwrap();
    stream
}

/// A job, descriptor by descriptor, as the specification tells software to run one.
struct Job<'a> {
    rig: &'a Rig,
    src: Memory,
    len: usize,
    dst: Memory,
    aecs: Memory,
    read: usize,
    runs: usize,
    out: Vec<u8>,
    /// How the input's bits lie.
    order: DecompressFlags,
}

impl<'a> Job<'a> {
    fn new(rig: &'a Rig, stream: &[u8], room_max: usize) -> Self {
        let (src, dst, aecs) = (Memory::with(stream), Memory::warm(room_max), Memory::warm(2 * SIZE));
        let order = DecompressFlags::empty();
        Self { rig, src, len: stream.len(), dst, aecs, read: 0, runs: 0, out: Vec::new(), order }
    }

    /// The next descriptor, on `piece` bytes of input with `room` for output.
    fn descriptor(&self, piece: usize, room: usize) -> Descriptor {
        let last = self.read + piece == self.len;
        let ends = if last {
            DecompressFlags::FLUSH_OUTPUT | DecompressFlags::CHECK_FOR_EOB
        } else {
            DecompressFlags::empty()
        };
        let mut flags = Flags::WRITE_SRC2_AECS;
        if self.runs > 0 {
            flags |= Flags::READ_SRC2_AECS;
        }
        if self.runs % 2 == 1 {
            flags |= Flags::AECS_TOGGLE;
        }
        Descriptor::decompress(Decompress {
            src: self.src.src(self.read),
            src_size: piece as u32,
            dst: self.dst.dst(0),
            dst_size_max: room as u32,
            flags: DecompressFlags::STOP_ON_EOB | DecompressFlags::SELECT_BFINAL_EOB | self.order | ends,
        })
        .with_src2(self.aecs.addr(0), SIZE as u32)
        .with_flags(flags)
    }

    /// The AECS that was written last.
    fn state(&self) -> DecompressAecs {
        let offset = if self.runs % 2 == 1 { SIZE } else { 0 };
        DecompressAecs::from_bytes(self.aecs.read(offset, SIZE).try_into().unwrap())
    }

    /// Runs a descriptor and takes note of what it did.
    fn step(&mut self, piece: usize, room: usize) -> Completion {
        let completion = self.rig.run_iaa(&self.descriptor(piece, room));
        let size = completion.output_size() as usize;
        let used = completion.bytes_completed() as usize;
        assert!(size <= room && used <= piece, "{completion:?}");
        match completion.status() {
            Status::SUCCESS => self.read += piece,
            Status::OUTPUT_OVERFLOW => self.read += used,
            _ => return completion,
        }
        self.out.extend(self.dst.read(0, size));
        self.runs += 1;
        completion
    }

    /// Runs all of it in pieces.
    fn run(&mut self, mut piece: impl FnMut() -> usize, mut room: impl FnMut() -> usize) -> Completion {
        loop {
            let completion = self.step(piece().min(self.len - self.read), room());
            let goes_on = match completion.status() {
                Status::SUCCESS => self.read < self.len && !self.state().is_terminated(),
                status => status == Status::OUTPUT_OVERFLOW,
            };
            assert!(self.runs < 100_000, "no end");
            if !goes_on {
                return completion;
            }
        }
    }
}

fn crc32(data: &[u8]) -> u32 {
    crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC).checksum(data)
}

fn xor(data: &[u8]) -> u16 {
    data.chunks(2).fold(0, |xor, pair| xor ^ u16::from_le_bytes([pair[0], *pair.get(1).unwrap_or(&0)]))
}

/// The whole of the result: data, checksums of all of it, and where the stream ended.
fn is_right(job: &Job<'_>, completion: &Completion, data: &[u8]) {
    assert_eq!(completion.status(), Status::SUCCESS, "{completion:?}");
    assert!(job.out == data, "{} bytes of {}", job.out.len(), data.len());
    assert_eq!((completion.crc(), completion.xor_csum()), (crc32(data), xor(data)));
    let state = job.state();
    assert!(state.is_terminated());
    assert_eq!((state.bit_offset() as usize).div_ceil(8), job.len, "bits of input");
}

/// Two descriptors, cut after each byte of a stream with every kind of block.
#[test]
fn a_stream_goes_on_from_a_cut_anywhere_in_its_input() {
    let rig = iaa();
    let data = mixed(6001, 1);
    for (level, block) in [(0, 900), (1, 700), (9, 2500)] {
        let stream = deflate(&data, level, block);
        for cut in (1..stream.len()).step_by(if cfg!(debug_assertions) { 3 } else { 1 }) {
            let mut job = Job::new(&rig, &stream, 8192);
            let mut pieces = [cut, stream.len()].into_iter();
            let completion = job.run(|| pieces.next().unwrap(), || 8192);
            is_right(&job, &completion, &data);
        }
    }
}

#[test]
fn a_stream_goes_on_from_every_overflow_of_its_output() {
    let rig = iaa();
    let data = mixed(7003, 2);
    let stream = deflate(&data, 6, 3000);
    for room in [8, 9, 15, 16, 17, 100, 255, 1000, 4095, 4097, 7000, 7002] {
        let mut job = Job::new(&rig, &stream, 8192);
        let completion = job.run(|| usize::MAX, || room);
        is_right(&job, &completion, &data);
        assert!(job.runs >= data.len() / room, "{} runs", job.runs);
    }
    let mut job = Job::new(&rig, &stream, 8192);
    let completion = job.run(|| usize::MAX, || 7003);
    is_right(&job, &completion, &data);
    assert_eq!(job.runs, 1, "as much room as output");
}

/// A room of less than a word takes nothing until what is left fits it.
#[test]
fn output_goes_out_in_words_until_it_is_flushed() {
    let rig = iaa();
    let data = mixed(21, 3);
    let mut job = Job::new(&rig, &deflate(&data, 6, 100), 64);
    let completion = job.step(job.len, 20);
    assert_eq!((completion.status(), completion.output_size()), (Status::OUTPUT_OVERFLOW, 16));
    assert_eq!(job.state().output_bits_valid(), 40);
    let completion = job.step(0, 4);
    assert_eq!((completion.status(), completion.output_size()), (Status::OUTPUT_OVERFLOW, 0));
    let completion = job.step(0, 5);
    is_right(&job, &completion, &data);
}

#[test]
fn bytes_behind_the_stream_are_not_counted_and_change_nothing() {
    let rig = iaa();
    let data = mixed(3000, 4);
    let mut stream = deflate(&data, 6, 4096);
    let len = stream.len();
    stream.extend(bytes(500, 9));
    for piece in [usize::MAX, len, len - 1, len + 1, 100] {
        let mut job = Job::new(&rig, &stream, PAGE);
        let completion = job.run(|| piece, || PAGE);
        assert_eq!(completion.status(), Status::SUCCESS);
        let state = job.state();
        assert!(state.is_terminated());
        assert_eq!((state.bit_offset() as usize).div_ceil(8), len, "pieces of {piece}");
        if job.read < job.len {
            // The rest of a word, if any, comes with a descriptor that flushes.
            job.read = job.len;
            assert_eq!(job.step(0, 8).status(), Status::SUCCESS);
        }
        assert!(job.out == data);
    }
}

/// A stream in words of 16 bits whose bit 15 comes first, and the bits of the last word that are not the stream's.
fn in_words(stream: &[u8], bits: usize) -> (Vec<u8>, usize) {
    let bit = |at: usize| at < bits && stream[at / 8] >> (at % 8) & 1 == 1;
    let word = |first: usize| (0..16).fold(0_u16, |word, at| word << 1 | u16::from(bit(first + at)));
    let words = (0..bits).step_by(16).flat_map(|first| word(first).to_le_bytes());
    (words.collect(), bits.next_multiple_of(16) - bits)
}

fn ignoring(bits: usize) -> DecompressFlags {
    let order = DecompressFlags::BIT_ORDER_BE.with_ignore_end_bits(bits as u16 % 8);
    if bits < 8 { order } else { order | DecompressFlags::IGNORE_END_BITS_EXTENSION }
}

/// Bits of a stream that a run of it in bytes has used.
fn bits_of(rig: &Rig, stream: &[u8]) -> usize {
    let mut job = Job::new(rig, stream, 8192);
    assert_eq!(job.step(stream.len(), 8192).status(), Status::SUCCESS);
    job.state().bit_offset() as usize
}

/// The other order of bits: cut after every word, and with no room for the output at once.
#[test]
fn words_with_their_highest_bit_first_are_the_same_stream() {
    let rig = iaa();
    let mut ignored = std::collections::BTreeSet::new();
    for len in (1..40).chain([3001, 6000]) {
        let data = mixed(len, len as u64);
        let stream = deflate(&data, 6, 900);
        let (words, ignore) = in_words(&stream, bits_of(&rig, &stream));
        ignored.insert(ignore);
        for (piece, room) in [(usize::MAX, 8192), (2, 8192), (6, 1000), (usize::MAX, 8), (50, 24)] {
            let mut job = Job::new(&rig, &words, 8192);
            job.order = ignoring(0);
            let completion = job.run(|| piece, || room);
            assert_eq!(completion.status(), Status::SUCCESS, "{completion:?}");
            assert!(
                job.out == data && job.read.is_multiple_of(2),
                "{len} bytes in pieces of {piece}, room {room}"
            );
            assert_eq!((completion.crc(), completion.xor_csum()), (crc32(&data), xor(&data)));
        }
        // All that is no input may be ignored, and nothing more.
        let mut job = Job::new(&rig, &words, 8192);
        job.order = ignoring(ignore);
        assert_eq!(job.step(words.len(), 8192).status(), Status::SUCCESS);
        if ignore < 15 {
            let mut job = Job::new(&rig, &words, 8192);
            job.order = ignoring(ignore + 1);
            let cut = job.step(words.len(), 8192);
            assert_eq!(
                (cut.status(), cut.error_code()),
                (Status::ANALYTICS_ERROR, ErrorCode::BAD_END_OF_FILE)
            );
        }
    }
    assert!(ignored.range(8..).next().is_some() && ignored.range(..8).next().is_some(), "{ignored:?}");
}

#[test]
fn words_come_whole_and_only_words_ignore_more_than_a_byte() {
    let rig = iaa();
    let stream = deflate(&mixed(100, 6), 6, 4096);
    let status = |order, size| {
        let mut job = Job::new(&rig, &stream, PAGE);
        job.order = order;
        job.len = size;
        job.step(size, PAGE).status()
    };
    let odd = stream.len() / 2 * 2 - 1;
    assert_eq!(status(DecompressFlags::BIT_ORDER_BE, odd), Status::INPUT_SIZE);
    let extension = DecompressFlags::IGNORE_END_BITS_EXTENSION;
    assert_eq!(status(extension, stream.len()), Status::INVALID_COMPRESSION_FLAGS);
}

/// A header of 286 different codes does not fit the 2048 bits of the accumulator when it is cut off near its end.
#[test]
fn a_cut_header_too_large_to_save_is_an_error_and_another_cut_is_not() {
    let rig = iaa();
    let (stream, header_bits) = large_header();
    assert!(header_bits > 2100, "{header_bits} bits");
    let mut job = Job::new(&rig, &stream, PAGE);
    let cut = (header_bits - 8) / 8;
    let completion = job.step(cut, PAGE);
    assert_eq!(
        (completion.status(), completion.error_code()),
        (Status::ANALYTICS_ERROR, ErrorCode::HEADER_TOO_LARGE)
    );
    let mut pieces = [250, usize::MAX].into_iter();
    let completion = job.run(|| pieces.next().unwrap(), || PAGE);
    assert_eq!(completion.status(), Status::SUCCESS);
    assert_eq!(job.out, [0]);
}

/// One literal in a block whose header writes each of 302 lengths out in up to seven bits; and the bits of the header.
pub(crate) fn large_header() -> (Vec<u8>, usize) {
    let mut bits: Vec<bool> = Vec::new();
    let mut put = |value: u32, count: u32| bits.extend((0..count).map(|at| value >> at & 1 == 1));
    [(0b101, 3), (29, 5), (20, 5), (15, 4)].into_iter().for_each(|(value, count)| put(value, count));
    // Code length symbols 1 to 6 have codes of as many bits: ones and a zero. Those of 8 and 9 have seven.
    for symbol in [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15] {
        put(
            if matches!(symbol, 1..=6) {
                symbol
            } else if matches!(symbol, 8 | 9) {
                7
            } else {
                0
            },
            3,
        );
    }
    // 226 codes of 8 bits and 60 of 9 are complete, as are distances of 1 to 5 bits and 16 of 9.
    (0..226).for_each(|_| put(0b011_1111, 7));
    (226..286).for_each(|_| put(0b111_1111, 7));
    (1..=5).for_each(|length| put((1 << (length - 1)) - 1, length));
    (0..16).for_each(|_| put(0b111_1111, 7));
    let header_bits = bits.len();
    let mut code = |value: u32, count: u32| bits.extend((0..count).rev().map(|at| value >> at & 1 == 1));
    code(0, 8);
    // The end of the block is the 31st code of 9 bits, behind 226 of 8.
    code(226 * 2 + 30, 9);
    let byte = |bits: &[bool]| bits.iter().rev().fold(0, |byte, bit| byte << 1 | u8::from(*bit));
    (bits.chunks(8).map(byte).collect(), header_bits)
}

/// An AECS in the middle of a block, with `change` made to it, is refused with `code`.
fn refused(change: impl Fn(&mut DecompressAecs), code: ErrorCode, what: &str) {
    let rig = iaa();
    let stream = deflate(&mixed(3000, 5), 6, 4096);
    let mut job = Job::new(&rig, &stream, PAGE);
    assert_eq!(job.step(stream.len() / 2, PAGE).status(), Status::SUCCESS);
    let mut state = job.state();
    change(&mut state);
    job.aecs.write(SIZE, state.as_bytes());
    let completion = job.step(stream.len() - job.read, PAGE);
    assert_eq!((completion.status(), completion.error_code()), (Status::ANALYTICS_ERROR, code), "{what}");
    assert!(job.aecs.read(0, SIZE) == vec![0; SIZE], "{what}: an error writes no AECS");
}

/// The checks of IAA table 4-5, on a device of format 1.
#[test]
fn state_that_no_job_can_have_left_is_refused() {
    let aecs = ErrorCode::AECS;
    refused(|state| state.set_output_bits(state.output_bits() | 1), aecs, "format 2 by its valid bit");
    refused(|state| state.set_format(1), aecs, "format 2 by its number");
    refused(|state| state.set_output_bits(12), aecs, "output bits that are no bytes");
    refused(|state| state.set_output_bits(64), aecs, "a word of output");
    refused(|state| state.set_drop_initial_bits(1), aecs, "bits to drop without the capability");
    refused(|state| state.set_input(0, 0, 65), aecs, "65 bits in a quadword");
    refused(|state| state.set_input(3, 0, 1), aecs, "a gap in the input");
    refused(|state| state.set_input_bits(2047), aecs, "a sum that is not that of the sizes");
    refused(|state| state.set_history_pointer(4096), aecs, "a pointer behind the history");
    refused(|state| state.set_stored_left(1), aecs, "bytes of a stored block outside one");
    refused(|state| state.set_state(DecompressAecs::IN_STORED), aecs, "a stored block with nothing left");
    let inconsistent = ErrorCode::INCONSISTENT_STATE;
    refused(|state| state.codes_mut()[..4].fill(0x11), inconsistent, "codes that are none");
    refused(|state| state.set_reserved(300 << 16 | 1), inconsistent, "a match that is none");
}

#[test]
fn flags_and_sizes_of_the_aecs_are_checked() {
    let rig = iaa();
    let stream = deflate(&mixed(100, 6), 6, 4096);
    let job = Job::new(&rig, &stream, PAGE);
    let plain = Descriptor::decompress(Decompress {
        src: job.src.src(0),
        src_size: stream.len() as u32,
        dst: job.dst.dst(0),
        dst_size_max: 512,
        flags: DecompressFlags::FLUSH_OUTPUT | DecompressFlags::STOP_ON_EOB,
    });
    let write = plain.with_flags(Flags::WRITE_SRC2_AECS);
    let (addr, size) = (job.aecs.addr(0), SIZE as u32);
    let on_overflow = Flags::WRITE_SRC2_ON_OVERFLOW;
    for (descriptor, status, what) in [
        (write.with_src2(addr, size), Status::SUCCESS, "written"),
        (plain.with_flags(on_overflow).with_src2(addr, size), Status::SUCCESS, "written on overflow"),
        (write.with_flags(on_overflow).with_src2(addr, size), Status::INVALID_FLAGS, "both ways to write"),
        (
            write.with_flags(Flags::READ_SRC2_INPUT).with_src2(addr, size),
            Status::INVALID_FLAGS,
            "second input",
        ),
        (plain.with_flags(Flags::AECS_TOGGLE), Status::INVALID_FLAGS, "toggle without source 2"),
        (plain.with_flags(Flags::ADDR3_TC), Status::INVALID_FLAGS, "its traffic class without source 2"),
        (plain.with_src2(addr, 0), Status::RESERVED_NOT_ZERO, "its address without source 2"),
        (plain.with_src2(0, size), Status::RESERVED_NOT_ZERO, "its size without source 2"),
        (write.with_src2(addr, 0), Status::TRANSFER_SIZE, "no size"),
        (write.with_src2(addr, (64 << 10) + 32), Status::TRANSFER_SIZE, "over 64 KiB"),
        (write.with_src2(addr + 16, size), Status::ALIGNMENT, "address"),
        (write.with_src2(addr, size - 16), Status::ALIGNMENT, "size"),
        (write.with_src2(job.dst.addr(448), 64), Status::SUCCESS, "the half that is not used overlaps"),
        (
            write.with_src2(job.dst.addr(416), 64),
            Status::OVERLAPPING_BUFFERS,
            "the half that is written does",
        ),
        (
            write.with_flags(Flags::AECS_TOGGLE).with_src2(job.dst.addr(448), 64),
            Status::OVERLAPPING_BUFFERS,
            "the first half is written",
        ),
    ] {
        assert_eq!(rig.run_iaa(&descriptor).status(), status, "{what}");
    }
}

/// With the write flag 2 an overflow leaves its state and a success does not.
#[test]
fn state_is_written_on_overflow_alone_if_that_is_asked() {
    let rig = iaa();
    let data = mixed(2000, 7);
    let stream = deflate(&data, 6, 4096);
    let job = Job::new(&rig, &stream, PAGE);
    let on_overflow = |room| {
        Descriptor::decompress(Decompress {
            src: job.src.src(0),
            src_size: stream.len() as u32,
            dst: job.dst.dst(0),
            dst_size_max: room,
            flags: DecompressFlags::FLUSH_OUTPUT
                | DecompressFlags::STOP_ON_EOB
                | DecompressFlags::SELECT_BFINAL_EOB,
        })
        .with_src2(job.aecs.addr(0), SIZE as u32)
        .with_flags(Flags::WRITE_SRC2_ON_OVERFLOW)
    };
    assert_eq!(rig.run_iaa(&on_overflow(2000)).status(), Status::SUCCESS);
    assert!(job.aecs.read(0, 2 * SIZE) == vec![0; 2 * SIZE]);
    let completion = rig.run_iaa(&on_overflow(1000));
    assert_eq!((completion.status(), completion.output_size()), (Status::OUTPUT_OVERFLOW, 1000));
    assert!(job.aecs.read(0, SIZE) == vec![0; SIZE] && job.aecs.read(SIZE, SIZE) != vec![0; SIZE]);
}

/// Any of the two halves of the AECS absent: a fault there, and neither output nor state is touched.
#[test]
fn a_cold_aecs_fails_the_whole_descriptor() {
    let rig = iaa();
    let data = mixed(3000, 8);
    let stream = deflate(&data, 6, 4096);
    let mut job = Job::new(&rig, &stream, PAGE);
    // So far apart that no page holds bytes of both halves.
    let half = 64 << 10;
    let area = Memory::warm(2 * half);
    let place = |descriptor: Descriptor| descriptor.with_src2(area.addr(0), half as u32);
    assert_eq!(rig.run_iaa(&place(job.descriptor(100, PAGE))).status(), Status::SUCCESS);
    (job.read, job.runs) = (100, 1);
    let second = place(job.descriptor(stream.len() - 100, PAGE));
    area.cool(0, half);
    let completion = rig.run_iaa(&second);
    assert_eq!(
        (completion.status(), completion.fault_addr()),
        (Status::PAGE_FAULT.with_write(), area.addr(0))
    );
    assert_eq!(completion.bytes_completed(), 0);
    assert_eq!(job.dst.read(0, PAGE)[500..], vec![0; PAGE - 500], "no output");
    assert_eq!(rig.run_iaa(&second.with_block_on_fault()).status(), Status::SUCCESS);
    area.cool(half, half);
    let completion = rig.run_iaa(&second);
    assert_eq!((completion.status(), completion.fault_addr()), (Status::PAGE_FAULT, area.addr(half)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    /// Input and output in pieces of any size come to the same as in one.
    #[test]
    fn any_split_is_as_none(
        len in 1_usize..20_000,
        seed in any::<u64>(),
        level in 0_u32..=9,
        block in 1_usize..5000,
        pieces in prop::collection::vec(1_usize..3000, 1..20),
        rooms in prop::collection::vec(8_usize..5000, 1..20),
    ) {
        let rig = iaa();
        let data = mixed(len, seed);
        let stream = deflate(&data, level, block.max(200));
        let mut job = Job::new(&rig, &stream, 5000);
        let (mut pieces, mut rooms) = (pieces.into_iter().cycle(), rooms.into_iter().cycle());
        let completion = job.run(|| pieces.next().unwrap(), || rooms.next().unwrap());
        is_right(&job, &completion, &data);
    }

    /// Noise, and streams with bits turned: taken in pieces exactly where zlib takes it whole.
    #[test]
    fn broken_streams_are_refused_as_by_zlib(
        len in 0_usize..1500,
        seed in any::<u64>(),
        level in 0_u32..=9,
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0_u8..8), 0..4),
        noise in any::<bool>(),
        piece in 1_usize..600,
        room in 8_usize..2000,
    ) {
        let rig = iaa();
        let mut stream = if noise { bytes(len + 1, seed) } else { deflate(&mixed(len, seed), level, 700) };
        for (at, bit) in flips {
            let at = at.index(stream.len());
            stream[at] ^= 1 << bit;
        }
        let mut job = Job::new(&rig, &stream, 2000);
        let completion = job.run(|| piece, || room);
        let mut out = vec![0; 1 << 20];
        let mut zlib = flate2::Decompress::new(false);
        let status = zlib.decompress(&stream, &mut out, flate2::FlushDecompress::Finish);
        let ends = matches!(status, Ok(flate2::Status::StreamEnd));
        if completion.status() == Status::SUCCESS {
            prop_assert!(ends, "zlib refuses it");
            if job.state().output_bits_valid() > 0 {
                job.read = job.len;
                prop_assert_eq!(job.step(0, 8).status(), Status::SUCCESS);
            }
            prop_assert!(job.out == out[..zlib.total_out() as usize]);
            prop_assert_eq!(u64::from(job.state().bit_offset()).div_ceil(8), zlib.total_in());
        } else {
            prop_assert_eq!(completion.status(), Status::ANALYTICS_ERROR);
            let limits = [
                ErrorCode::BAD_DISTANCE,
                ErrorCode::HEADER_TOO_LARGE,
                ErrorCode::FIRST_D_CODE_16,
                ErrorCode::LL_CODE_COUNT,
            ];
            let known = limits.contains(&completion.error_code());
            prop_assert!(!ends || known, "zlib takes what is refused with {}", completion.error_code());
        }
    }
}
