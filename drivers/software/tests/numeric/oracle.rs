//! What a conversion or a combination must give, from values and not from bits.
//!
//! Codes of a format order as their values do, so a result is found by searching the two codes it lies between and
//! comparing it with what is half-way. Values are `f64`; a sum is the pair of a rounded one and what that leaves out
//! (Knuth's two-sum), which is exact.

use svala_software::numeric::{Combine, Element, Rounding, Rules};

/// INVALID, DENORMAL, OVERFLOW, UNDERFLOW, as bits.
pub(crate) const INVALID: u8 = 1;
pub(crate) const DENORMAL: u8 = 2;
pub(crate) const OVERFLOW: u8 = 4;
pub(crate) const UNDERFLOW: u8 = 8;

/// A format of at most 32 bits.
#[derive(Clone, Copy)]
pub(crate) struct Layout {
    pub(crate) element: Element,
    exponent: u32,
    mantissa: u32,
}

pub(crate) const E5M2: Layout = Layout { element: Element::F8E5M2, exponent: 5, mantissa: 2 };
pub(crate) const E4M3: Layout = Layout { element: Element::F8E4M3, exponent: 4, mantissa: 3 };
pub(crate) const F16: Layout = Layout { element: Element::F16, exponent: 5, mantissa: 10 };
pub(crate) const BF16: Layout = Layout { element: Element::BF16, exponent: 8, mantissa: 7 };
pub(crate) const F32: Layout = Layout { element: Element::F32, exponent: 8, mantissa: 23 };
pub(crate) const ALL: [Layout; 5] = [E5M2, E4M3, F16, BF16, F32];

/// A value of a format, or none.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Value {
    Nan,
    Number(f64),
}

impl Layout {
    pub(crate) fn bits(self) -> u32 {
        1 + self.exponent + self.mantissa
    }

    fn is_e4m3(self) -> bool {
        self.element == Element::F8E4M3
    }

    fn sign(self) -> u64 {
        1 << (self.bits() - 1)
    }

    fn infinity(self) -> u64 {
        ((1 << self.exponent) - 1) << self.mantissa
    }

    /// The code of the greatest finite number, as tables 9-12 and 9-13 have it.
    fn greatest(self) -> u64 {
        if self.is_e4m3() { 0x7e } else { self.infinity() - 1 }
    }

    fn least_normal(self) -> u64 {
        1 << self.mantissa
    }

    /// The value of a code without sign, as if exponents went on for ever.
    fn magnitude(self, code: u64) -> f64 {
        let bias = (1 << (self.exponent - 1)) - 1;
        let (field, fraction) = (code >> self.mantissa, code & ((1 << self.mantissa) - 1));
        let (whole, field) = if field == 0 { (0, 1) } else { (1 << self.mantissa, field) };
        let exponent = i32::try_from(field).unwrap() - bias - i32::try_from(self.mantissa).unwrap();
        ((whole + fraction) as f64) * 2_f64.powi(exponent)
    }

    fn value(self, code: u64) -> Value {
        let magnitude = code & (self.sign() - 1);
        let is_infinity = magnitude == self.infinity() && !self.is_e4m3();
        let value = match magnitude > self.greatest() {
            true if is_infinity => f64::INFINITY,
            true => return Value::Nan,
            false => self.magnitude(magnitude),
        };
        Value::Number(if code & self.sign() != 0 { -value } else { value })
    }

    fn is_denormal(self, code: u64) -> bool {
        let magnitude = code & (self.sign() - 1);
        magnitude != 0 && magnitude < self.least_normal()
    }

    /// The operand as it is computed with, and what it raises.
    fn operand(self, code: u64, rules: Rules, negate: bool) -> (Value, u8) {
        let value = match self.value(code) {
            Value::Number(value) if self.is_denormal(code) && rules.denormals_are_zero => {
                Value::Number(0_f64.copysign(value))
            }
            value => value,
        };
        let raised = if self.is_denormal(code) && !rules.denormals_are_zero { DENORMAL } else { 0 };
        match value {
            Value::Number(value) if negate => (Value::Number(-value), raised),
            value => (value, raised),
        }
    }

    /// The NaN of `from` with `code` in this format: sign, leading payload bits, quiet.
    fn nan(self, from: Layout, code: u64, negate: bool) -> u64 {
        let negative = (code & from.sign() != 0) != negate;
        let sign = if negative { self.sign() } else { 0 };
        let payload =
            if from.is_e4m3() { 0 } else { (code & (from.least_normal() - 1)) << (52 - from.mantissa) };
        let payload = payload >> (52 - self.mantissa);
        let quiet = 1 << (self.mantissa - 1);
        sign | self.infinity() | quiet | payload | if self.is_e4m3() { 7 } else { 0 }
    }

