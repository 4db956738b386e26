//! Work for an IAA device.

use core::fmt;

use crate::field::Field;
use crate::iaa::{
    CipherFlags, CompressFlags, CompressFlags2, CrcFlags, DecompressFlags, DictionaryStyle, FilterFlags,
};
use crate::{DstAddr, Flags, Opcode, SrcAddr};

const TRUSTED: Field<u32> = Field::at(0);
const FLAGS_OPCODE: Field<u32> = Field::at(4);
const COMPLETION_ADDR: Field<u64> = Field::at(8);
const SRC1_ADDR: Field<u64> = Field::at(16);
const DST_ADDR: Field<u64> = Field::at(24);
const SRC1_SIZE: Field<u32> = Field::at(32);
const INT_HANDLE: Field<u16> = Field::at(36);
/// Compression, decompression, cipher or CRC flags.
const CODEC_FLAGS: Field<u16> = Field::at(38);
const SRC2_ADDR: Field<u64> = Field::at(40);
const DST_SIZE_MAX: Field<u32> = Field::at(48);
const SRC2_SIZE: Field<u32> = Field::at(52);
/// Filter flags or the second word of compression flags.
const FILTER_FLAGS: Field<u32> = Field::at(56);
const INPUT_COUNT: Field<u32> = Field::at(60);
const CRC_POLYNOMIAL: Field<u64> = Field::at(56);
const REGION_STRIDE: Field<u32> = Field::at(48);

const PASID_MASK: u32 = 0x000f_ffff;
const PRIVILEGED: u32 = 1 << 31;

/// One unit of work for an IAA, 64 bytes, in the form the portal takes it.
///
/// All operations but no-op, drain and translation fetch need a completion record (IAA §6.1.4), and no two of source 1,
/// source 2 and destination may overlap (§7.1).
///
/// Source: IAA §6.1; uapi `struct iax_hw_desc`.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(C, align(64))]
pub struct Descriptor {
    bytes: [u8; Descriptor::SIZE],
}

const _: () = assert!(size_of::<Descriptor>() == 64 && align_of::<Descriptor>() == 64);
const _: () = assert!(INPUT_COUNT.range().end == 64 && CRC_POLYNOMIAL.range().end == 64);

/// What [`Descriptor::compress`] needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compress {
    /// The data.
    pub src: SrcAddr,
    /// Bytes there.
    pub src_size: u32,
    /// Where the Deflate stream goes.
    pub dst: DstAddr,
    /// Bytes there. Too few is an error that cannot be resumed.
    pub dst_size_max: u32,
    /// Huffman tables, block header and checksums: a [`CompressAecs`](super::CompressAecs), 32-byte aligned.
    pub aecs: SrcAddr,
    /// What to do beyond that.
    pub flags: CompressFlags,
}

/// What [`Descriptor::decompress`] needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decompress {
    /// The Deflate stream.
    pub src: SrcAddr,
    /// Bytes there.
    pub src_size: u32,
    /// Where the data goes.
    pub dst: DstAddr,
    /// Bytes there.
    pub dst_size_max: u32,
    /// What to do beyond [`DecompressFlags::ENABLE`], which is added.
    pub flags: DecompressFlags,
}

/// What [`Descriptor::crc64`] needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crc64 {
    /// The data.
    pub src: SrcAddr,
    /// Bytes there.
    pub src_size: u32,
    /// The polynomial without its leading 1, not reflected, in the most significant bits.
    pub polynomial: u64,
    /// Order and inversion.
    pub flags: CrcFlags,
}

/// What [`Descriptor::filter`] needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filter {
    /// The column, or the deflate stream of it.
    pub src: SrcAddr,
    /// Bytes there.
    pub src_size: u32,
    /// Where the output goes.
    pub dst: DstAddr,
    /// Bytes there. Too few is an error that cannot be resumed.
    pub dst_size_max: u32,
    /// Formats of inputs and output.
    pub flags: FilterFlags,
    /// Elements of the column; for expand, bits of the second input. Not 0.
    pub input_count: u32,
}

/// One constructor for each operation, and setters for what any of them may have.
impl Descriptor {
    /// Bytes of a descriptor, and its alignment in memory and at the portal.
    pub const SIZE: usize = 64;

    fn new(opcode: Opcode) -> Self {
        let mut this = Self { bytes: [0; Self::SIZE] };
        FLAGS_OPCODE.write(&mut this.bytes, u32::from(opcode.0) << 24);
        this
    }

