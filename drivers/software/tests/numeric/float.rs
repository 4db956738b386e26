//! Floating-point numbers.

use half::{bf16, f16};
use svala_software::numeric::{Combine, Conversion, Element, Reduction, Rounding, Rules};

use crate::oracle::{self, ALL, BF16, E4M3, E5M2, F16, F32, Layout};
use crate::{ROUNDINGS, random, rules};

const NEAREST: Rules = Rules {
    rounding: Rounding::NearestEven,
    denormals_are_zero: false,
    flush_to_zero: false,
    saturate: false,
    negate_first: false,
    negate_second: false,
};

fn bytes_of(layout: Layout, codes: impl IntoIterator<Item = u64>) -> Vec<u8> {
    let bytes = layout.element.bytes();
    codes.into_iter().flat_map(|code| code.to_le_bytes().into_iter().take(bytes)).collect()
}

fn code_at(layout: Layout, vector: &[u8], at: usize) -> u64 {
    let bytes = layout.element.bytes();
    vector[at * bytes..][..bytes].iter().rev().fold(0, |code, byte| code << 8 | u64::from(*byte))
}

/// Codes of single precision from where something happens to it in any of the formats: all exponents, with mantissas at
/// and around every place where one of them is cut off, and random ones.
fn singles() -> Vec<u64> {
    let mut codes: Vec<u64> = Vec::new();
    for exponent in 0..=255_u64 {
        for cut in [12, 13, 15, 16, 19, 20, 21, 22] {
            let half = 1_u64 << cut;
            for mantissa in
                [0, 1, half - 1, half, half + 1, 2 * half, 3 * half - 1, 3 * half, 3 * half + 1, 0x7f_ffff]
            {
                codes.push(exponent << 23 | mantissa & 0x7f_ffff);
            }
        }
    }
    codes.extend(random().take(20_000).map(|code| code >> 33));
    let negative: Vec<_> = codes.iter().map(|code| code | 1 << 31).collect();
    codes.extend(negative);
    codes
}

fn codes_of(layout: Layout) -> Vec<u64> {
    if layout.bits() == 32 { singles() } else { (0..1 << layout.bits()).collect() }
}

/// Each element by itself, and all at once: so that the loops for common cases and the exact one both are compared.
fn check_conversion(from: Layout, to: Layout, codes: &[u64], rules: Rules) {
    let conversion = Conversion::new(from.element, to.element, rules).unwrap();
    let src = bytes_of(from, codes.iter().copied());
    let mut dst = vec![0; codes.len() * to.element.bytes()];
    let raised = conversion.convert(&src, &mut dst).bits();
    let mut all = 0;
    for (at, &code) in codes.iter().enumerate() {
        let (expected, exceptions) = oracle::convert(from, to, code, rules);
        all |= exceptions;
        let found = code_at(to, &dst, at);
        assert_eq!(found, expected, "{:?} {code:#x} to {:?}, {rules:?}", from.element, to.element);
    }
    assert_eq!(raised, all, "{:?} to {:?}, {rules:?}", from.element, to.element);
    for &code in codes.iter().step_by(if codes.len() > 256 { 37 } else { 1 }) {
        let mut dst = vec![0; to.element.bytes()];
        let raised = conversion.convert(&bytes_of(from, [code]), &mut dst).bits();
        let expected = oracle::convert(from, to, code, rules);
        assert_eq!(
            (code_at(to, &dst, 0), raised),
            expected,
            "{:?} {code:#x} to {:?}, {rules:?}",
            from.element,
            to.element
        );
    }
}

#[test]
fn every_small_number_converts_to_every_format_under_every_rule() {
    for from in [E5M2, E4M3, F16, BF16] {
        let codes = codes_of(from);
        for to in ALL {
            rules().for_each(|rules| check_conversion(from, to, &codes, rules));
        }
    }
}

#[test]
fn single_precision_converts_to_every_format_under_every_rule() {
    for to in ALL {
        rules().for_each(|rules| check_conversion(F32, to, &singles(), rules));
        check_conversion(F32, to, &singles(), Rules { negate_first: true, ..NEAREST });
    }
}

