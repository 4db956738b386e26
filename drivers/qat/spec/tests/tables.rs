//! Values against tables with their source, for machines without the headers (`tests/headers.rs` compares with those).
//!
//! The tables were made by calling the builder macros of the user library 26.08 with its own defaults, and from the
//! offsets that the kernel's headers (BSD 3-clause or GPL) give the fields.

use qat_spec::pfvf::{self, Block, BlockAnswer, Fit, Message};
use qat_spec::ring::{Register, RingSize, in_flight_max};
use qat_spec::{
    Capabilities, CapabilityBlock, Command, Compress, ConfigWords, Decompress, Depth, ErrorCode, Gcm, GcmKey,
    Generation, HeaderFlags, Request, Response, RingMap, Service, Status, deflate_bytes_max, dst_bytes_min,
    gcm_config, lz4_bytes_max,
};

/// A table of configuration words: what is made, and the two words for levels 1, 6 and 9.
type Words = (fn(Generation, Depth) -> ConfigWords, [u32; 3], u32);

#[test]
fn configuration_words_are_those_of_the_builder_macros() {
    let table: [(Generation, Words); 5] = [
        (
            Generation::Gen4,
            (ConfigWords::deflate_dynamic, [0x0f31_0000, 0x0733_0000, 0x0734_0000], 0x0305_0200),
        ),
        (
            Generation::Gen4,
            (ConfigWords::deflate_static, [0x2f31_0000, 0x2733_0000, 0x2734_0000], 0x0305_0280),
        ),
        (Generation::Gen5, (ConfigWords::lz4, [0x5d31_0000, 0x5533_0000, 0x5534_0000], 0x0305_0600)),
        (Generation::Gen6, (ConfigWords::deflate_dynamic, [0x3100, 0x3300, 0x3400], 0)),
        (Generation::Gen6, (ConfigWords::lz4, [0x3100, 0x3300, 0x3400], 0x0004_0000)),
    ];
    for (generation, (make, lowers, upper)) in table {
        for (depth, lower) in [Depth::Level1, Depth::Level6, Depth::Level9].into_iter().zip(lowers) {
            assert_eq!(make(generation, depth), ConfigWords { lower, upper }, "{generation:?} {depth:?}");
        }
    }
    assert_eq!(ConfigWords::inflate(Generation::Gen4).lower, 0x2000_0000);
    assert_eq!(ConfigWords::lz4_decompress(Generation::Gen4).lower, 0x4000_0000);
    assert_eq!(ConfigWords::inflate(Generation::Gen6), ConfigWords { lower: 0, upper: 0 });
}

