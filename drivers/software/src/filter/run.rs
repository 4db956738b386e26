//! The filters themselves.

use super::array::Array;
use super::bits::Bits;
use super::range::{LANES, Lane, masks, masks_of_words};
use super::read::Elements;
use super::{BLOCK, Column, Filter, FilterError, Filtered, Output, OutputWidth, Packing, Second};

/// Elements of a piece that goes from memory to bits: its words stay in registers and the first cache.
const PIECE: usize = 4096;

/// Does `filter` on `column` into `room`; without room, only elements are counted and aggregates made.
///
/// # Errors
///
/// [`FilterError`], with what is in `room` undefined.
pub fn filter(
    column: &Column<'_>,
    filter: &Filter<'_>,
    output: &Output,
    room: Option<&mut [u8]>,
) -> Result<Filtered, FilterError> {
    let mut elements = Elements::new(column)?;
    let width = elements.width();
    let nominal = match *filter {
        Filter::Scan { .. } | Filter::SetMembership { .. } | Filter::FindUnique { .. } => 1,
        Filter::RleBurst { value_width, .. } => value_width,
        Filter::Extract { .. } | Filter::Select { .. } | Filter::Expand { .. } => width,
    };
    let mut sink = Sink::new(room, *output, nominal)?;
    let count = u64::from(column.count);
    match *filter {
        Filter::Scan { low, high } => scan(column, &mut elements, (low, high), &mut sink)?,
        Filter::SetMembership { set, drop_low, drop_high } => {
            let kept = Kept::new(width, drop_low, drop_high)?;
            set_membership(&mut elements, count, &set, kept, &mut sink)?;
        }
        Filter::Extract { first, last } => extract(&mut elements, count, (first, last), &mut sink)?,
        Filter::Select { mask } => select(&mut elements, count, &mask, &mut sink)?,
        Filter::Expand { mask } => expand(&mut elements, count, &mask, &mut sink)?,
        Filter::RleBurst { values, value_width } => {
            burst(&mut elements, count, &values, value_width, &mut sink)?;
        }
        Filter::FindUnique { drop_low, drop_high } => {
            let kept = Kept::new(width, drop_low, drop_high)?;
            find_unique(&mut elements, count, kept, &mut sink)?;
        }
    }
    sink.finish()
}

