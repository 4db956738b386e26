//! The error codes of an IAA's analytics errors: streams, columns and states that are broken in one way.

use idxd_emu::{DeviceConfig, DeviceKind, FaultPlan, Which};
use idxd_spec::iaa::{
    CipherFlags, Completion, Compress, CompressAecs, CompressFlags, CompressFlags2, CryptoAecs,
    CryptoAlgorithm, CryptoFlags, Decompress, DecompressAecs, DecompressFlags, Descriptor, ErrorCode, Filter,
    FilterFlags,
};
use idxd_spec::{Flags, Opcode, Status};

use super::Reach;
use crate::analytics_streams::large_header;
use crate::indexing::refusal;
use crate::support::{Memory, PAGE, Rig, bytes};

pub(super) fn iaa(plan: FaultPlan) -> Rig {
    Rig::new(DeviceConfig { name: "iax1".into(), kind: DeviceKind::Iaa, plan, ..DeviceConfig::default() })
}

/// A final stored block of eight bytes.
pub(super) const STORED: [u8; 13] = [1, 8, 0, !8, !0, 1, 2, 3, 4, 5, 6, 7, 8];
/// Room for output.
const ROOM: u32 = 64;

/// What a descriptor works on.
pub(super) struct Parts {
    src: Memory,
    len: u32,
    dst: Memory,
    /// A second input, or two AECS.
    second: Memory,
}

impl Parts {
    pub(super) fn new(data: &[u8]) -> Self {
        Self {
            src: Memory::with(data),
            len: u32::try_from(data.len()).unwrap(),
            dst: Memory::warm(4 * PAGE),
            second: Memory::warm(4 * PAGE),
        }
    }

    /// With an AECS.
    fn with_state(data: &[u8], state: &[u8]) -> Self {
        let parts = Self::new(data);
        parts.second.write(0, state);
        parts
    }

    pub(super) fn inflate(&self, flags: DecompressFlags, len: usize) -> Descriptor {
        Descriptor::decompress(Decompress {
            src: self.src.src(0),
            src_size: u32::try_from(len).unwrap(),
            dst: self.dst.dst(0),
            dst_size_max: ROOM,
            flags: flags | DecompressFlags::FLUSH_OUTPUT | DecompressFlags::STOP_ON_EOB,
        })
    }

    fn compress(&self, flags: CompressFlags) -> Descriptor {
        Descriptor::compress(Compress {
            src: self.src.src(0),
            src_size: self.len,
            dst: self.dst.dst(0),
            dst_size_max: ROOM,
            aecs: self.second.src(0),
            flags: flags | CompressFlags::FLUSH_OUTPUT,
        })
    }

    fn filter(&self, opcode: Opcode, input_count: u32, flags: FilterFlags) -> Descriptor {
        let (src, dst) = (self.src.src(0), self.dst.dst(0));
        let filter = Filter { src, src_size: self.len, dst, dst_size_max: ROOM, flags, input_count };
        Descriptor::filter(opcode, filter)
    }

    /// Bytes, unless `flags` say that they say themselves what they are.
    pub(super) fn scan(&self, count: u32, flags: FilterFlags) -> Descriptor {
        let flags = if flags.src1_parser() == 2 { flags } else { flags.with_src1_width(7) };
        self.filter(Opcode::SCAN, count, flags)
    }

    /// Eight elements, and a second input of a byte of zeros.
    pub(super) fn with_second(&self, opcode: Opcode, flags: FilterFlags) -> Descriptor {
        self.filter(opcode, 8, flags).with_second_input(self.second.src(0), 1)
    }
}

fn code(completion: Completion) -> ErrorCode {
    assert_eq!(completion.status(), Status::ANALYTICS_ERROR, "{completion:?}");
    completion.error_code()
}

fn run(parts: &Parts, descriptor: impl FnOnce(&Parts) -> Descriptor) -> ErrorCode {
    code(iaa(FaultPlan::default()).run_iaa(&descriptor(parts)))
}

/// The whole stream, by one descriptor.
pub(super) fn inflated(stream: &[u8]) -> Completion {
    let parts = Parts::new(stream);
    iaa(FaultPlan::default()).run_iaa(&parts.inflate(DecompressFlags::empty(), stream.len()))
}

/// The error of a stream that is written as values and their bits, lowest first.
fn stream(groups: &[&[(u32, u32)]]) -> ErrorCode {
    code(inflated(&packed(groups)))
}

