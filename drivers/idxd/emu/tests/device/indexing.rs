//! Indices of miniblocks (IAA §3.3.2, §3.4.3): made by a decompression, and used to begin in the middle of a block. zlib and the
//! `crc` crate are the oracles.

use flate2::{Compress as Zlib, Compression, Decompress as Unzlib, FlushCompress, FlushDecompress};
use idxd_emu::{DeviceConfig, DeviceKind, Version};
use idxd_spec::iaa::{
    CodeLengths, Completion, Compress, CompressAecs, CompressFlags, Decompress, DecompressAecs,
    DecompressFlags, Descriptor, ErrorCode, Histogram,
};
use idxd_spec::{Flags, Status};

use crate::support::{Memory, Rig, bytes};

const SIZE: usize = DecompressAecs::SIZE;

fn iaa(version: Version) -> Rig {
    Rig::new(DeviceConfig { name: "iax1".into(), kind: DeviceKind::Iaa, version, ..DeviceConfig::default() })
}

fn crc32(data: &[u8]) -> u32 {
    crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC).checksum(data)
}

fn text(len: usize) -> Vec<u8> {
    let words = ["swallow ", "descriptor ", "portal ", "record ", "miniblock\n", "of the "];
    let draws = bytes(len, 3);
    draws.iter().flat_map(|draw| words[usize::from(*draw) % words.len()].bytes()).take(len).collect()
}

/// A block with codes of its own whose matches stay within miniblocks of `256 << indexing` bytes, and the bits of its header.
fn compressed(rig: &Rig, data: &[u8], indexing: u16) -> (Vec<u8>, usize) {
    let (src, dst) = (Memory::with(data), Memory::warm(data.len() + 1000));
    let flags = CompressFlags::END_EOB.with_indexing(indexing);
    let counts = Memory::warm(Histogram::SIZE);
    let len = data.len() as u32;
    let done = rig.run_iaa(&Descriptor::compress_statistics(src.src(0), len, counts.dst(0), flags));
    assert_eq!(done.status(), Status::SUCCESS, "{done:?}");
    let counts = Histogram::from_bytes(&counts.read(0, Histogram::SIZE).try_into().unwrap());
    let lengths = CodeLengths::of(&counts);
    let mut aecs = CompressAecs::new();
    aecs.set_codes(&lengths);
    assert!(aecs.push_dynamic_header(&lengths, true));
    let header_bits = usize::from(aecs.accumulator_bits());
    let state = Memory::with(aecs.as_bytes());
    let done = rig.run_iaa(&Descriptor::compress(Compress {
        src: src.src(0),
        src_size: len,
        dst: dst.dst(0),
        dst_size_max: len + 1000,
        aecs: state.src(0),
        flags: flags | CompressFlags::FLUSH_OUTPUT,
    }));
    assert_eq!(done.status(), Status::SUCCESS, "{done:?}");
    (dst.read(0, done.output_size() as usize), header_bits)
}

const ENDS: DecompressFlags = DecompressFlags::STOP_ON_EOB.union(DecompressFlags::SELECT_BFINAL_EOB);

/// The index of a stream that is read in pieces, and the last record.
fn index(rig: &Rig, stream: &[u8], piece: usize, indexing: u16) -> (Completion, Vec<(u32, u32)>) {
    let (src, dst, aecs) = (Memory::with(stream), Memory::warm(8 << 10), Memory::warm(2 * SIZE));
    let mut entries = Vec::new();
    for (turn, from) in (0..stream.len()).step_by(piece).enumerate() {
        let len = piece.min(stream.len() - from);
        let is_last = from + len == stream.len();
        let mut flags = if is_last { Flags::empty() } else { Flags::WRITE_SRC2_AECS };
        if turn > 0 {
            flags |= Flags::READ_SRC2_AECS;
        }
        if turn % 2 == 1 {
            flags |= Flags::AECS_TOGGLE;
        }
        let descriptor = Descriptor::decompress(Decompress {
            src: src.src(from),
            src_size: len as u32,
            dst: dst.dst(0),
            dst_size_max: 8 << 10,
            flags: (ENDS | DecompressFlags::SUPPRESS_OUTPUT).with_indexing(indexing),
        });
        let uses = !flags.is_empty();
        let descriptor =
            if uses { descriptor.with_src2(aecs.addr(0), SIZE as u32).with_flags(flags) } else { descriptor };
        let done = rig.run_iaa(&descriptor);
        let made = dst.read(0, done.output_size() as usize);
        let word = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().unwrap());
        entries.extend(made.chunks(8).map(|entry| (word(&entry[..4]), word(&entry[4..]))));
        if is_last || done.status() != Status::SUCCESS {
            return (done, entries);
        }
    }
    unreachable!("a stream has an end")
}

