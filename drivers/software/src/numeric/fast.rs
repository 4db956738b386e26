//! Loops for common cases, in a form the compiler turns into vectors.
//!
//! Integers of one type cannot surprise. With floating-point numbers a block is computed by the CPU's own instructions
//! and looked at: if a NaN, a denormal or an overflow has any part in it, the block is computed again the exact way.

use super::{Combine, Element, Exceptions, Format, Rounding, Rules, float};

/// Elements between two looks at whether something is out of the ordinary.
const BLOCK: usize = 128;

/// Combines elements of one type; `None` if this is no common case.
pub(super) fn combine(
    combine: Combine,
    element: Element,
    rules: Rules,
    a: &[u8],
    b: &[u8],
    dst: &mut [u8],
) -> Option<Exceptions> {
    if rules.negate_first || rules.negate_second {
        return None;
    }
    let integers = Integers { combine, saturate: rules.saturate, a, b };
    let is_common = !matches!(combine, Combine::Add) || rules.rounding == Rounding::NearestEven;
    match element {
        Element::U8 => Some(integers.u8(dst)),
        Element::I8 => Some(integers.i8(dst)),
        Element::U16 => Some(integers.u16(dst)),
        Element::I16 => Some(integers.i16(dst)),
        Element::U32 => Some(integers.u32(dst)),
        Element::I32 => Some(integers.i32(dst)),
        Element::U64 => Some(integers.u64(dst)),
        Element::I64 => Some(integers.i64(dst)),
        Element::F32 if is_common => Some(floats_32(combine, rules, a, b, dst)),
        Element::F64 if is_common => Some(floats_64(combine, rules, a, b, dst)),
        Element::F16 if is_common => Some(halves(combine, &F16, rules, a, b, dst)),
        Element::BF16 if is_common => Some(halves(combine, &BF16, rules, a, b, dst)),
        _ => None,
    }
}

/// Operands of integers of one type.
struct Integers<'a> {
    combine: Combine,
    saturate: bool,
    a: &'a [u8],
    b: &'a [u8],
}

macro_rules! integers {
    ($($integer:ident, $overflows:expr;)*) => {
        impl Integers<'_> {
            $(
                fn $integer(&self, dst: &mut [u8]) -> Exceptions {
                    let each = |dst: &mut [u8], f: fn($integer, $integer) -> $integer| {
                        const BYTES: usize = size_of::<$integer>();
                        let (a, _) = self.a.as_chunks::<BYTES>();
                        let (b, _) = self.b.as_chunks::<BYTES>();
                        let (dst, _) = dst.as_chunks_mut::<BYTES>();
                        for ((a, b), dst) in a.iter().zip(b).zip(dst) {
                            *dst = f($integer::from_le_bytes(*a), $integer::from_le_bytes(*b)).to_le_bytes();
                        }
                        Exceptions::NONE
                    };
                    match self.combine {
                        Combine::And => each(dst, |a, b| a & b),
                        Combine::Or => each(dst, |a, b| a | b),
                        Combine::Xor => each(dst, |a, b| a ^ b),
                        Combine::Min => each(dst, Ord::min),
                        Combine::Max => each(dst, Ord::max),
                        Combine::Add => {
                            if self.saturate {
                                each(dst, $integer::saturating_add);
                            } else {
                                each(dst, $integer::wrapping_add);
                            }
                            let (a, _) = self.a.as_chunks::<{ size_of::<$integer>() }>();
                            let (b, _) = self.b.as_chunks::<{ size_of::<$integer>() }>();
                            let overflows = a.iter().zip(b).fold(0, |all, (a, b)| {
                                all | $overflows($integer::from_le_bytes(*a), $integer::from_le_bytes(*b))
                            });
                            Exceptions::OVERFLOW.when(overflows != 0)
                        }
                    }
                }
            )*
        }
    };
}

/// Not zero if the sum of two unsigned numbers has a carry, of two signed ones if its sign is wrong.
macro_rules! overflow {
    (unsigned $integer:ident) => {
        |a: $integer, b: $integer| $integer::from(a.wrapping_add(b) < a)
    };
    (signed $integer:ident) => {
        |a: $integer, b: $integer| ((a ^ a.wrapping_add(b)) & (b ^ a.wrapping_add(b))) & $integer::MIN
    };
}

integers! {
    u8, overflow!(unsigned u8);
    i8, overflow!(signed i8);
    u16, overflow!(unsigned u16);
    i16, overflow!(signed i16);
    u32, overflow!(unsigned u32);
    i32, overflow!(signed i32);
    u64, overflow!(unsigned u64);
    i64, overflow!(signed i64);
}

