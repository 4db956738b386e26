//! Loops for common cases, in a form the compiler turns into vectors.
//!
//! Integers of one type cannot surprise. With floating-point numbers a block is computed by the CPU's own instructions
//! and looked at: if a NaN, a denormal or an overflow has any part in it, the block is computed again, in single and double
//! precision by masks, otherwise the exact way, number by number.
//!
//! On x86 with AVX2 the same loops are compiled for that: what tells the ordinary from the rest takes more instructions
//! than the arithmetic, and SSE2 lacks some of them.
//
// UNSAFETY: calls functions compiled for AVX2 after asking the processor for it.
#![expect(unsafe_code, reason = "AVX2 where the processor has it; see the UNSAFETY line")]

use super::{Combine, Element, Exceptions, Format, Rounding, Rules, float};

/// Elements between two looks at whether something is out of the ordinary.
const BLOCK: usize = 128;

/// Two vectors of one type to be combined.
#[derive(Clone, Copy)]
pub(super) struct Combination<'a> {
    pub(super) combine: Combine,
    pub(super) element: Element,
    pub(super) rules: Rules,
    pub(super) a: &'a [u8],
    pub(super) b: &'a [u8],
}

/// From one type to another.
#[derive(Clone, Copy)]
pub(super) struct Change {
    pub(super) input: Element,
    pub(super) output: Element,
    pub(super) rules: Rules,
}

impl Combination<'_> {
    /// Combines; `None` if this is no common case.
    pub(super) fn run(self, dst: &mut [u8]) -> Option<Exceptions> {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has AVX2, asked in the line above.
            return unsafe { avx2::combine(self, dst) };
        }
        combine_by_loops(self, dst)
    }
}

impl Change {
    /// Converts; `None` if this is no common case.
    pub(super) fn run(self, src: &[u8], dst: &mut [u8]) -> Option<Exceptions> {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has AVX2, asked in the line above.
            return unsafe { avx2::convert(self, src, dst) };
        }
        convert_by_loops(self, src, dst)
    }
}

/// The loops, compiled for AVX2.
#[cfg(target_arch = "x86_64")]
mod avx2 {
    use super::{Change, Combination, Exceptions, combine_by_loops, convert_by_loops};