#[test]
fn an_index_leads_to_every_miniblock() {
    let rig = iaa(Version::V2);
    for (len, indexing) in [(20_300, 1), (20_480, 3), (70_000, 5), (40_000, 7), (100, 1)] {
        let (data, size) = (text(len), 256_usize << indexing);
        let (stream, header_bits) = compressed(&rig, &data, indexing);
        let mut out = vec![0; len];
        let read = Unzlib::new(false).decompress(&stream, &mut out, FlushDecompress::Finish);
        assert!(matches!(read, Ok(flate2::Status::StreamEnd)) && out == data, "{len} bytes, {indexing}");

        let (done, entries) = index(&rig, &stream, stream.len(), indexing);
        assert_eq!((done.status(), done.crc()), (Status::SUCCESS, crc32(&data)), "{done:?}");
        assert_eq!(entries.len(), len.div_ceil(size));
        // In pieces it is the same.
        assert_eq!(index(&rig, &stream, stream.len() / 3 + 1, indexing).1, entries);

        let codes = header_only(&rig, &stream, header_bits);
        let mut before = (header_bits as u32, 0);
        for (entry, miniblock) in entries.iter().zip(data.chunks(size)) {
            let crc = crc32(&data[..miniblock.as_ptr().addr() - data.as_ptr().addr() + miniblock.len()]);
            assert_eq!(entry.1, crc);
            assert_eq!(expanded(&rig, &stream, &codes, before, *entry), (miniblock.to_vec(), crc));
            before = *entry;
        }
    }
}

/// The state of a decompression behind the header of a block: bits that end within a byte.
fn header_only(rig: &Rig, stream: &[u8], header_bits: usize) -> DecompressAecs {
    let (src, dst, aecs) = (Memory::with(stream), Memory::warm(64), Memory::warm(2 * SIZE));
    let ignored = (header_bits.wrapping_neg() % 8) as u16;
    let descriptor = Descriptor::decompress(Decompress {
        src: src.src(0),
        src_size: header_bits.div_ceil(8) as u32,
        dst: dst.dst(0),
        dst_size_max: 64,
        flags: ENDS.with_ignore_end_bits(ignored),
    });
    let descriptor = descriptor.with_src2(aecs.addr(0), SIZE as u32).with_flags(Flags::WRITE_SRC2_AECS);
    let done = rig.run_iaa(&descriptor);
    assert_eq!((done.status(), done.output_size()), (Status::SUCCESS, 0), "{done:?}");
    DecompressAecs::from_bytes(aecs.read(SIZE, SIZE).try_into().unwrap())
}

/// What lies between two entries, and the checksum behind it.
fn expanded(
    rig: &Rig,
    stream: &[u8],
    codes: &DecompressAecs,
    (start, crc): (u32, u32),
    (end, _): (u32, u32),
) -> (Vec<u8>, u32) {
    let (first, behind) = (start as usize / 8, (end as usize).div_ceil(8));
    let (src, dst) = (Memory::with(&stream[first..behind]), Memory::warm(64 << 10));
    let mut aecs = codes.clone();
    aecs.set_crc(crc);
    aecs.set_drop_initial_bits((start % 8) as u8);
    let state = Memory::with(aecs.as_bytes());
    let descriptor = Descriptor::decompress(Decompress {
        src: src.src(0),
        src_size: (behind - first) as u32,
        dst: dst.dst(0),
        dst_size_max: 64 << 10,
        flags: (ENDS | DecompressFlags::FLUSH_OUTPUT).with_ignore_end_bits((end.wrapping_neg() % 8) as u16),
    });
    let done =
        rig.run_iaa(&descriptor.with_src2(state.addr(0), SIZE as u32).with_flags(Flags::READ_SRC2_AECS));
    assert_eq!(done.status(), Status::SUCCESS, "{done:?}");
    (dst.read(0, done.output_size() as usize), done.crc())
}