macro_rules! floats {
    ($name:ident, $float:ident, $bits:ident, $signed:ident, $format:expr) => {
        fn $name(combine: Combine, rules: Rules, a: &[u8], b: &[u8], dst: &mut [u8]) -> Exceptions {
            const BYTES: usize = size_of::<$bits>();
            const SIGN: $bits = 1 << ($bits::BITS - 1);
            const INFINITY: $bits = $float::INFINITY.to_bits();
            const LEAST: $bits = $float::MIN_POSITIVE.to_bits();
            // Zero is fine, and so is what lies between the least normal number and infinity.
            let is_odd = |bits: $bits, end: $bits| {
                let magnitude = bits & !SIGN;
                (magnitude != 0) & (magnitude.wrapping_sub(LEAST) >= end - LEAST)
            };
            // As integers these order as the numbers do.
            let ordered =
                |bits: $bits| bits.cast_signed() ^ ((bits.cast_signed() >> ($bits::BITS - 1)) & $signed::MAX);
            let add = |a: $bits, b: $bits| {
                let sum = ($float::from_bits(a) + $float::from_bits(b)).to_bits();
                (sum, is_odd(a, INFINITY) | is_odd(b, INFINITY) | is_odd(sum, INFINITY))
            };
            let pick = |a: $bits, b: $bits, first: bool| {
                (if first { a } else { b }, is_odd(a, INFINITY + 1) | is_odd(b, INFINITY + 1))
            };
            let blocks =
                a.chunks(BLOCK * BYTES).zip(b.chunks(BLOCK * BYTES)).zip(dst.chunks_mut(BLOCK * BYTES));
            blocks.fold(Exceptions::NONE, |exceptions, ((a, b), dst)| {
                macro_rules! block {
                    ($f:expr) => {{
                        let operands = a.as_chunks::<BYTES>().0.iter().zip(b.as_chunks::<BYTES>().0);
                        let elements = operands.zip(dst.as_chunks_mut::<BYTES>().0);
                        elements.fold(false, |odd, ((a, b), dst)| {
                            let (bits, is_odd) = $f($bits::from_le_bytes(*a), $bits::from_le_bytes(*b));
                            *dst = bits.to_le_bytes();
                            odd | is_odd
                        })
                    }};
                }
                let is_odd = match combine {
                    Combine::Min => block!(|a, b| pick(a, b, ordered(a) <= ordered(b))),
                    Combine::Max => block!(|a, b| pick(a, b, ordered(a) >= ordered(b))),
                    _ => block!(add),
                };
                match is_odd {
                    true => exceptions | float::combine_same(combine, $format, rules, a, b, dst),
                    false => exceptions,
                }
            })
        }
    };
}

floats!(floats_32, f32, u32, i32, Format::F32);
floats!(floats_64, f64, u64, i64, Format::F64);

/// A 16-bit format and how its normal numbers become single precision and back. Sums of two such numbers may be rounded
/// to single precision first: it has more than twice their bits.
struct Half {
    format: Format,
    /// Bits by which its mantissa is shorter than that of single precision.
    shift: u32,
    /// What its exponents differ by, at the place where single precision has them.
    rebias: u32,
    /// The bits of infinity.
    infinity: u32,
}

const F16: Half = Half { format: Format::F16, shift: 13, rebias: 112 << 23, infinity: 0x7c00 };
const BF16: Half = Half { format: Format::BF16, shift: 16, rebias: 0, infinity: 0x7f80 };

impl Half {
    /// As single precision; wrong, and said to be, for denormal numbers, infinities and NaNs.
    fn widened(&self, bits: u16) -> (u32, bool) {
        let magnitude = u32::from(bits & 0x7fff);
        let least = self.infinity & self.infinity.wrapping_neg();
        let is_odd = (magnitude != 0) & (magnitude.wrapping_sub(least) >= self.infinity - least);
        let wide = if magnitude == 0 { 0 } else { (magnitude << self.shift) + self.rebias };
        (wide | u32::from(bits & 0x8000) << 16, is_odd)
    }