    fn transfer(opcode: Opcode, src: SrcAddr, src_size: u32, dst: DstAddr, dst_size_max: u32) -> Self {
        let mut this = Self::new(opcode);
        SRC1_ADDR.write(&mut this.bytes, src.0);
        SRC1_SIZE.write(&mut this.bytes, src_size);
        DST_ADDR.write(&mut this.bytes, dst.0);
        DST_SIZE_MAX.write(&mut this.bytes, dst_size_max);
        this
    }

    /// Does nothing but complete (IAA §6.3.1).
    #[must_use]
    pub fn noop() -> Self {
        Self::new(Opcode::NOOP)
    }

    /// Waits for the descriptors before it in the same work queue (IAA §6.3.1).
    #[must_use]
    pub fn drain() -> Self {
        Self::new(Opcode::DRAIN)
    }

    /// Copies (uapi `IAX_OPCODE_MEMMOVE`; reserved in IAA table 6-2, yet in the `op_cap` of first-generation devices).
    #[must_use]
    pub fn memmove(src: SrcAddr, dst: DstAddr, size: u32) -> Self {
        Self::transfer(Opcode::MEMMOVE, src, size, dst, 0)
    }

    /// Fetches the translations of `region_size` bytes at `region` (IAA §6.3.1, DSA §8.3.11).
    #[must_use]
    pub fn translation_fetch(region: SrcAddr, region_size: u32) -> Self {
        Self::transfer(Opcode::TRANSLATION_FETCH, region, region_size, DstAddr(0), 0)
    }

    /// Compresses to Deflate, with the tables of an AECS that is read (IAA §6.3.5).
    #[must_use]
    pub fn compress(compress: Compress) -> Self {
        let Compress { src, src_size, dst, dst_size_max, aecs, flags } = compress;
        let mut this = Self::transfer(Opcode::COMPRESS, src, src_size, dst, dst_size_max);
        CODEC_FLAGS.write(&mut this.bytes, flags.bits());
        this.with_src2(aecs.0, super::CompressAecs::SIZE_U32).with_flags(Flags::READ_SRC2_AECS)
    }

    /// Counts the tokens that compressing would give, into 318 32-bit words at `dst` (IAA §3.4.1). No AECS is read.
    #[must_use]
    pub fn compress_statistics(src: SrcAddr, src_size: u32, dst: DstAddr, flags: CompressFlags) -> Self {
        let mut this = Self::transfer(Opcode::COMPRESS, src, src_size, dst, Self::STATISTICS_SIZE);
        CODEC_FLAGS.write(&mut this.bytes, (flags | CompressFlags::STATS_MODE).bits());
        this
    }

    /// Has the device make Huffman codes of the input's tokens, and a block header, into the AECS that is written: the
    /// first pass of two (IAA §3.4.5.1). `flags` has the mode, 5 to 7; there is no output. The area at `aecs` is two of
    /// them, of which the second is written.
    #[must_use]
    pub fn compress_generate(src: SrcAddr, src_size: u32, aecs: SrcAddr, flags: CompressFlags) -> Self {
        let mut this = Self::transfer(Opcode::COMPRESS, src, src_size, DstAddr(0), 0);
        CODEC_FLAGS.write(&mut this.bytes, flags.bits());
        this.with_compress_flags_2(CompressFlags2::WRITE_HUFFMAN_TABLES)
            .with_src2(aecs.0, super::CompressAecs::SIZE_U32)
            .with_flags(Flags::WRITE_SRC2_AECS)
    }

    /// Bytes that [`compress_statistics`](Self::compress_statistics) writes.
    pub const STATISTICS_SIZE: u32 = 318 * 4;

    /// Decompresses Deflate with a history of at most 4 KiB (IAA §6.3.2).
    #[must_use]
    pub fn decompress(decompress: Decompress) -> Self {
        let Decompress { src, src_size, dst, dst_size_max, flags } = decompress;
        let mut this = Self::transfer(Opcode::DECOMPRESS, src, src_size, dst, dst_size_max);
        CODEC_FLAGS.write(&mut this.bytes, (flags | DecompressFlags::ENABLE).bits());
        this
    }

