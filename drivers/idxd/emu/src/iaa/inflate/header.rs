//! Block headers: what kind of block follows, and its Huffman codes.

use idxd_spec::iaa::ErrorCode;

use super::super::alphabet::{
    DISTANCE_SYMBOLS, DISTANCES, END_OF_BLOCK, FIRST_LENGTH, LENGTHS, LITERAL_LENGTH_SYMBOLS, low_byte,
};
use super::super::bit_reader::BitReader;
use super::super::decode_table::{BadLengths, DecodeTable, Entry};
use super::{DistanceTable, LiteralLengthTable};

/// The order in which a header has the lengths of the code length code (RFC 1951 §3.2.7).
const CODE_LENGTH_ORDER: [u8; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/// The lengths of a block's codes in bits, 0 to 15, by symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodeLengths {
    /// Literals, end of block, lengths, and the two symbols that only take code space.
    pub literal_length: [u8; 288],
    /// Distances, and the two symbols that only take code space.
    pub distance: [u8; 32],
}

/// The codes of a block, and the tables to read them with.
#[derive(Clone)]
pub(super) struct Codes {
    pub(super) literal_lengths: LiteralLengthTable,
    pub(super) distances: DistanceTable,
    pub(super) lengths: CodeLengths,
}

impl Codes {
    pub(super) fn new() -> Self {
        Self {
            literal_lengths: DecodeTable::new(),
            distances: DecodeTable::new(),
            lengths: CodeLengths { literal_length: [0; 288], distance: [0; 32] },
        }
    }

    /// Makes these the codes of such lengths, of which none beyond the slices has any.
    pub(super) fn set(&mut self, literal_length: &[u8], distance: &[u8]) -> Result<(), ErrorCode> {
        let Self { literal_lengths, distances, lengths } = self;
        for (to, from) in
            [(&mut lengths.literal_length[..], literal_length), (&mut lengths.distance, distance)]
        {
            to.fill(0);
            to[..from.len()].copy_from_slice(from);
        }
        set_literal_lengths(literal_lengths, literal_length)?;
        set_distances(distances, distance)
    }
}

/// A block, past its header.
pub(super) enum BlockHeader {
    /// This many bytes follow as they are.
    Stored { final_block: bool, length: usize },
    /// Codes follow; the tables are those to read them with.
    Codes { final_block: bool },
}

/// Why a header was not read: `None` when the input ends within it.
type Stop = Option<ErrorCode>;

/// Reads a header and sets the tables of its block. On an error the tables are of no use.
pub(super) fn read(reader: &mut BitReader<'_>, codes: &mut Codes) -> Result<BlockHeader, Stop> {
    let bits = reader.take(3).ok_or(None)?;
    let final_block = bits & 1 == 1;
    match bits >> 1 {
        0 => Ok(BlockHeader::Stored { final_block, length: stored_length(reader)? }),
        1 => {
            codes.set(&fixed_lengths(), &[5; 32])?;
            Ok(BlockHeader::Codes { final_block })
        }
        2 => {
            dynamic(reader, codes)?;
            Ok(BlockHeader::Codes { final_block })
        }
        _ => Err(Some(ErrorCode::BLOCK_TYPE)),
    }
}

fn stored_length(reader: &mut BitReader<'_>) -> Result<usize, Stop> {
    reader.align();
    let bits = reader.take(32).ok_or(None)?;
    let (length, complement) = (bits & 0xffff, bits >> 16);
    if length ^ complement != 0xffff {
        return Err(Some(ErrorCode::STORED_LENGTH));
    }
    Ok(length as usize)
}

fn dynamic(reader: &mut BitReader<'_>, codes: &mut Codes) -> Result<(), Stop> {
    let counts = reader.take(14).ok_or(None)?;
    let literal_length_count = 257 + (counts & 0x1f) as usize;
    let distance_count = 1 + ((counts >> 5) & 0x1f) as usize;
    let code_length_count = 4 + (counts >> 10) as usize;
    if literal_length_count > LITERAL_LENGTH_SYMBOLS {
        return Err(Some(ErrorCode::TOO_MANY_LL_CODES));
    }
    if distance_count > DISTANCE_SYMBOLS {
        return Err(Some(ErrorCode::TOO_MANY_D_CODES));
    }
    let (code_lengths, is_complete) = code_length_table(reader, code_length_count)?;
    let (mut literal_length, mut distance) = ([0; LITERAL_LENGTH_SYMBOLS], [0; DISTANCE_SYMBOLS]);
    let literal_length = &mut literal_length[..literal_length_count];
    let distance = &mut distance[..distance_count];
    let refusals = Refusals { starts_with_16: ErrorCode::FIRST_LL_CODE_16, count: ErrorCode::LL_CODE_COUNT };
    read_lengths(reader, &code_lengths, literal_length, refusals)?;
    let refusals = Refusals { starts_with_16: ErrorCode::FIRST_D_CODE_16, count: ErrorCode::D_CODE_COUNT };
    read_lengths(reader, &code_lengths, distance, refusals)?;
    if !is_complete {
        return Err(Some(ErrorCode::BAD_CL_LENGTHS));
    }
    if literal_length.iter().all(|&length| length == 0) {
        return Err(Some(ErrorCode::NO_LL_CODE));
    }
    if literal_length[END_OF_BLOCK] == 0 {
        return Err(Some(ErrorCode::BAD_LL_LENGTHS));
    }
    Ok(codes.set(literal_length, distance)?)
}

