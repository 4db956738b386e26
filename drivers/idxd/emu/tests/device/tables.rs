//! Tables 5-3 to 5-5 and 8-4 of the DSA specification, row by row and bit by bit; and the checks of §5.4 at their edges.
//!
//! The descriptors of the tables have no size: what passes the tables is refused for that, with 0x13 or another status
//! than the two that count here, and nothing runs.

use idxd_emu::{DeviceConfig, QueueConfig, Version};
use idxd_spec::{
    ApplyDelta, CreateDelta, Descriptor, DifFlags, DifTags, DstAddr, DstDifFlags, Flags, Opcode, Operand,
    SrcAddr, SrcDifFlags, Status,
};

use crate::support::{Memory, PAGE, Rig};

/// Table 5-3 as printed, for the operations the model has in version 2: allowed are block on fault, check result, cache
/// control, strict ordering, address 1, 2 and 3 TC selector; reserved are these bytes.
const ROWS: [(Opcode, &str, &str); 19] = [
    (Opcode::NOOP, "-------", "16-35; 38-63"),
    (Opcode::BATCH, "----x--", "24-31; 38-63"),
    (Opcode::DRAIN, "----xx-", "32-35; 38-63"),
    (Opcode::MEMMOVE, "x-xxxx-", "38-63"),
    (Opcode::FILL, "x-xx-x-", "38-63"),
    (Opcode::COMPARE, "xx--xx-", "38-39; 41-63"),
    (Opcode::COMPARE_PATTERN, "xx--x--", "38-39; 41-63"),
    (Opcode::CREATE_DELTA, "xxxxxxx", "38-39; 52-55; 57-63"),
    (Opcode::APPLY_DELTA, "x-xxxx-", "38-39; 44-63"),
    (Opcode::DUALCAST, "x-xxxxx", "38-39; 48-63"),
    (Opcode::TRANSLATION_FETCH, "x------", "24-31; 38-47; 52-63"),
    (Opcode::CRC, "x---x-x", "24-31; 38-39; 44-63"),
    (Opcode::COPY_CRC, "x-xxxxx", "38-39; 44-63"),
    (Opcode::DIF_CHECK, "x---x--", "24-31; 38-39; 41; 43-47; 56-63"),
    (Opcode::DIF_INSERT, "x-xxxx-", "38-39; 40; 43-55"),
    (Opcode::DIF_STRIP, "x-xxxx-", "38-39; 41; 43-47; 56-63"),
    (Opcode::DIF_UPDATE, "x-xxxx-", "38-39; 43-47"),
    (Opcode::DIX_GENERATE, "x-xxxx-", "38-39; 40; 43-55"),
    // Strict ordering is printed as allowed; table 8-3 reserves it where nothing is written, and so does the model.
    (Opcode::CACHE_FLUSH, "x-x--x-", "16-23; 38-63"),
];

/// The bits of the columns. Of the cache control flags the second, which every operation that has them takes alone.
const COLUMNS: [u32; 7] = [1, 7, 14, 13, 9, 10, 11];

/// Bits 23:16 that the descriptions of the operations give a meaning (tables 8-14 to 8-19).
fn operation_bits(opcode: Opcode) -> &'static [u32] {
    match opcode {
        Opcode::BATCH | Opcode::TRANSLATION_FETCH => &[16],
        Opcode::DRAIN | Opcode::CRC | Opcode::COPY_CRC => &[16, 17, 18, 19],
        Opcode::FILL => &[18],
        _ => &[],
    }
}

/// Flags that other bits and bytes of the row depend on.
fn conditions(opcode: Opcode) -> Flags {
    match opcode {
        Opcode::DRAIN => Flags::READBACK_ADDR_1_VALID | Flags::READBACK_ADDR_2_VALID,
        Opcode::CRC | Opcode::COPY_CRC => Flags::READ_CRC_SEED,
        Opcode::TRANSLATION_FETCH => Flags::USE_STRIDE,
        _ => Flags::empty(),
    }
}

/// A descriptor with nothing but an operation and flags.
fn bare(opcode: Opcode, flags: Flags) -> Descriptor {
    let mut bytes = [0; 64];
    bytes[7] = opcode.0;
    Descriptor::from_bytes(bytes).with_flags(flags)
}

fn bit(bit: u32) -> Flags {
    Flags::from_bits_retain(1 << bit)
}