    /// Computes a CRC of any polynomial up to 64 bits (IAA §6.3.6).
    #[must_use]
    pub fn crc64(crc: Crc64) -> Self {
        let Crc64 { src, src_size, polynomial, flags } = crc;
        let mut this = Self::transfer(Opcode::CRC64, src, src_size, DstAddr(0), 0);
        CODEC_FLAGS.write(&mut this.bytes, flags.bits());
        CRC_POLYNOMIAL.write(&mut this.bytes, polynomial);
        this
    }

    /// Filters a column: scan, set membership, extract, select, burst of runs, unique values or expand (IAA §6.3.3). The
    /// parameters of scan and extract are in a [`FilterAecs`](super::FilterAecs), the second input of the others is
    /// source 2: [`with_filter_aecs`](Self::with_filter_aecs), [`with_second_input`](Self::with_second_input).
    #[must_use]
    pub fn filter(opcode: Opcode, filter: Filter) -> Self {
        let Filter { src, src_size, dst, dst_size_max, flags, input_count } = filter;
        Self::transfer(opcode, src, src_size, dst, dst_size_max).with_filter(flags, input_count)
    }

    /// Filters: reads the parameters at `aecs`, 32-byte aligned.
    #[must_use]
    pub fn with_filter_aecs(self, aecs: SrcAddr) -> Self {
        self.with_src2(aecs.0, super::FilterAecs::SIZE_U32).with_flags(Flags::READ_SRC2_AECS)
    }

    /// Filters: reads a second input of `size` bytes.
    #[must_use]
    pub fn with_second_input(self, addr: SrcAddr, size: u32) -> Self {
        self.with_src2(addr.0, size).with_flags(Flags::READ_SRC2_INPUT)
    }

    /// Filters and CRCs: source 1 is a deflate stream that is expanded first, or no output is written, or what else these
    /// flags say (§6.3.2.1).
    #[must_use]
    pub fn with_decompress_flags(mut self, flags: DecompressFlags) -> Self {
        CODEC_FLAGS.write(&mut self.bytes, flags.bits());
        self
    }

    /// Zero compression or decompression (uapi `IAX_OPCODE_ZERO_COMP_32` and its like; reserved in IAA table 6-2).
    #[must_use]
    pub fn zero(opcode: Opcode, src: SrcAddr, src_size: u32, dst: DstAddr, dst_size_max: u32) -> Self {
        Self::transfer(opcode, src, src_size, dst, dst_size_max)
    }

    /// Encrypts or decrypts, as the [`CryptoAecs`](super::CryptoAecs) at `aecs` says (IAA §6.3.4): 32-byte aligned, with room
    /// for a second one behind it where it is written.
    #[must_use]
    pub fn cipher(opcode: Opcode, src: SrcAddr, src_size: u32, dst: DstAddr, dst_size_max: u32) -> Self {
        Self::transfer(opcode, src, src_size, dst, dst_size_max)
    }

    /// Encrypt and decrypt: what to do beyond what the AECS says (§6.3.4.1).
    #[must_use]
    pub fn with_cipher_flags(mut self, flags: CipherFlags) -> Self {
        CODEC_FLAGS.write(&mut self.bytes, flags.bits());
        self
    }

    /// Adds `flags` to those set.
    #[must_use]
    pub fn with_flags(mut self, flags: Flags) -> Self {
        let added = u32::from(self.opcode().0) << 24 | ((self.flags() | flags) & Flags::FIELD).bits();
        FLAGS_OPCODE.write(&mut self.bytes, added);
        self
    }

    /// Asks for a completion record at `addr`, 64-byte aligned (§6.1.4).
    #[must_use]
    pub fn with_completion(mut self, addr: u64) -> Self {
        COMPLETION_ADDR.write(&mut self.bytes, addr);
        self.with_flags(Flags::COMPLETION_ADDR_VALID | Flags::REQUEST_COMPLETION)
    }

    /// Lets the device ask for missing pages and wait, where the work queue allows it.
    #[must_use]
    pub fn with_block_on_fault(self) -> Self {
        self.with_flags(Flags::BLOCK_ON_FAULT)
    }

    /// Source 2: an AECS, 32-byte aligned and of a multiple of 32 bytes, or a second input. Which it is, and whether it
    /// is read or written, is in [`Flags`] (§3.2, §6.1.9, §6.1.11).
    #[must_use]
    pub fn with_src2(mut self, addr: u64, size: u32) -> Self {
        SRC2_ADDR.write(&mut self.bytes, addr);
        SRC2_SIZE.write(&mut self.bytes, size);
        self
    }

