//! Filters over columns, as jobs have them: small enough to travel in one.

use bitflags::bitflags;

use crate::cipher::CipherMode;
use crate::job::Operation;

/// How the elements of a column lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Packing {
    /// One behind the other, from bit 0 of each byte up, the lowest bit of an element first.
    #[default]
    Little,
    /// One behind the other, from bit 7 of each byte down, the highest bit of an element first.
    Big,
    /// Parquet's hybrid of runs and packed groups of eight, behind one byte with the width.
    ParquetRle,
}

/// What is asked of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FilterKind {
    /// A bit for each element: whether it is in a range. Parameters: least and greatest.
    Scan,
    /// A bit for each element: the bit of the second input that it is the index of. Parameters: low and high bits of an
    /// element that are not looked at.
    SetMembership,
    /// The elements from one index to another. Parameters: the first and the last.
    Extract,
    /// The elements whose bit in the second input is 1.
    Select,
    /// For each bit of the second input the next element, or 0. The count is that of the bits.
    Expand,
    /// Each element of the second input as many times as the column says. Parameters: bits of such an element.
    RleBurst,
    /// A bit for each value: whether an element has it. Parameters: low and high bits of an element that are not looked
    /// at.
    FindUnique,
}

/// How many bits an element of the output has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OutputWidth {
    /// As many as come: 1 for a vector of bits, those of an input element for an array.
    #[default]
    Nominal,
    /// 8: of a vector of bits, the indices of its ones.
    Bits8,
    /// 16.
    Bits16,
    /// 32.
    Bits32,
}

impl OutputWidth {
    /// Bits, if they do not depend on what comes.
    pub const fn bits(self) -> Option<u8> {
        match self {
            Self::Nominal => None,
            Self::Bits8 => Some(8),
            Self::Bits16 => Some(16),
            Self::Bits32 => Some(32),
        }
    }
}

bitflags! {
    /// What else there is to say of input and output.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct FilterOptions: u8 {
        /// The column is a raw deflate stream of its bytes.
        const DEFLATED = 1 << 0;
        /// Bits of the second input begin at bit 7 of each byte.
        const SECOND_BIG_ENDIAN = 1 << 1;
        /// Bits of the output begin at bit 7 of each byte, and bytes of an element are highest first.
        const OUTPUT_BIG_ENDIAN = 1 << 2;
        /// Bits of the output are complemented. Only of a vector of bits.
        const INVERT = 1 << 3;
        /// Bits leave as elements, not as indices. Only with a width of the output.
        const FORCE_ARRAY = 1 << 4;
    }
}

/// A filter, and what its inputs and its output look like.
///
/// Source: IAA §3.8, §6.3.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Filter {
    kind: FilterKind,
    width: u8,
    /// Packing in bits 1:0, width of the output in 3:2, how the column is encrypted in 5:4 (0 for not).
    shape: u8,
    options: FilterOptions,
    low: u32,
    high: u32,
    count: u32,
}

const _: () = assert!(size_of::<Filter>() == 16);

const PACKING_MASK: u8 = 0b11;
const OUTPUT_BIT: u8 = 2;
const OUTPUT_MASK: u8 = 0b11 << OUTPUT_BIT;
const CIPHER_BIT: u8 = 4;
const CIPHER_MASK: u8 = 0b11 << CIPHER_BIT;

impl Filter {
    /// A filter of `count` elements of `width` bits, 1 to 32, to an output as it comes.
    pub const fn new(kind: FilterKind, packing: Packing, width: u8, count: u32) -> Self {
        Self { kind, width, shape: packing as u8, options: FilterOptions::empty(), low: 0, high: 0, count }
    }

    /// The same with these parameters: see [`FilterKind`].
    #[must_use]
    pub const fn with_parameters(self, low: u32, high: u32) -> Self {
        Self { low, high, ..self }
    }

    /// The same with elements of the output that wide.
    #[must_use]
    pub const fn with_output(self, width: OutputWidth) -> Self {
        Self { shape: self.shape & !OUTPUT_MASK | (width as u8) << OUTPUT_BIT, ..self }
    }