#[test]
fn each_flag_is_allowed_where_its_column_says() {
    let rig = Rig::dsa();
    for (opcode, columns, _) in ROWS {
        for flag in (0..24).filter(|flag| !matches!(flag, 2 | 3)) {
            let column = COLUMNS.iter().position(|column| *column == flag);
            let is_allowed = match column {
                Some(column) => columns.as_bytes()[column] == b'x',
                // The other cache control flags; the third is reserved before version 3.
                None if flag == 8 => columns.as_bytes()[2] == b'x' && opcode != Opcode::CACHE_FLUSH,
                // The traffic class of the record.
                None if flag == 12 => true,
                None => operation_bits(opcode).contains(&flag),
            };
            let descriptor = bare(opcode, conditions(opcode) | bit(flag));
            let completion = rig.run(&descriptor);
            let is_refused = completion.status() == Status::INVALID_FLAGS;
            assert_eq!(!is_refused, is_allowed, "{opcode}, bit {flag}: {completion:?}");
            if is_refused {
                assert_eq!(completion.invalid_flags(), bit(flag), "{opcode}");
            }
        }
    }
}

#[test]
fn each_byte_is_reserved_where_the_table_says() {
    let rig = Rig::dsa();
    for (opcode, _, reserved) in ROWS {
        let ranges: Vec<(usize, usize)> = reserved
            .split("; ")
            .map(|range| range.split_once('-').unwrap_or((range, range)))
            .map(|(first, last)| (first.parse().unwrap(), last.parse().unwrap()))
            .collect();
        // The table is for CRCs without a seed address.
        let flags = match opcode {
            Opcode::CRC | Opcode::COPY_CRC => Flags::empty(),
            _ => conditions(opcode),
        };
        for at in 16..64 {
            // No interrupt is requested.
            let is_reserved =
                matches!(at, 36 | 37) || ranges.iter().any(|(first, last)| (*first..=*last).contains(&at));
            let mut bytes = *bare(opcode, flags).as_bytes();
            // A bit that means something in every byte of flags.
            bytes[at] = 8;
            let status = rig.run(&Descriptor::from_bytes(bytes)).status();
            assert_eq!(status == Status::RESERVED_NOT_ZERO, is_reserved, "{opcode}, byte {at}: {status:?}");
        }
    }
}

/// Bytes 47:44 and 55:48 of a CRC, 47:40 of a fill, readback addresses, the stride: by flags (table 5-4, §8.3).
#[test]
fn flags_turn_fields_on_and_off() {
    let rig = Rig::dsa();
    let cases = [
        (Opcode::FILL, Flags::PATTERN_16, 40..48, true),
        (Opcode::TRANSLATION_FETCH, Flags::USE_STRIDE, 48..52, true),
        (Opcode::DRAIN, Flags::READBACK_ADDR_1_VALID, 16..24, true),
        (Opcode::DRAIN, Flags::READBACK_ADDR_2_VALID, 24..32, true),
        (Opcode::CRC, Flags::CRC64, 44..48, true),
        (Opcode::COPY_CRC, Flags::CRC64, 44..48, true),
        (Opcode::CRC, Flags::READ_CRC_SEED, 48..56, true),
        (Opcode::COPY_CRC, Flags::READ_CRC_SEED, 48..56, true),
        (Opcode::CRC, Flags::READ_CRC_SEED, 40..44, false),
        (Opcode::COPY_CRC, Flags::READ_CRC_SEED | Flags::CRC64, 40..48, false),
    ];
    for (opcode, flag, bytes, turns_on) in cases {
        for at in bytes {
            for is_set in [false, true] {
                // Without the other flags of the last row, its upper half is off for another reason.
                let flags = if is_set { flag } else { flag & Flags::CRC64 };
                let flags = if turns_on && !is_set { Flags::empty() } else { flags };
                let mut bytes = *bare(opcode, flags).as_bytes();
                bytes[at] = 1;
                let status = rig.run(&Descriptor::from_bytes(bytes)).status();
                let is_reserved = is_set != turns_on;
                assert_eq!(
                    status == Status::RESERVED_NOT_ZERO,
                    is_reserved,
                    "{opcode}, {flags:?}, byte {at}"
                );
            }
        }
    }
}