    #[target_feature(enable = "avx2")]
    pub(super) fn combine(combination: Combination<'_>, dst: &mut [u8]) -> Option<Exceptions> {
        combine_by_loops(combination, dst)
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn convert(change: Change, src: &[u8], dst: &mut [u8]) -> Option<Exceptions> {
        convert_by_loops(change, src, dst)
    }
}

#[inline(always)]
fn combine_by_loops(combination: Combination<'_>, dst: &mut [u8]) -> Option<Exceptions> {
    let Combination { combine, element, rules, a, b } = combination;
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
                #[inline(always)]
                fn $integer(&self, dst: &mut [u8]) -> Exceptions {
                    const BYTES: usize = size_of::<$integer>();
                    let (a, _) = self.a.as_chunks::<BYTES>();
                    let (b, _) = self.b.as_chunks::<BYTES>();
                    let (dst, _) = dst.as_chunks_mut::<BYTES>();
                    // Whatever is not zero in what the second function says of any pair.
                    macro_rules! each {
                        ($f:expr, $odd:expr) => {{
                            let mut odd = 0;
                            for ((a, b), dst) in a.iter().zip(b).zip(dst) {
                                let (a, b) = ($integer::from_le_bytes(*a), $integer::from_le_bytes(*b));
                                *dst = $f(a, b).to_le_bytes();
                                odd |= $odd(a, b);
                            }
                            odd
                        }};
                    }
                    let never = |_, _| 0;
                    let overflows = match self.combine {
                        Combine::And => each!(|a, b| a & b, never),
                        Combine::Or => each!(|a, b| a | b, never),
                        Combine::Xor => each!(|a, b| a ^ b, never),
                        Combine::Min => each!(Ord::min, never),
                        Combine::Max => each!(Ord::max, never),
                        Combine::Add if self.saturate => each!($integer::saturating_add, $overflows),
                        Combine::Add => each!($integer::wrapping_add, $overflows),
                    };
                    Exceptions::OVERFLOW.when(overflows != 0)
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
    ($name:ident, $float:ident, $bits:ident, $signed:ident) => {
        #[inline(always)]
        fn $name(combine: Combine, rules: Rules, a: &[u8], b: &[u8], dst: &mut [u8]) -> Exceptions {
            const BYTES: usize = size_of::<$bits>();
            const SIGN: $bits = 1 << ($bits::BITS - 1);
            const INFINITY: $bits = $float::INFINITY.to_bits();
            const QUIET: $bits = 1 << ($float::MANTISSA_DIGITS - 2);
            const LEAST: $bits = $float::MIN_POSITIVE.to_bits();
            // As integers these order as the numbers do.
            let ordered =
                |bits: $bits| bits.cast_signed() ^ ((bits.cast_signed() >> ($bits::BITS - 1)) & $signed::MAX);
            let add = |a: $bits, b: $bits| ($float::from_bits(a) + $float::from_bits(b)).to_bits();
            let mut exceptions = Exceptions::NONE;
            let blocks =
                a.chunks(BLOCK * BYTES).zip(b.chunks(BLOCK * BYTES)).zip(dst.chunks_mut(BLOCK * BYTES));
            // Loops and no closures over blocks: those are functions of their own to the compiler, and not of AVX2.
            for ((a, b), dst) in blocks {
                // Of the least magnitude one is taken off, so that zero is none.
                let (mut least, mut greatest) = ($bits::MAX, 0);
                macro_rules! block {
                    ($f:expr, $greatest_of:expr) => {
                        let operands = a.as_chunks::<BYTES>().0.iter().zip(b.as_chunks::<BYTES>().0);
                        for ((a, b), dst) in operands.zip(dst.as_chunks_mut::<BYTES>().0) {
                            let (a, b) = ($bits::from_le_bytes(*a), $bits::from_le_bytes(*b));
                            let bits = $f(a, b);
                            *dst = bits.to_le_bytes();
                            for bits in [a, b, bits] {
                                least = least.min((bits & !SIGN).wrapping_sub(1));
                            }
                            for bits in $greatest_of(a, b, bits) {
                                greatest = greatest.max(bits & !SIGN);
                            }
                        }
                    };
                }
                let end = match combine {
                    Combine::Min => {
                        block!(|a, b| if ordered(a) <= ordered(b) { a } else { b }, |a, b, _| [a, b]);
                        INFINITY + 1
                    }
                    Combine::Max => {
                        block!(|a, b| if ordered(a) >= ordered(b) { a } else { b }, |a, b, _| [a, b]);
                        INFINITY + 1
                    }
                    // A NaN or an infinity among the operands is one in the sum.
                    _ => {
                        block!(add, |_, _, sum| [sum]);
                        INFINITY
                    }
                };
                if least >= LEAST - 1 && greatest < end {
                    continue;
                }
                // Again, with what is out of the ordinary chosen by masks.
                let is_nan = |bits: $bits| bits & !SIGN > INFINITY;
                let is_infinite = |bits: $bits| bits & !SIGN == INFINITY;
                let is_denormal = |bits: $bits| (bits & !SIGN).wrapping_sub(1) < LEAST - 1;
                let (mut invalid, mut denormal, mut overflow, mut underflow) = (0, 0, 0, 0);
                macro_rules! carefully {
                    ($f:expr, $overflows:expr) => {
                        let operands = a.as_chunks::<BYTES>().0.iter().zip(b.as_chunks::<BYTES>().0);
                        for ((a, b), dst) in operands.zip(dst.as_chunks_mut::<BYTES>().0) {
                            let (a, b) = ($bits::from_le_bytes(*a), $bits::from_le_bytes(*b));
                            let (a_denormal, b_denormal) = (is_denormal(a), is_denormal(b));
                            let (a_zero, b_zero) = (
                                a_denormal & rules.denormals_are_zero,
                                b_denormal & rules.denormals_are_zero,
                            );
                            let x = if a_zero { a & SIGN } else { a };
                            let y = if b_zero { b & SIGN } else { b };
                            let bits = $f(x, y);
                            let bits = if is_nan(bits) { SIGN | INFINITY | QUIET } else { bits };
                            let bits = if is_nan(b) { b | QUIET } else { bits };
                            let bits = if is_nan(a) { a | QUIET } else { bits };
                            let is_small = is_denormal(bits);
                            let flushed = if is_small & rules.flush_to_zero { bits & SIGN } else { bits };
                            *dst = flushed.to_le_bytes();
                            invalid |= $bits::from(is_nan(bits));
                            denormal |= $bits::from((a_denormal & !a_zero) | (b_denormal & !b_zero));
                            let was_infinite = is_infinite(a) | is_infinite(b);
                            overflow |= $bits::from($overflows & is_infinite(bits) & !was_infinite);
                            underflow |= $bits::from(is_small);
                        }
                    };
                }
                match combine {
                    Combine::Min => {
                        carefully!(|a, b| if ordered(a) <= ordered(b) { a } else { b }, false);
                    }
                    Combine::Max => {
                        carefully!(|a, b| if ordered(a) >= ordered(b) { a } else { b }, false);
                    }
                    _ => {
                        carefully!(add, true);
                    }
                }
                exceptions |= Exceptions::INVALID.when(invalid != 0)
                    | Exceptions::DENORMAL.when(denormal != 0)
                    | Exceptions::OVERFLOW.when(overflow != 0)
                    | Exceptions::UNDERFLOW.when(underflow != 0);
            }
            exceptions
        }
    };
}

floats!(floats_32, f32, u32, i32);
floats!(floats_64, f64, u64, i64);

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
    #[inline(always)]
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
    #[inline(always)]
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

#[inline(always)]
fn halves(combine: Combine, half: &Half, rules: Rules, a: &[u8], b: &[u8], dst: &mut [u8]) -> Exceptions {
    let mut exceptions = Exceptions::NONE;
    let blocks = a.chunks(BLOCK * 2).zip(b.chunks(BLOCK * 2)).zip(dst.chunks_mut(BLOCK * 2));
    for ((a, b), dst) in blocks {
        let elements = a.as_chunks::<2>().0.iter().zip(b.as_chunks::<2>().0).zip(dst.as_chunks_mut::<2>().0);
        let mut odd = 0;
        for ((a, b), dst) in elements {
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
            odd |= u32::from(a_odd | b_odd | is_odd);
        }
        if odd != 0 {
            exceptions |= float::combine_same(combine, half.format, rules, a, b, dst);
        }
    }
    exceptions
}

#[inline(always)]
fn convert_by_loops(change: Change, src: &[u8], dst: &mut [u8]) -> Option<Exceptions> {
    let Change { input, output, rules } = change;
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

#[inline(always)]
fn narrow(half: &Half, rules: Rules, src: &[u8], dst: &mut [u8]) -> Exceptions {
    let formats = (Format::F32, half.format);
    by_blocks(formats, rules, src, dst, |bits| {
        let (bits, is_odd) = half.narrowed(u32::from_le_bytes(bits));
        (bits.to_le_bytes(), is_odd)
    })
}

#[inline(always)]
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
    let mut exceptions = Exceptions::NONE;
    for (src, dst) in src.chunks(BLOCK * FROM).zip(dst.chunks_mut(BLOCK * TO)) {
        let mut odd = 0;
        for (src, dst) in src.as_chunks().0.iter().zip(dst.as_chunks_mut().0) {
            let (bits, is_odd) = each(*src);
            *dst = bits;
            odd |= u32::from(is_odd);
        }
        if odd != 0 {
            exceptions |= float::convert(from, to, rules, src, dst);
        }
    }
    exceptions
}