/// The `half` crate is the other opinion, bit for bit, NaNs included.
#[test]
fn half_crate_agrees_on_every_16_bit_number_and_on_many_singles() {
    let mut wide = [0; 4];
    let mut narrow = [0; 2];
    let to = |element| Conversion::new(Element::F32, element, NEAREST).unwrap();
    let from = |element| Conversion::new(element, Element::F32, NEAREST).unwrap();
    for code in 0..=u16::MAX {
        from(Element::F16).convert(&code.to_le_bytes(), &mut wide);
        assert_eq!(u32::from_le_bytes(wide), f16::from_bits(code).to_f32().to_bits(), "f16 {code:#x}");
        from(Element::BF16).convert(&code.to_le_bytes(), &mut wide);
        assert_eq!(u32::from_le_bytes(wide), bf16::from_bits(code).to_f32().to_bits(), "bf16 {code:#x}");
    }
    for code in singles() {
        let code = u32::try_from(code).unwrap();
        to(Element::F16).convert(&code.to_le_bytes(), &mut narrow);
        assert_eq!(narrow, f16::from_f32(f32::from_bits(code)).to_le_bytes(), "f16 of {code:#x}");
        to(Element::BF16).convert(&code.to_le_bytes(), &mut narrow);
        assert_eq!(narrow, bf16::from_f32(f32::from_bits(code)).to_le_bytes(), "bf16 of {code:#x}");
    }
}

/// The CPU is the other opinion. Not of NaNs: which one an expression gives is left to the compiler.
#[test]
fn double_precision_converts_as_the_cpu_does() {
    let down = Conversion::new(Element::F64, Element::F32, NEAREST).unwrap();
    let up = Conversion::new(Element::F32, Element::F64, NEAREST).unwrap();
    let (mut single, mut double) = ([0; 4], [0; 8]);
    for code in singles() {
        let value = f32::from_bits(u32::try_from(code).unwrap());
        if value.is_nan() {
            continue;
        }
        up.convert(&value.to_le_bytes(), &mut double);
        assert_eq!(u64::from_le_bytes(double), f64::from(value).to_bits(), "{code:#x}");
        for around in
            [f64::from(value), f64::from(value).next_up(), f64::from(value) * 1.000_000_059_604_644_8]
        {
            down.convert(&around.to_le_bytes(), &mut single);
            #[expect(clippy::cast_possible_truncation, reason = "the conversion that is tested")]
            let expected = around as f32;
            assert_eq!(u32::from_le_bytes(single), expected.to_bits(), "{around:e}");
        }
    }
}

#[test]
fn double_precision_converts_under_every_rule() {
    let codes = random().take(4000).chain((0..2100).map(|at| at << 52 | 0x8_0000_1000_0000));
    let around_single = singles().into_iter().step_by(5).flat_map(|code| {
        let value = f64::from(f32::from_bits(u32::try_from(code).unwrap()));
        [value.to_bits(), value.next_up().to_bits(), (value * 1.000_000_059_604_644_8).to_bits()]
    });
    let codes: Vec<_> = codes.chain(around_single).filter(|code| !f64::from_bits(*code).is_nan()).collect();
    for rules in rules() {
        for to in [F32, F16, E4M3] {
            let conversion = Conversion::new(Element::F64, to.element, rules).unwrap();
            for &code in &codes {
                let mut dst = vec![0; to.element.bytes()];
                let raised = conversion.convert(&code.to_le_bytes(), &mut dst).bits();
                let expected = oracle::narrow(to, f64::from_bits(code), rules);
                assert_eq!(
                    (code_at(to, &dst, 0), raised),
                    expected,
                    "{code:#x} to {:?}, {rules:?}",
                    to.element
                );
            }
        }
    }
}

fn check_combination(how: Combine, from: Layout, to: Layout, pairs: &[(u64, u64)], rules: Rules) {
    let reduction = Reduction::new(how, from.element, to.element, rules).unwrap();
    let a = bytes_of(from, pairs.iter().map(|pair| pair.0));
    let b = bytes_of(from, pairs.iter().map(|pair| pair.1));
    let mut dst = vec![0; pairs.len() * to.element.bytes()];
    let raised = reduction.reduce(&a, &b, &mut dst).bits();
    let mut all = 0;
    for (at, &(x, y)) in pairs.iter().enumerate() {
        let (expected, exceptions) = oracle::combine(how, from, to, x, y, rules);
        all |= exceptions;
        let found = code_at(to, &dst, at);
        assert_eq!(
            found, expected,
            "{how:?} of {:?} {x:#x} and {y:#x} to {:?}, {rules:?}",
            from.element, to.element
        );
    }
    assert_eq!(raised, all, "{how:?} of {:?} to {:?}, {rules:?}", from.element, to.element);
}

const FLOAT_COMBINES: [Combine; 3] = [Combine::Add, Combine::Min, Combine::Max];

#[test]
fn every_pair_of_8_bit_numbers_combines_under_every_rule() {
    let pairs: Vec<_> = (0..256).flat_map(|a| (0..256).map(move |b| (a, b))).collect();
    for layout in [E5M2, E4M3] {
        for how in FLOAT_COMBINES {
            rules().for_each(|rules| check_combination(how, layout, layout, &pairs, rules));
            let zero_operands = Rules { denormals_are_zero: true, ..NEAREST };
            check_combination(how, layout, layout, &pairs, zero_operands);
            check_combination(how, layout, layout, &pairs, Rules { flush_to_zero: true, ..NEAREST });
        }
    }
}