/// §8.3.17.1 and §8.3.17.3: reserved are bits 7:4 of the DIF flags and 2:0 of the destination's.
#[test]
fn reserved_bits_of_data_integrity_flags_are_refused() {
    let rig = Rig::dsa();
    let operations =
        [Opcode::DIF_CHECK, Opcode::DIF_INSERT, Opcode::DIF_STRIP, Opcode::DIF_UPDATE, Opcode::DIX_GENERATE];
    for opcode in operations {
        for bit in 0..8 {
            for (at, reserved) in [(41, 0..3), (42, 4..8)] {
                let has_no_dst = matches!(opcode, Opcode::DIF_CHECK | Opcode::DIF_STRIP);
                let mut bytes = *bare(opcode, Flags::empty()).as_bytes();
                bytes[at] = 1 << bit;
                let status = rig.run(&Descriptor::from_bytes(bytes)).status();
                let is_reserved = reserved.contains(&bit) || at == 41 && has_no_dst;
                assert_eq!(
                    status == Status::RESERVED_NOT_ZERO,
                    is_reserved,
                    "{opcode}, byte {at}, bit {bit}"
                );
            }
        }
    }
}

/// Table 8-4: all eight, in each version. Durable writes without readback are no capability of the model.
#[test]
fn cache_control_takes_the_encodings_of_the_table() {
    for version in [Version::V1, Version::V2, Version::V3] {
        let rig = Rig::new(DeviceConfig { version, ..DeviceConfig::default() });
        for encoding in 0..8 {
            let mut flags = Flags::empty();
            for (place, flag) in
                [Flags::CACHE_CONTROL_1, Flags::CACHE_CONTROL_2, Flags::CACHE_CONTROL_3].iter().enumerate()
            {
                flags |= if encoding >> place & 1 == 1 { *flag } else { Flags::empty() };
            }
            for (opcode, allowed) in [
                (Opcode::MEMMOVE, &[0, 1, 2, 3, 6][..]),
                (Opcode::CACHE_FLUSH, &[0, 2]),
                (Opcode::COMPARE, &[0]),
            ] {
                let is_allowed = allowed.contains(&encoding) && (encoding < 4 || version == Version::V3);
                let status = rig.run(&bare(opcode, flags)).status();
                assert_eq!(
                    status != Status::INVALID_FLAGS,
                    is_allowed,
                    "{opcode}, {encoding:03b}, {version:?}"
                );
            }
        }
    }
}

/// Table 5-5, and §8.3.18 for DIX generate: what has a result needs a record that is requested.
#[test]
fn results_need_a_record() {
    let rig = Rig::dsa();
    for (opcode, ..) in ROWS {
        let needs_one = matches!(
            opcode,
            Opcode::COMPARE
                | Opcode::COMPARE_PATTERN
                | Opcode::CREATE_DELTA
                | Opcode::CRC
                | Opcode::COPY_CRC
                | Opcode::DIF_CHECK
                | Opcode::DIX_GENERATE
                | Opcode::DRAIN
        );
        rig.clear(0);
        rig.submit(&bare(opcode, Flags::empty()).with_completion_on_error(rig.record(0)));
        rig.drain();
        let is_refused = rig.records().status(0) == Status::INVALID_FLAGS;
        assert_eq!(is_refused, needs_one, "{opcode}");
    }
}

/// Traffic classes of addresses that are not there (table 5-4).
#[test]
fn selectors_of_absent_addresses_are_reserved() {
    let rig = Rig::dsa();
    for (opcode, selector, there) in [
        (Opcode::DRAIN, Flags::ADDR1_TC, Flags::READBACK_ADDR_1_VALID),
        (Opcode::DRAIN, Flags::ADDR2_TC, Flags::READBACK_ADDR_2_VALID),
        (Opcode::CRC, Flags::ADDR3_TC, Flags::READ_CRC_SEED),
        (Opcode::COPY_CRC, Flags::ADDR3_TC, Flags::READ_CRC_SEED),
    ] {
        let completion = rig.run(&bare(opcode, selector));
        assert_eq!((completion.status(), completion.invalid_flags()), (Status::INVALID_FLAGS, selector));
        assert_ne!(rig.run(&bare(opcode, selector | there)).status(), Status::INVALID_FLAGS, "{opcode}");
    }
}

