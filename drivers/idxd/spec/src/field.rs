//! One little-endian integer at a fixed place of a record.
//!
//! Descriptors and records are unions: the same eight bytes are a source address, a pattern or a list of descriptors,
//! by operation. So a layout here is an array of bytes and a table of named [`Field`]s over it, which may overlap, and
//! not a struct with one name for each place. Every access is in bounds by construction: the table is constant, and
//! each array has its constant length.

use core::marker::PhantomData;
use core::ops::Range;

/// Where a `T` lies in a record. `T` is `u8`, `u16`, `u32` or `u64`.
pub(crate) struct Field<T> {
    offset: usize,
    integer: PhantomData<T>,
}

impl<T> Clone for Field<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Field<T> {}

impl<T> Field<T> {
    /// The field that starts `offset` bytes into the record.
    #[inline]
    pub(crate) const fn at(offset: usize) -> Self {
        Self { offset, integer: PhantomData }
    }

    /// The bytes the field takes.
    #[inline]
    pub(crate) const fn range(self) -> Range<usize> {
        self.offset..self.offset + size_of::<T>()
    }
}

macro_rules! little_endian {
    ($($integer:ty),*) => {$(
        impl Field<$integer> {
            #[inline]
            pub(crate) fn read(self, record: &[u8]) -> $integer {
                let mut bytes = [0; size_of::<$integer>()];
                bytes.copy_from_slice(&record[self.range()]);
                <$integer>::from_le_bytes(bytes)
            }

            #[inline]
            pub(crate) fn write(self, record: &mut [u8], value: $integer) {
                record[self.range()].copy_from_slice(&value.to_le_bytes());
            }
        }
    )*};
}

little_endian!(u8, u16, u32, u64);

/// Methods that read and set fields of a record: `with` for setters that take the record and return it, `set` for those
/// that change it where it is.
macro_rules! fields {
    ($record:ident with $($(#[$doc:meta])* $field:ident / $setter:ident: $integer:ty = $place:ident;)*) => {
        $crate::field::fields!($record $($(#[$doc])* $field: $integer = $place;)*);

        impl $record {$(
            #[doc = concat!("Sets [`", stringify!($field), "`](Self::", stringify!($field), ").")]
            #[must_use]
            pub fn $setter(mut self, value: $integer) -> Self {
                $place.write(&mut self.bytes, value);
                self
            }
        )*}
    };
    ($record:ident set $($(#[$doc:meta])* $field:ident / $setter:ident: $integer:ty = $place:ident;)*) => {
        $crate::field::fields!($record $($(#[$doc])* $field: $integer = $place;)*);

        impl $record {$(
            #[doc = concat!("Sets [`", stringify!($field), "`](Self::", stringify!($field), ").")]
            pub fn $setter(&mut self, value: $integer) {
                $place.write(&mut self.bytes, value);
            }
        )*}
    };
    ($record:ident $($(#[$doc:meta])* $field:ident: $integer:ty = $place:ident;)*) => {
        impl $record {$(
            $(#[$doc])*
            #[must_use]
            pub fn $field(&self) -> $integer {
                $place.read(&self.bytes)
            }
        )*}
    };
}
pub(crate) use fields;

#[cfg(test)]
mod tests {
    use super::Field;

    #[test]
    fn value_lands_at_its_offset_lowest_byte_first() {
        let mut record = [0; 8];
        Field::<u32>::at(2).write(&mut record, 0x0102_0304);
        assert_eq!(record, [0, 0, 4, 3, 2, 1, 0, 0]);
        assert_eq!(Field::<u16>::at(3).read(&record), 0x0203);
    }
}
