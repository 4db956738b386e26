//! Why a filter cannot be done.

/// What is wrong with an input, a width or the room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FilterError {
    /// No element has so many bits.
    #[error("element width {width}, expected 1 to 32 bits")]
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
    #[error("run {index} ends before it begins")]
    RunBackwards {
        /// Which run.
        index: u64,
    },
    /// More bits are dropped than an element has, or what is left has more values than a set can hold.
    #[error("{drop_low} low and {drop_high} high bits dropped of {width}, expected 1 to 31 left")]
    DropBits {
        /// Bits of an element.
        width: u8,
        /// Low bits dropped.
        drop_low: u8,
        /// High bits dropped.
        drop_high: u8,
    },
    /// The column ends before its last element.
    #[error("{elements} elements in the column, {expected} expected")]
    InputTooSmall {
        /// Elements there are.
        elements: u64,
        /// Elements there should be.
        expected: u64,
    },
    /// The second input ends before its last element.
    #[error("{elements} elements in the second input, {expected} expected")]
    SecondTooSmall {
        /// Elements there are.
        elements: u64,
        /// Elements there should be.
        expected: u64,
    },
    /// Not Parquet's encoding.
    #[error("parquet rle wrong at byte {offset}")]
    Parquet {
        /// Where, in bytes from the start of the column.
        offset: usize,
    },
    /// A width Parquet's encoding cannot have here.
    #[error("parquet rle with elements of {width} bits, expected 1 to 32")]
    ParquetWidth {
        /// The first byte of the column; 0 also if there is none.
        width: u8,
    },
    /// An element of the output has more bits than were asked for.
    #[error("{element} does not fit an output element of {width} bits")]
    ElementTooWide {
        /// The element, or the index.
        element: u32,
        /// Bits of an output element.
        width: u8,
    },
    /// Only bits can be inverted.
    #[error("output of {width} bits cannot be inverted")]
    Invert {
        /// Bits of an output element.
        width: u8,
    },
    /// The output is longer than its room.
    #[error("output full at {bytes_max} bytes")]
    OutputFull {
        /// The room, in bytes.
        bytes_max: usize,
    },
}