/// From the offsets in `icp_qat_fw_la.h` and the bits in `icp_qat_hw.h`, by hand.
#[test]
fn an_encryption_stands_in_the_ring_byte_by_byte() {
    let gcm = Gcm {
        generation: Generation::Gen4,
        encrypts: true,
        key: GcmKey::Aes256,
        descriptor_addr: 0x1000,
        src_addr: 0x1122_3344_5566_7788,
        dst_addr: 0x99aa_bbcc_ddee_ff00,
        bytes: 0x0a0b_0c0d,
        nonce: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12],
        aad_addr: 0x2000,
        aad_bytes: 13,
        tag_addr: 0x3000,
    };
    let mut expected = [0; 128];
    let mut put = |at: usize, bytes: &[u8]| expected[at..at + bytes.len()].copy_from_slice(bytes);
    put(0x00, &[0, 0, 4, 0x80, 0x24, 0x68, 0, 0]);
    put(0x08, &[0, 0x10]);
    put(0x12, &[6]);
    put(0x18, &0x0807_0605_0403_0201_u64.to_le_bytes());
    put(0x20, &[0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11]);
    put(0x28, &[0x00, 0xff, 0xee, 0xdd, 0xcc, 0xbb, 0xaa, 0x99]);
    for at in [0x30, 0x34, 0x3c] {
        put(at, &[0x0d, 0x0c, 0x0b, 0x0a]);
    }
    put(0x40, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0, 0, 0, 0]);
    put(0x54, &[13]);
    put(0x58, &[0, 0x20]);
    put(0x60, &[0, 0x30]);
    put(0x6b, &[16, 2, 4, 0, 0x41]);
    assert_eq!(Request::gcm(gcm).with_opaque(0x0807_0605_0403_0201).to_bytes(), expected);
    let decrypt = Request::gcm(Gcm { encrypts: false, key: GcmKey::Aes128, ..gcm }).to_bytes();
    assert_eq!((&decrypt[4..6], decrypt[0x12], decrypt[0x6d]), (&[0x44, 0x68][..], 4, 2));
    let config = [0x45, 0x40, 0, 0, 0, 0, 0, 240, 0, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(gcm_config(Generation::Gen4, GcmKey::Aes256, true, 240), config);
    assert_eq!(gcm_config(Generation::Gen5, GcmKey::Aes128, false, 0)[..2], [0x43, 0x41]);

    // The sixth generation: bits 7 to 9 of the flags are 2 and bit 11 is clear; no length of a tag and no way between slices.
    let mut sixth = expected;
    sixth[0x05] = 0x61;
    sixth[0x6b..0x70].copy_from_slice(&[0, 2, 4, 0, 0]);
    let gcm = Gcm { generation: Generation::Gen6, ..gcm };
    assert_eq!(Request::gcm(gcm).with_opaque(0x0807_0605_0403_0201).to_bytes(), sixth);
    assert_eq!(Request::gcm(Gcm { encrypts: false, ..gcm }).to_bytes()[4..6], [0x44, 0x61]);
    let only = |first: [u8; 2]| [first.as_slice(), &[0; 14]].concat();
    assert_eq!(gcm_config(Generation::Gen6, GcmKey::Aes256, true, 240)[..], only([0x45, 0]));
    assert_eq!(gcm_config(Generation::Gen6, GcmKey::Aes128, false, 240)[..], only([0x43, 1]));
}

#[test]
fn a_compression_stands_in_the_ring_byte_by_byte() {
    let request = Request::compress(Compress {
        command: Command::DYNAMIC,
        config: ConfigWords { lower: 0x0f31_0000, upper: 0x0305_0200 },
        src_addr: 0x1122_3344_5566_7788,
        src_bytes: 0x0a0b_0c0d,
        dst_addr: 0x99aa_bbcc_ddee_ff00,
        dst_bytes: 0x1a1b_1c1d,
        last: true,
        recover: true,
    });
    let mut expected = [0; 128];
    let mut put = |at: usize, bytes: &[u8]| expected[at..at + bytes.len()].copy_from_slice(bytes);
    put(0x00, &[0, 1, 9, 0x80, 0, 0, 0x02, 0]);
    put(0x08, &[0x00, 0x00, 0x31, 0x0f, 0x00, 0x02, 0x05, 0x03]);
    put(0x18, &0x0807_0605_0403_0201_u64.to_le_bytes());
    put(0x20, &[0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11]);
    put(0x28, &[0x00, 0xff, 0xee, 0xdd, 0xcc, 0xbb, 0xaa, 0x99]);
    put(0x30, &[0x0d, 0x0c, 0x0b, 0x0a, 0x1d, 0x1c, 0x1b, 0x1a]);
    put(0x38, &[0x0d, 0x0c, 0x0b, 0x0a, 0x1d, 0x1c, 0x1b, 0x1a]);
    put(0x44, &[1, 0, 0, 0]);
    put(0x48, &0x30043_u32.to_le_bytes());
    put(0x63, &[0x45]);
    assert_eq!(request.with_opaque(0x0807_0605_0403_0201).to_bytes(), expected);
}

