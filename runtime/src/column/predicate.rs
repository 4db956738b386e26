//! Conditions on an element.

/// A condition on an element: a range, or its outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Predicate {
    low: u32,
    high: u32,
    outside: bool,
}

impl Predicate {
    /// From `low` to `high`, both included. None, if `low` is above `high`.
    pub const fn between(low: u32, high: u32) -> Self {
        Self { low, high, outside: false }
    }

    /// Below `low` or above `high`.
    pub const fn not_between(low: u32, high: u32) -> Self {
        Self { outside: true, ..Self::between(low, high) }
    }

    /// Equal to `value`.
    pub const fn eq(value: u32) -> Self {
        Self::between(value, value)
    }

    /// Not equal to `value`.
    pub const fn ne(value: u32) -> Self {
        Self::not_between(value, value)
    }

    /// Less than `value`.
    pub const fn lt(value: u32) -> Self {
        Self::not_between(value, u32::MAX)
    }

    /// At most `value`.
    pub const fn le(value: u32) -> Self {
        Self::between(0, value)
    }

    /// Greater than `value`.
    pub const fn gt(value: u32) -> Self {
        Self::not_between(0, value)
    }

    /// At least `value`.
    pub const fn ge(value: u32) -> Self {
        Self::between(value, u32::MAX)
    }

    /// Whether it holds for `element`.
    pub const fn holds(self, element: u32) -> bool {
        (self.low <= element && element <= self.high) != self.outside
    }

    /// The range in elements of `width` bits, and whether its outside is meant: no end of it has more bits than an element,
    /// which devices may or may not look at.
    pub(crate) const fn range(self, width: u8) -> (u32, u32, bool) {
        let Self { low, high, outside } = self;
        let element_max = match u32::MAX.checked_shr(32_u32.saturating_sub(width as u32)) {
            Some(max) => max,
            None => 0,
        };
        if low > high || low > element_max {
            return (1, 0, outside);
        }
        (low, if high < element_max { high } else { element_max }, outside)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_the_comparison_it_is_named_for() {
        let values = [0, 1, 2, 127, 128, 254, 255];
        for value in values {
            for element in values {
                let says = |predicate: Predicate| {
                    let (low, high, outside) = predicate.range(8);
                    let in_range = low <= element && element <= high;
                    assert_eq!(in_range != outside, predicate.holds(element), "{predicate:?} {element}");
                    predicate.holds(element)
                };
                assert_eq!(says(Predicate::eq(value)), element == value);
                assert_eq!(says(Predicate::ne(value)), element != value);
                assert_eq!(says(Predicate::lt(value)), element < value);
                assert_eq!(says(Predicate::le(value)), element <= value);
                assert_eq!(says(Predicate::gt(value)), element > value);
                assert_eq!(says(Predicate::ge(value)), element >= value);
                assert_eq!(says(Predicate::between(2, value)), (2..=value).contains(&element));
                assert_eq!(says(Predicate::not_between(2, value)), !(2..=value).contains(&element));
                // What no element of 8 bits is.
                assert!(!says(Predicate::gt(300)) && says(Predicate::lt(300)) && !says(Predicate::eq(256)));
                assert!(says(Predicate::ne(256)) && says(Predicate::le(u32::MAX)));
            }
        }
    }
}