    /// The same of a column that is a message encrypted in this mode, or of one that is not encrypted.
    #[must_use]
    pub const fn with_decryption(self, mode: Option<CipherMode>) -> Self {
        let mode = match mode {
            None => 0,
            Some(CipherMode::Gcm) => 1,
            Some(CipherMode::Cfb) => 2,
            Some(CipherMode::Xts) => 3,
        };
        Self { shape: self.shape & !CIPHER_MASK | mode << CIPHER_BIT, ..self }
    }

    /// The same with these options too.
    #[must_use]
    pub const fn with_options(self, options: FilterOptions) -> Self {
        Self { options: self.options.union(options), ..self }
    }

    /// The same of `count` elements.
    #[must_use]
    pub const fn with_count(self, count: u32) -> Self {
        Self { count, ..self }
    }

    /// The operation it is.
    pub const fn operation(self) -> Operation {
        match (self.kind, self.decryption()) {
            (FilterKind::Scan, Some(_)) => Operation::DecryptScan,
            (FilterKind::Extract, Some(_)) => Operation::DecryptExtract,
            (kind, _) => Operation::of_filter(kind),
        }
    }

    /// How the column is encrypted, if it is. The place of the second input then is the cipher's.
    pub const fn decryption(self) -> Option<CipherMode> {
        match (self.shape & CIPHER_MASK) >> CIPHER_BIT {
            0 => None,
            1 => Some(CipherMode::Gcm),
            2 => Some(CipherMode::Cfb),
            _ => Some(CipherMode::Xts),
        }
    }

    /// What is asked.
    pub const fn kind(self) -> FilterKind {
        self.kind
    }

    /// How the elements of the column lie.
    pub const fn packing(self) -> Packing {
        match self.shape & PACKING_MASK {
            0 => Packing::Little,
            1 => Packing::Big,
            _ => Packing::ParquetRle,
        }
    }

    /// Bits of an element of the column.
    pub const fn width(self) -> u8 {
        self.width
    }

    /// Elements of the column; for [`FilterKind::Expand`], bits of the second input.
    pub const fn count(self) -> u32 {
        self.count
    }

    /// The first parameter.
    pub const fn low(self) -> u32 {
        self.low
    }

    /// The second.
    pub const fn high(self) -> u32 {
        self.high
    }

    /// Bits of an element of the output.
    pub const fn output(self) -> OutputWidth {
        match (self.shape & OUTPUT_MASK) >> OUTPUT_BIT {
            0 => OutputWidth::Nominal,
            1 => OutputWidth::Bits8,
            2 => OutputWidth::Bits16,
            _ => OutputWidth::Bits32,
        }
    }

    /// What else there is to say.
    pub const fn options(self) -> FilterOptions {
        self.options
    }

    /// Whether the column is a deflate stream.
    pub const fn is_deflated(self) -> bool {
        self.options.contains(FilterOptions::DEFLATED)
    }

    /// Bytes of the column, if its elements are packed.
    pub const fn column_bytes(self) -> Option<u64> {
        match self.packing() {
            Packing::ParquetRle => None,
            _ => Some((self.count as u64 * self.width as u64).div_ceil(8)),
        }
    }

    /// Elements of the second input, and bits of each; none if there is no second input, or its size is not known here.
    pub const fn second(self) -> Option<(u64, u8)> {
        match self.kind {
            FilterKind::Select | FilterKind::Expand => Some((self.count as u64, 1)),
            FilterKind::SetMembership => {
                let dropped = self.low.saturating_add(self.high);
                match (self.width as u32).checked_sub(dropped) {
                    Some(left) if left > 0 && left < 32 => Some((1 << left, 1)),
                    _ => Some((0, 1)),
                }
            }
            FilterKind::RleBurst => {
                let runs = if self.width == 32 { self.count.saturating_sub(1) } else { self.count };
                let [width, ..] = self.low.to_le_bytes();
                Some((runs as u64, width))
            }
            FilterKind::Scan | FilterKind::Extract | FilterKind::FindUnique => None,
        }
    }

