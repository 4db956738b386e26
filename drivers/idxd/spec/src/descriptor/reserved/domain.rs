//! Half bytes, and what the flags for other address spaces turn off.

use core::ops::Range;

use crate::descriptor::Descriptor;
use crate::descriptor::numeric::{COMPUTE, DATA_TYPES, DOMAIN_SELECTOR, HANDLE_1, HANDLE_2, SGL_FORMAT};
use crate::descriptor::{DST_ADDR, SRC_ADDR};
use crate::{Flags, Opcode, WindowFlags};

const LOW: u8 = 0x0f;
const HIGH: u8 = 0xf0;

impl Descriptor {
    /// The half bytes of table 5-3, and the bits that tables 8-7 and 8-26 reserve: the byte of the first that is not
    /// zero.
    pub(super) fn reserved_halves(&self) -> Option<Range<usize>> {
        let [types, compute, format] = [DATA_TYPES.range(), COMPUTE.range(), SGL_FORMAT.range()];
        let list = [(types.start, HIGH), (format.start, LOW)];
        let halves = match self.opcode() {
            Opcode::TYPE_CONVERSION => [(compute.start, LOW), (0, 0)],
            Opcode::GATHER_REDUCE => [(format.start, LOW), (0, 0)],
            Opcode::GATHER_COPY | Opcode::SCATTER_COPY | Opcode::SCATTER_FILL => list,
            Opcode::UPDATE_WINDOW => [(61, HIGH), (0, 0)],
            _ => [(0, 0); 2],
        };
        halves.into_iter().find(|(at, mask)| self.bytes[*at] & mask != 0).map(|(at, _)| at..at + 1)
    }

    /// Table 5-4: handles without their flag, a selector without its own, the fields of a window that is not there.
    pub(super) fn reserved_by_domain(&self) -> impl Iterator<Item = Range<usize>> {
        let has = |flag| self.flags().contains(flag);
        let handles = [
            (!has(Flags::ALTERNATE_SRC_PASID), HANDLE_1.range()),
            (!has(Flags::ALTERNATE_DST_PASID), HANDLE_2.range()),
        ];
        let unused = match self.opcode() {
            Opcode::TYPE_CONVERSION
            | Opcode::GATHER_COPY
            | Opcode::SCATTER_COPY
            | Opcode::INTER_DOMAIN_COPY
            | Opcode::INTER_DOMAIN_COMPARE => handles,
            Opcode::SCATTER_FILL | Opcode::INTER_DOMAIN_FILL => [(false, 0..0), handles[1].clone()],
            Opcode::INTER_DOMAIN_COMPARE_PATTERN => [handles[0].clone(), (false, 0..0)],
            Opcode::REDUCE | Opcode::REDUCE_DUALCAST if !has(Flags::INTER_DOMAIN_SELECTOR) => {
                [(true, DOMAIN_SELECTOR.range()), (true, HANDLE_1.range().start..HANDLE_2.range().end)]
            }
            Opcode::REDUCE | Opcode::REDUCE_DUALCAST => {
                let selector = self.domain_selector();
                [(!selector.uses(1), HANDLE_1.range()), (!selector.uses(2), HANDLE_2.range())]
            }
            Opcode::UPDATE_WINDOW if !self.window_flags().contains(WindowFlags::ENABLE) => {
                [(true, SRC_ADDR.range()), (true, DST_ADDR.range())]
            }
            _ => [(false, 0..0), (false, 0..0)],
        };
        unused.into_iter().filter(|(reserved, _)| *reserved).map(|(_, range)| range)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Alternate, Blocks, DataType, DstAddr, FloatCompute, FloatType, Floats, GatherReduce, IdptHandle,
        Permissions, Reduce, ReduceDomains, ReduceOperands, Reduction, Sgl, SglFormat, SrcAddr,
        TypeConversion, Window, WindowRange,
    };

