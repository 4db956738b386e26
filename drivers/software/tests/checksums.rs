//! Checksums against the `crc` crate's tables and the definition of Adler-32.

use crc::{CRC_32_ISCSI, CRC_32_ISO_HDLC, CRC_64_NVME, Crc};
use proptest::prelude::*;
use svala_software::{
    Bypass, adler32, adler32_combine, copy_crc32c, copy_crc64, crc32, crc32_combine, crc32c, crc32c_combine,
    crc64, crc64_combine,
};

const CRC32C: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);
const CRC32: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);
const CRC64: Crc<u64> = Crc::<u64>::new(&CRC_64_NVME);

/// RFC 1950, section 8.2, as it stands.
fn adler32_defined(data: &[u8]) -> u32 {
    let (mut sum, mut weighted) = (1_u32, 0_u32);
    for &byte in data {
        sum = (sum + u32::from(byte)) % 65521;
        weighted = (weighted + sum) % 65521;
    }
    weighted << 16 | sum
}

fn noise(len: usize) -> Vec<u8> {
    let mut state = 88_172_645_463_325_252_u64;
    let mut bytes = Vec::with_capacity(len);
    for _ in 0..len {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        bytes.push(state.to_be_bytes()[0]);
    }
    bytes
}

#[test]
fn check_values_are_the_published_ones() {
    let data = b"123456789";
    assert_eq!(crc32c(0, data), 0xe306_9283);
    assert_eq!(crc32(0, data), 0xcbf4_3926);
    assert_eq!(crc64(0, data), 0xae8b_1486_0a79_9888);
    assert_eq!(adler32(1, data), 0x091e_01de);
}

#[test]
fn nothing_changes_nothing() {
    for seed in [0, 1, 0xdead_beef, u32::MAX] {
        assert_eq!(crc32c(seed, b""), seed);
        assert_eq!(crc32(seed, b""), seed);
        assert_eq!(crc64(seed.into(), b""), seed.into());
        assert_eq!(crc32c_combine(seed, 0, 0), seed);
        assert_eq!(crc64_combine(seed.into(), 0, 0), seed.into());
    }
    assert_eq!(adler32(1, b""), 1);
    assert_eq!(adler32_combine(0x0001_0002, 1, 0), 0x0001_0002);
}

#[test]
fn checksums_agree_with_the_oracle_at_every_length_and_offset() {
    let data = noise((2 << 20) + 200);
    let around = |centre: usize, by: usize| centre.saturating_sub(by)..=centre + by;
    for len in around(64, 70).chain(around(4096, 3)).chain(around(2 << 20, 1)) {
        for offset in [0, 1, 13, 64] {
            let data = &data[offset..offset + len];
            assert_eq!(crc32c(0, data), CRC32C.checksum(data), "crc32c of {len} at {offset}");
            assert_eq!(crc32(0, data), CRC32.checksum(data), "crc32 of {len} at {offset}");
            assert_eq!(crc64(0, data), CRC64.checksum(data), "crc64 of {len} at {offset}");
            assert_eq!(adler32(1, data), adler32_defined(data), "adler32 of {len} at {offset}");
        }
    }
}

/// The register of a device is the complement of a finished value: an initial value of zero is a seed of all ones.
#[test]
fn seed_is_the_complement_of_the_register() {
    let mut plain = CRC_32_ISCSI;
    plain.init = 0;
    plain.xorout = 0;
    let plain: &'static crc::Algorithm<u32> = Box::leak(Box::new(plain));
    let data = noise(1000);
    assert_eq!(!crc32c(!0, &data), Crc::<u32>::new(plain).checksum(&data));
}

#[test]
fn copy_with_crc_copies_and_chains() {
    for len in [0, 1, 64, 16383, 16384, 16385, 100_000] {
        let src = noise(len);
        let mut dst = vec![0; len];
        let crc = copy_crc32c(crc32c(0, b"before"), &src, &mut dst);
        assert!(src == dst);
        assert_eq!(crc, CRC32C.checksum(&[b"before", &src[..]].concat()));
    }
}

#[test]
fn copy_with_crc64_copies_and_chains() {
    for len in [0, 1, 64, 16383, 16384, 16385, 100_000] {
        let src = noise(len);
        let mut dst = vec![0; len];
        let crc = copy_crc64(crc64(0, b"before"), &src, &mut dst);
        assert!(src == dst);
        assert_eq!(crc, CRC64.checksum(&[b"before", &src[..]].concat()));
    }
}