fn packed(groups: &[&[(u32, u32)]]) -> Vec<u8> {
    let groups = groups.iter().flat_map(|group| group.iter());
    let bits: Vec<bool> =
        groups.flat_map(|(value, count)| (0..*count).map(move |at| value >> at & 1 == 1)).collect();
    let byte = |bits: &[bool]| bits.iter().rev().fold(0, |byte, bit| byte << 1 | u8::from(*bit));
    // Enough zeros behind it that nothing is cut off.
    bits.chunks(8).map(byte).chain([0; 16]).collect()
}

/// A final dynamic block of 257 literal/length codes and one distance code, with four code length codes: 16, 17, 18, 0.
const HEADER: [(u32, u32); 4] = [(0b101, 3), (0, 5), (0, 5), (0, 4)];
/// Codes of one bit for 18, which is 1, and for 0.
const ZEROS: [(u32, u32); 4] = [(0, 3), (0, 3), (1, 3), (1, 3)];
/// 138 zeros, and 119: all of the literal/length codes.
const NO_LL_CODES: [(u32, u32); 4] = [(1, 1), (127, 7), (1, 1), (108, 7)];

/// A final dynamic block with such code lengths, each written as itself: code length codes 0 to 15 of four bits each.
fn lengths(literal_length: &[u32], distance: &[u32]) -> ErrorCode {
    let counts = [literal_length.len() - 257, distance.len() - 1].map(|count| count as u32);
    let header = [(0b101, 3), (counts[0], 5), (counts[1], 5), (15, 4)];
    let codes = [&[(0, 3); 3][..], &[(4, 3); 16]].concat();
    // Huffman codes go highest bit first.
    let written = |lengths: &[u32]| -> Vec<(u32, u32)> {
        lengths.iter().map(|length| (length.reverse_bits() >> 28, 4)).collect()
    };
    stream(&[&header, &codes, &written(literal_length), &written(distance)])
}

/// 257 literal/length codes: of 0 and of the end of block.
fn two_codes(first: u32, end: u32) -> [u32; 257] {
    let mut lengths = [0; 257];
    (lengths[0], lengths[256]) = (first, end);
    lengths
}

/// A final block of fixed codes that begins with such a token and goes on with such a distance, both highest bit first.
fn fixed(token: (u32, u32), distance: u32) -> ErrorCode {
    let turned = |(code, bits): (u32, u32)| (code.reverse_bits() >> (32 - bits), bits);
    stream(&[&[(0b011, 3)], &[turned(token), turned((distance, 5))]])
}

/// More than 4 KiB of literals, and a reference of three bytes to 4097 bytes ago: distance code 24 and eleven bits.
fn far() -> ErrorCode {
    let literals = [(0b0000_1100, 8); 4200];
    let reference = [(0b100_0000, 7), (0b00011, 5), (0, 11)];
    let bytes = packed(&[&[(0b011, 3)], &literals, &reference]);
    let parts = Parts::new(&bytes);
    let flags = DecompressFlags::SUPPRESS_OUTPUT;
    run(&parts, |parts| parts.inflate(flags, bytes.len()))
}

/// A state that no decompression can have left.
fn state(spoil: impl FnOnce(&mut DecompressAecs)) -> ErrorCode {
    let mut state = DecompressAecs::new();
    spoil(&mut state);
    let parts = Parts::with_state(&STORED, state.as_bytes());
    run(&parts, |parts| {
        let inflate = parts.inflate(DecompressFlags::empty(), STORED.len());
        let size = u32::try_from(DecompressAecs::SIZE).unwrap();
        inflate.with_src2(parts.second.addr(0), size).with_flags(Flags::READ_SRC2_AECS)
    })
}

/// A header of more bits than the AECS has room for, cut off and to be gone on with.
fn cut_header() -> ErrorCode {
    let (stream, header_bits) = large_header();
    let parts = Parts::new(&stream);
    run(&parts, |parts| {
        let inflate = parts.inflate(DecompressFlags::empty(), header_bits / 8 - 1);
        let size = u32::try_from(DecompressAecs::SIZE).unwrap();
        inflate.with_src2(parts.second.addr(0), size).with_flags(Flags::WRITE_SRC2_AECS)
    })
}

