//! Encryption and decryption, against the examples of SP 800-38A (CFB), of the submission of GCM, and of IEEE 1619 (XTS);
//! whole and cut anywhere.

use idxd_emu::Version;
use idxd_emu::{DeviceConfig, DeviceKind};
use idxd_spec::iaa::{
    CipherFlags, Completion, CryptoAecs, CryptoAlgorithm, CryptoFlags, Decompress, DecompressAecs,
    DecompressFlags, Descriptor, ErrorCode, Filter, FilterAecs, FilterFlags,
};
use idxd_spec::{Flags, Opcode, Status};

use crate::support::{Memory, Rig};

fn hex(digits: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    (0..digits.len()).step_by(2).map(digit).collect()
}

fn block(digits: &str) -> [u8; 16] {
    hex(digits).try_into().unwrap()
}

fn iaa() -> Rig {
    Rig::new(DeviceConfig { name: "iax1".into(), kind: DeviceKind::Iaa, ..DeviceConfig::default() })
}

const PLAIN: &str = "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51\
                     30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710";

/// Runs a job in pieces; the AECS that comes last, and what came out.
fn run(
    rig: &Rig,
    opcode: Opcode,
    aecs: CryptoAecs,
    input: &[u8],
    cuts: &[usize],
) -> (Completion, CryptoAecs, Vec<u8>) {
    let (src, dst) = (Memory::with(input), Memory::warm(input.len() + 64));
    let state = Memory::with(&[aecs.as_bytes().as_slice(), &[0; CryptoAecs::SIZE]].concat());
    let (mut out, mut from) = (Vec::new(), 0);
    let ends: Vec<usize> = cuts.iter().copied().chain([input.len()]).collect();
    let mut last = None;
    for (turn, end) in ends.iter().enumerate() {
        let at = if turn % 2 == 0 { 0 } else { CryptoAecs::SIZE };
        let other = CryptoAecs::SIZE - at;
        if turn + 1 == ends.len() {
            let now = CryptoAecs::from_bytes(state.read(at, CryptoAecs::SIZE).try_into().unwrap());
            let flags = now.flags() | CryptoFlags::FLUSH_ACCUMULATOR;
            state.write(at, now.with_flags(flags).as_bytes());
        }
        let toggle = if turn % 2 == 0 { Flags::empty() } else { Flags::AECS_TOGGLE };
        let descriptor = Descriptor::cipher(
            opcode,
            src.src(from),
            (end - from) as u32,
            dst.dst(0),
            input.len() as u32 + 64,
        )
        .with_src2(state.addr(0), CryptoAecs::SIZE_U32)
        .with_cipher_flags(if turn + 1 == ends.len() {
            CipherFlags::FLUSH_OUTPUT
        } else {
            CipherFlags::empty()
        })
        .with_flags(Flags::READ_SRC2_AECS | Flags::WRITE_SRC2_AECS | toggle);
        let completion = rig.run_iaa(&descriptor);
        assert_eq!(completion.status(), Status::SUCCESS, "{completion:?}");
        out.extend(dst.read(0, completion.output_size() as usize));
        from = *end;
        let next = CryptoAecs::from_bytes(state.read(other, CryptoAecs::SIZE).try_into().unwrap());
        last = Some((completion, next));
    }
    let (completion, next) = last.unwrap();
    (completion, next, out)
}

fn both_ways(rig: &Rig, aecs: CryptoAecs, plain: &[u8], cipher: &[u8]) {
    let whole = plain.len();
    let cuts: [&[usize]; 5] =
        [&[], &[16.min(whole - 1)], &[1, 2, 17.min(whole)], &[15.min(whole)], &[whole - 1]];
    for cuts in cuts {
        let (done, next, out) = run(rig, Opcode::ENCRYPT, aecs, plain, cuts);
        assert_eq!(out, cipher, "{cuts:?}");
        let (back, again, out) = run(rig, Opcode::DECRYPT, aecs, cipher, cuts);
        assert_eq!(out, plain, "{cuts:?}");
        // Both sum up the plaintext, and end in the same state.
        let crc = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC).checksum(plain);
        assert_eq!((done.crc(), back.crc()), (crc, crc));
        assert_eq!((next.counter(), next.hash()), (again.counter(), again.hash()));
    }
}

