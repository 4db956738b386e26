//! Integers of any two types, exactly, one element at a time.

use super::{Combine, Element, Exceptions, Rules};

/// An element as a number.
fn load(element: Element, bytes: &[u8]) -> i128 {
    let mut word = [0; 8];
    word[..bytes.len()].copy_from_slice(bytes);
    let word = u64::from_le_bytes(word);
    let unused = 64 - 8 * element.bytes();
    if element.is_signed() { i128::from((word << unused).cast_signed() >> unused) } else { word.into() }
}

/// Writes the number, or what becomes of it if it does not fit.
fn store(element: Element, bytes: &mut [u8], value: i128, rules: Rules) -> Exceptions {
    let bits = 8 * element.bytes();
    let (least, greatest) =
        if element.is_signed() { (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) } else { (0, (1 << bits) - 1) };
    let fits = (least..=greatest).contains(&value);
    let stored = match (fits || !rules.saturate, element.is_signed() && value < 0) {
        (true, _) => value,
        (false, true) => least,
        (false, false) => greatest,
    };
    bytes.copy_from_slice(&stored.to_le_bytes()[..bytes.len()]);
    Exceptions::OVERFLOW.when(!fits)
}

pub(super) fn convert(
    input: Element,
    output: Element,
    rules: Rules,
    src: &[u8],
    dst: &mut [u8],
) -> Exceptions {
    let elements = src.chunks_exact(input.bytes()).zip(dst.chunks_exact_mut(output.bytes()));
    elements.fold(Exceptions::NONE, |exceptions, (from, to)| {
        let value = load(input, from);
        exceptions | store(output, to, if rules.negate_first { -value } else { value }, rules)
    })
}

pub(super) fn combine(
    combine: Combine,
    (a_element, a): (Element, &[u8]),
    (b_element, b): (Element, &[u8]),
    (output, dst): (Element, &mut [u8]),
    rules: Rules,
) -> Exceptions {
    let operands = a.chunks_exact(a_element.bytes()).zip(b.chunks_exact(b_element.bytes()));
    let elements = operands.zip(dst.chunks_exact_mut(output.bytes()));
    elements.fold(Exceptions::NONE, |exceptions, ((a, b), to)| {
        let (a, b) = (load(a_element, a), load(b_element, b));
        let a = if rules.negate_first { -a } else { a };
        let b = if rules.negate_second { -b } else { b };
        let value = match combine {
            Combine::Add => a + b,
            Combine::And => a & b,
            Combine::Or => a | b,
            Combine::Xor => a ^ b,
            Combine::Min => a.min(b),
            Combine::Max => a.max(b),
        };
        exceptions | store(output, to, value, rules)
    })
}