    /// `sum + rest`, where `rest` is less than half a unit in the last place of `sum`.
    fn rounded(self, sum: f64, rest: f64, rules: Rules) -> (u64, u8) {
        if sum == 0.0 {
            return (if sum.is_sign_negative() { self.sign() } else { 0 }, 0);
        }
        let sign = if sum < 0.0 { self.sign() } else { 0 };
        let (value, rest) = if sum < 0.0 { (-sum, -rest) } else { (sum, rest) };
        if value.is_infinite() {
            let nan = if self.is_e4m3() { 7 } else { 0 };
            return (sign | self.infinity() | nan, if nan == 0 { 0 } else { OVERFLOW });
        }
        let order = |point: f64| value.partial_cmp(&point).unwrap().then(rest.partial_cmp(&0.0).unwrap());
        // Codes go one exponent beyond infinity, where their values have no end.
        let (mut below, mut above) = (0, self.infinity() + self.least_normal());
        if order(self.magnitude(above)).is_ge() {
            below = above;
        }
        while above - below > 1 {
            let middle = below.midpoint(above);
            if order(self.magnitude(middle)).is_ge() { below = middle } else { above = middle }
        }
        let code = if order(self.magnitude(below)).is_eq() {
            below
        } else {
            let half_way = f64::midpoint(self.magnitude(below), self.magnitude(below + 1));
            let up = match rules.rounding {
                Rounding::NearestEven => order(half_way).then((below & 1).cmp(&1)).is_ge(),
                Rounding::Down => sign != 0,
                Rounding::Up => sign == 0,
                Rounding::TowardZero => false,
            };
            below + u64::from(up)
        };
        if code > self.greatest() {
            let to_infinity = match rules.rounding {
                Rounding::NearestEven => true,
                Rounding::Down => sign != 0,
                Rounding::Up => sign == 0,
                Rounding::TowardZero => false,
            };
            let nan = if self.is_e4m3() { 7 } else { 0 };
            return (sign | if to_infinity { self.infinity() | nan } else { self.greatest() }, OVERFLOW);
        }
        let underflows = code < self.least_normal();
        let code = if underflows && rules.flush_to_zero { 0 } else { code };
        (sign | code, if underflows { UNDERFLOW } else { 0 })
    }
}

/// What converting `code` gives, and raises.
pub(crate) fn convert(from: Layout, to: Layout, code: u64, rules: Rules) -> (u64, u8) {
    let (value, raised) = from.operand(code, rules, rules.negate_first);
    match value {
        Value::Nan => (to.nan(from, code, rules.negate_first), raised | INVALID),
        Value::Number(value) => {
            let (code, more) = to.rounded(value, 0.0, rules);
            (code, raised | more)
        }
    }
}

/// What converting a number of double precision gives, and raises. Not for NaNs.
pub(crate) fn narrow(to: Layout, value: f64, rules: Rules) -> (u64, u8) {
    let (value, raised) = match (value.is_subnormal(), rules.denormals_are_zero) {
        (true, true) => (0_f64.copysign(value), 0),
        (true, false) => (value, DENORMAL),
        (false, _) => (value, 0),
    };
    let (code, more) = to.rounded(value, 0.0, rules);
    (code, raised | more)
}

/// What combining `a` and `b` gives, and raises.
pub(crate) fn combine(how: Combine, from: Layout, to: Layout, a: u64, b: u64, rules: Rules) -> (u64, u8) {
    let (x, x_raised) = from.operand(a, rules, rules.negate_first);
    let (y, y_raised) = from.operand(b, rules, rules.negate_second);
    let raised = x_raised | y_raised;
    let (x, y) = match (x, y) {
        (Value::Nan, _) => return (to.nan(from, a, rules.negate_first), raised | INVALID),
        (_, Value::Nan) => return (to.nan(from, b, rules.negate_second), raised | INVALID),
        (Value::Number(x), Value::Number(y)) => (x, y),
    };
    let (sum, rest) = match how {
        Combine::Min => (if x.total_cmp(&y).is_le() { x } else { y }, 0.0),
        Combine::Max => (if x.total_cmp(&y).is_ge() { x } else { y }, 0.0),
        _ => {
            let sum = x + y;
            let from_y = sum - x;
            let rest = (x - (sum - from_y)) + (y - from_y);
            if sum.is_nan() {
                // Infinities of opposite signs.
                let nan =
                    if to.is_e4m3() { 0x7f } else { to.infinity() | to.infinity() >> 1 & !to.infinity() };
                let quiet = 1 << (to.mantissa - 1);
                return (to.sign() | nan | quiet, raised | INVALID);
            }
            let exact_zero =
                sum == 0.0 && !(x == 0.0 && y == 0.0 && x.is_sign_negative() == y.is_sign_negative());
            let zero = if rules.rounding == Rounding::Down { -0.0 } else { 0.0 };
            (if exact_zero { zero } else { sum }, if sum.is_infinite() { 0.0 } else { rest })
        }
    };
    let (code, more) = to.rounded(sum, rest, rules);
    (code, raised | more)
}