#[test]
fn cfb_is_that_of_sp_800_38a() {
    let rig = iaa();
    let iv = block("000102030405060708090a0b0c0d0e0f");
    let short = CryptoAecs::new()
        .with_algorithm(CryptoAlgorithm::CFB)
        .with_flags(CryptoFlags::ENABLE)
        .with_key_low(block("2b7e151628aed2a6abf7158809cf4f3c"))
        .with_counter(iv);
    let cipher = "3b3fd92eb72dad20333449f8e83cfb4ac8a64537a0b3a93fcde3cdad9f1ce58b\
                  26751f67a3cbb140b1808cf187a4f4dfc04b05357c5d1c0eeac4c66f9ff7f2e6";
    both_ways(&rig, short, &hex(PLAIN), &hex(cipher));
    both_ways(&rig, short, &hex(PLAIN)[..37], &hex(cipher)[..37]);
    let long = CryptoAecs::new()
        .with_algorithm(CryptoAlgorithm::CFB)
        .with_flags(CryptoFlags::ENABLE | CryptoFlags::KEY_256)
        .with_key_low(block("603deb1015ca71be2b73aef0857d7781"))
        .with_key_high(block("1f352c073b6108d72d9810a30914dff4"))
        .with_counter(iv);
    let cipher = "dc7e84bfda79164b7ecd8486985d386039ffed143b28b1c832113c6331e5407b\
                  df10132415e54b92a13ed0a8267ae2f975a385741ab9cef82031623d55b1e471";
    both_ways(&rig, long, &hex(PLAIN), &hex(cipher));
}

/// AES of one block: what the counter becomes when zeros are encrypted.
fn aes(rig: &Rig, key: [u8; 16], input: [u8; 16]) -> [u8; 16] {
    let aecs = CryptoAecs::new()
        .with_algorithm(CryptoAlgorithm::GCM)
        .with_flags(CryptoFlags::ENABLE)
        .with_key_low(key)
        .with_counter(input);
    run(rig, Opcode::ENCRYPT, aecs, &[0; 16], &[]).2.try_into().unwrap()
}

/// Test case 3 of the submission. Software's part of the calculation is done as the specification leaves it to software.
#[test]
fn gcm_is_that_of_its_submission() {
    let rig = iaa();
    let key = block("feffe9928665731c6d6a8f9467308308");
    let h = aes(&rig, key, [0; 16]);
    let aecs = CryptoAecs::new()
        .with_algorithm(CryptoAlgorithm::GCM)
        .with_flags(CryptoFlags::ENABLE)
        .with_key_low(key)
        .with_gcm_h(h)
        .with_counter(block("cafebabefacedbaddecaf88800000002"));
    let plain = hex("d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72\
         1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255");
    let cipher = hex("42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e\
         21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091473f5985");
    both_ways(&rig, aecs, &plain, &cipher);
    let (completion, next, _) = run(&rig, Opcode::ENCRYPT, aecs, &plain, &[]);
    assert_eq!(completion.crypto_hash(), next.hash());
    // The lengths are hashed as if they were ciphertext, and the result is encrypted with the first counter.
    let lengths = block("00000000000000000000000000000200");
    let (_, hashed, _) = run(&rig, Opcode::DECRYPT, next.with_flags(CryptoFlags::ENABLE), &lengths, &[]);
    let mask = aes(&rig, key, block("cafebabefacedbaddecaf88800000001"));
    let tag: Vec<u8> = hashed.hash().iter().zip(mask).map(|(hash, mask)| hash ^ mask).collect();
    assert_eq!(tag, hex("4d5c2af327cd64a62cf35abd2ba6fab4"));
}

#[test]
fn xts_is_that_of_ieee_1619() {
    let rig = iaa();
    let xts = |key: [u8; 16], tweak: [u8; 16]| {
        CryptoAecs::new()
            .with_algorithm(CryptoAlgorithm::XTS)
            .with_flags(CryptoFlags::ENABLE)
            .with_key_low(key)
            .with_counter(tweak)
    };
    let vector_1 = xts([0; 16], aes(&rig, [0; 16], [0; 16]));
    let cipher = hex("917cf69ebd68b2ec9b9fe9a3eadda692cd43d2f59598ed858c02c2652fbf922e");
    both_ways(&rig, vector_1, &[0; 32], &cipher);
    let second_key = block("bfbebdbcbbbab9b8b7b6b5b4b3b2b1b0");
    let tweak = aes(&rig, second_key, block("9a785634120000000000000000000000"));
    let vector_15 = xts(block("fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0"), tweak);
    let plain = hex("000102030405060708090a0b0c0d0e0f10");
    both_ways(&rig, vector_15, &plain, &hex("6c1625db4671522d3d7599601de7ca09ed"));
}