    /// Bytes of the second input; 0 without one.
    pub const fn second_bytes(self) -> u64 {
        match self.second() {
            Some((elements, width)) => (elements * width as u64).div_ceil(8),
            None => 0,
        }
    }

    /// Whether no element is looked at, whatever is in the column: it has none, or those to extract are not among them.
    pub const fn is_of_nothing(self) -> bool {
        let is_inside = self.low <= self.high && self.low < self.count;
        self.count == 0 || matches!(self.kind, FilterKind::Extract) && !is_inside
    }

    /// Bits of an element of the output before it becomes wider or an index.
    pub const fn nominal_width(self) -> u8 {
        match self.kind {
            FilterKind::Scan | FilterKind::SetMembership | FilterKind::FindUnique => 1,
            FilterKind::RleBurst => {
                let [width, ..] = self.low.to_le_bytes();
                width
            }
            FilterKind::Extract | FilterKind::Select | FilterKind::Expand => self.width,
        }
    }

    /// Whether elements leave as wide as they are in the column. Then a stream in Parquet's encoding, which has a width of its own,
    /// has to have that of the column: nobody could tell where they are in the output.
    pub const fn keeps_width(self) -> bool {
        let is_of_elements =
            matches!(self.kind(), FilterKind::Extract | FilterKind::Select | FilterKind::Expand);
        is_of_elements && self.output().bits().is_none()
    }

    /// Bits of an element of the output as it is written.
    pub const fn written_width(self) -> u8 {
        match self.output().bits() {
            Some(bits) => bits,
            None => self.nominal_width(),
        }
    }

    /// Bytes that so many elements of output take.
    pub const fn written_bytes(self, elements: u32) -> u64 {
        (elements as u64 * self.written_width() as u64).div_ceil(8)
    }

    /// Whether the output is indices of ones.
    pub const fn is_indices(self) -> bool {
        let forced = self.options.contains(FilterOptions::FORCE_ARRAY);
        self.nominal_width() == 1 && self.output().bits().is_some() && !forced
    }

    /// Whether parts of the column of 64 elements and more can be done one after the other, with the outputs behind each
    /// other: elements are where their number says, and each part's output ends at a whole byte. Not so an encrypted column,
    /// which is one message.
    pub const fn splits(self) -> bool {
        self.decryption().is_none() && self.is_apart()
    }

    /// Whether parts of an encrypted column of 128 elements and more, which are whole blocks of ciphertext, can be decrypted
    /// and filtered one after the other, by one who knows how the cipher goes on in the middle of a message.
    pub const fn splits_at_blocks(self) -> bool {
        self.decryption().is_some() && self.is_apart()
    }

    /// Whether elements and outputs are where their number says.
    const fn is_apart(self) -> bool {
        let packed = !matches!(self.packing(), Packing::ParquetRle) && !self.is_deflated();
        let whole = match self.kind {
            FilterKind::Scan | FilterKind::Extract => true,
            FilterKind::SetMembership => !self.is_indices(),
            // How many there are is known only afterwards.
            FilterKind::Select => self.written_width().is_multiple_of(8) && !self.is_indices(),
            FilterKind::Expand | FilterKind::RleBurst | FilterKind::FindUnique => false,
        };
        packed && whole
    }
}

/// What is known of an output without looking at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aggregates {
    /// Least element, or index of the first one; all ones if there is none.
    pub min: u32,
    /// Greatest element, or index of the last one; 0 if there is none.
    pub max: u32,
    /// Sum of the elements modulo 2^32, or number of ones.
    pub sum: u32,
}

impl Aggregates {
    /// Of nothing.
    pub const EMPTY: Self = Self { min: u32::MAX, max: 0, sum: 0 };

    /// Of this and of what follows it.
    #[must_use]
    pub fn and(self, next: Self) -> Self {
        Self {
            min: self.min.min(next.min),
            max: self.max.max(next.max),
            sum: self.sum.wrapping_add(next.sum),
        }
    }
}