fn zlib(data: &[u8], block: usize) -> Vec<u8> {
    let mut state = Zlib::new(Compression::new(6), false);
    let mut stream = Vec::with_capacity(2 * data.len() + 1000);
    for block in data.chunks(block) {
        state.compress_vec(block, &mut stream, FlushCompress::Full).unwrap();
    }
    state.compress_vec(&[], &mut stream, FlushCompress::Finish).unwrap();
    stream
}

/// What an index of miniblocks of 512 bytes comes to, of data that zlib made blocks of that size of.
pub(crate) fn refusal(data: &[u8], block: usize) -> ErrorCode {
    let done = index(&iaa(Version::V2), &zlib(data, block), 1 << 20, 1).0;
    assert_eq!(done.status(), Status::ANALYTICS_ERROR, "{done:?}");
    done.error_code()
}

#[test]
fn streams_that_have_no_miniblocks_have_no_index() {
    assert_eq!(refusal(&[7; 4000], 4000), ErrorCode::LENGTH_SPANS_MINIBLOCKS);
    // A match behind the boundary that refers to what is before it.
    let noise = bytes(512, 9);
    let again = [&noise[..], &[0xaa], &noise[100..300]].concat();
    assert_eq!(refusal(&again, 4000), ErrorCode::DISTANCE_SPANS_MINIBLOCKS);
    assert_eq!(refusal(&bytes(1400, 9), 700), ErrorCode::BLOCK_SIZE);
}

#[test]
fn what_the_tables_reserve_is_refused() {
    let (first, second) = (iaa(Version::V1), iaa(Version::V2));
    let stream = zlib(&bytes(100, 1), 100);
    let (src, dst, aecs) = (Memory::with(&stream), Memory::warm(64), Memory::warm(2 * SIZE));
    let descriptor = |flags: DecompressFlags| {
        Descriptor::decompress(Decompress {
            src: src.src(0),
            src_size: stream.len() as u32,
            dst: dst.dst(0),
            dst_size_max: 64,
            flags: flags | ENDS,
        })
    };
    let written =
        |flags| descriptor(flags).with_src2(aecs.addr(0), SIZE as u32).with_flags(Flags::WRITE_SRC2_AECS);
    let indexing = DecompressFlags::SUPPRESS_OUTPUT.with_indexing(1);
    let flushes = indexing | DecompressFlags::FLUSH_OUTPUT;
    assert_eq!(second.run_iaa(&descriptor(flushes)).status(), Status::SUCCESS);
    let seen = descriptor(DecompressFlags::empty().with_indexing(1));
    assert_eq!(second.run_iaa(&seen).status(), Status::INVALID_COMPRESSION_FLAGS);
    assert_eq!(second.run_iaa(&written(flushes)).status(), Status::INVALID_COMPRESSION_FLAGS);
    // Bits are dropped by the second generation alone.
    let mut state = DecompressAecs::new();
    state.set_state(DecompressAecs::AT_HEADER);
    state.set_drop_initial_bits(8);
    aecs.write(0, state.as_bytes());
    let shifted = [&[0xff][..], &stream].concat();
    let shifted_src = Memory::with(&shifted);
    for (rig, expected) in [(&first, Status::ANALYTICS_ERROR), (&second, Status::SUCCESS)] {
        let descriptor = Descriptor::decompress(Decompress {
            src: shifted_src.src(0),
            src_size: shifted.len() as u32,
            dst: dst.dst(0),
            dst_size_max: 64,
            flags: ENDS | DecompressFlags::SUPPRESS_OUTPUT,
        });
        let descriptor = descriptor.with_src2(aecs.addr(0), SIZE as u32).with_flags(Flags::READ_SRC2_AECS);
        assert_eq!(rig.run_iaa(&descriptor).status(), expected);
    }
}
