//! CRCs of any polynomial of up to 64 bits.
//!
//! The polynomial is in the highest bits of a word, without its leading 1, as IAA §3.10.3 has it; a CRC of fewer bits is
//! computed as one of 64 whose low bits stay 0.
//!
//! Those of 16, 32 and 64 bits are computed by vectors of carry-less products, as those that have names are: that takes
//! constants for each polynomial, which are kept for the first few that come. The others go by tables.

use std::sync::OnceLock;

use crc_fast::{CrcParams, checksum_with_params};

/// Polynomials whose constants are kept, with how they are used. Each is a few hundred bytes, for as long as the process
/// lives.
const KNOWN_MAX: usize = 16;

/// In the order they came in; nobody waits for anybody else's.
static KNOWN: [OnceLock<(AnyCrc, CrcParams)>; KNOWN_MAX] = [const { OnceLock::new() }; KNOWN_MAX];

/// Bytes taken at a time, each with its own table.
const SLICES: usize = 8;

/// A polynomial and how it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AnyCrc {
    /// The polynomial, highest bit of the word first, without its leading 1, not reflected.
    pub polynomial: u64,
    /// Whether bit 0 of each byte comes first. The result is then reflected too: in the lowest bits.
    pub reflect: bool,
    /// Whether to start from ones, as many as the polynomial is wide, and to complement the result.
    pub invert: bool,
}

impl AnyCrc {
    /// The CRC of `data`.
    #[must_use]
    pub fn checksum(self, data: &[u8]) -> u64 {
        match self.parameters() {
            Some(parameters) => {
                let crc = checksum_with_params(*parameters, data);
                if self.reflect { crc } else { crc << (u64::BITS - self.width()) }
            }
            None => self.finish(self.update(self.inversion(), data)),
        }
    }

    /// Bits of the CRC.
    const fn width(self) -> u32 {
        u64::BITS - self.polynomial.trailing_zeros()
    }

