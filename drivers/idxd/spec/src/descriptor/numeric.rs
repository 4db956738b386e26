//! Type conversion, reduce, reduce with dualcast, gather reduce.

use super::{DST_ADDR, DST2_ADDR, Descriptor, SRC_ADDR, XFER_SIZE};
use crate::field::Field;
use crate::{
    Alternate, ComputeFlags, DomainSelector, DstAddr, Flags, Numbers, Opcode, ReduceDomains, Reduction,
    SglFormat, SrcAddr,
};

/// Destination of a reduce: the place where a dualcast has its second one.
const REDUCE_DST_ADDR: Field<u64> = DST2_ADDR;
const REDUCE_DST2_ADDR: Field<u64> = Field::at(48);
/// IData Type in bits 3:0, OData Type in bits 7:4.
pub(super) const DATA_TYPES: Field<u8> = Field::at(56);
/// Compute type in bits 3:0, compute flags in bits 15:4.
pub(super) const COMPUTE: Field<u16> = Field::at(57);
pub(super) const DOMAIN_SELECTOR: Field<u8> = Field::at(59);
pub(super) const HANDLE_1: Field<u16> = Field::at(60);
pub(super) const HANDLE_2: Field<u16> = Field::at(62);
pub(super) const SGL_SIZE: Field<u16> = Field::at(44);
pub(super) const SGL_BASE: Field<u64> = Field::at(48);
/// Format in bits 7:4.
pub(super) const SGL_FORMAT: Field<u8> = Field::at(59);

const _: () = assert!(COMPUTE.range().end == 59 && HANDLE_2.range().end == Descriptor::SIZE);

/// What [`Descriptor::type_conversion`] converts. Addresses are aligned to the size of their type; in place, they are
/// the same and so are the types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TypeConversion {
    /// What is read.
    pub src_addr: SrcAddr,
    /// What is written.
    pub dst_addr: DstAddr,
    /// Elements, at least one.
    pub element_count: u32,
    /// What they are.
    pub numbers: Numbers,
    /// Operands in other address spaces.
    pub alternate: Option<Alternate>,
}

/// What [`Descriptor::reduce`] and [`Descriptor::reduce_dualcast`] combine. Addresses are aligned to the size of their
/// type; the destination is apart from the sources, or the same as one of them and of the same type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reduce {
    /// First operands.
    pub src1_addr: SrcAddr,
    /// Second operands.
    pub src2_addr: SrcAddr,
    /// What is written.
    pub dst_addr: DstAddr,
    /// Elements, at least one.
    pub element_count: u32,
    /// What they are and how they are combined.
    pub reduction: Reduction,
    /// Source 2 is negated first.
    pub negate_src2: bool,
    /// Operands in other address spaces.
    pub domains: Option<ReduceDomains>,
}

/// A list of buffers, all of one size, for the gather and scatter operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sgl {
    /// Where the list is.
    pub addr: SrcAddr,
    /// Its entries, 1 to the work queue's maximum.
    pub entries: u16,
    /// What an entry is.
    pub format: SglFormat,
    /// What the entries count from; may be 0.
    pub base: u64,
}

/// What [`Descriptor::gather_reduce`] combines. The destination is apart from the list and from all buffers, and
/// addresses are aligned to the size of their type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GatherReduce {
    /// The vectors.
    pub list: Sgl,
    /// What is written.
    pub dst_addr: DstAddr,
    /// Elements of a vector, at least one.
    pub element_count: u32,
    /// What they are and how they are combined.
    pub reduction: Reduction,
}

/// Numeric operations, since DSA 3; not in uapi. All report [`Exceptions`](crate::Exceptions) in their record.
impl Descriptor {
    /// Converts elements from one type to another, or treats them as the flags say (DSA §8.3.19).
    #[must_use]
    pub fn type_conversion(conversion: TypeConversion) -> Self {
        let TypeConversion { src_addr, dst_addr, element_count, numbers, alternate } = conversion;
        Self::transfer(Opcode::TYPE_CONVERSION, src_addr.0, dst_addr.0, element_count)
            .with_numbers(0, numbers)
            .with_alternate(alternate)
    }

    /// Combines two vectors element by element (DSA §8.3.20).
    #[must_use]
    pub fn reduce(reduce: Reduce) -> Self {
        let Reduce { src1_addr, src2_addr, dst_addr, element_count, reduction, negate_src2, domains } =
            reduce;
        let numbers = reduction.numbers();
        let numbers = if negate_src2 { numbers.src2_negated() } else { numbers };
        let mut this = Self::transfer(Opcode::REDUCE, src1_addr.0, src2_addr.0, element_count)
            .with_numbers(reduction.compute().code(), numbers);
        REDUCE_DST_ADDR.write(&mut this.bytes, dst_addr.0);
        match domains {
            Some(domains) => {
                domains.write(&mut this.bytes, DOMAIN_SELECTOR, [HANDLE_1, HANDLE_2]);
                this.with_flags(Flags::INTER_DOMAIN_SELECTOR)
            }
            None => this,
        }
    }

