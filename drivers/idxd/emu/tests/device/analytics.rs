//! An IAA: compression against zlib's decompressor and the other way round, and whole operations or none.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use idxd_emu::{DeviceConfig, DeviceKind, FaultPlan, Repeat, Version};
use idxd_spec::iaa::{
    Compress, CompressAecs, CompressFlags, Crc64, CrcFlags, Decompress, DecompressFlags, Descriptor,
    ErrorCode,
};
use idxd_spec::{Flags, Status};

use crate::support::{Memory, PAGE, Rig, bytes};

fn iaa() -> Rig {
    Rig::new(DeviceConfig { name: "iax1".into(), kind: DeviceKind::Iaa, ..DeviceConfig::default() })
}

/// Something that compresses.
fn text(len: usize) -> Vec<u8> {
    let words = ["swallow ", "descriptor ", "portal ", "record ", "fault\n"];
    let draws = bytes(len, 12);
    draws.iter().flat_map(|draw| words[usize::from(*draw) % words.len()].bytes()).take(len).collect()
}

fn compress(src: &Memory, len: usize, dst: &Memory, dst_len: usize, aecs: &Memory) -> Descriptor {
    Descriptor::compress(Compress {
        src: src.src(0),
        src_size: len as u32,
        dst: dst.dst(0),
        dst_size_max: dst_len as u32,
        aecs: aecs.src(0),
        flags: CompressFlags::FLUSH_OUTPUT | CompressFlags::END_EOB,
    })
}

fn decompress(src: &Memory, len: usize, dst: &Memory, dst_len: usize) -> Descriptor {
    Descriptor::decompress(Decompress {
        src: src.src(0),
        src_size: len as u32,
        dst: dst.dst(0),
        dst_size_max: dst_len as u32,
        flags: DecompressFlags::FLUSH_OUTPUT
            | DecompressFlags::STOP_ON_EOB
            | DecompressFlags::CHECK_FOR_EOB
            | DecompressFlags::SELECT_BFINAL_EOB,
    })
}

fn aecs() -> Memory {
    Memory::with(
        &[CompressAecs::fixed_huffman(true).as_bytes().as_slice(), &[0; CompressAecs::SIZE]].concat(),
    )
}

fn crc32(data: &[u8]) -> u32 {
    crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC).checksum(data)
}

#[test]
fn compressed_data_is_what_zlib_reads() {
    let rig = iaa();
    let data = text(40_000);
    let (src, dst, aecs) = (Memory::with(&data), Memory::warm(60_000), aecs());
    let completion = rig.run_iaa(&compress(&src, data.len(), &dst, 60_000, &aecs));
    assert_eq!(completion.status(), Status::SUCCESS, "{completion:?}");
    assert_eq!(completion.crc(), crc32(&data));
    let size = completion.output_size() as usize;
    assert!(size < data.len() / 2, "{size} bytes");
    let mut out = Vec::new();
    DeflateDecoder::new(&dst.read(0, size)[..]).read_to_end(&mut out).unwrap();
    assert_eq!(out, data);
    let back = Memory::warm(40_000);
    let completion = rig.run_iaa(&decompress(&dst, size, &back, 40_000));
    assert_eq!((completion.status(), completion.output_size()), (Status::SUCCESS, 40_000));
    assert_eq!((back.read(0, 40_000), completion.crc()), (data.clone(), crc32(&data)));
}

/// A small window keeps distances inside the device's 4 KiB; this data has no repetition beyond it.
/// As the kernel's compression verifies what it made: output of any size, not a byte of it written.
#[test]
fn a_decompression_whose_output_is_suppressed_has_its_checksums() {
    let rig = iaa();
    let data = text(300_000);
    let (src, aecs, packed) = (Memory::with(&data), aecs(), Memory::warm(400_000));
    let made = rig.run_iaa(&compress(&src, data.len(), &packed, 400_000, &aecs));
    assert_eq!(made.status(), Status::SUCCESS, "{made:?}");
    let size = made.output_size() as usize;
    let untouched = Memory::with(&[0x5a; 64]);
    let flags = DecompressFlags::FLUSH_OUTPUT
        | DecompressFlags::STOP_ON_EOB
        | DecompressFlags::CHECK_FOR_EOB
        | DecompressFlags::SUPPRESS_OUTPUT;
    let verify = |size: usize| {
        Descriptor::decompress(Decompress {
            src: packed.src(0),
            src_size: size as u32,
            dst: untouched.dst(0),
            dst_size_max: 64,
            flags,
        })
    };
    let completion = rig.run_iaa(&verify(size));
    assert_eq!((completion.status(), completion.output_size()), (Status::SUCCESS, 0), "{completion:?}");
    assert_eq!((completion.crc(), completion.xor_csum()), (crc32(&data), made.xor_csum()));
    assert_eq!(untouched.read(0, 64), [0x5a; 64]);
    // Cut off, it is not what it should be.
    let completion = rig.run_iaa(&verify(size - 8));
    assert_eq!(
        (completion.status(), completion.error_code()),
        (Status::ANALYTICS_ERROR, ErrorCode::BAD_END_OF_FILE),
        "{completion:?}"
    );
}

