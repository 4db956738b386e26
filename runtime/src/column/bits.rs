//! A vector of bits: what a scan finds, and what selects.

/// A bit for each element, the first in bit 0 of the first byte, with what is known of them without looking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BitVec {
    bytes: Vec<u8>,
    len: u32,
    ones: u32,
    ends: Option<(u32, u32)>,
}

impl BitVec {
    /// The low bits of `bytes`, of which a queue has counted the ones.
    pub(crate) const fn counted(bytes: Vec<u8>, len: u32, ones: u32, ends: Option<(u32, u32)>) -> Self {
        Self { bytes, len, ones, ends }
    }

    /// The first `len` bits of `bytes`, as far as there are any; others are made 0.
    pub fn from_bytes(mut bytes: Vec<u8>, len: u32) -> Self {
        let there = u32::try_from(bytes.len().saturating_mul(8)).unwrap_or(u32::MAX);
        let len = len.min(there);
        bytes.truncate(usize::try_from(len.div_ceil(8)).unwrap_or(usize::MAX));
        if let (Some(last), rest @ 1..) = (bytes.last_mut(), len % 8) {
            *last &= (1 << rest) - 1;
        }
        let mut this = Self { bytes, len, ones: 0, ends: None };
        this.ones = this.bytes.iter().map(|byte| byte.count_ones()).sum();
        let first = this.iter_ones().next();
        let last = this.bytes.iter().rposition(|byte| *byte != 0).map(|at| {
            let byte = this.bytes[at];
            u32::try_from(at).unwrap_or(u32::MAX) * 8 + 7 - byte.leading_zeros()
        });
        this.ends = first.zip(last);
        this
    }

    /// Bits.
    pub const fn len(&self) -> u32 {
        self.len
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bit `index`; `false` beyond the end.
    pub fn get(&self, index: u32) -> bool {
        let byte = usize::try_from(index / 8).ok().and_then(|at| self.bytes.get(at));
        index < self.len && byte.is_some_and(|byte| byte >> (index % 8) & 1 == 1)
    }

    /// Number of ones.
    pub const fn count_ones(&self) -> u32 {
        self.ones
    }

    /// Index of the first one.
    pub fn first(&self) -> Option<u32> {
        self.ends.map(|(first, _)| first)
    }

    /// Index of the last one.
    pub fn last(&self) -> Option<u32> {
        self.ends.map(|(_, last)| last)
    }

    /// Indices of the ones, in order.
    pub fn iter_ones(&self) -> impl Iterator<Item = u32> + '_ {
        let bytes = self.bytes.iter().zip(0_u32..).filter(|(byte, _)| **byte != 0);
        bytes.flat_map(|(byte, at)| {
            (0..8).filter(move |bit| byte >> bit & 1 == 1).map(move |bit| at * 8 + bit)
        })
    }

    /// The bytes; bits behind the last are 0.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

impl FromIterator<bool> for BitVec {
    fn from_iter<I: IntoIterator<Item = bool>>(bits: I) -> Self {
        let mut bytes = Vec::new();
        let mut len = 0_u32;
        for bit in bits {
            if len.is_multiple_of(8) {
                bytes.push(0);
            }
            if let Some(last) = bytes.last_mut() {
                *last |= u8::from(bit) << (len % 8);
            }
            len += 1;
        }
        Self::from_bytes(bytes, len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_counted_from_the_lowest_of_the_first_byte() {
        let bits = BitVec::from_bytes(vec![0b0000_0110, 0xff, 7], 11);
        assert_eq!(bits.as_bytes(), [0b0000_0110, 0b0000_0111]);
        assert_eq!((bits.count_ones(), bits.first(), bits.last()), (5, Some(1), Some(10)));
        assert!(bits.iter_ones().eq([1, 2, 8, 9, 10]));
        assert!(bits.get(1) && !bits.get(0) && !bits.get(11) && !bits.get(u32::MAX));
        let same: BitVec = (0..11).map(|index| bits.get(index)).collect();
        assert_eq!(same, bits);
        let none = BitVec::from_bytes(vec![0; 2], 16);
        assert_eq!((none.first(), none.last(), none.len()), (None, None, 16));
        assert!(BitVec::from_bytes(Vec::new(), 5).is_empty());
    }
}
