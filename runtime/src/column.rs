//! Columns: what filters work on, and what comes of it.

mod bits;
mod predicate;

pub use bits::BitVec;
pub use predicate::Predicate;

use crate::buffer::IoBuf;
use crate::cipher::Cipher;
use crate::filter::Packing;

/// A column of unsigned elements of 1 to 32 bits, in a buffer of any kind.
///
/// Whether buffer, width and count fit together is looked at when something is asked of the column: then the column comes
/// back with the error.
///
/// ```
/// # use svala::Column;
/// let bytes = Column::packed(vec![1, 2, 3, 4], 8, 4); // four elements of a byte
/// let words = Column::of_u32(&[70_000, 3]);
/// assert_eq!((bytes.count(), words.width()), (4, 32));
/// ```
#[derive(Clone, Debug)]
pub struct Column<B> {
    bytes: B,
    pub(crate) count: u32,
    pub(crate) width: u8,
    pub(crate) packing: Packing,
    pub(crate) deflated: bool,
    /// In an allocation, since a job has its address.
    pub(crate) cipher: Option<Box<Cipher>>,
}

impl Column<Vec<u8>> {
    /// Elements of 8 bits.
    pub fn of_u8(elements: &[u8]) -> Self {
        Self::packed(elements.to_vec(), 8, count_of(elements.len()))
    }

    /// Elements of 16 bits.
    pub fn of_u16(elements: &[u16]) -> Self {
        let bytes = elements.iter().flat_map(|element| element.to_le_bytes()).collect();
        Self::packed(bytes, 16, count_of(elements.len()))
    }

    /// Elements of 32 bits.
    pub fn of_u32(elements: &[u32]) -> Self {
        let bytes = elements.iter().flat_map(|element| element.to_le_bytes()).collect();
        Self::packed(bytes, 32, count_of(elements.len()))
    }
}

/// A number of elements. More than 32 bits count make a column that is as short as it can be.
fn count_of(elements: usize) -> u32 {
    u32::try_from(elements).unwrap_or(u32::MAX)
}

impl<B> Column<B> {
    /// `count` elements of `width` bits one behind the other, from bit 0 of each byte up: also arrays of `u8`, `u16` and
    /// `u32` in little-endian bytes.
    pub const fn packed(bytes: B, width: u8, count: u32) -> Self {
        Self { bytes, count, width, packing: Packing::Little, deflated: false, cipher: None }
    }

    /// `count` elements of `width` bits one behind the other, from bit 7 of each byte down: also arrays in big-endian
    /// bytes.
    pub const fn packed_big_endian(bytes: B, width: u8, count: u32) -> Self {
        Self { bytes, count, width, packing: Packing::Big, deflated: false, cipher: None }
    }

    /// `count` elements in Parquet's hybrid of runs and packed groups, behind a byte with their width, which is `width`.
    pub const fn parquet_rle(bytes: B, width: u8, count: u32) -> Self {
        Self { bytes, count, width, packing: Packing::ParquetRle, deflated: false, cipher: None }
    }

    /// The same, in a raw deflate stream: it is expanded and filtered in one go.
    #[must_use]
    pub const fn deflated(mut self) -> Self {
        self.deflated = true;
        self
    }

    /// The same, encrypted as one message: it is decrypted, expanded if it is [`deflated`](Self::deflated), and filtered in one
    /// go. With GCM the cipher has the tag ([`Cipher::with_tag`]), and no answer is given where that does not match.
    ///
    /// Scans, counts, indices, extracts and aggregates work on such a column; what has a second input does not, as a device
    /// has no place to name both (IAA §3.8).
    #[must_use]
    pub fn encrypted(mut self, cipher: Cipher) -> Self {
        self.cipher = Some(Box::new(cipher));
        self
    }

    /// Elements.
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// Bits of an element.
    pub const fn width(&self) -> u8 {
        self.width
    }

    /// How the elements lie.
    pub const fn packing(&self) -> Packing {
        self.packing
    }

    /// Whether the bytes are a deflate stream.
    pub const fn is_deflated(&self) -> bool {
        self.deflated
    }

    /// How the column is encrypted, if it is.
    pub fn cipher(&self) -> Option<&Cipher> {
        self.cipher.as_deref()
    }

    /// The buffer.
    pub fn into_inner(self) -> B {
        self.bytes
    }
}

impl<B: IoBuf> Column<B> {
    pub(crate) const fn bytes(&self) -> &B {
        &self.bytes
    }
}