#[test]
fn decompression_reads_what_zlib_wrote() {
    let rig = iaa();
    let data = text(4096);
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::new(6));
    encoder.write_all(&data).unwrap();
    let stream = encoder.finish().unwrap();
    let (src, dst) = (Memory::with(&stream), Memory::warm(2 * PAGE));
    let completion = rig.run_iaa(&decompress(&src, stream.len(), &dst, 2 * PAGE));
    assert_eq!((completion.status(), completion.output_size()), (Status::SUCCESS, 4096));
    assert_eq!(dst.read(0, 4096), data);
    let xor = data.chunks(2).fold(0, |xor, pair| xor ^ u16::from_le_bytes(pair.try_into().unwrap()));
    assert_eq!((completion.crc(), completion.xor_csum()), (crc32(&data), xor));
    let completion = rig.run_iaa(&decompress(&src, stream.len(), &dst, 1000));
    assert_eq!((completion.status(), completion.output_size()), (Status::OUTPUT_OVERFLOW, 1000));
    assert!((1..stream.len() as u32).contains(&completion.bytes_completed()));
    let completion = rig.run_iaa(&decompress(&src, stream.len() - 5, &dst, 2 * PAGE));
    assert_eq!(
        (completion.status(), completion.error_code()),
        (Status::ANALYTICS_ERROR, ErrorCode::BAD_END_OF_FILE)
    );
}

#[test]
fn output_too_small_for_compression_is_an_analytics_error() {
    let rig = iaa();
    let data = bytes(5000, 3);
    let (src, dst, aecs) = (Memory::with(&data), Memory::warm(PAGE), aecs());
    let completion = rig.run_iaa(&compress(&src, data.len(), &dst, PAGE, &aecs));
    assert_eq!(
        (completion.status(), completion.error_code()),
        (Status::ANALYTICS_ERROR, ErrorCode::OUTPUT_OVERFLOW)
    );
    assert_eq!(dst.read(0, PAGE), vec![0; PAGE]);
}

/// Two descriptors, one stream: the AECS carries bits and checksums from the first to the second.
#[test]
fn second_descriptor_of_a_job_goes_on_from_the_aecs() {
    let rig = iaa();
    let data = text(20_000);
    let (src, dst, aecs) = (Memory::with(&data), Memory::warm(40_000), aecs());
    let tables = CompressAecs::fixed_huffman(true);
    // The first descriptor writes back only checksums and accumulator: the tables are there already.
    aecs.write(CompressAecs::SIZE, tables.as_bytes());
    let half = |src_at: usize, dst_at: usize, flags| {
        Descriptor::compress(Compress {
            src: src.src(src_at),
            src_size: 10_000,
            dst: dst.dst(dst_at),
            dst_size_max: 20_000,
            aecs: aecs.src(0),
            flags,
        })
    };
    let first = half(0, 0, CompressFlags::empty()).with_flags(Flags::WRITE_SRC2_AECS);
    let completion = rig.run_iaa(&first);
    assert_eq!(completion.status(), Status::SUCCESS, "{completion:?}");
    let size = completion.output_size() as usize;
    let flags = CompressFlags::FLUSH_OUTPUT | CompressFlags::END_EOB;
    let completion = rig.run_iaa(&half(10_000, size, flags).with_flags(Flags::AECS_TOGGLE));
    assert_eq!((completion.status(), completion.crc()), (Status::SUCCESS, crc32(&data)));
    let mut out = Vec::new();
    let size = size + completion.output_size() as usize;
    DeflateDecoder::new(&dst.read(0, size)[..]).read_to_end(&mut out).unwrap();
    assert_eq!(out, data);
}