#[test]
fn request_flags_are_those_of_the_table() {
    let compress = Compress {
        command: Command::STATIC,
        config: ConfigWords::deflate_static(Generation::Gen4, Depth::Level1),
        src_addr: 0,
        src_bytes: 0,
        dst_addr: 0,
        dst_bytes: 0,
        last: true,
        recover: false,
    };
    assert_eq!(Request::compress(compress).flags().bits(), 0x10043);
    assert_eq!(Request::compress(Compress { last: false, ..compress }).flags().bits(), 0x10003);
    let config = ConfigWords::inflate(Generation::Gen4);
    let inflate = Decompress {
        command: Command::DECOMPRESS,
        config,
        src_addr: 0,
        src_bytes: 0,
        dst_addr: 0,
        dst_bytes: 0,
    };
    assert_eq!(Request::decompress(inflate).flags().bits(), 0x43);
}

#[test]
fn a_response_is_read_where_the_firmware_writes_it() {
    let bytes: [u8; 32] = [
        0, 9, 0, 0xf0, 0xfe, 0xf5, 0x28, 2, //
        1, 2, 3, 4, 5, 6, 7, 8, //
        0x11, 0x12, 0x13, 0x14, 0x21, 0x22, 0x23, 0x24, //
        0x31, 0x32, 0x33, 0x34, 0x41, 0x42, 0x43, 0x44,
    ];
    let response = Response::from_bytes(&bytes);
    assert_eq!(response.service(), 9);
    assert_eq!(response.flags(), HeaderFlags::all() & HeaderFlags::from_bits_retain(0xf0));
    assert!(response.flags().contains(HeaderFlags::VALID | HeaderFlags::CNV | HeaderFlags::CNV_RECOVERED));
    assert_eq!((response.translation_error().0, response.error()), (-2, ErrorCode::OVERFLOW));
    assert_eq!(response.status(), Status::COMPRESSION | Status::END_OF_LAST_BLOCK);
    assert_eq!(response.command(), 2);
    assert_eq!(response.opaque(), 0x0807_0605_0403_0201);
    assert_eq!((response.consumed(), response.produced()), (0x1413_1211, 0x2423_2221));
    assert_eq!((response.crc32(), response.adler32()), (0x3433_3231, 0x4443_4241));
}

#[test]
fn ring_sizes_and_bases_are_aligned_powers() {
    assert_eq!(RingSize::of(64, 128).map(RingSize::bytes), Some(8192));
    assert_eq!(RingSize::of(64, 128).map(RingSize::code), Some(7));
    assert_eq!(RingSize::of(65, 128).map(RingSize::bytes), Some(16384));
    assert_eq!(RingSize::of(1 << 15, 128).map(RingSize::code), Some(0x10));
    assert_eq!(RingSize::of((1 << 15) + 1, 128), None);
    assert_eq!(RingSize::of(1, 128), None);
    let size = RingSize::of(64, 128).expect("a ring");
    assert_eq!(size.base(0x7f00_1234_6000), 0x7f00_1234_6000);
    assert_eq!(size.base(0x7f00_1234_7abc), 0x7f00_1234_6000);
    let responses = RingSize::of(64, 32).expect("a ring");
    assert_eq!(in_flight_max(size, responses), 63);
    assert_eq!(Register::tail(0).of_bank(3), 0x6100);
}

#[test]
fn messages_have_origin_kind_and_data_in_their_bits() {
    assert_eq!(Message::new(pfvf::to_pf::COMPAT_VER_REQ, 5), Message(0x0000_051b));
    assert_eq!(Message::small_block_byte(Block::CAPABILITIES, 5).data(), 0x52);
    assert_eq!(Message::small_block_check(Block::RING_MAP, 4).data(), 0x233);
    assert_eq!(BlockAnswer::of(0x2aa), BlockAnswer::Error(0xaa));
    assert_eq!(BlockAnswer::of(0x3fd), BlockAnswer::Check(0xff));
    assert_eq!(pfvf::version_answer(0x104), (4, Fit::Compatible));
    assert_eq!(pfvf::version_answer(0x202), (2, Fit::Incompatible));
}