/// Output goes out in words unless it is asked for to the last byte: then the AECS has the rest.
#[test]
fn the_last_partial_word_waits_for_a_flush() {
    let rig = iaa();
    let aecs = CryptoAecs::new()
        .with_algorithm(CryptoAlgorithm::CFB)
        .with_flags(CryptoFlags::ENABLE | CryptoFlags::FLUSH_ACCUMULATOR)
        .with_key_low(block("2b7e151628aed2a6abf7158809cf4f3c"))
        .with_counter(block("000102030405060708090a0b0c0d0e0f"));
    let (src, dst) = (Memory::with(&hex(PLAIN)[..13]), Memory::warm(64));
    let state = Memory::with(&[aecs.as_bytes().as_slice(), &[0; CryptoAecs::SIZE]].concat());
    let descriptor = |size, from: u32| {
        Descriptor::cipher(Opcode::ENCRYPT, src.src(from as usize), size, dst.dst(from as usize / 8 * 8), 32)
            .with_src2(state.addr(0), CryptoAecs::SIZE_U32)
    };
    let writes = Flags::READ_SRC2_AECS | Flags::WRITE_SRC2_AECS;
    let first = rig.run_iaa(&descriptor(13, 0).with_flags(writes));
    assert_eq!((first.status(), first.output_size()), (Status::SUCCESS, 8));
    let toggled = descriptor(0, 13).with_flags(Flags::READ_SRC2_AECS | Flags::AECS_TOGGLE);
    let second = rig.run_iaa(&toggled.with_cipher_flags(CipherFlags::FLUSH_OUTPUT));
    assert_eq!((second.status(), second.output_size()), (Status::SUCCESS, 5));
    assert_eq!(dst.read(0, 13), &hex("3b3fd92eb72dad20333449f8e8")[..]);
}

/// As accel-config's `iaa_test` has it.
#[test]
fn a_state_may_say_that_it_has_a_format() {
    let rig = iaa();
    let aecs = CryptoAecs::new()
        .with_algorithm(CryptoAlgorithm::CFB)
        .with_flags(CryptoFlags::ENABLE)
        .with_key_low(block("2b7e151628aed2a6abf7158809cf4f3c"));
    let plain = &hex(PLAIN)[..37];
    for opcode in [Opcode::ENCRYPT, Opcode::DECRYPT] {
        let (_, without, expected) = run(&rig, opcode, aecs, plain, &[3, 20]);
        let (_, with, out) = run(&rig, opcode, aecs.with_output_bits(1), plain, &[3, 20]);
        assert_eq!((out, with.output_bits()), (expected, without.output_bits() | 1));
    }
}

#[test]
fn states_that_no_job_has_are_refused() {
    let rig = iaa();
    let sound = CryptoAecs::new().with_algorithm(CryptoAlgorithm::CFB).with_flags(CryptoFlags::ENABLE);
    let flush = CryptoFlags::ENABLE | CryptoFlags::FLUSH_ACCUMULATOR;
    let cases = [
        (sound.with_flags(CryptoFlags::empty()), ErrorCode::CRYPTO_FLAG),
        (sound.with_flags(CryptoFlags::from_bits_retain(0x11)), ErrorCode::CRYPTO_FLAG),
        (sound.with_algorithm(CryptoAlgorithm(3)), ErrorCode::CRYPTO_FLAG),
        (sound.with_accumulator_size(41), ErrorCode::AECS),
        (sound.with_output_bits(64), ErrorCode::AECS),
        (sound.with_output_bits(65), ErrorCode::AECS),
        (sound.with_output_bits(10), ErrorCode::AECS),
        (sound.with_algorithm(CryptoAlgorithm::XTS).with_flags(flush), ErrorCode::CRYPTO_SIZE),
    ];
    let (src, dst) = (Memory::with(&[7; 15]), Memory::warm(64));
    for (aecs, code) in cases {
        let state = Memory::with(&[aecs.as_bytes().as_slice(), &[0; CryptoAecs::SIZE]].concat());
        let descriptor = Descriptor::cipher(Opcode::ENCRYPT, src.src(0), 15, dst.dst(0), 64)
            .with_src2(state.addr(0), CryptoAecs::SIZE_U32)
            .with_flags(Flags::READ_SRC2_AECS);
        let completion = rig.run_iaa(&descriptor);
        assert_eq!(
            (completion.status(), completion.error_code()),
            (Status::ANALYTICS_ERROR, code),
            "{aecs:?}"
        );
    }
    let state = Memory::with(&[sound.as_bytes().as_slice(), &[0; CryptoAecs::SIZE]].concat());
    let descriptor = |size: u32| {
        Descriptor::cipher(Opcode::ENCRYPT, src.src(0), 15, dst.dst(0), 64)
            .with_src2(state.addr(0), size)
            .with_flags(Flags::READ_SRC2_AECS)
    };
    assert_eq!(rig.run_iaa(&descriptor(160)).status(), Status::TRANSFER_SIZE);
    let unread = Descriptor::cipher(Opcode::ENCRYPT, src.src(0), 15, dst.dst(0), 64);
    assert_eq!(rig.run_iaa(&unread).status(), Status::INVALID_FLAGS);
}

