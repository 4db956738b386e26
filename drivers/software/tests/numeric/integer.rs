//! Integers, against exact arithmetic in 128 bits.

use proptest::prelude::*;
use svala_software::numeric::{Combine, Conversion, Element, Reduction, Rules};

const UNSIGNED: [Element; 4] = [Element::U8, Element::U16, Element::U32, Element::U64];
const SIGNED: [Element; 4] = [Element::I8, Element::I16, Element::I32, Element::I64];
const COMBINES: [Combine; 6] =
    [Combine::Add, Combine::And, Combine::Or, Combine::Xor, Combine::Min, Combine::Max];

fn read(vector: &[u8], at: usize, bytes: usize, signed: bool) -> i128 {
    let mut value: i128 = 0;
    for (place, byte) in vector[at * bytes..][..bytes].iter().enumerate() {
        value += i128::from(*byte) << (8 * place);
    }
    if signed && value >= 1 << (8 * bytes - 1) { value - (1 << (8 * bytes)) } else { value }
}

/// The element that stands for `value`, and whether it is another number.
fn expected(value: i128, bytes: usize, signed: bool, saturate: bool) -> (i128, bool) {
    let count = 1_i128 << (8 * bytes);
    let (least, greatest) = if signed { (-count / 2, count / 2 - 1) } else { (0, count - 1) };
    if value >= least && value <= greatest {
        return (value, false);
    }
    if saturate {
        // Of an unsigned type the greatest, on either side (DSA table 8-11).
        return (if signed && value < 0 { least } else { greatest }, true);
    }
    let mut wrapped = value.rem_euclid(count);
    if wrapped > greatest {
        wrapped -= count;
    }
    (wrapped, true)
}

fn elements() -> impl Strategy<Value = (Element, Element, bool)> {
    (0..4_usize, 0..4_usize, any::<bool>()).prop_map(|(input, output, signed)| {
        let elements = if signed { SIGNED } else { UNSIGNED };
        (elements[input], elements[output], signed)
    })
}

/// Bytes at random, and runs of those at which numbers end.
fn vector() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![any::<u8>(), Just(0), Just(0xff), Just(0x7f), Just(0x80)];
    prop_oneof![
        proptest::collection::vec(byte, 8 * 140),
        Just(vec![0; 8 * 140]),
        Just(vec![1; 8 * 140]),
        any::<u64>().prop_map(|word| word.to_le_bytes().repeat(140)),
    ]
}

fn rules() -> impl Strategy<Value = Rules> {
    (any::<bool>(), proptest::bool::weighted(0.2), proptest::bool::weighted(0.2)).prop_map(
        |(saturate, negate_first, negate_second)| Rules {
            saturate,
            negate_first,
            negate_second,
            ..Rules::default()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn integers_convert_exactly((input, output, signed) in elements(), src in vector(), count in 0..140_usize, rules in rules()) {
        let src = &src[..count * input.bytes()];
        let mut dst = vec![0; count * output.bytes()];
        let raised = Conversion::new(input, output, rules).unwrap().convert(src, &mut dst);
        let mut any_other = false;
        for at in 0..count {
            let value = read(src, at, input.bytes(), signed);
            let value = if rules.negate_first { -value } else { value };
            let (element, is_other) = expected(value, output.bytes(), signed, rules.saturate);
            any_other |= is_other;
            prop_assert_eq!(read(&dst, at, output.bytes(), signed), element, "{} at {}", value, at);
        }
        prop_assert_eq!(raised.bits(), u8::from(any_other) << 2);
    }

    #[test]
    fn integers_combine_exactly(
        (input, output, signed) in elements(), same: bool, a in vector(), b in vector(), count in 0..140_usize,
        how in 0..6_usize, rules in rules(),
    ) {
        let (output, how) = (if same { input } else { output }, COMBINES[how]);
        let (a, b) = (&a[..count * input.bytes()], &b[..count * input.bytes()]);
        let mut dst = vec![0; count * output.bytes()];
        let raised = Reduction::new(how, input, output, rules).unwrap().reduce(a, b, &mut dst);
        let mut any_other = false;
        for at in 0..count {
            let x = read(a, at, input.bytes(), signed);
            let y = read(b, at, input.bytes(), signed);
            let x = if rules.negate_first { -x } else { x };
            let y = if rules.negate_second { -y } else { y };
            let value = match how {
                Combine::Add => x + y,
                Combine::And => x & y,
                Combine::Or => x | y,
                Combine::Xor => x ^ y,
                Combine::Min => if x < y { x } else { y },
                Combine::Max => if x > y { x } else { y },
            };
            let (element, is_other) = expected(value, output.bytes(), signed, rules.saturate);
            any_other |= is_other;
            prop_assert_eq!(read(&dst, at, output.bytes(), signed), element, "{:?} of {} and {} at {}", how, x, y, at);
        }
        prop_assert_eq!(raised.bits(), u8::from(any_other) << 2);
    }
}