/// Against the table of both drivers: entry `n` is the check of a byte that leaves `n` after the first step.
#[test]
fn the_check_of_blocks_is_that_of_the_table() {
    let start = [0x00, 0x97, 0xb9, 0x2e, 0xe5, 0x72, 0x5c, 0xcb, 0x5d, 0xca, 0xe4, 0x73];
    for (index, entry) in (0_u8..).zip(start) {
        assert_eq!(pfvf::crc8(&[0xff ^ index]), entry, "{index}");
    }
    assert_eq!(pfvf::crc8(&[0xff ^ 0xff]), 0x3c);
    assert_eq!(pfvf::crc8(&[]), 0xff);
}

#[test]
fn capability_blocks_of_all_versions_are_read() {
    let block = [2, 8, 1, 0, 0, 0, 0x20, 0, 0, 0x01];
    let read = CapabilityBlock::parse(&block).expect("a block");
    assert_eq!((read.version, read.extended), (2, 1));
    assert_eq!(read.capabilities, Some(Capabilities::COMPRESSION | Capabilities::LZ4));
    assert_eq!(CapabilityBlock::parse(&[1, 4, 1, 0, 0, 0]).map(|block| block.capabilities), Some(None));
    let newer = [3, 12, 1, 0, 0, 0, 0x20, 0, 0, 0, 9, 9, 9, 9];
    assert_eq!(
        CapabilityBlock::parse(&newer).and_then(|block| block.capabilities),
        Some(Capabilities::COMPRESSION)
    );
    assert_eq!(CapabilityBlock::parse(&[2, 4, 1, 0, 0, 0]), None, "too short for version 2");
    assert_eq!(CapabilityBlock::parse(&[0, 8, 1, 0, 0, 0, 0, 0, 0, 0]), None);
    assert_eq!(CapabilityBlock::parse(&[2, 255]), None);
}

#[test]
fn the_map_of_an_old_driver_is_put_right() {
    let map = RingMap::parse(&[1, 2, 0o52, 0x04]).expect("a map");
    assert_eq!(map.service(0), Service::COMPRESSION);
    assert_eq!(map.service(1), Service::DECOMPRESSION);
    assert_eq!(map.service(3), Service::COMPRESSION);
    assert_eq!(map.service(9), Service::NONE);
    let none = RingMap(0);
    assert_eq!(none.corrected(Capabilities::SYM).service(1), Service::SYM);
    assert_eq!(none.corrected(Capabilities::COMPRESSION), RingMap::COMPRESSION);
    let both = Capabilities::COMPRESSION | Capabilities::SYM;
    assert_eq!(RingMap::DEFAULT.corrected(both), RingMap::DEFAULT);
    assert_eq!(map.corrected(Capabilities::COMPRESSION), map);
}

#[test]
fn bounds_are_those_of_the_formulas() {
    let mib = 1 << 20;
    assert_eq!(deflate_bytes_max(Generation::Gen4, mib, true), 1_179_648 + 1029);
    assert_eq!(deflate_bytes_max(Generation::Gen4, mib, false), 1_179_648 + 512 + 185_747_748 / 16384);
    assert_eq!(deflate_bytes_max(Generation::Gen5, mib, false), 1_179_648 + 512 + 185_747_748 / 4096);
    assert_eq!(deflate_bytes_max(Generation::Gen6, mib, false), mib + 257 * 5);
    assert_eq!(lz4_bytes_max(Generation::Gen4, 1520), 1520 + 13 + 1024);
    assert_eq!(lz4_bytes_max(Generation::Gen6, 65536), 65536 + 8);
    assert_eq!(deflate_bytes_max(Generation::Gen4, u64::MAX, true), u64::MAX);
    assert_eq!(dst_bytes_min(Generation::Gen4, false), 512);
    assert_eq!(dst_bytes_min(Generation::Gen5, true), 1026);
}