/// A stream of zlib's that the device can decode, and what is in it.
fn stream(len: usize) -> (Vec<u8>, Vec<u8>) {
    let data: Vec<u8> = (0..len).map(|at| if at % 700 < 400 { 7 } else { ((at * at) >> 5) as u8 }).collect();
    let mut state = flate2::Compress::new(flate2::Compression::new(6), false);
    let mut stream = Vec::with_capacity(2 * len + 1000);
    for block in data.chunks(4096) {
        state.compress_vec(block, &mut stream, flate2::FlushCompress::Full).unwrap();
    }
    state.compress_vec(&[], &mut stream, flate2::FlushCompress::Finish).unwrap();
    (data, stream)
}

/// Where a decompression begins that decrypts.
fn start(crypto: &CryptoAecs) -> DecompressAecs {
    let mut aecs = DecompressAecs::new();
    aecs.set_state(DecompressAecs::AT_HEADER);
    aecs.set_crypto(crypto);
    aecs
}

/// Decrypts and expands in pieces of input and of room; what came out, and the last record.
fn expand(rig: &Rig, crypto: CryptoAecs, message: &[u8], piece: usize, room: usize) -> (Vec<u8>, Completion) {
    const SIZE: usize = DecompressAecs::SIZE;
    let (src, dst) = (Memory::with(message), Memory::warm(room));
    let state = Memory::with(&[start(&crypto).as_bytes().as_slice(), &[0; SIZE]].concat());
    let (mut out, mut from) = (Vec::new(), 0);
    for turn in 0.. {
        let at = if turn % 2 == 0 { 0 } else { SIZE };
        let len = piece.min(message.len() - from);
        let ends = from + len == message.len();
        if ends {
            let mut bytes = state.read(at, SIZE);
            bytes[CryptoAecs::FLAGS_OFFSET] |= CryptoFlags::FLUSH_ACCUMULATOR.bits();
            state.write(at, &bytes);
        }
        let flags = DecompressFlags::STOP_ON_EOB | DecompressFlags::SELECT_BFINAL_EOB;
        let flags = if ends { flags | DecompressFlags::FLUSH_OUTPUT } else { flags };
        let toggle = if turn % 2 == 0 { Flags::empty() } else { Flags::AECS_TOGGLE };
        let descriptor = Descriptor::decompress(Decompress {
            src: src.src(from),
            src_size: len as u32,
            dst: dst.dst(0),
            dst_size_max: room as u32,
            flags,
        })
        .with_src2(state.addr(0), SIZE as u32)
        .with_flags(Flags::READ_SRC2_AECS | Flags::WRITE_SRC2_AECS | toggle);
        let done = rig.run_iaa(&descriptor);
        out.extend(dst.read(0, done.output_size() as usize));
        match done.status() {
            Status::OUTPUT_OVERFLOW => from += done.bytes_completed() as usize,
            Status::SUCCESS if ends => return (out, done),
            Status::SUCCESS => from += len,
            status => panic!("{status:?} {done:?} at {from} of {} by {piece} into {room}", message.len()),
        }
    }
    unreachable!("a job ends")
}