/// What came with version 2.
#[test]
fn first_version_refuses_what_it_does_not_have() {
    let rig = Rig::new(DeviceConfig { version: Version::V1, ..DeviceConfig::default() });
    for opcode in [Opcode::DIX_GENERATE, Opcode::TRANSLATION_FETCH] {
        assert_eq!(rig.run(&bare(opcode, Flags::empty())).status(), Status::BAD_OPCODE);
    }
    for (opcode, flag) in [
        (Opcode::FILL, Flags::PATTERN_16),
        (Opcode::CRC, Flags::CRC64),
        (Opcode::COPY_CRC, Flags::CRC64),
        (Opcode::BATCH, Flags::BATCH_ERROR),
        (Opcode::DRAIN, Flags::READBACK_ADDR_1_VALID),
        (Opcode::DRAIN, Flags::READBACK_ADDR_2_VALID),
    ] {
        assert_eq!(rig.run(&bare(opcode, flag)).status(), Status::INVALID_FLAGS, "{opcode}");
    }
}

/// GENCAP bit 12 came with version 2: before, byte 2 of the record has no meaning, and the address has (§8.2.5).
#[test]
fn first_version_does_not_say_which_operand_faulted() {
    for (version, operand) in [(Version::V1, Operand::UNKNOWN), (Version::V2, Operand::DST)] {
        let rig = Rig::new(DeviceConfig { version, ..DeviceConfig::default() });
        let dst = Memory::cold(PAGE);
        let completion = rig.run(&Descriptor::fill(1, dst.dst(0), 8));
        assert_eq!(completion.status(), Status::PAGE_FAULT.with_write());
        assert_eq!((completion.fault_info().operand(), completion.fault_addr()), (operand, dst.addr(0)));
        assert!(!completion.fault_info().is_masked());
    }
}

#[test]
fn block_on_fault_is_reserved_where_the_queue_does_not_enable_it() {
    let queue = QueueConfig { block_on_fault: false, ..QueueConfig::default() };
    let rig = Rig::new(DeviceConfig { queues: vec![queue], ..DeviceConfig::default() });
    for (opcode, ..) in ROWS {
        let completion = rig.run(&bare(opcode, conditions(opcode) | Flags::BLOCK_ON_FAULT));
        assert_eq!(completion.invalid_flags(), Flags::BLOCK_ON_FAULT, "{opcode}");
    }
}

fn create(src1: SrcAddr, src2: SrcAddr, size: usize, delta: DstAddr, room: usize) -> Descriptor {
    let (xfer_size, delta_size_max) = (size as u32, room as u32);
    let delta =
        CreateDelta { src1_addr: src1, src2_addr: src2, xfer_size, delta_addr: delta, delta_size_max };
    Descriptor::create_delta(delta)
}

fn apply(delta: SrcAddr, room: usize, dst: DstAddr, size: usize) -> Descriptor {
    let (xfer_size, delta_size) = (size as u32, room as u32);
    Descriptor::apply_delta(ApplyDelta { delta_addr: delta, delta_size, dst_addr: dst, xfer_size })
}

/// The five, with `size` bytes of source.
fn dif(src: SrcAddr, dst: DstAddr, size: usize, dif: DifFlags) -> [Descriptor; 5] {
    let (size, tags) = (size as u32, DifTags { app_tag_mask: 0xffff, ..DifTags::default() });
    let (from, to) =
        (SrcDifFlags::GUARD_CHECK_DISABLE | SrcDifFlags::REF_TAG_CHECK_DISABLE, DstDifFlags::empty());
    [
        Descriptor::dif_check(src, size, dif, from, tags),
        Descriptor::dif_insert(src, dst, size, dif, to, tags),
        Descriptor::dif_strip(src, dst, size, dif, from, tags),
        Descriptor::dif_update(src, dst, size, dif, (from, tags), (to, tags)),
        Descriptor::dix_generate(src, dst, size, dif, to, tags),
    ]
}

