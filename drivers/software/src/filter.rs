//! Filters over columns: which elements satisfy a condition, and which elements are wanted.
//!
//! A column is a stream of unsigned elements of 1 to 32 bits, packed from the lowest bit of each byte up, from the highest
//! down, or in the run-length encoding of Parquet. A filter makes of it a vector of bits or an array; a vector of bits can
//! leave as the indices of its ones, an array in elements of 8, 16 or 32 bits. On the way out, ones are counted or values
//! summed.
//!
//! The one hard idea: everything between input and output is a block of `BLOCK` elements, or the bits of one, so that no
//! operation knows how its input is packed or its output is written. Only scans of whole bytes, words and double words go
//! from memory to bits directly, in vector registers (`range`(mod@range)).
//!
//! Source: IAA §3.8, §3.10.4 to §3.10.7; for what the specification reserves (set membership, bursts of runs, unique
//! values), what the public software models do.

mod array;
mod bits;
mod error;
mod parquet;
mod range;
mod read;
mod run;
mod unpack;

pub use error::FilterError;
pub use run::filter;

/// Elements decoded at a time: a block of them fits the first cache beside its input and output.
pub(crate) const BLOCK: usize = 2048;

/// How the elements of a stream lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Packing {
    /// One behind the other, from bit 0 of each byte up, the lowest bit of an element first.
    Little,
    /// One behind the other, from bit 7 of each byte down, the highest bit of an element first.
    Big,
    /// Parquet's hybrid of runs and packed groups of eight, behind one byte with the width.
    ParquetRle,
}

/// A column of elements.
#[derive(Clone, Copy, Debug)]
pub struct Column<'a> {
    /// The stream.
    pub bytes: &'a [u8],
    /// How elements lie in it.
    pub packing: Packing,
    /// Bits of an element, 1 to 32. A stream in Parquet's encoding has its own, and this one is not looked at.
    pub width: u8,
    /// Elements.
    pub count: u32,
}

/// A second input: bits, or small packed elements.
#[derive(Clone, Copy, Debug)]
pub struct Second<'a> {
    /// The stream.
    pub bytes: &'a [u8],
    /// Whether the first element is at bit 7 of the first byte.
    pub big_endian: bool,
}

/// What is asked of a column.
#[derive(Clone, Copy, Debug)]
pub enum Filter<'a> {
    /// A bit for each element: whether it is in `low..=high`.
    Scan {
        /// Least element that is.
        low: u32,
        /// Greatest element that is.
        high: u32,
    },
    /// A bit for each element: the bit of the set that it is the index of.
    SetMembership {
        /// The set: a bit for each value an element can have, once its ends are dropped.
        set: Second<'a>,
        /// Low bits of an element not looked at.
        drop_low: u8,
        /// High bits of an element not looked at.
        drop_high: u8,
    },
    /// The elements from one index to another.
    Extract {
        /// Index of the first.
        first: u32,
        /// Index of the last; beyond the end means the last.
        last: u32,
    },
    /// The elements whose bit in `mask` is 1.
    Select {
        /// A bit for each element.
        mask: Second<'a>,
    },
    /// For each bit of `mask` the next element if it is 1, and 0 if it is 0. Here [`Column::count`] counts bits of the
    /// mask.
    Expand {
        /// A bit for each element of the output.
        mask: Second<'a>,
    },
    /// Each of `values` as many times as the element of the column says. Elements have 8 or 16 bits; those of 32 say where
    /// each run begins, with one more for where the last ends.
    RleBurst {
        /// One value for each run.
        values: Second<'a>,
        /// Bits of a value, 1 to 32.
        value_width: u8,
    },
    /// A bit for each value an element can have: whether one has it.
    FindUnique {
        /// Low bits of an element not looked at.
        drop_low: u8,
        /// High bits of an element not looked at.
        drop_high: u8,
    },
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
    #[must_use]
    pub const fn bits(self) -> Option<u8> {
        match self {
            Self::Nominal => None,
            Self::Bits8 => Some(8),
            Self::Bits16 => Some(16),
            Self::Bits32 => Some(32),
        }
    }
}

/// What is made of the result on its way out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// Bits of an element.
    pub width: OutputWidth,
    /// Whether bits go from bit 7 of each byte down, and bytes of an element highest first.
    pub big_endian: bool,
    /// Whether bits are complemented. Only of a vector of bits.
    pub invert: bool,
    /// Whether bits are elements of an array: they leave as such, and not as indices.
    pub force_array: bool,
    /// Index of the first bit.
    pub first_index: u32,
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
}

/// What a filter did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filtered {
    /// Bytes of output.
    pub bytes: usize,
    /// Bits of the last byte that are output; 0 for all of them.
    pub bits: u8,
    /// Elements of output.
    pub elements: u64,
    /// Of the output as it was before it became indices or wider elements.
    pub aggregates: Aggregates,
}

#[cfg(test)]
mod tests;
