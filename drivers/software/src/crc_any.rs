//! CRCs of any polynomial of up to 64 bits.
//!
//! The polynomial is in the highest bits of a word, without its leading 1, as IAA §3.10.3 has it; a CRC of fewer bits is
//! computed as one of 64 whose low bits stay 0.

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
        self.finish(self.update(self.inversion(), data))
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
        for byte in 0..256_u64 {
            let mut crc = byte << 56;
            for table in tables.iter_mut() {
                crc =
                    (0..8).fold(crc, |crc, _| (crc << 1) ^ if crc >> 63 == 1 { self.polynomial } else { 0 });
                table[usize::try_from(byte).unwrap_or(0)] = crc;
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
}
