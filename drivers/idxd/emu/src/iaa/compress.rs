//! Compression: input to Huffman codes of given tables.

use idxd_spec::iaa::ErrorCode;

use super::alphabet::{
    DISTANCE_SYMBOLS, DISTANCES, END_OF_BLOCK, FIRST_LENGTH, LENGTH_MAX, LENGTH_MIN, LENGTHS, Span,
    distance_symbol_of, length_index_of,
};
use super::bit_buffer::BitBuffer;
use super::bit_writer::{BitWriter, Overflow};
use super::matcher::{MatchOptions, Tokens, tokenize};
use super::tables::{Code, Tables};

/// What follows the last token. Source: IAA table 6-11, bits 3:2 of the compression flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EndProcessing {
    /// Nothing.
    #[default]
    None,
    /// The end-of-block symbol.
    Eob,
    /// The end-of-block symbol and an empty stored block, so that the output ends at a byte and the next block
    /// can follow it.
    EobAndStored,
    /// The same, and the stored block is the stream's final one.
    EobAndFinalStored,
}

impl EndProcessing {
    /// The value of the two-bit field; bits above are ignored.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        match bits & 3 {
            0 => Self::None,
            1 => Self::Eob,
            2 => Self::EobAndStored,
            _ => Self::EobAndFinalStored,
        }
    }
}

/// What a compression wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compressed {
    /// Bytes written to the output buffer (IAA §6.2.7).
    pub output_size: usize,
    /// Bits used in the last byte, 0 for all (IAA §6.2.8). Always 0 without a flush.
    pub output_bits: u8,
}

/// Why a compression stopped. Its output is to be ignored and the accumulator is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompressError {
    /// The output buffer is too small.
    #[error("compressed data exceeds the output buffer (error code 0x19)")]
    Overflow,
    /// A symbol of the input, or the end of the block, has a code of length 0.
    #[error("symbol without a Huffman code (error code 0x1e)")]
    MissingCode,
}

impl CompressError {
    /// The error code of the completion record.
    #[must_use]
    pub const fn code(self) -> ErrorCode {
        match self {
            Self::Overflow => ErrorCode::OUTPUT_OVERFLOW,
            Self::MissingCode => ErrorCode::HUFFMAN_CODE,
        }
    }
}

impl From<Overflow> for CompressError {
    fn from(Overflow: Overflow) -> Self {
        Self::Overflow
    }
}

/// Compresses `input` with `tables` into `out`, after the bits of `accumulator`.
///
/// The block header is the caller's: it comes in `accumulator`. No match reaches before `input`, since the
/// device keeps no history between descriptors. With `flush` everything is written, the last byte filled with
/// zeros, and the accumulator is left empty; without it whole 64-bit words are written and the accumulator has
/// the rest, fewer than 64 bits.
///
/// # Errors
///
/// [`CompressError::Overflow`] if the output, with `flush` the last partial word included, is longer than
/// `out`; [`CompressError::MissingCode`] for a symbol of length 0. In both cases part of `out` may have been
/// written and `accumulator` is unchanged. Source: IAA §3.4, §3.4.2.
pub fn compress(
    input: &[u8],
    tables: &Tables,
    accumulator: &mut BitBuffer,
    end: EndProcessing,
    options: MatchOptions<'_>,
    flush: bool,
    out: &mut [u8],
) -> Result<Compressed, CompressError> {
    let mut encoder = Encoder { writer: BitWriter::new(out, accumulator)?, codes: PackedCodes::new(tables) };
    tokenize(input, options, &mut encoder)?;
    encoder.end(end)?;
    if !flush {
        let (output_size, rest) = encoder.writer.keep_rest();
        *accumulator = rest;
        return Ok(Compressed { output_size, output_bits: 0 });
    }
    let (output_size, output_bits) = encoder.writer.flush_rest()?;
    *accumulator = BitBuffer::new();
    Ok(Compressed { output_size, output_bits })
}

struct Encoder<'a> {
    writer: BitWriter<'a>,
    codes: PackedCodes,
}

impl Encoder<'_> {
    fn end(&mut self, end: EndProcessing) -> Result<(), CompressError> {
        if end == EndProcessing::None {
            return Ok(());
        }
        self.symbol(self.codes.literals[END_OF_BLOCK])?;
        if end == EndProcessing::Eob {
            return Ok(());
        }
        // Three bits of header, the rest of the byte, then a length of 0 and its complement.
        self.writer.put(u64::from(end == EndProcessing::EobAndFinalStored), 3)?;
        self.writer.align()?;
        self.writer.put(0xffff_0000, 32)?;
        Ok(())
    }

    #[inline]
    fn symbol(&mut self, packed: Packed) -> Result<(), CompressError> {
        if packed.count == 0 {
            return Err(CompressError::MissingCode);
        }
        Ok(self.writer.put(u64::from(packed.bits), packed.count.into())?)
    }
}

impl Tokens for Encoder<'_> {
    type Error = CompressError;

    #[inline]
    fn literal(&mut self, byte: u8) -> Result<(), CompressError> {
        self.symbol(self.codes.literals[usize::from(byte)])
    }

    #[inline]
    fn reference(&mut self, length: usize, distance: usize) -> Result<(), CompressError> {
        let length = self.codes.lengths[length - LENGTH_MIN];
        let symbol = distance_symbol_of(distance);
        let code = self.codes.distances[symbol];
        if length.count == 0 || code.count == 0 {
            return Err(CompressError::MissingCode);
        }
        let above = distance - usize::from(DISTANCES[symbol].base);
        let distance = u64::from(code.bits) | (above as u64) << code.count;
        let count = u32::from(code.count) + u32::from(DISTANCES[symbol].extra_bits);
        // At most 15 + 5 bits of length and 15 + 13 of distance.
        let bits = u64::from(length.bits) | distance << length.count;
        Ok(self.writer.put(bits, u32::from(length.count) + count)?)
    }
}

/// A code and the extra bits after it in stream order; a count of 0 means that there is no code.
#[derive(Clone, Copy, Default)]
struct Packed {
    bits: u32,
    count: u8,
}

impl Packed {
    fn code(code: Code) -> Self {
        Self { bits: code.stream_bits(), count: code.len() }
    }

    fn with_extra(code: Code, span: Span, value: usize) -> Self {
        if code.is_empty() {
            return Self::default();
        }
        let above = u32::try_from(value - usize::from(span.base)).unwrap_or(0);
        Self { bits: code.stream_bits() | above << code.len(), count: code.len() + span.extra_bits }
    }
}

/// The tables in the form that needs no work per token.
struct PackedCodes {
    /// Literals and the end of the block, by symbol.
    literals: [Packed; END_OF_BLOCK + 1],
    /// Lengths with their extra bits, by length less 3.
    lengths: [Packed; LENGTH_MAX - LENGTH_MIN + 1],
    /// Distances without theirs, by symbol.
    distances: [Packed; DISTANCE_SYMBOLS],
}

impl PackedCodes {
    fn new(tables: &Tables) -> Self {
        Self {
            literals: std::array::from_fn(|symbol| Packed::code(tables.literal_length[symbol])),
            lengths: std::array::from_fn(|above| {
                let length = above + LENGTH_MIN;
                let index = length_index_of(length);
                Packed::with_extra(tables.literal_length[FIRST_LENGTH + index], LENGTHS[index], length)
            }),
            distances: std::array::from_fn(|symbol| Packed::code(tables.distance[symbol])),
        }
    }
}

#[cfg(test)]
mod tests;
