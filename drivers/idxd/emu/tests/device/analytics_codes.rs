//! Huffman codes the device makes itself (IAA §3.4.5), stored blocks it is made to write, and early abort (§3.4.6).

use std::io::Read;

use flate2::read::DeflateDecoder;
use idxd_emu::{DeviceConfig, DeviceKind};
use idxd_spec::iaa::{
    CodeLengths, Compress, CompressAecs, CompressFlags, CompressFlags2, Descriptor, ErrorCode, Histogram,
};
use idxd_spec::{Flags, SrcAddr, Status};

use crate::support::{Memory, Rig, bytes};

fn iaa() -> Rig {
    Rig::new(DeviceConfig { kind: DeviceKind::Iaa, ..DeviceConfig::default() })
}

/// Something that compresses.
fn text(len: usize) -> Vec<u8> {
    let words = ["swallow ", "descriptor ", "portal ", "record ", "fault\n"];
    let draws = bytes(len, 12);
    draws.iter().flat_map(|draw| words[usize::from(*draw) % words.len()].bytes()).take(len).collect()
}

fn aecs(first: &CompressAecs) -> Memory {
    Memory::with(&[first.as_bytes().as_slice(), &[0; CompressAecs::SIZE]].concat())
}

fn inflate(stream: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    DeflateDecoder::new(stream).read_to_end(&mut out).expect("a valid stream");
    out
}

fn crc32(data: &[u8]) -> u32 {
    crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC).checksum(data)
}

struct Buffers {
    src: Memory,
    dst: Memory,
    len: u32,
}

impl Buffers {
    fn new(data: &[u8]) -> Self {
        Self {
            src: Memory::with(data),
            dst: Memory::warm(2 * data.len() + 2000),
            len: u32::try_from(data.len()).expect("small"),
        }
    }

    fn compress(&self, aecs: &Memory, flags: CompressFlags) -> Descriptor {
        Descriptor::compress(Compress {
            src: self.src.src(0),
            src_size: self.len,
            dst: self.dst.dst(0),
            dst_size_max: 2 * self.len + 2000,
            aecs: aecs.src(0),
            flags: CompressFlags::FLUSH_OUTPUT | flags,
        })
    }

    fn output(&self, size: u32) -> Vec<u8> {
        self.dst.read(0, size as usize)
    }
}

#[test]
fn one_pass_makes_codes_header_and_output() {
    let rig = iaa();
    for data in [text(4096), text(300), bytes(4000, 3), vec![5; 4096], vec![1]] {
        let (buffers, aecs) = (Buffers::new(&data), aecs(&CompressAecs::new()));
        let flags = CompressFlags::END_EOB.with_header_generation(3);
        let completion = rig.run_iaa(&buffers.compress(&aecs, flags));
        assert_eq!(
            (completion.status(), completion.crc()),
            (Status::SUCCESS, crc32(&data)),
            "{completion:?}"
        );
        assert_eq!(inflate(&buffers.output(completion.output_size())), data);
    }
    let too_large = Buffers::new(&text(4097));
    let flags = CompressFlags::END_EOB.with_header_generation(3);
    let completion = rig.run_iaa(&too_large.compress(&aecs(&CompressAecs::new()), flags));
    assert_eq!(
        (completion.status(), completion.error_code()),
        (Status::ANALYTICS_ERROR, ErrorCode::DATA_TOO_LARGE)
    );
    // Without end of block there are fewer than 257 tokens of literals and lengths, so no header (error code 0x2a).
    let literals = Buffers::new(&text(100));
    let flags = CompressFlags::GENERATE_ALL_LITERALS.with_header_generation(2);
    let completion = rig.run_iaa(&literals.compress(&aecs(&CompressAecs::new()), flags));
    assert_eq!(completion.error_code(), ErrorCode::NO_DEFLATE_HEADER);
}

#[test]
fn two_passes_give_the_stream_that_tables_made_of_counts_give() {
    let rig = iaa();
    let data = text(70_000);
    let buffers = Buffers::new(&data);
    let area = aecs(&CompressAecs::new());
    let flags = CompressFlags::END_EOB.with_header_generation(7);
    let first = Descriptor::compress_generate(buffers.src.src(0), buffers.len, area.src(0), flags);
    let completion = rig.run_iaa(&first);
    assert_eq!((completion.status(), completion.output_size()), (Status::SUCCESS, 0));
    let second = buffers.compress(&area, CompressFlags::END_EOB).with_flags(Flags::AECS_TOGGLE);
    let by_device = rig.run_iaa(&second);
    let by_device = buffers.output(by_device.output_size());
    assert_eq!(inflate(&by_device), data);

    let counts = Memory::warm(Histogram::SIZE);
    let count = Descriptor::compress_statistics(
        buffers.src.src(0),
        buffers.len,
        counts.dst(0),
        CompressFlags::END_EOB,
    );
    assert_eq!(rig.run_iaa(&count).status(), Status::SUCCESS);
    let counts = Histogram::from_bytes(&counts.read(0, Histogram::SIZE).try_into().expect("that many"));
    let lengths = CodeLengths::of(&counts);
    let mut tables = CompressAecs::new();
    tables.set_codes(&lengths);
    assert!(tables.push_dynamic_header(&lengths, true));
    let done = rig.run_iaa(&buffers.compress(&aecs(&tables), CompressFlags::END_EOB));
    assert_eq!(buffers.output(done.output_size()), by_device);
    let bits = lengths.header_bits() + lengths.bits(&counts).expect("every token has a code");
    assert_eq!(u64::from(done.output_size()), bits.div_ceil(8), "the bits that were to be expected");
}