    /// From single precision to nearest even; wrong, and said to be, for what would not be a normal number or zero.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "wrong results are not used, others have sixteen bits"
    )]
    fn narrowed(&self, bits: u32) -> (u16, bool) {
        let magnitude = bits & 0x7fff_ffff;
        let least = (self.infinity & self.infinity.wrapping_neg()) << self.shift;
        let rebased = magnitude.wrapping_sub(self.rebias);
        let rounded =
            rebased.wrapping_add((1 << (self.shift - 1)) - 1 + (rebased >> self.shift & 1)) >> self.shift;
        let is_below = magnitude.wrapping_sub(self.rebias + least) > 0x7f80_0000 - self.rebias - least;
        let is_odd = (magnitude != 0) & (is_below | (rounded >= self.infinity));
        let narrow = if magnitude == 0 { 0 } else { rounded as u16 };
        (narrow | (bits >> 16) as u16 & 0x8000, is_odd)
    }
}

fn halves(combine: Combine, half: &Half, rules: Rules, a: &[u8], b: &[u8], dst: &mut [u8]) -> Exceptions {
    let blocks = a.chunks(BLOCK * 2).zip(b.chunks(BLOCK * 2)).zip(dst.chunks_mut(BLOCK * 2));
    blocks.fold(Exceptions::NONE, |exceptions, ((a, b), dst)| {
        let elements = a.as_chunks::<2>().0.iter().zip(b.as_chunks::<2>().0).zip(dst.as_chunks_mut::<2>().0);
        let is_odd = elements.fold(false, |odd, ((a, b), dst)| {
            let (a, a_odd) = half.widened(u16::from_le_bytes(*a));
            let (b, b_odd) = half.widened(u16::from_le_bytes(*b));
            let (x, y) = (f32::from_bits(a), f32::from_bits(b));
            let wide = match combine {
                Combine::Add => (x + y).to_bits(),
                // Of two zeros the sign bit decides.
                Combine::Min => {
                    if x < y || (x == y && a > b) {
                        a
                    } else {
                        b
                    }
                }
                _ => {
                    if x > y || (x == y && a < b) {
                        a
                    } else {
                        b
                    }
                }
            };
            let (bits, is_odd) = half.narrowed(wide);
            *dst = bits.to_le_bytes();
            odd | a_odd | b_odd | is_odd
        });
        match is_odd {
            true => exceptions | float::combine_same(combine, half.format, rules, a, b, dst),
            false => exceptions,
        }
    })
}

/// Converts; `None` if this is no common case.
pub(super) fn convert(
    input: Element,
    output: Element,
    rules: Rules,
    src: &[u8],
    dst: &mut [u8],
) -> Option<Exceptions> {
    if rules.negate_first || rules.rounding != Rounding::NearestEven {
        return None;
    }
    match (input, output) {
        (Element::F32, Element::F16) => Some(narrow(&F16, rules, src, dst)),
        (Element::F32, Element::BF16) => Some(narrow(&BF16, rules, src, dst)),
        (Element::F16, Element::F32) => Some(widen(&F16, rules, src, dst)),
        (Element::BF16, Element::F32) => Some(widen(&BF16, rules, src, dst)),
        _ => None,
    }
}

fn narrow(half: &Half, rules: Rules, src: &[u8], dst: &mut [u8]) -> Exceptions {
    let formats = (Format::F32, half.format);
    by_blocks(formats, rules, src, dst, |bits| {
        let (bits, is_odd) = half.narrowed(u32::from_le_bytes(bits));
        (bits.to_le_bytes(), is_odd)
    })
}

fn widen(half: &Half, rules: Rules, src: &[u8], dst: &mut [u8]) -> Exceptions {
    let formats = (half.format, Format::F32);
    by_blocks(formats, rules, src, dst, |bits| {
        let (bits, is_odd) = half.widened(u16::from_le_bytes(bits));
        (bits.to_le_bytes(), is_odd)
    })
}

/// Converts block by block, and again those in which `each` says of an element that it is wrong.
#[inline(always)]
fn by_blocks<const FROM: usize, const TO: usize>(
    (from, to): (Format, Format),
    rules: Rules,
    src: &[u8],
    dst: &mut [u8],
    each: impl Fn([u8; FROM]) -> ([u8; TO], bool),
) -> Exceptions {
    let blocks = src.chunks(BLOCK * FROM).zip(dst.chunks_mut(BLOCK * TO));
    blocks.fold(Exceptions::NONE, |exceptions, (src, dst)| {
        let elements = src.as_chunks().0.iter().zip(dst.as_chunks_mut().0);
        let is_odd = elements.fold(false, |odd, (src, dst)| {
            let (bits, is_odd) = each(*src);
            *dst = bits;
            odd | is_odd
        });
        if is_odd { exceptions | float::convert(from, to, rules, src, dst) } else { exceptions }
    })
}