    const HANDLE: IdptHandle = IdptHandle(u16::MAX);
    const SRC: SrcAddr = SrcAddr(u64::MAX);
    const DST: DstAddr = DstAddr(u64::MAX);

    fn list() -> Sgl {
        Sgl { addr: SRC, entries: 3, format: SglFormat::Index64, base: u64::MAX }
    }

    fn reduce(domains: Option<ReduceDomains>) -> Reduce {
        let reduction = Reduction::floats(FloatCompute::Max, Floats::of(FloatType::Fp64)).negated();
        let (src1_addr, src2_addr, dst_addr) = (SRC, SRC, DST);
        Reduce { src1_addr, src2_addr, dst_addr, element_count: 7, reduction, negate_src2: true, domains }
    }

    /// Every descriptor of this kind, with as much of it used as can be, and what it must still leave zero.
    fn descriptors() -> [(Descriptor, &'static [usize]); 12] {
        let (src, dst) = (Alternate::Src(HANDLE), Alternate::Dst(HANDLE));
        let both = Alternate::Both { src: HANDLE, dst: HANDLE };
        let conversion = TypeConversion {
            src_addr: SRC,
            dst_addr: DST,
            element_count: 7,
            numbers: Floats::of(FloatType::Fp64).into(),
            alternate: None,
        };
        let one = ReduceDomains::new(ReduceOperands { dst1: Some(HANDLE), ..ReduceOperands::default() });
        let reduction = reduce(None).reduction;
        let gather = GatherReduce { list: list(), dst_addr: DST, element_count: 7, reduction };
        let blocks = Blocks::new(list(), DataType::Fp64, 7).unwrap();
        let window = Window::Addresses(WindowRange::new(u64::MAX, 1).unwrap());
        [
            (Descriptor::type_conversion(conversion), &[38, 40, 55, 57, 59, 60, 62]),
            (
                Descriptor::type_conversion(TypeConversion { alternate: Some(both), ..conversion }),
                &[39, 57, 59],
            ),
            (Descriptor::reduce(reduce(None)), &[38, 48, 55, 59, 60, 63]),
            (Descriptor::reduce_dualcast(reduce(one), DST), &[39, 62]),
            (Descriptor::gather_reduce(gather), &[38, 43, 46, 59, 60, 63]),
            (Descriptor::gather_copy(blocks, DST, Some(src)), &[38, 47, 56, 57, 58, 59, 62]),
            (Descriptor::scatter_copy(SRC, blocks, Some(dst)), &[39, 46, 56, 57, 58, 59, 61]),
            (Descriptor::scatter_fill(u64::MAX, blocks, Some(HANDLE)), &[38, 46, 56, 59, 60]),
            (Descriptor::update_window(HANDLE, Permissions::ReadWrite, window), &[32, 38, 56, 60, 61]),
            (Descriptor::update_window(HANDLE, Permissions::None, Window::Everything), &[16, 31, 61]),
            (Descriptor::inter_domain_fill(u64::MAX, DST, 7, HANDLE), &[38, 40, 48, 61]),
            (Descriptor::inter_domain_compare_pattern(SRC, u64::MAX, 7, HANDLE), &[39, 41, 59, 62]),
        ]
    }

    #[test]
    fn constructors_leave_reserved_bytes_zero_and_each_is_looked_at() {
        for (descriptor, reserved) in descriptors() {
            let descriptor = descriptor.with_completion(u64::MAX).with_interrupt(u16::MAX);
            assert_eq!(descriptor.reserved_nonzero(), None, "{descriptor:?}");
            for at in reserved {
                let mut bytes = *descriptor.as_bytes();
                bytes[*at] |= if matches!((at, descriptor.opcode()), (56, _) | (61, Opcode::UPDATE_WINDOW)) {
                    0xf0
                } else {
                    0x0f
                };
                let found = Descriptor::from_bytes(bytes).reserved_nonzero();
                assert!(
                    found.clone().is_some_and(|range| range.contains(at)),
                    "{at} in {descriptor:?}: {found:?}"
                );
            }
        }
    }
}