/// Sizes of delta records and of what they are about, on both sides of each limit.
#[test]
fn delta_sizes_have_limits() {
    let queue = QueueConfig { transfer_bytes_max: 1 << 20, ..QueueConfig::default() };
    let rig = Rig::new(DeviceConfig { queues: vec![queue], ..DeviceConfig::default() });
    let memory = Memory::warm(4 << 20);
    let (src1, src2, to) = (memory.src(0), memory.src(1 << 20), memory.dst(2 << 20));
    let record = memory.src(2 << 20);
    let longest = 512 << 10;
    for (descriptor, status) in [
        (create(src1, src2, 64, to, 80), Status::SUCCESS),
        (create(src1, src2, 64, to, 70), Status::UNSUPPORTED_VALUE),
        (create(src1, src2, 64, to, 0), Status::UNSUPPORTED_VALUE),
        (create(src1, src2, 64, to, 85), Status::UNSUPPORTED_VALUE),
        (create(src1, src2, 64, to, 1_048_570), Status::SUCCESS),
        (create(src1, src2, 64, to, 1_048_580), Status::UNSUPPORTED_VALUE),
        (create(src1, src2, 0, to, 80), Status::TRANSFER_SIZE),
        (create(src1, src2, longest, to, 80), Status::SUCCESS),
        (create(src1, src2, longest + 8, to, 80), Status::TRANSFER_SIZE),
        (create(src1, src2, 60, to, 80), Status::ALIGNMENT),
        (create(memory.src(4), src2, 64, to, 80), Status::ALIGNMENT),
        (create(src1, memory.src(4), 64, to, 80), Status::ALIGNMENT),
        (create(src1, src2, 64, memory.dst((2 << 20) + 1), 80), Status::SUCCESS),
        (apply(record, 10, memory.dst(0), 64), Status::SUCCESS),
        (apply(record, 0, memory.dst(0), 64), Status::UNSUPPORTED_VALUE),
        (apply(record, 15, memory.dst(0), 64), Status::UNSUPPORTED_VALUE),
        (apply(record, 1_048_580, memory.dst(0), 64), Status::UNSUPPORTED_VALUE),
        (apply(record, 10, memory.dst(0), 0), Status::TRANSFER_SIZE),
        (apply(record, 10, memory.dst(0), longest), Status::SUCCESS),
        (apply(record, 10, memory.dst(0), longest + 8), Status::TRANSFER_SIZE),
        (apply(record, 10, memory.dst(4), 64), Status::ALIGNMENT),
        (apply(record, 10, memory.dst(0), 60), Status::ALIGNMENT),
        (apply(memory.src((2 << 20) + 3), 10, memory.dst(0), 64), Status::SUCCESS),
    ] {
        assert_eq!(rig.run(&descriptor).status(), status, "{descriptor:?}");
    }
}

#[test]
fn blocks_are_whole_and_transfers_have_the_limit_of_the_queue() {
    let queue = QueueConfig { transfer_bytes_max: 32_768, ..QueueConfig::default() };
    let rig = Rig::new(DeviceConfig { queues: vec![queue], ..DeviceConfig::default() });
    let memory = Memory::warm(64 * PAGE);
    let (src, dst) = (memory.src(0), memory.dst(32 * PAGE));
    for (flags, block) in [
        (DifFlags::BLOCK_512, 512),
        (DifFlags::BLOCK_520, 520),
        (DifFlags::BLOCK_4096, 4096),
        (DifFlags::BLOCK_4104, 4104),
    ] {
        for (which, unit) in [block + 8, block, block + 8, block + 8, block].into_iter().enumerate() {
            let most = 32_768 / unit * unit;
            for (size, status) in [
                (0, Status::TRANSFER_SIZE),
                (unit - 8, Status::TRANSFER_SIZE),
                (unit, Status::SUCCESS),
                (unit + 8, Status::TRANSFER_SIZE),
                (most, Status::SUCCESS),
                (most + unit, Status::TRANSFER_SIZE),
            ] {
                let descriptor = dif(src, dst, size, flags)[which];
                assert_eq!(rig.run(&descriptor).status(), status, "{flags:?}, {descriptor:?}");
            }
        }
    }
    let misaligned = dif(src, memory.dst(32 * PAGE + 4), 512, DifFlags::BLOCK_512);
    assert_eq!(rig.run(&misaligned[4]).status(), Status::ALIGNMENT);
    assert_eq!(rig.run(&misaligned[1]).status(), Status::SUCCESS);
}

