//! Gather copy, scatter copy, scatter fill.

use super::numeric::{DATA_TYPES, Sgl};
use super::{DST_ADDR, Descriptor, SRC_ADDR, XFER_SIZE};
use crate::field::Field;
use crate::{Alternate, DataType, DstAddr, IdptHandle, Opcode, SglFormat, SrcAddr};

const BLOCK_ELEMENTS: Field<u32> = Field::at(40);

/// The buffers of a gather or scatter: a list, and how much each of its entries stands for.
///
/// The transfer size of the descriptor is the size of all of them together, so it cannot be another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blocks {
    list: Sgl,
    data_type: DataType,
    element_count: u32,
    xfer_size: u32,
}

impl Blocks {
    /// `element_count` elements of `data_type` at each entry of `list`. `None` if that is nothing, or 4 GiB or more.
    #[must_use]
    pub fn new(list: Sgl, data_type: DataType, element_count: u32) -> Option<Self> {
        let block = element_count.checked_mul(data_type.size())?;
        let xfer_size = block.checked_mul(u32::from(list.entries))?;
        (xfer_size > 0).then_some(Self { list, data_type, element_count, xfer_size })
    }

    /// Bytes of a block.
    #[must_use]
    pub const fn block_size(&self) -> u32 {
        self.element_count * self.data_type.size()
    }

    /// Bytes of all blocks.
    #[must_use]
    pub const fn xfer_size(&self) -> u32 {
        self.xfer_size
    }
}

/// Scatter-gather operations, since DSA 3; not in uapi. No address needs an alignment.
impl Descriptor {
    /// Copies the blocks of a list to one place, in the order of the list (DSA §8.3.23). The destination is apart from
    /// the list and from all blocks.
    #[must_use]
    pub fn gather_copy(src: Blocks, dst: DstAddr, alternate: Option<Alternate>) -> Self {
        Self::transfer(Opcode::GATHER_COPY, src.list.addr.0, dst.0, src.xfer_size)
            .with_blocks(src)
            .with_alternate(alternate)
    }

    /// Copies one range to the blocks of a list, in the order of the list (DSA §8.3.24). They are apart from each other,
    /// from the list and from the source.
    #[must_use]
    pub fn scatter_copy(src: SrcAddr, dst: Blocks, alternate: Option<Alternate>) -> Self {
        Self::transfer(Opcode::SCATTER_COPY, src.0, dst.list.addr.0, dst.xfer_size)
            .with_blocks(dst)
            .with_alternate(alternate)
    }

    /// Repeats the 8 bytes of `pattern`, lowest first, over each block of a list, beginning anew with each (DSA
    /// §8.3.25). They are apart from each other and from the list.
    #[must_use]
    pub fn scatter_fill(pattern: u64, dst: Blocks, dst_handle: Option<IdptHandle>) -> Self {
        Self::transfer(Opcode::SCATTER_FILL, pattern, dst.list.addr.0, dst.xfer_size)
            .with_blocks(dst)
            .with_alternate(dst_handle.map(Alternate::Dst))
    }

    fn with_blocks(self, blocks: Blocks) -> Self {
        let mut this = self.with_sgl(blocks.list);
        BLOCK_ELEMENTS.write(&mut this.bytes, blocks.element_count);
        DATA_TYPES.write(&mut this.bytes, blocks.data_type.code());
        this
    }

    /// Gather copy, scatter copy, scatter fill: bytes 43:40, elements of a block (§8.1.9).
    #[must_use]
    pub fn block_elements(&self) -> u32 {
        BLOCK_ELEMENTS.read(&self.bytes)
    }

    /// Gather and scatter: bytes of what an entry of the list stands for, by the type and count in the descriptor. `None`
    /// if the type is reserved.
    #[must_use]
    pub fn block_size(&self) -> Option<u64> {
        let elements = match self.opcode() {
            Opcode::GATHER_REDUCE => self.element_count(),
            _ => self.block_elements(),
        };
        DataType::from_code(self.input_type()).map(|element| u64::from(elements) * u64::from(element.size()))
    }

    /// Gather and scatter, when `entries` of the list and the `bytes` of their blocks are done.
    pub(crate) fn entries_dropped(self, entries: u16, bytes: u32) -> Self {
        let entry_size = SglFormat::from_code(self.sgl_format()).map_or(0, SglFormat::entry_size);
        let list_bytes = u64::from(entry_size) * u64::from(entries);
        let is_scatter = matches!(self.opcode(), Opcode::SCATTER_COPY | Opcode::SCATTER_FILL);
        let (list, plain) = if is_scatter { (DST_ADDR, SRC_ADDR) } else { (SRC_ADDR, DST_ADDR) };
        let mut this = self.moved_up(list, list_bytes).shrunk(XFER_SIZE, bytes);
        super::numeric::SGL_SIZE.write(&mut this.bytes, self.sgl_size().saturating_sub(entries));
        // The pattern of a fill begins anew with each block.
        if self.opcode() == Opcode::SCATTER_FILL { this } else { this.moved_up(plain, bytes.into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(entries: u16, element_count: u32) -> Option<Blocks> {
        let list = Sgl { addr: SrcAddr(0x1122), entries, format: SglFormat::Index32, base: 0x3344 };
        Blocks::new(list, DataType::Bf16, element_count)
    }

    /// Byte for byte as the figures of §8.3.23 to §8.3.25 have them.
    #[test]
    fn fields_are_where_the_figures_have_them() {
        let blocks = blocks(5, 0x11).unwrap();
        let (src, dst) = (SrcAddr(0x5566), DstAddr(0x7788));
        let gather = Descriptor::gather_copy(blocks, dst, Some(Alternate::Src(IdptHandle(9))));
        let scatter = Descriptor::scatter_copy(src, blocks, Some(Alternate::Dst(IdptHandle(8))));
        let fill = Descriptor::scatter_fill(0x99, blocks, Some(IdptHandle(7)));
        let heads = [
            (gather, 0x22, 0x88, [1, 0x1c]),
            (scatter, 0x66, 0x22, [2, 0x1d]),
            (fill, 0x99, 0x22, [2, 0x1e]),
        ];
        for (descriptor, at_16, at_24, flags_opcode) in heads {
            let bytes = descriptor.as_bytes();
            assert_eq!((bytes[16], bytes[24], &bytes[6..8]), (at_16, at_24, &flags_opcode[..]));
            assert_eq!(bytes[32..36], 170_u32.to_le_bytes());
            assert_eq!(bytes[40..48], [0x11, 0, 0, 0, 5, 0, 0, 0]);
            assert_eq!((&bytes[48..50], &bytes[56..60]), (&[0x44, 0x33][..], &[7, 0, 0, 0x20][..]));
            assert_eq!(descriptor.sgl_addr(), 0x1122);
        }
        assert_eq!((gather.as_bytes()[60], scatter.as_bytes()[62], fill.as_bytes()[62]), (9, 8, 7));
    }

    #[test]
    fn blocks_that_add_up_to_nothing_or_too_much_are_refused() {
        assert_eq!(blocks(0, 7), None);
        assert_eq!(blocks(7, 0), None);
        assert_eq!(blocks(u16::MAX, 0x8001), None);
        assert_eq!(blocks(u16::MAX, 0x8000).map(|blocks| blocks.xfer_size()), Some(0xffff_0000));
    }
}