/// However input and output are cut, within blocks and within words, the output is the same, and the hash that of the whole
/// message as its decryption alone has it.
#[test]
fn a_stream_is_decrypted_and_expanded_over_every_cut() {
    let rig = iaa();
    let (data, stream) = stream(6000);
    let key = block("feffe9928665731c6d6a8f9467308308");
    let algorithms = [CryptoAlgorithm::GCM, CryptoAlgorithm::CFB, CryptoAlgorithm::XTS];
    for algorithm in algorithms {
        let crypto = CryptoAecs::new()
            .with_algorithm(algorithm)
            .with_flags(CryptoFlags::ENABLE)
            .with_key_low(key)
            .with_gcm_h(aes(&rig, key, [0; 16]))
            .with_counter(block("cafebabefacedbaddecaf88800000002"));
        let (_, _, message) = run(&rig, Opcode::ENCRYPT, crypto, &stream, &[]);
        let (alone, _, _) = run(&rig, Opcode::DECRYPT, crypto, &message, &[]);
        let cuts =
            [(5000, 8192), (1000, 8192), (5000, 64), (1, 8192), (17, 40), (333, 9), (48, 8), (5000, 1003)];
        for (piece, room) in cuts {
            let (out, done) = expand(&rig, crypto, &message, piece, room);
            assert!(out == data, "{algorithm:?} by {piece} into {room}");
            assert_eq!(done.crypto_hash(), alone.crypto_hash(), "{algorithm:?} by {piece} into {room}");
            assert_eq!(done.crc(), crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC).checksum(&data));
        }
    }
}

#[test]
fn decryption_in_front_that_cannot_be_is_refused() {
    let rig = iaa();
    let sound = CryptoAecs::new()
        .with_algorithm(CryptoAlgorithm::CFB)
        .with_flags(CryptoFlags::ENABLE | CryptoFlags::FLUSH_ACCUMULATOR)
        .with_filter(&FilterAecs::new().with_high(255));
    let (src, dst) = (Memory::with(&[7; 64]), Memory::warm(64));
    let filter = |opcode, aecs: CryptoAecs, size, decompress, rig: &Rig| {
        let state = Memory::with(aecs.as_bytes());
        let filter = Filter {
            src: src.src(0),
            src_size: 64,
            dst: dst.dst(0),
            dst_size_max: 64,
            flags: FilterFlags::empty().with_src1_width(7),
            input_count: 64,
        };
        let descriptor = Descriptor::filter(opcode, filter).with_decompress_flags(decompress);
        let done = rig.run_iaa(&descriptor.with_src2(state.addr(0), size).with_flags(Flags::READ_SRC2_AECS));
        (done.status(), done.error_code())
    };
    let (whole, none) = (CryptoAecs::SIZE_U32, DecompressFlags::empty());
    let refused = |code| (Status::ANALYTICS_ERROR, code);
    assert_eq!(filter(Opcode::SCAN, sound, whole, none, &rig).0, Status::SUCCESS);
    assert_eq!(filter(Opcode::EXTRACT, sound, whole, none, &rig).0, Status::SUCCESS);
    let unflushed = sound.with_flags(CryptoFlags::ENABLE);
    let words = DecompressFlags::ENABLE | DecompressFlags::BIT_ORDER_BE;
    let xts = sound.with_algorithm(CryptoAlgorithm(3));
    for (opcode, aecs, size, flags) in [
        (Opcode::SCAN, unflushed, whole, none),
        (Opcode::SCAN, sound, FilterAecs::SIZE_U32, none),
        (Opcode::SCAN, sound, whole, words),
        (Opcode::SCAN, xts, whole, none),
        (Opcode::FIND_UNIQUE, sound, whole, none),
    ] {
        assert_eq!(filter(opcode, aecs, size, flags, &rig), refused(ErrorCode::CRYPTO_FLAG), "{opcode:?}");
    }
    let waits = sound.with_accumulator_size(3);
    assert_eq!(filter(Opcode::SCAN, waits, whole, none, &rig), refused(ErrorCode::AECS));
    // The first generation has none of it.
    let first = Rig::new(DeviceConfig {
        name: "iax1".into(),
        kind: DeviceKind::Iaa,
        version: Version::V1,
        ..DeviceConfig::default()
    });
    assert_eq!(filter(Opcode::SCAN, sound, whole, none, &first), refused(ErrorCode::CRYPTO_FLAG));
}