    /// Compress: the second word of flags (§6.3.5.2).
    #[must_use]
    pub fn with_compress_flags_2(mut self, flags: CompressFlags2) -> Self {
        FILTER_FLAGS.write(&mut self.bytes, flags.bits());
        self
    }

    /// Compress: reads a dictionary of `style` behind the [`CompressAecs`](super::CompressAecs) at `aecs` (§3.4.4).
    #[must_use]
    pub fn with_dictionary(mut self, aecs: SrcAddr, style: DictionaryStyle) -> Self {
        let flags = self.compress_flags().with_dictionary(style.bits());
        CODEC_FLAGS.write(&mut self.bytes, flags.bits());
        let size = match style {
            DictionaryStyle::Short => 7712,
            DictionaryStyle::Long => 9760,
            DictionaryStyle::LongDeep => 13_856,
        };
        self.with_src2(aecs.0, size).with_flags(Flags::READ_SRC2_AECS)
    }

    /// Filters: flags and number of input elements (§6.3.3).
    #[must_use]
    pub fn with_filter(mut self, flags: FilterFlags, input_count: u32) -> Self {
        FILTER_FLAGS.write(&mut self.bytes, flags.bits());
        INPUT_COUNT.write(&mut self.bytes, input_count);
        self
    }

    /// Translation fetch: bytes from one request to the next, a power of two, at least 4096.
    #[must_use]
    pub fn with_stride(mut self, stride: u32) -> Self {
        REGION_STRIDE.write(&mut self.bytes, stride);
        self.with_flags(Flags::USE_STRIDE)
    }

    /// Raises the interrupt `handle` on completion (§6.1.8).
    #[must_use]
    pub fn with_interrupt(mut self, handle: u16) -> Self {
        INT_HANDLE.write(&mut self.bytes, handle);
        self.with_flags(Flags::REQUEST_INTERRUPT)
    }

    /// Bits 19:0 of the PASID, as the device receives it (§6.1.1). User space leaves it 0.
    #[must_use]
    pub fn with_pasid(mut self, pasid: u32) -> Self {
        let trusted = TRUSTED.read(&self.bytes) & !PASID_MASK | pasid & PASID_MASK;
        TRUSTED.write(&mut self.bytes, trusted);
        self
    }

    /// Marks the descriptor as the kernel's own (§6.1.1). User space leaves it `false`.
    #[must_use]
    pub fn with_privileged(mut self, privileged: bool) -> Self {
        let trusted = TRUSTED.read(&self.bytes) & !PRIVILEGED;
        TRUSTED.write(&mut self.bytes, if privileged { trusted | PRIVILEGED } else { trusted });
        self
    }
}