/// Each pair of operands that must not overlap: side by side they pass, with one unit in common they do not.
#[test]
fn operands_may_touch_and_not_overlap() {
    let rig = Rig::dsa();
    let memory = Memory::warm(64 * PAGE);
    let at = 8 * PAGE;
    // What is at `at` and how long it is; how long the other is; the descriptor for the other's place.
    let block = DifFlags::BLOCK_512;
    let (src, dst) = (|at| memory.src(at), |at| memory.dst(at));
    type Case<'a> = (&'a str, usize, usize, usize, Box<dyn Fn(usize) -> Descriptor + 'a>);
    let cases: [Case<'_>; 11] = [
        ("copy with crc", 777, 777, 1, Box::new(|to| Descriptor::copy_crc(src(at), dst(to), 777, 0))),
        (
            "dualcast, source",
            PAGE,
            PAGE,
            1,
            Box::new(|to| Descriptor::dualcast(src(at), dst(to), dst(to + 20 * PAGE), PAGE as u32)),
        ),
        (
            "dualcast, second",
            PAGE,
            PAGE,
            1,
            Box::new(|to| Descriptor::dualcast(src(at), dst(to + 20 * PAGE), dst(to), PAGE as u32)),
        ),
        ("create, source 1", 800, 90, 1, Box::new(|to| create(src(at), src(0), 800, dst(to), 90))),
        ("create, source 2", 800, 90, 1, Box::new(|to| create(src(0), src(at), 800, dst(to), 90))),
        ("apply", 800, 10, 1, Box::new(|to| apply(src(to), 10, dst(at), 800))),
        ("insert", 1024, 1040, 1, Box::new(|to| dif(src(at), dst(to), 1024, block)[1])),
        ("strip", 1040, 1024, 1, Box::new(|to| dif(src(at), dst(to), 1040, block)[2])),
        ("update", 1040, 1040, 1, Box::new(|to| dif(src(at), dst(to), 1040, block)[3])),
        ("dix", 1024, 16, 8, Box::new(|to| dif(src(at), dst(to), 1024, block)[4])),
        (
            "dualcast, both",
            PAGE,
            PAGE,
            PAGE,
            Box::new(|to| Descriptor::dualcast(src(0), dst(at), dst(to), PAGE as u32)),
        ),
    ];
    for (name, len, other, step, descriptor) in cases {
        for (to, status) in [
            (at - other, Status::SUCCESS),
            (at - other + step, Status::OVERLAPPING_BUFFERS),
            (at, Status::OVERLAPPING_BUFFERS),
            (at + len - step, Status::OVERLAPPING_BUFFERS),
            (at + len, Status::SUCCESS),
        ] {
            memory.write(0, &[0; 64 * PAGE]);
            let completion = rig.run(&descriptor(to));
            assert_eq!(completion.status(), status, "{name}: {} and {to}", at);
        }
    }
    // Sources may overlap each other.
    assert_eq!(rig.run(&create(src(at), src(at + 8), 800, dst(0), 1000)).status(), Status::SUCCESS);
    let compare = Descriptor::compare(src(at), src(at + 1), 800);
    assert_eq!(rig.run(&compare).status(), Status::SUCCESS);
}

/// §5.4 in its order: of a descriptor with everything wrong, the first is reported; repaired, the next.
#[test]
fn checks_are_made_in_the_order_of_the_specification() {
    let rig = Rig::dsa();
    let memory = Memory::warm(4 * PAGE);
    let flags = Flags::CHECK_RESULT;
    let misaligned = create(memory.src(0), memory.src(4), 60, memory.dst(2 * PAGE), 80);
    let wrong_room = create(memory.src(0), memory.src(4), 60, memory.dst(2 * PAGE), 75);
    let overlapping = create(memory.src(0), memory.src(4), 60, memory.dst(8), 75);
    let empty = create(memory.src(0), memory.src(4), 0, memory.dst(8), 75);
    let poked = |descriptor: Descriptor| {
        let mut bytes = *descriptor.as_bytes();
        bytes[63] = 1;
        Descriptor::from_bytes(bytes)
    };
    for (descriptor, status) in [
        (poked(empty).with_flags(bit(6)), Status::INVALID_FLAGS),
        (poked(empty), Status::RESERVED_NOT_ZERO),
        (empty, Status::TRANSFER_SIZE),
        (overlapping, Status::OVERLAPPING_BUFFERS),
        (wrong_room, Status::UNSUPPORTED_VALUE),
        (misaligned.with_flags(flags), Status::ALIGNMENT),
    ] {
        let completion = rig.run(&descriptor);
        assert_eq!((completion.status(), completion.bytes_completed()), (status, 0), "{descriptor:?}");
    }
}