#[test]
fn counts_can_come_from_the_aecs() {
    let rig = iaa();
    let mut input = CompressAecs::new();
    for token in 0..CompressAecs::LL_COUNT {
        input.set_ll_code(token, idxd_spec::iaa::Code(u32::try_from(token).expect("small")));
    }
    let area = aecs(&input);
    let flags = CompressFlags::HEADER_STATS_INPUT.with_header_generation(6);
    let made =
        Descriptor::compress_generate(SrcAddr(0), 0, area.src(0), flags).with_flags(Flags::READ_SRC2_AECS);
    let completion = rig.run_iaa(&made);
    assert_eq!(completion.status(), Status::SUCCESS, "{completion:?}");
    let written = area.read(CompressAecs::SIZE, CompressAecs::SIZE).try_into().expect("that many");
    let written = CompressAecs::from_bytes(written);
    assert_eq!(written.ll_code(0).length(), 0);
    assert!(written.ll_code(285).length() < written.ll_code(1).length());
    input.set_ll_code(3, idxd_spec::iaa::Code(1 << 19));
    let completion = {
        let area = aecs(&input);
        rig.run_iaa(&made.with_src2(area.src(0).0, CompressAecs::SIZE as u32))
    };
    assert_eq!((completion.status(), completion.error_code()), (Status::ANALYTICS_ERROR, ErrorCode::AECS));
}

#[test]
fn flags_that_contradict_each_other_are_refused() {
    let rig = iaa();
    let (buffers, area) = (Buffers::new(&text(1000)), aecs(&CompressAecs::new()));
    let status = |descriptor: Descriptor| rig.run_iaa(&descriptor).status();
    let plain = |flags| buffers.compress(&area, flags);
    for flags in [
        CompressFlags::STATS_MODE.with_header_generation(1),
        CompressFlags::empty().with_header_generation(4),
        CompressFlags::HEADER_STATS_INPUT.with_header_generation(3),
        CompressFlags::END_EOB.with_dictionary(1).with_indexing(1),
        CompressFlags::END_EOB.with_dictionary(2).with_header_generation(2),
    ] {
        let refused = plain(flags);
        let expected = [Status::INVALID_COMPRESSION_FLAGS, Status::INVALID_FLAGS];
        assert!(expected.contains(&status(refused)), "{flags:?}: {:?}", status(refused));
    }
    // A dictionary is behind the AECS, and counts as a part of it.
    let short = plain(CompressFlags::END_EOB.with_dictionary(1));
    assert_eq!(status(short), Status::TRANSFER_SIZE);
    let tables = CompressFlags2::WRITE_HUFFMAN_TABLES;
    assert_eq!(
        status(plain(CompressFlags::END_EOB).with_compress_flags_2(tables)),
        Status::INVALID_FILTER_FLAGS
    );
    let sized = CompressFlags2::empty().with_early_abort_size(2);
    assert_eq!(
        status(plain(CompressFlags::END_EOB).with_compress_flags_2(sized)),
        Status::INVALID_FILTER_FLAGS
    );
    // Two passes have to write what they make, with the tables.
    let flags = CompressFlags::END_EOB.with_header_generation(6);
    let made = Descriptor::compress_generate(buffers.src.src(0), buffers.len, area.src(0), flags);
    assert_eq!(status(made.with_compress_flags_2(CompressFlags2::empty())), Status::INVALID_FILTER_FLAGS);
    let unwritten = plain(flags).with_compress_flags_2(tables);
    assert_eq!(status(unwritten), Status::INVALID_FLAGS);
}

#[test]
fn bytes_that_are_their_own_codes_make_a_stored_block() {
    let rig = iaa();
    let data = bytes(65_535, 4);
    let buffers = Buffers::new(&data);
    let area = aecs(&CompressAecs::stored(65_535, true));
    let completion = rig.run_iaa(&buffers.compress(&area, CompressFlags::GENERATE_ALL_LITERALS));
    assert_eq!((completion.status(), completion.output_bits()), (Status::SUCCESS, 0));
    let stream = buffers.output(completion.output_size());
    assert_eq!(stream[..5], [1, 0xff, 0xff, 0, 0]);
    assert!(stream[5..] == data);
    assert_eq!(inflate(&stream), data);
}

#[test]
fn what_does_not_compress_is_given_up_early() {
    let rig = iaa();
    let area = aecs(&CompressAecs::fixed_huffman(true));
    let run = |data: &[u8], eighths, size| {
        let flags_2 = CompressFlags2::empty().with_early_abort_eighths(eighths).with_early_abort_size(size);
        let buffers = Buffers::new(data);
        let descriptor = buffers.compress(&area, CompressFlags::END_EOB).with_compress_flags_2(flags_2);
        let completion = rig.run_iaa(&descriptor);
        (completion.status(), completion.error_code())
    };
    let aborted = (Status::ANALYTICS_ERROR, ErrorCode::EARLY_ABORT);
    assert_eq!(run(&bytes(8000, 1), 7, 0), aborted);
    assert_eq!(run(&text(8000), 7, 3).0, Status::SUCCESS);
    // As many bytes as are looked at are looked at; fewer are not.
    assert_eq!(run(&bytes(512, 1), 7, 0), aborted);
    assert_eq!(run(&bytes(511, 1), 7, 0).0, Status::SUCCESS);
    assert_eq!(run(&[text(2048), bytes(6000, 1)].concat(), 7, 2).0, Status::SUCCESS);
}