/// A compression of `data` with an AECS.
fn compressed(data: &[u8], aecs: &CompressAecs, flags: CompressFlags) -> ErrorCode {
    let parts = Parts::with_state(data, aecs.as_bytes());
    run(&parts, |parts| parts.compress(flags))
}

fn encrypted(aecs: CryptoAecs) -> ErrorCode {
    let parts = Parts::with_state(&[7; 15], aecs.as_bytes());
    run(&parts, |parts| {
        Descriptor::cipher(Opcode::ENCRYPT, parts.src.src(0), 15, parts.dst.dst(0), ROOM)
            .with_src2(parts.second.addr(0), CryptoAecs::SIZE_U32)
            .with_cipher_flags(CipherFlags::FLUSH_OUTPUT)
            .with_flags(Flags::READ_SRC2_AECS)
    })
}

fn failing(error: ErrorCode) -> ErrorCode {
    let rig = iaa(FaultPlan::seeded(1).noise().fail_analytics(error, Which::Every));
    code(rig.run_iaa(&Descriptor::noop()))
}

/// Parquet's encoding: the width, and what comes behind it.
fn parquet(column: &[u8], count: u32) -> ErrorCode {
    let parts = Parts::new(column);
    run(&parts, |parts| parts.scan(count, FilterFlags::empty().with_src1_parser(2)))
}