    /// As [`reduce`](Self::reduce), to two destinations whose bits 11:0 are the same (DSA §8.3.21).
    #[must_use]
    pub fn reduce_dualcast(reduce: Reduce, dst2: DstAddr) -> Self {
        let mut this = Self::reduce(reduce).with_opcode(Opcode::REDUCE_DUALCAST);
        REDUCE_DST2_ADDR.write(&mut this.bytes, dst2.0);
        this
    }

    /// Combines the vectors of a list, element by element, to one (DSA §8.3.22).
    #[must_use]
    pub fn gather_reduce(gather: GatherReduce) -> Self {
        let GatherReduce { list, dst_addr, element_count, reduction } = gather;
        Self::transfer(Opcode::GATHER_REDUCE, list.addr.0, dst_addr.0, element_count)
            .with_numbers(reduction.compute().code(), reduction.numbers())
            .with_sgl(list)
    }

    /// Numeric operations: success only if no exception happened to any element (§8.2.2, table 8-12). Needs a record.
    #[must_use]
    pub fn with_exceptions_checked(self) -> Self {
        self.with_flags(Flags::CHECK_RESULT)
    }

    fn with_numbers(mut self, compute: u8, numbers: Numbers) -> Self {
        DATA_TYPES.write(&mut self.bytes, numbers.input().code() | numbers.output().code() << 4);
        COMPUTE.write(&mut self.bytes, u16::from(compute) | numbers.flags().bits() << 4);
        self
    }

    pub(super) fn with_sgl(mut self, list: Sgl) -> Self {
        SGL_SIZE.write(&mut self.bytes, list.entries);
        SGL_BASE.write(&mut self.bytes, list.base);
        SGL_FORMAT.write(&mut self.bytes, list.format.code() << 4);
        self
    }

    fn with_opcode(mut self, opcode: Opcode) -> Self {
        self.bytes[7] = opcode.0;
        self
    }
}

/// What a device reads of numeric operations.
impl Descriptor {
    /// Bytes 35:32 (§8.1.9).
    #[must_use]
    pub fn element_count(&self) -> u32 {
        XFER_SIZE.read(&self.bytes)
    }

    /// Byte 56, bits 3:0 (§8.1.10.1): see [`DataType::from_code`](crate::DataType::from_code).
    #[must_use]
    pub fn input_type(&self) -> u8 {
        DATA_TYPES.read(&self.bytes) & 0xf
    }

    /// Byte 56, bits 7:4 (§8.1.10.2): see [`DataType::from_code`](crate::DataType::from_code).
    #[must_use]
    pub fn output_type(&self) -> u8 {
        DATA_TYPES.read(&self.bytes) >> 4
    }

    /// Byte 57, bits 3:0 (§8.1.11): see [`ComputeType::from_code`](crate::ComputeType::from_code).
    #[must_use]
    pub fn compute_type(&self) -> u8 {
        self.bytes[COMPUTE.range().start] & 0xf
    }

    /// Byte 57, bits 7:4, and byte 58 (§8.1.12), unknown bits included.
    #[must_use]
    pub fn compute_flags(&self) -> ComputeFlags {
        ComputeFlags::from_bits_retain(COMPUTE.read(&self.bytes) >> 4)
    }

    /// Reduce: bytes 47:40, the destination, or destination 1 (§8.3.20).
    #[must_use]
    pub fn reduce_dst_addr(&self) -> u64 {
        REDUCE_DST_ADDR.read(&self.bytes)
    }

    /// Reduce with dualcast: bytes 55:48 (§8.3.21).
    #[must_use]
    pub fn reduce_dst2_addr(&self) -> u64 {
        REDUCE_DST2_ADDR.read(&self.bytes)
    }

    /// Reduce: byte 59, if [`Flags::INTER_DOMAIN_SELECTOR`] is set; else reserved (§8.1.13).
    #[must_use]
    pub fn domain_selector(&self) -> DomainSelector {
        DomainSelector(DOMAIN_SELECTOR.read(&self.bytes))
    }

    /// Gather reduce, gather copy: bytes 23:16, where the list is (§8.3.22, §8.3.23). Scatter: bytes 31:24.
    #[must_use]
    pub fn sgl_addr(&self) -> u64 {
        match self.opcode() {
            Opcode::SCATTER_COPY | Opcode::SCATTER_FILL => DST_ADDR.read(&self.bytes),
            _ => SRC_ADDR.read(&self.bytes),
        }
    }

    /// Gather and scatter: bytes 45:44, a number of entries (§8.3.22).
    #[must_use]
    pub fn sgl_size(&self) -> u16 {
        SGL_SIZE.read(&self.bytes)
    }

    /// Gather and scatter: bytes 55:48 (§8.1.14).
    #[must_use]
    pub fn sgl_base(&self) -> u64 {
        SGL_BASE.read(&self.bytes)
    }