#[test]
fn cold_pages_fail_the_whole_operation_or_are_asked_for() {
    let rig = iaa();
    let data = text(20_000);
    let (src, dst, aecs) = (Memory::with(&data), Memory::cold(40_000), aecs());
    let descriptor = compress(&src, data.len(), &dst, 40_000, &aecs);
    let completion = rig.run_iaa(&descriptor);
    assert_eq!(completion.status(), Status::PAGE_FAULT.with_write());
    assert_eq!((completion.fault_addr(), completion.bytes_completed()), (dst.addr(0), 0));
    let completion = rig.run_iaa(&descriptor.with_block_on_fault());
    assert_eq!(completion.status(), Status::SUCCESS);
    let pages = (completion.output_size() as usize).div_ceil(PAGE) as u64;
    assert_eq!(rig.device.stats().page_requests, pages);
    src.cool(PAGE, PAGE);
    let completion = rig.run_iaa(&descriptor);
    assert_eq!((completion.status(), completion.fault_addr()), (Status::PAGE_FAULT, src.addr(PAGE)));
}

/// Nothing is written before all that will be is present: not even the pages before the one that is missing.
#[test]
fn nothing_is_written_when_any_page_is_missing() {
    let plan = FaultPlan::default().fault_at_page(2, Repeat::Once);
    let rig = Rig::new(DeviceConfig { kind: DeviceKind::Iaa, plan, ..DeviceConfig::default() });
    let data = bytes(4 * PAGE, 5);
    let (src, dst) = (Memory::with(&data), Memory::warm(4 * PAGE));
    let copy = Descriptor::memmove(src.src(0), dst.dst(0), 4 * PAGE as u32);
    let completion = rig.run_iaa(&copy);
    assert_eq!(
        (completion.status(), completion.fault_addr()),
        (Status::PAGE_FAULT.with_write(), dst.addr(2 * PAGE))
    );
    assert_eq!(dst.read(0, 4 * PAGE), vec![0; 4 * PAGE]);
    assert_eq!(rig.run_iaa(&copy).status(), Status::SUCCESS);
    assert_eq!(dst.read(0, 4 * PAGE), data);
}

#[test]
fn crc64_drain_and_refusals() {
    let rig = iaa();
    let data = bytes(3000, 6);
    let src = Memory::with(&data);
    let crc = Descriptor::crc64(Crc64 {
        src: src.src(0),
        src_size: 3000,
        polynomial: 0x42f0_e1eb_a9ea_3693,
        flags: CrcFlags::INVERT | CrcFlags::REFLECT,
    });
    assert_eq!(rig.run_iaa(&crc).crc64(), crc::Crc::<u64>::new(&crc::CRC_64_XZ).checksum(&data));
    assert_eq!(rig.run_iaa(&Descriptor::noop()).status(), Status::SUCCESS);
    assert_eq!(rig.run_iaa(&Descriptor::drain()).status(), Status::SUCCESS);
    let overlapping = Descriptor::memmove(src.src(0), src.dst(100), 200);
    assert_eq!(rig.run_iaa(&overlapping).status(), Status::OVERLAPPING_BUFFERS);
    let batch = idxd_spec::Descriptor::batch(src.src(0), 2);
    assert_eq!(rig.run(&batch).status(), Status::BAD_OPCODE);
    let header = compress(&src, 100, &src, 100, &src);
    let flags = header.compress_flags().with_header_generation(1);
    let header = Descriptor::compress(Compress {
        src: src.src(0),
        src_size: 100,
        dst: src.dst(200),
        dst_size_max: 100,
        aecs: src.src(1024),
        flags,
    });
    // A first-generation device makes no codes.
    let first = DeviceConfig { kind: DeviceKind::Iaa, version: Version::V1, ..DeviceConfig::default() };
    assert_eq!(Rig::new(first).run_iaa(&header).status(), Status::INVALID_COMPRESSION_FLAGS);
}

#[test]
fn record_must_be_aligned_to_64_bytes() {
    let rig = iaa();
    let descriptor = Descriptor::noop().with_completion(rig.record(0) + 32);
    assert_eq!(rig.portal.submit_bytes(descriptor.as_bytes()), idxd_emu::Submission::Accepted);
    rig.drain();
    assert_eq!(rig.device.software_error().unwrap().status, Status::COMPLETION_ALIGNMENT);
}