pub(super) const CODES: [Reach<ErrorCode>; 41] = [
    (ErrorCode::HEADER_TOO_LARGE, cut_header),
    // Codes of two bits for three symbols, and the bits of a fourth.
    (ErrorCode::UNDEFINED_CL_CODE, || stream(&[&HEADER, &[(2, 3), (2, 3), (2, 3), (0, 3)], &[(3, 2)]])),
    (ErrorCode::FIRST_LL_CODE_16, || stream(&[&HEADER, &[(1, 3), (0, 3), (0, 3), (1, 3)], &[(1, 1)]])),
    (ErrorCode::FIRST_D_CODE_16, || {
        // Code length codes 16 and 18 of two bits, 10 and 11, and 0 of one.
        let codes = [(2, 3), (0, 3), (2, 3), (1, 3)];
        let zeros = [(0b11, 2), (127, 7), (0b11, 2), (108, 7)];
        stream(&[&HEADER, &codes, &zeros, &[(0b01, 2), (0, 2)]])
    }),
    (ErrorCode::NO_LL_CODE, || stream(&[&HEADER, &ZEROS, &NO_LL_CODES, &[(0, 1)]])),
    (ErrorCode::LL_CODE_COUNT, || {
        stream(&[&HEADER, &ZEROS, &[(1, 1), (127, 7), (1, 1), (109, 7)], &[(0, 1)]])
    }),
    (ErrorCode::D_CODE_COUNT, || stream(&[&HEADER, &ZEROS, &NO_LL_CODES, &[(1, 1), (0, 7)]])),
    (ErrorCode::BAD_CL_LENGTHS, || stream(&[&HEADER, &[(1, 3), (1, 3), (1, 3), (0, 3)]])),
    (ErrorCode::BAD_LL_LENGTHS, || lengths(&two_codes(2, 2), &[0])),
    (ErrorCode::BAD_D_LENGTHS, || lengths(&two_codes(1, 1), &[1, 1, 1])),
    (ErrorCode::BAD_LL_CODE, || fixed((0b1100_0110, 8), 0)),
    (ErrorCode::BAD_D_CODE, || fixed((1, 7), 30)),
    (ErrorCode::BLOCK_TYPE, || stream(&[&[(0b111, 3)]])),
    (ErrorCode::STORED_LENGTH, || stream(&[&[(1, 8), (5, 16), (5, 16)]])),
    (ErrorCode::BAD_END_OF_FILE, || {
        let parts = Parts::new(&STORED);
        run(&parts, |parts| parts.inflate(DecompressFlags::CHECK_FOR_EOB, STORED.len() - 1))
    }),
    (ErrorCode::BAD_DISTANCE, far),
    (ErrorCode::DISTANCE_BEFORE_START, || fixed((1, 7), 0)),
    (ErrorCode::TIMEOUT, || failing(ErrorCode::TIMEOUT)),
    // A run of four of a value that is not there.
    (ErrorCode::PRLE_FORMAT, || parquet(&[8, 8], 4)),
    (ErrorCode::FILTER_OVERFLOW, || {
        // Without an AECS zeros are looked for; positions from 256 on do not fit bytes.
        let parts = Parts::new(&[[1; 256].as_slice(), &[0; 44]].concat());
        run(&parts, |parts| parts.scan(300, FilterFlags::empty().with_output_width(1)))
    }),
    (ErrorCode::AECS, || state(|state| state.set_history_pointer(4096))),
    (ErrorCode::SRC1_TOO_SMALL, || {
        let parts = Parts::new(&[0; 8]);
        run(&parts, |parts| parts.scan(9, FilterFlags::empty()))
    }),
    (ErrorCode::SRC2_TOO_SMALL, || {
        let parts = Parts::new(&[0; 9]);
        let flags = FilterFlags::empty().with_src1_width(7);
        run(&parts, |parts| parts.filter(Opcode::SELECT, 9, flags).with_second_input(parts.second.src(0), 1))
    }),
    (ErrorCode::OUTPUT_OVERFLOW, || {
        compressed(&bytes(100, 3), &CompressAecs::fixed_huffman(true), CompressFlags::END_EOB)
    }),
    (ErrorCode::DISTANCE_SPANS_MINIBLOCKS, || {
        let noise = bytes(512, 9);
        refusal(&[&noise[..], &[0xaa], &noise[100..300]].concat(), 4000)
    }),
    (ErrorCode::LENGTH_SPANS_MINIBLOCKS, || refusal(&[7; 4000], 4000)),
    (ErrorCode::BLOCK_SIZE, || refusal(&bytes(1400, 9), 700)),
    (ErrorCode::VERIFY, || failing(ErrorCode::VERIFY)),
    (ErrorCode::HUFFMAN_CODE, || compressed(&[1], &CompressAecs::new(), CompressFlags::END_EOB)),
    (ErrorCode::PRLE_WIDTH, || parquet(&[33, 8, 0], 4)),
    (ErrorCode::TOO_FEW_ELEMENTS, || parquet(&[8, 8, 0], 5)),
    (ErrorCode::TOO_MANY_LL_CODES, || stream(&[&[(0b101, 3), (30, 5), (0, 5), (0, 4)]])),
    (ErrorCode::TOO_MANY_D_CODES, || stream(&[&[(0b101, 3), (0, 5), (30, 5), (0, 4)]])),
    (ErrorCode::ADMINISTRATIVE_TIMEOUT, || failing(ErrorCode::ADMINISTRATIVE_TIMEOUT)),
    (ErrorCode::CRYPTO_FLAG, || encrypted(CryptoAecs::new().with_algorithm(CryptoAlgorithm::CFB))),
    (ErrorCode::CRYPTO_SIZE, || {
        let flags = CryptoFlags::ENABLE | CryptoFlags::FLUSH_ACCUMULATOR;
        encrypted(CryptoAecs::new().with_algorithm(CryptoAlgorithm::XTS).with_flags(flags))
    }),
    (ErrorCode::DATA_TOO_LARGE, || {
        let flags = CompressFlags::END_EOB.with_header_generation(3);
        compressed(&[0; 4097], &CompressAecs::new(), flags)
    }),
    (ErrorCode::EARLY_ABORT, || {
        let parts = Parts::with_state(&bytes(512, 1), CompressAecs::fixed_huffman(true).as_bytes());
        let flags = CompressFlags2::empty().with_early_abort_eighths(7);
        run(&parts, |parts| parts.compress(CompressFlags::END_EOB).with_compress_flags_2(flags))
    }),
    (ErrorCode::NO_DEFLATE_HEADER, || {
        let flags = CompressFlags::GENERATE_ALL_LITERALS.with_header_generation(2);
        compressed(&[1, 2, 3], &CompressAecs::new(), flags)
    }),
    (ErrorCode::HEADER_OVERFLOW, || {
        // A header behind all but one of the bits there is room for.
        let mut aecs = CompressAecs::new();
        aecs.set_accumulator_bits(CompressAecs::ACCUMULATOR_BITS_MAX - 1);
        let flags = CompressFlags::END_EOB.with_header_generation(3);
        let parts = Parts::with_state(&[1], aecs.as_bytes());
        run(&parts, |parts| parts.compress(flags))
    }),
    (ErrorCode::INCONSISTENT_STATE, || {
        // In the middle of a block, with codes that are none.
        state(|state| state.codes_mut()[..4].fill(0x11))
    }),
];