    /// What the vectors need to know. None: they do not do this width, or there have been too many others.
    fn parameters(self) -> Option<&'static CrcParams> {
        let width = match self.width() {
            16 => 16,
            32 => 32,
            64 => 64,
            _ => return None,
        };
        let made = || {
            let polynomial = self.polynomial >> self.polynomial.trailing_zeros();
            let ones = if self.invert { u64::MAX >> (u64::BITS - self.width()) } else { 0 };
            // The check value is for people, and looked at by nobody.
            (self, CrcParams::new("any", width, polynomial, ones, self.reflect, ones, 0))
        };
        let known = KNOWN.iter().map(|place| place.get_or_init(made)).find(|(crc, _)| *crc == self);
        known.map(|(_, parameters)| parameters)
    }

    /// Ones from the lowest bit of the polynomial up: as many as the CRC is wide.
    const fn inversion(self) -> u64 {
        match u64::MAX.checked_shl(self.polynomial.trailing_zeros()) {
            Some(ones) if self.invert => ones,
            _ => 0,
        }
    }

    const fn finish(self, state: u64) -> u64 {
        let crc = state ^ self.inversion();
        if self.reflect { crc.reverse_bits() } else { crc }
    }

    /// The state after `data`.
    fn update(self, state: u64, data: &[u8]) -> u64 {
        let tables = self.tables();
        let (words, rest) = data.as_chunks::<SLICES>();
        let place = |byte: u8| usize::from(if self.reflect { byte.reverse_bits() } else { byte });
        let state = words.iter().fold(state, |state, word| {
            let top = state.to_be_bytes();
            (0..SLICES)
                .fold(0, |next, at| next ^ tables[SLICES - 1 - at][usize::from(top[at]) ^ place(word[at])])
        });
        rest.iter().fold(state, |state, byte| {
            let [top, ..] = state.to_be_bytes();
            (state << 8) ^ tables[0][usize::from(top) ^ place(*byte)]
        })
    }

    /// Table `n`: a byte with `n` bytes of zeros behind it.
    fn tables(self) -> Box<[[u64; 256]; SLICES]> {
        let mut tables = Box::new([[0; 256]; SLICES]);
        // Bytes of one bit; a byte of several is their sum.
        let mut of_one_bit = self.polynomial;
        for bit in 0..8 {
            for below in 0..1 << bit {
                tables[0][(1 << bit) + below] = of_one_bit ^ tables[0][below];
            }
            of_one_bit = (of_one_bit << 1) ^ if of_one_bit >> 63 == 1 { self.polynomial } else { 0 };
        }
        for slice in 1..SLICES {
            for byte in 0..256 {
                let [top, ..] = tables[slice - 1][byte].to_be_bytes();
                tables[slice][byte] = (tables[slice - 1][byte] << 8) ^ tables[0][usize::from(top)];
            }
        }
        tables
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against the `crc` crate, with the parameters of IAA table 3-7 and more.
    #[test]
    fn every_width_is_what_its_parameters_say() {
        let data: Vec<u8> = (0..1000_u32).map(|at| u8::try_from(at * at % 251).unwrap()).collect();
        let any = |polynomial, reflect, invert| AnyCrc { polynomial, reflect, invert };
        for data in [&data[..], &data[..1], &data[..7], &data[..8], &data[..69], &[]] {
            let gzip = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC).checksum(data);
            assert_eq!(any(0x04c1_1db7 << 32, true, true).checksum(data), gzip.into());
            let iscsi = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI).checksum(data);
            assert_eq!(any(0x1edc_6f41 << 32, true, true).checksum(data), iscsi.into());
            let bzip2 = crc::Crc::<u32>::new(&crc::CRC_32_BZIP2).checksum(data);
            assert_eq!(any(0x04c1_1db7 << 32, false, true).checksum(data), u64::from(bzip2) << 32);
            let t10_dif = crc::Crc::<u16>::new(&crc::CRC_16_T10_DIF).checksum(data);
            assert_eq!(any(0x8bb7 << 48, false, false).checksum(data), u64::from(t10_dif) << 48);
            let x25 = crc::Crc::<u16>::new(&crc::CRC_16_IBM_SDLC).checksum(data);
            assert_eq!(any(0x1021 << 48, true, true).checksum(data), x25.into());
            let smbus = crc::Crc::<u8>::new(&crc::CRC_8_SMBUS).checksum(data);
            assert_eq!(any(0x07 << 56, false, false).checksum(data), u64::from(smbus) << 56);
            let usb = crc::Crc::<u8>::new(&crc::CRC_5_USB).checksum(data);
            assert_eq!(any(0x05 << 59, true, true).checksum(data), usb.into());
            let xz = crc::Crc::<u64>::new(&crc::CRC_64_XZ).checksum(data);
            assert_eq!(any(0x42f0_e1eb_a9ea_3693, true, true).checksum(data), xz);
            let ecma = crc::Crc::<u64>::new(&crc::CRC_64_ECMA_182).checksum(data);
            assert_eq!(any(0x42f0_e1eb_a9ea_3693, false, false).checksum(data), ecma);
        }
    }

    /// Bit by bit, as IAA §3.10.3 has it. Of 64 widths, so that there are more polynomials than are known.
    #[test]
    fn every_polynomial_and_length_is_what_a_loop_over_bits_says() {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut draw = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state ^ state >> 29
        };
        let data: Vec<u8> = (0..5000).map(|_| draw().to_be_bytes()[0]).collect();
        for width in (1..=64).chain([16, 32, 64, 16, 32, 64]) {
            let polynomial = (draw() | 1) << (64 - width);
            for (reflect, invert) in [(false, false), (false, true), (true, false), (true, true)] {
                let crc = AnyCrc { polynomial, reflect, invert };
                for len in [0, 1, 2, 7, 15, 16, 17, 127, 128, 129, 255, 256, 257, 1000, 5000] {
                    let data = &data[5000 - len..];
                    assert_eq!(crc.checksum(data), by_bits(crc, width, data), "{crc:x?}, {len} bytes");
                    assert_eq!(crc.finish(crc.update(crc.inversion(), data)), crc.checksum(data));
                }
            }
        }
    }

    fn by_bits(crc: AnyCrc, width: u32, data: &[u8]) -> u64 {
        let ones = if crc.invert { u64::MAX << (64 - width) } else { 0 };
        let bits = data
            .iter()
            .flat_map(|byte| (0..8).map(move |bit| byte >> if crc.reflect { bit } else { 7 - bit } & 1 == 1));
        let register = bits.fold(ones, |register, bit| {
            (register << 1) ^ if (register >> 63 == 1) != bit { crc.polynomial } else { 0 }
        });
        if crc.reflect { (register ^ ones).reverse_bits() } else { register ^ ones }
    }
}