/// What a device reads. Fields share bytes: the operation says which of them are there.
impl Descriptor {
    /// Takes the 64 bytes as they came from a portal. Any value is accepted.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; Self::SIZE]) -> Self {
        Self { bytes }
    }

    /// The 64 bytes for the portal.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::SIZE] {
        &self.bytes
    }

    /// Byte 7 (§6.1.2).
    #[must_use]
    pub fn opcode(&self) -> Opcode {
        Opcode(self.bytes[7])
    }

    /// Bytes 6:4 (§6.1.3), unknown bits included.
    #[must_use]
    pub fn flags(&self) -> Flags {
        Flags::from_bits_retain(FLAGS_OPCODE.read(&self.bytes)) & Flags::FIELD
    }

    /// Bytes 3:0, bits 19:0 (§6.1.1).
    #[must_use]
    pub fn pasid(&self) -> u32 {
        TRUSTED.read(&self.bytes) & PASID_MASK
    }

    /// Bytes 3:0, bit 31 (§6.1.1).
    #[must_use]
    pub fn privileged(&self) -> bool {
        TRUSTED.read(&self.bytes) & PRIVILEGED != 0
    }

    /// Bytes 15:8, if [`Flags::COMPLETION_ADDR_VALID`] is set (§6.1.4).
    #[must_use]
    pub fn completion_addr(&self) -> u64 {
        COMPLETION_ADDR.read(&self.bytes)
    }

    /// Bytes 23:16 (§6.1.5).
    #[must_use]
    pub fn src1_addr(&self) -> u64 {
        SRC1_ADDR.read(&self.bytes)
    }

    /// Bytes 31:24 (§6.1.6).
    #[must_use]
    pub fn dst_addr(&self) -> u64 {
        DST_ADDR.read(&self.bytes)
    }

    /// Bytes 35:32, in bytes (§6.1.7).
    #[must_use]
    pub fn src1_size(&self) -> u32 {
        SRC1_SIZE.read(&self.bytes)
    }

    /// Bytes 37:36, if [`Flags::REQUEST_INTERRUPT`] is set (§6.1.8).
    #[must_use]
    pub fn int_handle(&self) -> u16 {
        INT_HANDLE.read(&self.bytes)
    }

    /// Compress: bytes 39:38 (§6.3.5.1).
    #[must_use]
    pub fn compress_flags(&self) -> CompressFlags {
        CompressFlags::from_bits_retain(CODEC_FLAGS.read(&self.bytes))
    }

    /// Decompress and filters: bytes 39:38 (§6.3.2.1).
    #[must_use]
    pub fn decompress_flags(&self) -> DecompressFlags {
        DecompressFlags::from_bits_retain(CODEC_FLAGS.read(&self.bytes))
    }

    /// Encrypt and decrypt: bytes 39:38 (§6.3.4.1).
    #[must_use]
    pub fn cipher_flags(&self) -> CipherFlags {
        CipherFlags::from_bits_retain(CODEC_FLAGS.read(&self.bytes))
    }

    /// CRC64: bytes 39:38 (§6.3.6.1).
    #[must_use]
    pub fn crc_flags(&self) -> CrcFlags {
        CrcFlags::from_bits_retain(CODEC_FLAGS.read(&self.bytes))
    }

    /// Bytes 47:40 (§6.1.9).
    #[must_use]
    pub fn src2_addr(&self) -> u64 {
        SRC2_ADDR.read(&self.bytes)
    }

    /// Bytes 51:48, in bytes (§6.1.10).
    #[must_use]
    pub fn dst_size_max(&self) -> u32 {
        DST_SIZE_MAX.read(&self.bytes)
    }

    /// Translation fetch: bytes 51:48, in bytes, if [`Flags::USE_STRIDE`] is set (DSA §8.3.11).
    #[must_use]
    pub fn stride(&self) -> u32 {
        REGION_STRIDE.read(&self.bytes)
    }

    /// Bytes 55:52, in bytes (§6.1.11).
    #[must_use]
    pub fn src2_size(&self) -> u32 {
        SRC2_SIZE.read(&self.bytes)
    }

    /// Filters: bytes 59:56 (§6.3.3.1).
    #[must_use]
    pub fn filter_flags(&self) -> FilterFlags {
        FilterFlags::from_bits_retain(FILTER_FLAGS.read(&self.bytes))
    }

    /// Compress: bytes 59:56 (§6.3.5.2).
    #[must_use]
    pub fn compress_flags_2(&self) -> CompressFlags2 {
        CompressFlags2::from_bits_retain(FILTER_FLAGS.read(&self.bytes))
    }

    /// Filters: bytes 63:60, a number of elements (§6.3.3.2).
    #[must_use]
    pub fn input_count(&self) -> u32 {
        INPUT_COUNT.read(&self.bytes)
    }

    /// CRC64: bytes 63:56 (§6.3.6.2).
    #[must_use]
    pub fn crc_polynomial(&self) -> u64 {
        CRC_POLYNOMIAL.read(&self.bytes)
    }
}

impl fmt::Debug for Descriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Descriptor")
            .field("opcode", &self.opcode())
            .field("flags", &self.flags())
            .field("pasid", &self.pasid())
            .field("privileged", &self.privileged())
            .field("completion_addr", &format_args!("{:#x}", self.completion_addr()))
            .field("src1_addr", &format_args!("{:#x}", self.src1_addr()))
            .field("src1_size", &self.src1_size())
            .field("dst_addr", &format_args!("{:#x}", self.dst_addr()))
            .field("dst_size_max", &self.dst_size_max())
            .field("codec_flags", &format_args!("{:#06x}", CODEC_FLAGS.read(&self.bytes)))
            .field("src2_addr", &format_args!("{:#x}", self.src2_addr()))
            .field("src2_size", &self.src2_size())
            .field("rest", &format_args!("{:02x?}", &self.bytes[56..]))
            .finish()
    }
}