/// Random pairs, pairs of numbers near to each other, and one vector in four without anything out of the ordinary.
#[test]
fn longer_numbers_combine_under_every_rule() {
    for layout in [F16, BF16, F32] {
        let mask = (1_u64 << layout.bits()) - 1;
        let pairs: Vec<_> = random().take(12_000).map(|bits| (bits & mask, bits >> 32 & mask)).collect();
        let near: Vec<_> = pairs.iter().map(|(a, b)| (*a, (a ^ 1 << (layout.bits() - 1)) + b % 5)).collect();
        let near: Vec<_> = near.into_iter().map(|(a, b)| (a, b & mask)).collect();
        let tame: Vec<_> = pairs.iter().map(|(a, b)| (tamed(layout, *a), tamed(layout, *b))).collect();
        let zeros = [(0, 1 << (layout.bits() - 1)), (1 << (layout.bits() - 1), 0), (0, 0)];
        for how in FLOAT_COMBINES {
            for rules in rules() {
                check_combination(how, layout, layout, &pairs, rules);
                check_combination(how, layout, layout, &near, rules);
                check_combination(how, layout, layout, &tame, rules);
                check_combination(how, layout, layout, &zeros, rules);
            }
            for (negate_first, negate_second) in [(true, false), (false, true), (true, true)] {
                check_combination(
                    how,
                    layout,
                    layout,
                    &pairs,
                    Rules { negate_first, negate_second, ..NEAREST },
                );
            }
        }
    }
}

/// The same number with an exponent in the middle.
fn tamed(layout: Layout, code: u64) -> u64 {
    let exponent_bits = if layout.element == Element::F16 { 5 } else { 8 };
    let mantissa_bits = layout.bits() - 1 - exponent_bits;
    let middle = (1 << (exponent_bits - 1)) - 2 + (code >> 3 & 3);
    code & !(((1 << exponent_bits) - 1) << mantissa_bits) | middle << mantissa_bits
}

#[test]
fn sums_are_rounded_once_to_another_format() {
    let pairs: Vec<_> = singles().into_iter().step_by(7).zip(random().map(|bits| bits >> 32)).collect();
    for to in [E5M2, E4M3, F16, BF16] {
        rules().for_each(|rules| check_combination(Combine::Add, F32, to, &pairs, rules));
    }
    let halves: Vec<_> = pairs.iter().map(|(a, b)| (a & 0xffff, b & 0xffff)).collect();
    rules().for_each(|rules| check_combination(Combine::Add, BF16, F32, &halves, rules));
}

/// The CPU's sum, and for other roundings what it leaves out (Knuth's two-sum).
#[test]
fn double_precision_sums_are_those_of_the_cpu() {
    let pairs: Vec<_> = random().zip(random().skip(7)).take(30_000).collect();
    let near = pairs.iter().map(|(a, b)| (*a, (a ^ 1 << 63).wrapping_add(b % 9)));
    let pairs: Vec<_> = pairs.iter().copied().chain(near).collect();
    for rounding in ROUNDINGS {
        let rules = Rules { rounding, ..NEAREST };
        let reduction = Reduction::new(Combine::Add, Element::F64, Element::F64, rules).unwrap();
        for &(a, b) in &pairs {
            let (x, y) = (f64::from_bits(a), f64::from_bits(b));
            let mut dst = [0; 8];
            let raised = reduction.reduce(&a.to_le_bytes(), &b.to_le_bytes(), &mut dst).bits();
            let sum = x + y;
            let denormal = if x.is_subnormal() || y.is_subnormal() { oracle::DENORMAL } else { 0 };
            let result = f64::from_le_bytes(dst);
            let other = match () {
                () if sum.is_nan() => oracle::INVALID,
                () if sum.is_infinite() && x.is_finite() && y.is_finite() => oracle::OVERFLOW,
                () if result.is_subnormal() => oracle::UNDERFLOW,
                () => 0,
            };
            assert_eq!(raised, denormal | other, "{x:e} + {y:e}, {rounding:?}");
            if sum.is_nan() || sum.is_infinite() || sum == 0.0 {
                let is_same = result.to_bits() == sum.to_bits() || (result.is_nan() && sum.is_nan());
                assert!(is_same || rounding != Rounding::NearestEven, "{x:e} + {y:e}");
                continue;
            }
            let from_y = sum - x;
            let rest = (x - (sum - from_y)) + (y - from_y);
            let expected = match rounding {
                Rounding::Down if rest < 0.0 => sum.next_down(),
                Rounding::Up if rest > 0.0 => sum.next_up(),
                Rounding::TowardZero if sum > 0.0 && rest < 0.0 => sum.next_down(),
                Rounding::TowardZero if sum < 0.0 && rest > 0.0 => sum.next_up(),
                _ => sum,
            };
            assert_eq!(f64::from_le_bytes(dst).to_bits(), expected.to_bits(), "{x:e} + {y:e}, {rounding:?}");
        }
    }
}