/// What is wrong with a column, with its second input, or with the output that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ColumnFault {
    /// No element has so many bits.
    #[error("elements of {width} bits, expected 1 to 32")]
    Width {
        /// Bits asked for.
        width: u8,
    },
    /// Runs are counted in 8, 16 or 32 bits.
    #[error("run counters of {width} bits, expected 8, 16 or 32")]
    CounterWidth {
        /// Bits asked for.
        width: u8,
    },
    /// A run ends before it begins.
    #[error("a run ends before it begins")]
    RunBackwards,
    /// More bits are dropped than there are, or what is left has more values than a set can hold.
    #[error("{drop_low} low and {drop_high} high bits dropped of {width}, expected 1 to 31 left")]
    DropBits {
        /// Bits of an element.
        width: u8,
        /// Low bits dropped.
        drop_low: u32,
        /// High bits dropped.
        drop_high: u32,
    },
    /// The column ends before its last element.
    #[error("the column ends before its {expected} elements")]
    TooShort {
        /// Elements there should be.
        expected: u32,
    },
    /// The second input ends before its last element.
    #[error("the second input ends before its {expected} elements")]
    SecondTooShort {
        /// Elements there should be.
        expected: u64,
    },
    /// Not Parquet's encoding.
    #[error("not parquet rle")]
    Parquet,
    /// A width Parquet's encoding cannot have here: none at all, or another than the column's where the output would have it.
    #[error("parquet rle without a width of 1 to 32 bits, or not with the column's")]
    ParquetWidth,
    /// An element of the output has more bits than were asked for.
    #[error("an element or an index does not fit the {width} bits of the output")]
    ElementTooWide {
        /// Bits of an output element; 0 if the queue does not say.
        width: u8,
    },
    /// Only bits can be inverted.
    #[error("an array of more than one bit cannot be inverted")]
    Invert,
    /// Only scans and extracts take an encrypted column.
    #[error("an encrypted column can only be scanned and extracted")]
    Encrypted,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_keeps_what_it_was_given() {
        let filter = Filter::new(FilterKind::Select, Packing::ParquetRle, 7, 99)
            .with_output(OutputWidth::Bits16)
            .with_parameters(3, 4)
            .with_options(FilterOptions::DEFLATED);
        for mode in [Some(CipherMode::Gcm), Some(CipherMode::Cfb), Some(CipherMode::Xts), None] {
            let filter = filter.with_decryption(mode);
            assert_eq!((filter.decryption(), filter.output()), (mode, OutputWidth::Bits16));
            assert_eq!(filter.packing(), Packing::ParquetRle);
        }
        assert_eq!((filter.packing(), filter.output()), (Packing::ParquetRle, OutputWidth::Bits16));
        assert_eq!((filter.low(), filter.high(), filter.count()), (3, 4, 99));
        assert!(filter.is_deflated() && !filter.splits());
        assert_eq!((filter.column_bytes(), filter.second_bytes()), (None, 13));
    }

    #[test]
    fn nothing_is_what_no_index_is_in() {
        let of = |kind, count, low, high| {
            Filter::new(kind, Packing::Little, 8, count).with_parameters(low, high).is_of_nothing()
        };
        for (low, high, is_of_nothing) in [(0, 0, false), (9, 99, false), (5, 4, true), (10, 12, true)] {
            assert_eq!(of(FilterKind::Extract, 10, low, high), is_of_nothing, "{low}..={high}");
            assert!(!of(FilterKind::Scan, 10, low, high), "{low}..={high}");
        }
        assert!(of(FilterKind::Extract, 0, 0, 0) && of(FilterKind::Scan, 0, 0, 0));
    }

    #[test]
    fn second_inputs_have_the_size_their_column_asks_for() {
        let of = |kind, width, low, high| {
            Filter::new(kind, Packing::Little, width, 100).with_parameters(low, high).second()
        };
        assert_eq!(of(FilterKind::SetMembership, 12, 2, 3), Some((128, 1)));
        assert_eq!(of(FilterKind::SetMembership, 12, 6, 6), Some((0, 1)));
        assert_eq!(of(FilterKind::RleBurst, 8, 5, 0), Some((100, 5)));
        assert_eq!(of(FilterKind::RleBurst, 32, 5, 0), Some((99, 5)));
        assert_eq!(of(FilterKind::Scan, 32, 5, 0), None);
    }
}
