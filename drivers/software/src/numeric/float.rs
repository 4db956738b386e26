//! Floating-point numbers of any format, exactly, one element at a time.
//!
//! A finite number is unpacked to a significand of 53 bits and an exponent. A sum is exact in 128 bits, or so much wider
//! than its second operand that one sticky bit stands for that; so it is rounded once, to whatever format.

use super::{Combine, Exceptions, Rounding, Rules};

/// Bits of a significand when unpacked, the leading one included.
const SIGNIFICAND_BITS: u32 = 53;
/// Room a significand is moved up by before it is added.
const HEADROOM: i32 = 70;

/// A layout: sign, exponent, mantissa, from the highest bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Format {
    exponent_bits: u32,
    mantissa_bits: u32,
    /// An exponent of ones is an infinity or a NaN. Without, only a mantissa of ones with it is a NaN.
    has_infinity: bool,
}

impl Format {
    pub(super) const F8E5M2: Self = Self { exponent_bits: 5, mantissa_bits: 2, has_infinity: true };
    pub(super) const F8E4M3: Self = Self { exponent_bits: 4, mantissa_bits: 3, has_infinity: false };
    pub(super) const F16: Self = Self { exponent_bits: 5, mantissa_bits: 10, has_infinity: true };
    pub(super) const BF16: Self = Self { exponent_bits: 8, mantissa_bits: 7, has_infinity: true };
    pub(super) const F32: Self = Self { exponent_bits: 8, mantissa_bits: 23, has_infinity: true };
    pub(super) const F64: Self = Self { exponent_bits: 11, mantissa_bits: 52, has_infinity: true };

    const fn bytes(self) -> usize {
        ((1 + self.exponent_bits + self.mantissa_bits) / 8) as usize
    }

    const fn sign_bit(self) -> u64 {
        1 << (self.exponent_bits + self.mantissa_bits)
    }

    /// The exponent field with all ones.
    const fn exponent_max(self) -> u64 {
        (1 << self.exponent_bits) - 1
    }

    const fn mantissa_mask(self) -> u64 {
        (1 << self.mantissa_bits) - 1
    }

    const fn bias(self) -> i32 {
        (1 << (self.exponent_bits - 1)) - 1
    }

    /// The power of two that the last bit of a denormal number stands for.
    const fn exponent_least(self) -> i32 {
        1 - self.bias() - self.mantissa_bits.cast_signed()
    }

    /// Infinity, or what a format without has in its place: a NaN.
    const fn infinity(self) -> u64 {
        let mantissa = if self.has_infinity { 0 } else { self.mantissa_mask() };
        self.exponent_max() << self.mantissa_bits | mantissa
    }

    /// The bits before those of [`infinity`](Self::infinity).
    const fn greatest(self) -> u64 {
        self.infinity() - 1
    }

    fn is_denormal(self, bits: u64) -> bool {
        let exponent = bits >> self.mantissa_bits & self.exponent_max();
        exponent == 0 && bits & self.mantissa_mask() != 0
    }
}

/// A number without its format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Number {
    negative: bool,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// With a payload in the high bits of 52, the quiet bit included.
    Nan(u64),
    Infinity,
    Zero,
    /// `significand * 2^exponent`; the significand has its highest bit at 52.
    Finite {
        significand: u64,
        exponent: i32,
    },
}

impl Number {
    /// The NaN a CPU gives to an invalid operation.
    const INDEFINITE: Self = Self { negative: true, kind: Kind::Nan(0) };

    fn is_nan(self) -> bool {
        matches!(self.kind, Kind::Nan(_))
    }

    fn negated_if(self, negated: bool) -> Self {
        Self { negative: self.negative != negated, ..self }
    }
}

fn load(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(word)
}