    /// Gather and scatter: byte 59, bits 7:4 (§8.1.14): see [`SglFormat::from_code`].
    #[must_use]
    pub fn sgl_format(&self) -> u8 {
        SGL_FORMAT.read(&self.bytes) >> 4
    }
}

/// What is left of a numeric operation when part of it is done.
impl Descriptor {
    pub(crate) fn reduce_dst_up(self, bytes: u64) -> Self {
        self.moved_up(REDUCE_DST_ADDR, bytes)
    }

    pub(crate) fn reduce_dst2_up(self, bytes: u64) -> Self {
        self.moved_up(REDUCE_DST2_ADDR, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        DataType, FloatCompute, FloatConversion, Floats, IdptHandle, IntegerCompute, IntegerType, Integers,
        ReduceOperands, Rounding,
    };

    fn reduce(reduction: Reduction) -> Reduce {
        Reduce {
            src1_addr: SrcAddr(0x1122),
            src2_addr: SrcAddr(0x3344),
            dst_addr: DstAddr(0x5566),
            element_count: 0x77,
            reduction,
            negate_src2: true,
            domains: None,
        }
    }

    /// Byte for byte as the figures of §8.3.19 to §8.3.22 have them.
    #[test]
    fn fields_are_where_the_figures_have_them() {
        let floats = Floats::converted(FloatConversion::FP32_TO_BF16).rounded(Rounding::Up).flush_to_zero();
        let conversion = TypeConversion {
            src_addr: SrcAddr(0x1122),
            dst_addr: DstAddr(0x3344),
            element_count: 0x5566,
            numbers: Numbers::from(floats).negated(),
            alternate: Some(Alternate::Both { src: IdptHandle(0x1234), dst: IdptHandle(0x5678) }),
        };
        let bytes = *Descriptor::type_conversion(conversion).as_bytes();
        assert_eq!(bytes[4..8], [0, 0, 3, 0x18]);
        assert_eq!(
            bytes[16..40],
            [0x22, 0x11, 0, 0, 0, 0, 0, 0, 0x44, 0x33, 0, 0, 0, 0, 0, 0, 0x66, 0x55, 0, 0, 0, 0, 0, 0]
        );
        assert_eq!(bytes[40..56], [0; 16]);
        assert_eq!(bytes[56..], [0x78, 0x50, 0x02, 0, 0x34, 0x12, 0x78, 0x56]);

        let integers = Integers::signed(IntegerType::Int16, IntegerType::Int8).saturating();
        let (a, b) = (Some(IdptHandle(3)), Some(IdptHandle(4)));
        let domains = ReduceDomains::new(ReduceOperands { src1: None, src2: a, dst1: b, dst2: a });
        let reduce = Reduce { domains, ..reduce(Reduction::integers(IntegerCompute::Max, integers)) };
        let bytes = *Descriptor::reduce_dualcast(reduce, DstAddr(0x8899)).as_bytes();
        assert_eq!(bytes[4..8], [0, 0, 1, 0x1a]);
        assert_eq!((bytes[16], bytes[24], bytes[32], bytes[40], bytes[48]), (0x22, 0x44, 0x77, 0x66, 0x99));
        assert_eq!(bytes[56..], [0x01, 0x27, 0x18, 0b01_10_01_00, 3, 0, 4, 0]);

        let list = Sgl { addr: SrcAddr(0x10), entries: 0x1234, format: SglFormat::Index64, base: 0x20 };
        let gather = GatherReduce {
            list,
            dst_addr: DstAddr(0x30),
            element_count: 5,
            reduction: Reduction::floats(
                FloatCompute::Add,
                Floats::of(crate::FloatType::Fp64).denormals_are_zero(),
            ),
        };
        let bytes = *Descriptor::gather_reduce(gather).as_bytes();
        assert_eq!((bytes[16], bytes[24], bytes[32], bytes[48]), (0x10, 0x30, 5, 0x20));
        assert_eq!(
            (&bytes[40..46], &bytes[56..]),
            (&[0, 0, 0, 0, 0x34, 0x12][..], &[0x99, 0x81, 0, 0x30, 0, 0, 0, 0][..])
        );
    }

    #[test]
    fn readers_give_what_was_put_in() {
        let floats = Floats::of(crate::FloatType::Fp16).rounded(Rounding::TowardZero);
        let descriptor = Descriptor::reduce(reduce(Reduction::floats(FloatCompute::Min, floats).negated()));
        assert_eq!((descriptor.input_type(), descriptor.output_type()), (6, 6));
        assert_eq!(descriptor.compute_type(), 6);
        let negated = ComputeFlags::NEGATE_SRC1 | ComputeFlags::NEGATE_SRC2;
        assert_eq!(descriptor.compute_flags(), negated.with_rounding(Rounding::TowardZero));
        assert_eq!((descriptor.src_addr(), descriptor.src2_addr()), (0x1122, 0x3344));
        assert_eq!((descriptor.reduce_dst_addr(), descriptor.element_count()), (0x5566, 0x77));
        assert_eq!(DataType::from_code(descriptor.input_type()), Some(DataType::Fp16));
    }
}
