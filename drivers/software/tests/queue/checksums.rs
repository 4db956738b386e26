//! CRCs of both kinds, with steps left out, alone and with a copy, against the `crc` crate and a loop over bits.

use svala::{Crc, CrcBypass, CrcKind, Error, Runtime};

use super::{INLINE_BYTES, never_inline, noise, runtime, runtime_with};

const CRC32C: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI);
const CRC64: crc::Crc<u64> = crc::Crc::<u64>::new(&crc::CRC_64_NVME);

const LENGTHS: [usize; 15] = [
    0,
    1,
    63,
    64,
    65,
    4095,
    4096,
    4097,
    INLINE_BYTES,
    INLINE_BYTES + 1,
    (2 << 20) - 1,
    2 << 20,
    (2 << 20) + 1,
    5_000_001,
    (16 << 20) + 3,
];

fn on_both(test: impl Fn(&Runtime)) {
    for runtime in [runtime(), runtime_with(never_inline())] {
        test(&runtime);
    }
}

fn wanted(crc: Crc, data: &[u8]) -> u64 {
    match crc.kind {
        CrcKind::Crc32c => CRC32C.checksum(data).into(),
        CrcKind::Crc64 => CRC64.checksum(data),
    }
}

#[test]
fn crcs_agree_with_the_crc_crate_and_chain() {
    on_both(|runtime| {
        for len in LENGTHS {
            for crc in [Crc::CRC32C, Crc::CRC64] {
                let done = pollster::block_on(runtime.crc(noise(len), crc, 0)).unwrap();
                assert_eq!(done.value, wanted(crc, &noise(len)), "{len} bytes, {crc:?}");
                let seed = wanted(crc, b"before");
                let chained = pollster::block_on(runtime.crc(done.buffers, crc, seed)).unwrap();
                assert_eq!(chained.value, wanted(crc, &[b"before", &noise(len)[..]].concat()), "{len} bytes");
            }
        }
    });
}

#[test]
fn copy_with_crc_copies_and_agrees_and_chains() {
    on_both(|runtime| {
        for len in LENGTHS {
            for crc in [Crc::CRC32C, Crc::CRC64] {
                let seed = wanted(crc, b"before");
                let done = runtime.copy_crc(noise(len), vec![0x55_u8; len], crc, seed);
                let done = pollster::block_on(done).unwrap();
                assert_eq!(done.value, wanted(crc, &[b"before", &noise(len)[..]].concat()), "{len} bytes");
                let (src, dst) = done.buffers;
                assert!(src == noise(len) && dst == src, "{len} bytes");
            }
            let done = pollster::block_on(runtime.copy_crc32c(noise(len), vec![0_u8; len], 0)).unwrap();
            assert_eq!(done.value, CRC32C.checksum(&noise(len)));
        }
    });
}

/// The register of DSA appendix A, bit by bit, highest bit first.
fn by_bits(crc: Crc, seed: u64, data: &[u8]) -> u64 {
    let (width, polynomial) = match crc.kind {
        CrcKind::Crc32c => (32, 0x1edc_6f41),
        CrcKind::Crc64 => (64, 0xad93_d235_94c9_3659),
    };
    let mask = u64::MAX >> (64 - width);
    let turned = |value: u64| {
        if crc.bypass.contains(CrcBypass::INVERSION) {
            value
        } else {
            (!value & mask).reverse_bits() >> (64 - width)
        }
    };
    let mut register = turned(seed);
    for byte in data {
        for bit in 0..8 {
            let bit = if crc.bypass.contains(CrcBypass::REFLECTION) { 7 - bit } else { bit };
            let carry = register >> (width - 1) & 1 ^ u64::from(byte >> bit & 1);
            register = register << 1 & mask ^ (polynomial * carry);
        }
    }
    turned(register)
}

#[test]
fn loop_over_bits_is_the_published_crc() {
    assert_eq!(by_bits(Crc::CRC32C, 0, b"123456789"), 0xe306_9283);
    assert_eq!(by_bits(Crc::CRC64, 0, b"123456789"), 0xae8b_1486_0a79_9888);
}

/// The longest is three pieces for the workers.
#[test]
fn steps_left_out_agree_with_the_loop_over_bits_in_one_piece_and_in_several() {
    let bypasses = [CrcBypass::INVERSION, CrcBypass::REFLECTION, CrcBypass::all()];
    on_both(|runtime| {
        for len in [1, 64, 4097, 300_001] {
            for bypass in bypasses {
                for kind in [CrcKind::Crc32c, CrcKind::Crc64] {
                    let crc = Crc { kind, bypass };
                    let seed = 0x1234_5678_9abc_def0 >> (64 - crc.bits());
                    let wanted = by_bits(crc, seed, &noise(len));
                    let alone = pollster::block_on(runtime.crc(noise(len), crc, seed)).unwrap();
                    assert_eq!(alone.value, wanted, "{len} bytes, {crc:?}");
                    let copied = runtime.copy_crc(noise(len), vec![0_u8; len], crc, seed);
                    let copied = pollster::block_on(copied).unwrap();
                    assert_eq!(copied.value, wanted, "{len} bytes, {crc:?}");
                    assert!(copied.buffers.0 == copied.buffers.1);
                }
            }
        }
    });
}

#[test]
fn copy_with_crc_of_different_lengths_gives_the_buffers_back() {
    let runtime = runtime();
    let failed = pollster::block_on(runtime.copy_crc(noise(3), noise(4), Crc::CRC64, 0)).unwrap_err();
    assert!(matches!(failed.error, Error::Length { first: 3, second: 4, .. }), "{failed}");
    assert_eq!(failed.buffers, Some((noise(3), noise(4))));
}