/// The parameters of a CRC in which `bypass` is left out, as the catalogue writes them: reflection of the data is
/// `refin`; inversion is `init` and `xorout`; and bits in reverse order are those of a result that is not reflected.
fn bypassed<W: crc::Width + Copy>(
    plain: crc::Algorithm<W>,
    bypass: Bypass,
    zero: W,
) -> &'static crc::Algorithm<W> {
    let mut algorithm = plain;
    algorithm.refin = !bypass.reflection;
    algorithm.refout = !bypass.inversion;
    if bypass.inversion {
        (algorithm.init, algorithm.xorout) = (zero, zero);
    }
    Box::leak(Box::new(algorithm))
}

#[test]
fn bypassed_steps_are_left_out() {
    let data = noise(10_000);
    for (inversion, reflection) in [(false, false), (false, true), (true, false), (true, true)] {
        let bypass = Bypass { inversion, reflection };
        let short = Crc::<u32>::new(bypassed(CRC_32_ISCSI, bypass, 0));
        let long = Crc::<u64>::new(bypassed(CRC_64_NVME, bypass, 0));
        for len in [0, 1, 8, 64, 4095, 4096, 4097, 10_000] {
            let (head, tail) = data[..len].split_at(len / 3);
            let what = format!("{bypass:?}, {len} bytes");
            assert_eq!(bypass.crc32c(0, &data[..len]), short.checksum(&data[..len]), "{what}");
            assert_eq!(bypass.crc64(0, &data[..len]), long.checksum(&data[..len]), "{what}");
            assert_eq!(bypass.crc32c(bypass.crc32c(0, head), tail), short.checksum(&data[..len]), "{what}");
            assert_eq!(bypass.crc64(bypass.crc64(0, head), tail), long.checksum(&data[..len]), "{what}");
        }
    }
}

#[test]
fn combining_over_lengths_nobody_has_agrees_with_crc_fast() {
    for bit in 0..60 {
        for len in [1_u64 << bit, (3 << bit) - 1, 0x5555_5555_5555_5555 >> (62 - bit)] {
            let (a, b) = (0x1234_5678, 0x9abc_def0);
            for (algorithm, ours) in [
                (crc_fast::CrcAlgorithm::Crc32Iscsi, crc32c_combine(a, b, len)),
                (crc_fast::CrcAlgorithm::Crc32IsoHdlc, crc32_combine(a, b, len)),
            ] {
                let theirs = crc_fast::checksum_combine(algorithm, a.into(), b.into(), len);
                assert_eq!(
                    u64::from(ours),
                    if len == 0 { a.into() } else { theirs },
                    "{algorithm:?}, {len} bytes"
                );
            }
        }
    }
}

proptest! {
    #[test]
    fn checksums_chain_and_combine(data in prop::collection::vec(any::<u8>(), 0..20_000), cut: prop::sample::Index) {
        let (a, b) = data.split_at(cut.index(data.len() + 1));
        let len_b = b.len() as u64;

        prop_assert_eq!(crc32c(crc32c(0, a), b), CRC32C.checksum(&data));
        prop_assert_eq!(crc32c_combine(crc32c(0, a), crc32c(0, b), len_b), CRC32C.checksum(&data));
        prop_assert_eq!(crc32(crc32(0, a), b), CRC32.checksum(&data));
        prop_assert_eq!(crc32_combine(crc32(0, a), crc32(0, b), len_b), CRC32.checksum(&data));
        prop_assert_eq!(crc64(crc64(0, a), b), CRC64.checksum(&data));
        prop_assert_eq!(crc64_combine(crc64(0, a), crc64(0, b), len_b), CRC64.checksum(&data));
        prop_assert_eq!(adler32(adler32(1, a), b), adler32_defined(&data));
        prop_assert_eq!(adler32_combine(adler32(1, a), adler32(1, b), len_b), adler32_defined(&data));
    }

    #[test]
    fn no_seed_panics(seed: u32, long: u64, len: u64, data in prop::collection::vec(any::<u8>(), 0..200)) {
        adler32(seed, &data);
        adler32_combine(seed, !seed, len);
        crc32_combine(seed, !seed, len);
        crc64_combine(long, seed.into(), len);
    }
}