/// Unpacks an operand: what is denormal is reported, or is zero.
fn unpack(format: Format, bits: u64, rules: Rules) -> (Number, Exceptions) {
    let negative = bits & format.sign_bit() != 0;
    let (mantissa, exponent) =
        (bits & format.mantissa_mask(), bits >> format.mantissa_bits & format.exponent_max());
    let is_denormal = format.is_denormal(bits);
    let magnitude = bits & (format.sign_bit() - 1);
    let kind = if magnitude == format.infinity() && format.has_infinity {
        Kind::Infinity
    } else if magnitude >= format.infinity() {
        // E4M3's only NaN has no payload.
        let payload =
            if format.has_infinity { mantissa << (SIGNIFICAND_BITS - 1 - format.mantissa_bits) } else { 0 };
        Kind::Nan(payload)
    } else if magnitude == 0 || (is_denormal && rules.denormals_are_zero) {
        Kind::Zero
    } else {
        let (significand, field) =
            if is_denormal { (mantissa, 1) } else { (mantissa | 1 << format.mantissa_bits, exponent) };
        let up = significand.leading_zeros() - (u64::BITS - SIGNIFICAND_BITS);
        let field = i32::try_from(field).expect("an exponent has at most 11 bits");
        let exponent = field - 1 + format.exponent_least() - up.cast_signed();
        Kind::Finite { significand: significand << up, exponent }
    };
    let denormal = is_denormal && !rules.denormals_are_zero;
    (Number { negative, kind }, Exceptions::DENORMAL.when(denormal))
}

/// Packs a result.
fn pack(format: Format, number: Number, rules: Rules) -> (u64, Exceptions) {
    let sign = if number.negative { format.sign_bit() } else { 0 };
    match number.kind {
        Kind::Zero => (sign, Exceptions::NONE),
        Kind::Infinity => (sign | format.infinity(), Exceptions::OVERFLOW.when(!format.has_infinity)),
        Kind::Nan(payload) => {
            let quiet = 1 << (format.mantissa_bits - 1);
            let payload = payload >> (SIGNIFICAND_BITS - 1 - format.mantissa_bits) & format.mantissa_mask();
            (sign | format.infinity() | quiet | payload, Exceptions::INVALID)
        }
        Kind::Finite { significand, exponent } => {
            round(format, number.negative, significand.into(), exponent, rules)
        }
    }
}

/// Rounds `significand * 2^exponent`, which is not zero.
fn round(
    format: Format,
    negative: bool,
    significand: u128,
    exponent: i32,
    rules: Rules,
) -> (u64, Exceptions) {
    let sign = if negative { format.sign_bit() } else { 0 };
    let highest = (u128::BITS - 1 - significand.leading_zeros()).cast_signed();
    let least = format.exponent_least();
    let last_bit = (exponent + highest - format.mantissa_bits.cast_signed()).max(least);
    let rounded = shifted(significand, last_bit - exponent, negative, rules.rounding);
    let steps = u64::try_from(last_bit - least).expect("the last bit is not below the least");
    let magnitude = (steps << format.mantissa_bits) + rounded;
    if magnitude > format.greatest() {
        let to_infinity = match rules.rounding {
            Rounding::NearestEven => true,
            Rounding::Down => negative,
            Rounding::Up => !negative,
            Rounding::TowardZero => false,
        };
        let magnitude = if to_infinity { format.infinity() } else { format.greatest() };
        return (sign | magnitude, Exceptions::OVERFLOW);
    }
    let underflow = magnitude <= format.mantissa_mask();
    let magnitude = if underflow && rules.flush_to_zero { 0 } else { magnitude };
    (sign | magnitude, Exceptions::UNDERFLOW.when(underflow))
}

/// `significand / 2^bits`, rounded to an integer of at most 54 bits.
fn shifted(significand: u128, bits: i32, negative: bool, rounding: Rounding) -> u64 {
    let narrow = |value: u128| u64::try_from(value).expect("a significand of the format and a carry");
    let Ok(down) = u32::try_from(bits) else { return narrow(significand << -bits) };
    if down == 0 {
        return narrow(significand);
    }
    let kept = significand.checked_shr(down).unwrap_or(0);
    let rest = significand - kept.checked_shl(down).unwrap_or(0);
    let half = 1_u128.checked_shl(down - 1).unwrap_or(u128::MAX);
    let up = match rounding {
        Rounding::NearestEven => rest > half || (rest == half && kept & 1 == 1),
        Rounding::Down => negative && rest != 0,
        Rounding::Up => !negative && rest != 0,
        Rounding::TowardZero => false,
    };
    narrow(kept + u128::from(up))
}