/// Written out, so that what was decided is seen at a glance.
#[test]
fn special_numbers_go_where_it_was_decided() {
    let add = |a: f32, b: f32| {
        let mut dst = [0; 4];
        let reduction = Reduction::new(Combine::Add, Element::F32, Element::F32, NEAREST).unwrap();
        let raised = reduction.reduce(&a.to_le_bytes(), &b.to_le_bytes(), &mut dst).bits();
        (u32::from_le_bytes(dst), raised)
    };
    let (first, second) = (f32::from_bits(0x7f80_0001), f32::from_bits(0xffc1_2345));
    assert_eq!(add(first, second), (0x7fc0_0001, 1), "the first NaN wins, and is quiet");
    assert_eq!(add(1.0, second), (0xffc1_2345, 1));
    assert_eq!(add(f32::INFINITY, f32::NEG_INFINITY), (0xffc0_0000, 1));
    assert_eq!(add(f32::INFINITY, 1.0), (0x7f80_0000, 0));
    assert_eq!(add(f32::MAX, f32::MAX), (0x7f80_0000, 4));
    assert_eq!(add(f32::MIN_POSITIVE, -1.5 * f32::MIN_POSITIVE), (0x8040_0000, 8));
    assert_eq!(add(1.0, -1.0), (0, 0));
    let converted = |from: Element, to: Element, bits: u64| {
        let mut dst = [0; 8];
        let src = &bits.to_le_bytes()[..from.bytes()];
        let conversion = Conversion::new(from, to, NEAREST).unwrap();
        let raised = conversion.convert(src, &mut dst[..to.bytes()]).bits();
        (u64::from_le_bytes(dst), raised)
    };
    let (single, double) = (Element::F32, Element::F64);
    assert_eq!(converted(single, double, 0x7f80_0001), (0x7ff8_0000_2000_0000, 1), "quiet, payload kept");
    assert_eq!(converted(double, single, 0xfff8_0000_4000_0000), (0xffc0_0002, 1));
    assert_eq!(
        converted(double, single, 0x7ff0_0000_0000_0001),
        (0x7fc0_0000, 1),
        "payload lost, still a NaN"
    );
    assert_eq!(converted(double, double, 0x7ff0_0000_0000_0001), (0x7ff8_0000_0000_0001, 1));
    let to_e4m3 = |value: f32, rounding| {
        let mut dst = [0];
        let rules = Rules { rounding, ..NEAREST };
        let raised = Conversion::new(Element::F32, Element::F8E4M3, rules)
            .unwrap()
            .convert(&value.to_le_bytes(), &mut dst);
        (dst[0], raised.bits())
    };
    assert_eq!(to_e4m3(464.0, Rounding::NearestEven), (0x7e, 0));
    assert_eq!(to_e4m3(464.1, Rounding::NearestEven), (0x7f, 4), "no infinity");
    assert_eq!(to_e4m3(-1e9, Rounding::TowardZero), (0xfe, 4));
    assert_eq!(to_e4m3(f32::NEG_INFINITY, Rounding::TowardZero), (0xff, 4));
}

/// A vector that is accumulated to in steps is what a chain of reductions gives.
#[test]
fn accumulating_rounds_at_every_step() {
    let singles: Vec<f32> = vec![16_777_216.0, 1.0, 1.0, -16_777_216.0];
    let reduction = Reduction::new(Combine::Add, Element::F32, Element::F32, NEAREST).unwrap();
    let mut sum = [0; 4];
    reduction.start(&singles[0].to_le_bytes(), &mut sum);
    for single in &singles[1..] {
        reduction.accumulate(&mut sum, &single.to_le_bytes());
    }
    assert_eq!(f32::from_le_bytes(sum), singles[1..].iter().fold(singles[0], |sum, single| sum + single));
    let negated =
        Reduction::new(Combine::Add, Element::F32, Element::F64, Rules { negate_first: true, ..NEAREST });
    let mut sum = [0; 8];
    negated.unwrap().start(&singles[0].to_le_bytes(), &mut sum);
    negated.unwrap().accumulate(&mut sum, &singles[1].to_le_bytes());
    assert_eq!(f64::from_le_bytes(sum), -16_777_217.0);
}

#[test]
fn what_does_not_exist_cannot_be_made() {
    assert_eq!(Conversion::new(Element::I32, Element::F32, NEAREST), None);
    assert_eq!(Conversion::new(Element::I32, Element::U32, NEAREST), None);
    assert_eq!(Reduction::new(Combine::Xor, Element::F32, Element::F32, NEAREST), None);
}