/// The code of the code lengths, and whether it is complete. If it is not, bits that are no code may come first.
fn code_length_table(reader: &mut BitReader<'_>, count: usize) -> Result<(DecodeTable<7>, bool), Stop> {
    let mut lengths = [0; 19];
    for &symbol in &CODE_LENGTH_ORDER[..count] {
        lengths[usize::from(symbol)] = (reader.take(3).ok_or(None)? & 7) as u8;
    }
    // One code of one bit does not do: that exception is for the other two alphabets.
    let is_code = lengths.iter().filter(|&&length| length > 0).count() > 1;
    let mut table = DecodeTable::new();
    match table.build(&lengths, |symbol| Entry::literal(low_byte(symbol))) {
        Ok(()) => Ok((table, is_code)),
        Err(BadLengths::Incomplete) => Ok((table, false)),
        Err(BadLengths::Oversubscribed) => Err(Some(ErrorCode::BAD_CL_LENGTHS)),
    }
}

/// What is wrong with the code lengths of an alphabet.
#[derive(Clone, Copy)]
struct Refusals {
    /// The first is "repeat the one before".
    starts_with_16: ErrorCode,
    /// The last repeat count runs past them.
    count: ErrorCode,
}

/// Reads the code lengths of one alphabet. RFC 1951 §3.2.7 makes one sequence of both and lets a repeat run from one into
/// the other; the device counts each by itself, and refuses that (IAA table 4-8, codes 0x04 and 0x06).
fn read_lengths(
    reader: &mut BitReader<'_>,
    table: &DecodeTable<7>,
    lengths: &mut [u8],
    refusals: Refusals,
) -> Result<(), Stop> {
    let mut at = 0;
    while at < lengths.len() {
        reader.refill();
        let entry = table.lookup(reader.peek());
        if entry.code_bits() > reader.available() {
            return Err(None);
        }
        if entry.is_special() {
            return Err(Some(ErrorCode::UNDEFINED_CL_CODE));
        }
        reader.consume(entry.code_bits());
        let (length, repeat) = match entry.byte() {
            length @ 0..16 => (length, 1),
            16 => {
                let bits = reader.take(2).ok_or(None)?;
                let before = at.checked_sub(1).ok_or(Some(refusals.starts_with_16))?;
                (lengths[before], 3 + bits as usize)
            }
            17 => (0, 3 + reader.take(3).ok_or(None)? as usize),
            _ => (0, 11 + reader.take(7).ok_or(None)? as usize),
        };
        let repeated = lengths.get_mut(at..at + repeat);
        repeated.ok_or(Some(refusals.count))?.fill(length);
        at += repeat;
    }
    Ok(())
}

fn set_literal_lengths(table: &mut LiteralLengthTable, lengths: &[u8]) -> Result<(), ErrorCode> {
    let built = table.build(lengths, |symbol| match symbol {
        0..END_OF_BLOCK => Entry::literal(low_byte(symbol)),
        END_OF_BLOCK => Entry::END,
        _ => LENGTHS
            .get(symbol - FIRST_LENGTH)
            .map_or(Entry::INVALID, |span| Entry::base(span.base, span.extra_bits)),
    });
    built.map_err(|_| ErrorCode::BAD_LL_LENGTHS)
}

fn set_distances(table: &mut DistanceTable, lengths: &[u8]) -> Result<(), ErrorCode> {
    let built = table.build(lengths, |symbol| {
        DISTANCES.get(symbol).map_or(Entry::INVALID, |span| Entry::base(span.base, span.extra_bits))
    });
    built.map_err(|_| ErrorCode::BAD_D_LENGTHS)
}

fn fixed_lengths() -> [u8; 288] {
    let mut lengths = [8; 288];
    lengths[144..256].fill(9);
    lengths[256..280].fill(7);
    lengths
}