/// The sum, packed.
fn add(format: Format, a: Number, b: Number, rules: Rules) -> (u64, Exceptions) {
    let exact_zero = Number { negative: rules.rounding == Rounding::Down, kind: Kind::Zero };
    match (a.kind, b.kind) {
        (Kind::Infinity, Kind::Infinity) if a.negative != b.negative => {
            pack(format, Number::INDEFINITE, rules)
        }
        (Kind::Infinity, _) => pack(format, a, rules),
        (_, Kind::Infinity) => pack(format, b, rules),
        (Kind::Zero, Kind::Zero) => {
            pack(format, if a.negative == b.negative { a } else { exact_zero }, rules)
        }
        (Kind::Zero, _) => pack(format, b, rules),
        (_, Kind::Zero) => pack(format, a, rules),
        (
            Kind::Finite { significand: a_bits, exponent: a_exponent },
            Kind::Finite { significand: b_bits, exponent: b_exponent },
        ) => {
            let a = (a.negative, a_bits, a_exponent);
            let b = (b.negative, b_bits, b_exponent);
            let (high, low) = if a_exponent >= b_exponent { (a, b) } else { (b, a) };
            let up = (high.2 - low.2).min(HEADROOM);
            let exponent = high.2 - up;
            let signed =
                |negative: bool, bits: u128| if negative { -bits.cast_signed() } else { bits.cast_signed() };
            let sum =
                signed(high.0, u128::from(high.1) << up) + signed(low.0, jammed(low.1, exponent - low.2));
            match sum {
                0 => pack(format, exact_zero, rules),
                sum => round(format, sum < 0, sum.unsigned_abs(), exponent, rules),
            }
        }
        // The caller has taken NaNs out.
        (Kind::Nan(_), _) => pack(format, a, rules),
        (_, Kind::Nan(_)) => pack(format, b, rules),
    }
}

/// `bits / 2^down`, its lowest bit set if that is not all.
fn jammed(bits: u64, down: i32) -> u128 {
    let down = down.unsigned_abs();
    let kept = bits.checked_shr(down).unwrap_or(0);
    u128::from(kept | u64::from(kept.checked_shl(down).unwrap_or(0) != bits))
}

/// Greater numbers have greater keys; -0 is less than +0.
fn key(number: Number) -> (bool, i32, i64) {
    let (exponent, significand) = match number.kind {
        Kind::Zero => (i32::MIN + 1, 0),
        Kind::Finite { significand, exponent } => (exponent, significand.cast_signed()),
        Kind::Infinity | Kind::Nan(_) => (i32::MAX, 0),
    };
    if number.negative { (false, -exponent, -significand) } else { (true, exponent, significand) }
}

pub(super) fn convert(from: Format, to: Format, rules: Rules, src: &[u8], dst: &mut [u8]) -> Exceptions {
    let elements = src.chunks_exact(from.bytes()).zip(dst.chunks_exact_mut(to.bytes()));
    elements.fold(Exceptions::NONE, |exceptions, (src, dst)| {
        let (number, denormal) = unpack(from, load(src), rules);
        let (bits, raised) = pack(to, number.negated_if(rules.negate_first), rules);
        dst.copy_from_slice(&bits.to_le_bytes()[..to.bytes()]);
        exceptions | denormal | raised
    })
}

pub(super) fn combine(
    combine: Combine,
    (a_format, a): (Format, &[u8]),
    (b_format, b): (Format, &[u8]),
    (to, dst): (Format, &mut [u8]),
    rules: Rules,
) -> Exceptions {
    let operands = a.chunks_exact(a_format.bytes()).zip(b.chunks_exact(b_format.bytes()));
    let elements = operands.zip(dst.chunks_exact_mut(to.bytes()));
    elements.fold(Exceptions::NONE, |exceptions, ((a, b), dst)| {
        let (a, a_denormal) = unpack(a_format, load(a), rules);
        let (b, b_denormal) = unpack(b_format, load(b), rules);
        let (a, b) = (a.negated_if(rules.negate_first), b.negated_if(rules.negate_second));
        let (bits, raised) = match combine {
            _ if a.is_nan() => pack(to, a, rules),
            _ if b.is_nan() => pack(to, b, rules),
            Combine::Min => pack(to, if key(b) < key(a) { b } else { a }, rules),
            Combine::Max => pack(to, if key(b) > key(a) { b } else { a }, rules),
            _ => add(to, a, b, rules),
        };
        dst.copy_from_slice(&bits.to_le_bytes()[..to.bytes()]);
        exceptions | a_denormal | b_denormal | raised
    })
}

/// What a fast loop needs to have its exceptional blocks computed here.
pub(super) fn combine_same(
    operation: Combine,
    format: Format,
    rules: Rules,
    a: &[u8],
    b: &[u8],
    dst: &mut [u8],
) -> Exceptions {
    combine(operation, (format, a), (format, b), (format, dst), rules)
}