/// Where results go: bits, if they are of 1 bit and not to be elements.
enum Sink<'a> {
    Bits(Bits<'a>),
    Array { array: Array<'a>, invert: bool },
}

impl<'a> Sink<'a> {
    fn new(room: Option<&'a mut [u8]>, output: Output, nominal: u8) -> Result<Self, FilterError> {
        if !(1..=32).contains(&nominal) {
            return Err(FilterError::Width { width: nominal });
        }
        let forced = output.force_array && output.width != OutputWidth::Nominal;
        if nominal == 1 && !forced {
            return Ok(Self::Bits(Bits::new(room, output)));
        }
        if output.invert && nominal != 1 {
            return Err(FilterError::Invert { width: nominal });
        }
        let width = output.width.bits().unwrap_or(nominal);
        if width < nominal {
            let element = u32::MAX >> (32 - u32::from(nominal));
            return Err(FilterError::ElementTooWide { element, width });
        }
        Ok(Self::Array { array: Array::new(room, width, output.big_endian), invert: output.invert })
    }

    fn elements(&mut self, elements: &[u32]) -> Result<(), FilterError> {
        match self {
            Self::Array { array, invert: false } => array.push(elements),
            Self::Array { array, invert: true } => {
                elements.iter().try_for_each(|element| array.push(&[element ^ 1]))
            }
            Self::Bits(bits) => {
                let (groups, rest) = elements.as_chunks::<LANES>();
                for group in groups {
                    bits.push(pack(group), u64::BITS)?;
                }
                bits.push(pack(rest), u32::try_from(rest.len()).unwrap_or(0))
            }
        }
    }

    /// The low `count` bits of words: all of each but the last.
    fn words(&mut self, words: &mut [u64], count: usize) -> Result<(), FilterError> {
        let rest = count % LANES;
        match self {
            Self::Bits(bits) => {
                bits.push_words(&mut words[..count / LANES])?;
                match words.get(count / LANES) {
                    Some(word) if rest > 0 => {
                        bits.push(word & ((1 << rest) - 1), u32::try_from(rest).unwrap_or(0))
                    }
                    _ => Ok(()),
                }
            }
            Self::Array { .. } => (0..count).try_for_each(|at| {
                let bit = words[at / LANES] >> (at % LANES) & 1;
                self.elements(&[u32::from(bit == 1)])
            }),
        }
    }

    fn run(&mut self, element: u32, count: u64) -> Result<(), FilterError> {
        match self {
            Self::Array { array, invert } => array.push_run(element ^ u32::from(*invert), count),
            Self::Bits(bits) => bits.push_run(element == 1, count),
        }
    }

    fn finish(self) -> Result<Filtered, FilterError> {
        match self {
            Self::Bits(bits) => bits.finish(),
            Self::Array { array, .. } => array.finish(),
        }
    }
}

/// Elements of one bit as the bits of a word.
fn pack(elements: &[u32]) -> u64 {
    elements.iter().enumerate().fold(0, |word, (lane, element)| word | u64::from(*element) << lane)
}

/// Which bits of an element count.
#[derive(Clone, Copy)]
struct Kept {
    low: u8,
    mask: u32,
    /// Bits left.
    left: u8,
}

impl Kept {
    fn new(width: u8, drop_low: u8, drop_high: u8) -> Result<Self, FilterError> {
        let wrong = FilterError::DropBits { width, drop_low, drop_high };
        let left = width.checked_sub(drop_low).and_then(|left| left.checked_sub(drop_high)).ok_or(wrong)?;
        if !(1..32).contains(&left) {
            return Err(wrong);
        }
        Ok(Self { low: drop_low, mask: (1 << left) - 1, left })
    }

    const fn apply(self, element: u32) -> u32 {
        element >> self.low & self.mask
    }
}

/// Runs `each` over the elements of a column, a block at a time.
fn blocks(
    elements: &mut Elements<'_>,
    count: u64,
    mut each: impl FnMut(&[u32]) -> Result<(), FilterError>,
) -> Result<(), FilterError> {
    let mut block = [0; BLOCK];
    let mut left = count;
    while left > 0 {
        let wanted = usize::try_from(left).unwrap_or(BLOCK).min(BLOCK);
        let taken = elements.read(&mut block[..wanted])?;
        each(&block[..taken])?;
        if taken < wanted {
            return Err(FilterError::InputTooSmall { elements: elements.position(), expected: count });
        }
        left -= taken as u64;
    }
    Ok(())
}

fn scan(
    column: &Column<'_>,
    elements: &mut Elements<'_>,
    (low, high): (u32, u32),
    sink: &mut Sink<'_>,
) -> Result<(), FilterError> {
    match (column.packing, column.width) {
        (Packing::Little | Packing::Big, 8) => scan_whole::<u8>(column, low, high, sink),
        (Packing::Little, 16) => scan_whole::<u16>(column, low, high, sink),
        (Packing::Little, 32) => scan_whole::<u32>(column, low, high, sink),
        (Packing::Little, 1) => scan_bits(column, low, high, sink),
        _ => blocks(elements, column.count.into(), |block| {
            let mut words = [0; BLOCK / LANES];
            masks_of_words(block, low, high, &mut words);
            sink.words(&mut words, block.len())
        }),
    }
}

/// Elements of one bit are what is asked for, or the opposite of it, or all or none are.
fn scan_bits(column: &Column<'_>, low: u32, high: u32, sink: &mut Sink<'_>) -> Result<(), FilterError> {
    let (elements, expected) = (column.bytes.len() as u64 * 8, u64::from(column.count));
    if elements < expected {
        return Err(FilterError::InputTooSmall { elements, expected });
    }
    let has = |value: u32| (low..=high).contains(&value);
    let (zero, one) = (if has(0) { u64::MAX } else { 0 }, if has(1) { u64::MAX } else { 0 });
    let len = usize::try_from(expected.div_ceil(8)).unwrap_or(0);
    let mut left = usize::try_from(expected).unwrap_or(0);
    for piece in column.bytes[..len].chunks(PIECE / 8) {
        let mut words = [0; PIECE / LANES];
        let (whole, rest) = piece.as_chunks::<{ LANES / 8 }>();
        for (word, bytes) in words.iter_mut().zip(whole) {
            *word = u64::from_le_bytes(*bytes);
        }
        if let Some(word) = words.get_mut(whole.len()) {
            *word = rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
        }
        words.iter_mut().for_each(|word| *word = *word & one | !*word & zero);
        let count = left.min(PIECE);
        sink.words(&mut words, count)?;
        left -= count;
    }
    Ok(())
}

/// Elements of whole bytes, from memory to bits.
fn scan_whole<L: Lane + TryFrom<u32>>(
    column: &Column<'_>,
    low: u32,
    high: u32,
    sink: &mut Sink<'_>,
) -> Result<(), FilterError> {
    let elements = (column.bytes.len() / L::BYTES) as u64;
    let expected = u64::from(column.count);
    if elements < expected {
        return Err(FilterError::InputTooSmall { elements, expected });
    }
    let len = usize::try_from(expected).unwrap_or(0) * L::BYTES;
    let element_max = u32::MAX >> (32 - 8 * u32::try_from(L::BYTES).unwrap_or(4));
    // A range with an end that no element has.
    let range = (low <= high).then(|| (L::try_from(low), L::try_from(high.min(element_max))));
    let mut words = [0; PIECE / LANES];
    for piece in column.bytes[..len].chunks(PIECE * L::BYTES) {
        match range {
            Some((Ok(low), Ok(high))) => masks(piece, low, high, &mut words),
            _ => words.fill(0),
        }
        sink.words(&mut words, piece.len() / L::BYTES)?;
    }
    Ok(())
}

fn set_membership(
    elements: &mut Elements<'_>,
    count: u64,
    set: &Second<'_>,
    kept: Kept,
    sink: &mut Sink<'_>,
) -> Result<(), FilterError> {
    let expected = 1 << kept.left;
    let there = set.bytes.len() as u64 * 8;
    if there < expected {
        return Err(FilterError::SecondTooSmall { elements: there, expected });
    }
    let is_in = |element: u32| {
        let value = kept.apply(element);
        let byte = set.bytes.get((value / 8) as usize).copied().unwrap_or(0);
        let place = if set.big_endian { 7 - value % 8 } else { value % 8 };
        u64::from(byte >> place & 1)
    };
    blocks(elements, count, |block| {
        let mut words = [0; BLOCK / LANES];
        for (word, group) in words.iter_mut().zip(block.chunks(LANES)) {
            let bits = group.iter().enumerate().map(|(lane, element)| is_in(*element) << lane);
            *word = bits.fold(0, |word, bit| word | bit);
        }
        sink.words(&mut words, block.len())
    })
}

fn extract(
    elements: &mut Elements<'_>,
    count: u64,
    (first, last): (u32, u32),
    sink: &mut Sink<'_>,
) -> Result<(), FilterError> {
    let end = (u64::from(last) + 1).min(count);
    let Some(wanted) = end.checked_sub(first.into()).filter(|wanted| *wanted > 0) else { return Ok(()) };
    elements.skip(first.into())?;
    blocks(elements, wanted, |block| sink.elements(block)).map_err(|error| short_by(error, count))
}

/// The same error, of a column of `count` elements.
fn short_by(error: FilterError, count: u64) -> FilterError {
    match error {
        FilterError::InputTooSmall { elements, .. } => {
            FilterError::InputTooSmall { elements, expected: count }
        }
        error => error,
    }
}

/// A block of the bits of a mask.
fn read_mask(mask: &mut Elements<'_>, out: &mut [u32], count: u64) -> Result<(), FilterError> {
    let taken = mask.read(out)?;
    if taken < out.len() {
        return Err(FilterError::SecondTooSmall { elements: mask.position(), expected: count });
    }
    Ok(())
}

fn select(
    elements: &mut Elements<'_>,
    count: u64,
    mask: &Second<'_>,
    sink: &mut Sink<'_>,
) -> Result<(), FilterError> {
    let mut mask = Elements::second(mask, 1)?;
    let (mut bits, mut selected) = ([0; BLOCK], [0; BLOCK]);
    blocks(elements, count, |block| {
        let bits = &mut bits[..block.len()];
        read_mask(&mut mask, bits, count)?;
        let mut taken = 0;
        for (element, bit) in block.iter().zip(bits) {
            // Written in any case, and kept if the bit is 1.
            selected[taken] = *element;
            taken += *bit as usize;
        }
        sink.elements(&selected[..taken])
    })
}

fn expand(
    elements: &mut Elements<'_>,
    count: u64,
    mask: &Second<'_>,
    sink: &mut Sink<'_>,
) -> Result<(), FilterError> {
    let mut mask = Elements::second(mask, 1)?;
    let (mut bits, mut values) = ([0; BLOCK], [0; BLOCK]);
    let mut left = count;
    while left > 0 {
        let part = usize::try_from(left).unwrap_or(BLOCK).min(BLOCK);
        let bits = &mut bits[..part];
        read_mask(&mut mask, bits, count)?;
        let ones = bits.iter().map(|bit| *bit as usize).sum();
        let taken = elements.read(&mut values[..ones])?;
        if taken < ones {
            let (elements, missing) = (elements.position(), (ones - taken) as u64);
            return Err(FilterError::InputTooSmall { elements, expected: elements + missing });
        }
        let mut next = values[..ones].iter();
        for bit in bits.iter_mut() {
            *bit = if *bit == 1 { next.next().copied().unwrap_or(0) } else { 0 };
        }
        sink.elements(bits)?;
        left -= part as u64;
    }
    Ok(())
}

fn burst(
    elements: &mut Elements<'_>,
    count: u64,
    values: &Second<'_>,
    value_width: u8,
    sink: &mut Sink<'_>,
) -> Result<(), FilterError> {
    let width = elements.width();
    if ![8, 16, 32].contains(&width) {
        return Err(FilterError::CounterWidth { width });
    }
    let mut second = Elements::second(values, value_width)?;
    let mut before = None;
    let runs = if width == 32 { count.saturating_sub(1) } else { count };
    let mut value = [0];
    blocks(elements, count, |block| {
        for counter in block {
            let times = match (width, before.replace(*counter)) {
                (32, None) => continue,
                (32, Some(before)) => counter
                    .checked_sub(before)
                    .ok_or(FilterError::RunBackwards { index: second.position() })?,
                _ => *counter,
            };
            if second.read(&mut value)? == 0 {
                return Err(FilterError::SecondTooSmall { elements: second.position(), expected: runs });
            }
            let [value] = value;
            sink.run(value, times.into())?;
        }
        Ok(())
    })
}

fn find_unique(
    elements: &mut Elements<'_>,
    count: u64,
    kept: Kept,
    sink: &mut Sink<'_>,
) -> Result<(), FilterError> {
    let values = 1_usize << kept.left;
    let mut words = vec![0_u64; values.div_ceil(LANES)];
    blocks(elements, count, |block| {
        for element in block {
            let value = kept.apply(*element) as usize;
            words[value / LANES] |= 1 << (value % LANES);
        }
        Ok(())
    })?;
    sink.words(&mut words, values)
}
