//! The constants, each from the type that has it.

use idxd_spec::register::SoftCmdStatus;
use idxd_spec::{Completion, Descriptor, DstAddr, Flags, Opcode, SrcAddr, Status, iaa};

/// The uapi name of each constant and our value of it.
pub(crate) fn table() -> Vec<(&'static str, u64)> {
    [statuses(), flags(), opcodes(), driver_statuses()].concat()
}

fn statuses() -> Vec<(&'static str, u64)> {
    vec![
        ("DSA_COMP_NONE", dsa(Status::NONE)),
        ("DSA_COMP_SUCCESS", dsa(Status::SUCCESS)),
        ("DSA_COMP_SUCCESS_PRED", dsa(Status::SUCCESS_PREDICATE_FALSE)),
        ("DSA_COMP_PAGE_FAULT_NOBOF", dsa(Status::PAGE_FAULT)),
        ("DSA_COMP_PAGE_FAULT_IR", dsa(Status::PAGE_REQUEST_INVALID)),
        ("DSA_COMP_BATCH_FAIL", dsa(Status::BATCH_FAILED)),
        ("DSA_COMP_BATCH_PAGE_FAULT", dsa(Status::BATCH_PAGE_FAULT)),
        ("DSA_COMP_DR_OFFSET_NOINC", dsa(Status::DELTA_ORDER)),
        ("DSA_COMP_DR_OFFSET_ERANGE", dsa(Status::DELTA_RANGE)),
        ("DSA_COMP_DIF_ERR", dsa(Status::DIF_ERROR)),
        ("DSA_COMP_BAD_OPCODE", dsa(Status::BAD_OPCODE)),
        ("DSA_COMP_INVALID_FLAGS", dsa(Status::INVALID_FLAGS)),
        ("DSA_COMP_NOZERO_RESERVE", dsa(Status::RESERVED_NOT_ZERO)),
        ("DSA_COMP_XFER_ERANGE", dsa(Status::TRANSFER_SIZE)),
        ("DSA_COMP_DESC_CNT_ERANGE", dsa(Status::DESCRIPTOR_COUNT)),
        ("DSA_COMP_DR_ERANGE", dsa(Status::UNSUPPORTED_VALUE)),
        ("DSA_COMP_OVERLAP_BUFFERS", dsa(Status::OVERLAPPING_BUFFERS)),
        ("DSA_COMP_DCAST_ERR", dsa(Status::DUALCAST_ALIGNMENT)),
        ("DSA_COMP_DESCLIST_ALIGN", dsa(Status::LIST_ALIGNMENT)),
        ("DSA_COMP_INT_HANDLE_INVAL", dsa(Status::INTERRUPT_HANDLE)),
        ("DSA_COMP_CRA_XLAT", dsa(Status::COMPLETION_PAGE_FAULT)),
        ("DSA_COMP_CRA_ALIGN", dsa(Status::COMPLETION_ALIGNMENT)),
        ("DSA_COMP_ADDR_ALIGN", dsa(Status::ALIGNMENT)),
        ("DSA_COMP_PRIV_BAD", dsa(Status::PRIVILEGE)),
        ("DSA_COMP_TRAFFIC_CLASS_CONF", dsa(Status::TRAFFIC_CLASS)),
        ("DSA_COMP_PFAULT_RDBA", dsa(Status::READBACK_PAGE_FAULT)),
        ("DSA_COMP_HW_ERR1", dsa(Status::HARDWARE)),
        ("DSA_COMP_HW_ERR_DRB", dsa(Status::HARDWARE_WRITE)),
        ("DSA_COMP_TRANSLATION_FAIL", dsa(Status::HARDWARE_TRANSLATION)),
        ("IAX_COMP_NONE", iax(Status::NONE)),
        ("IAX_COMP_SUCCESS", iax(Status::SUCCESS)),
        ("IAX_COMP_PAGE_FAULT_IR", iax(Status::PAGE_REQUEST_INVALID)),
        ("IAX_COMP_ANALYTICS_ERROR", iax(Status::ANALYTICS_ERROR)),
        ("IAX_COMP_OUTBUF_OVERFLOW", iax(Status::OUTPUT_OVERFLOW)),
        ("IAX_COMP_BAD_OPCODE", iax(Status::BAD_OPCODE)),
        ("IAX_COMP_INVALID_FLAGS", iax(Status::INVALID_FLAGS)),
        ("IAX_COMP_NOZERO_RESERVE", iax(Status::RESERVED_NOT_ZERO)),
        ("IAX_COMP_INVALID_SIZE", iax(Status::TRANSFER_SIZE)),
        ("IAX_COMP_OVERLAP_BUFFERS", iax(Status::OVERLAPPING_BUFFERS)),
        ("IAX_COMP_INT_HANDLE_INVAL", iax(Status::INTERRUPT_HANDLE)),
        ("IAX_COMP_CRA_XLAT", iax(Status::COMPLETION_PAGE_FAULT)),
        ("IAX_COMP_CRA_ALIGN", iax(Status::COMPLETION_ALIGNMENT)),
        ("IAX_COMP_ADDR_ALIGN", iax(Status::ALIGNMENT)),
        ("IAX_COMP_PRIV_BAD", iax(Status::PRIVILEGE)),
        ("IAX_COMP_TRAFFIC_CLASS_CONF", iax(Status::TRAFFIC_CLASS)),
        ("IAX_COMP_PFAULT_RDBA", iax(Status::READBACK_PAGE_FAULT)),
        ("IAX_COMP_HW_ERR1", iax(Status::HARDWARE)),
        ("IAX_COMP_HW_ERR_DRB", iax(Status::HARDWARE_WRITE)),
        ("IAX_COMP_TRANSLATION_FAIL", iax(Status::HARDWARE_TRANSLATION)),
        ("IAX_COMP_PRS_TIMEOUT", iax(Status::PAGE_REQUEST_TIMEOUT)),
        ("IAX_COMP_WATCHDOG", iax(Status::WATCHDOG)),
        ("IAX_COMP_INVALID_COMP_FLAG", iax(Status::INVALID_COMPRESSION_FLAGS)),
        ("IAX_COMP_INVALID_FILTER_FLAG", iax(Status::INVALID_FILTER_FLAGS)),
        ("IAX_COMP_INVALID_INPUT_SIZE", iax(Status::INPUT_SIZE)),
        ("IAX_COMP_INVALID_NUM_ELEMS", iax(Status::ELEMENT_COUNT)),
        ("IAX_COMP_INVALID_SRC1_WIDTH", iax(Status::SRC1_WIDTH)),
        ("IAX_COMP_INVALID_INVERT_OUT", iax(Status::INVERT_OUTPUT)),
        ("DSA_COMP_STATUS_MASK", Status(u8::MAX).code().into()),
        ("DSA_COMP_STATUS_WRITE", Status(0).with_write().0.into()),
    ]
}

fn flags() -> Vec<(&'static str, u64)> {
    vec![
        ("IDXD_OP_FLAG_FENCE", flag(Flags::FENCE)),
        ("IDXD_OP_FLAG_BOF", flag(Flags::BLOCK_ON_FAULT)),
        ("IDXD_OP_FLAG_CRAV", flag(Flags::COMPLETION_ADDR_VALID)),
        ("IDXD_OP_FLAG_RCR", flag(Flags::REQUEST_COMPLETION)),
        ("IDXD_OP_FLAG_RCI", flag(Flags::REQUEST_INTERRUPT)),
        ("IDXD_OP_FLAG_CRSTS", flag(Flags::CACHE_CONTROL_3)),
        ("IDXD_OP_FLAG_CR", flag(Flags::CHECK_RESULT)),
        ("IDXD_OP_FLAG_CC", flag(Flags::CACHE_CONTROL_1)),
        ("IDXD_OP_FLAG_ADDR1_TCS", flag(Flags::ADDR1_TC)),
        ("IDXD_OP_FLAG_ADDR2_TCS", flag(Flags::ADDR2_TC)),
        ("IDXD_OP_FLAG_ADDR3_TCS", flag(Flags::ADDR3_TC)),
        ("IDXD_OP_FLAG_CR_TCS", flag(Flags::COMPLETION_TC)),
        ("IDXD_OP_FLAG_STORD", flag(Flags::STRICT_ORDER)),
        ("IDXD_OP_FLAG_DRDBK", flag(Flags::CACHE_CONTROL_2)),
        ("IDXD_OP_FLAG_DSTS", flag(Flags::DST_STEERING)),
        ("IDXD_OP_FLAG_RD_SRC2_AECS", flag(Flags::READ_SRC2_AECS)),
        ("IDXD_OP_FLAG_RD_SRC2_2ND", flag(Flags::READ_SRC2_INPUT)),
        ("IDXD_OP_FLAG_WR_SRC2_AECS_COMP", flag(Flags::WRITE_SRC2_AECS)),
        ("IDXD_OP_FLAG_WR_SRC2_AECS_OVFL", flag(Flags::WRITE_SRC2_ON_OVERFLOW)),
        ("IDXD_OP_FLAG_SRC2_STS", flag(Flags::SRC2_STEERING)),
        ("IDXD_OP_FLAG_CRC_RFC3720", flag(Flags::CRC_RFC3720)),
    ]
}

fn opcodes() -> Vec<(&'static str, u64)> {
    vec![
        ("DSA_OPCODE_NOOP", dsa_opcode(Descriptor::noop())),
        ("DSA_OPCODE_BATCH", dsa_opcode(Descriptor::batch(SRC, 0))),
        ("DSA_OPCODE_DRAIN", dsa_opcode(Descriptor::drain())),
        ("DSA_OPCODE_MEMMOVE", dsa_opcode(Descriptor::memmove(SRC, DST, 0))),
        ("DSA_OPCODE_MEMFILL", dsa_opcode(Descriptor::fill(0, DST, 0))),
        ("DSA_OPCODE_COMPARE", dsa_opcode(Descriptor::compare(SRC, SRC, 0))),
        ("DSA_OPCODE_COMPVAL", dsa_opcode(Descriptor::compare_pattern(SRC, 0, 0))),
        ("DSA_OPCODE_CR_DELTA", Opcode::CREATE_DELTA.0.into()),
        ("DSA_OPCODE_AP_DELTA", Opcode::APPLY_DELTA.0.into()),
        ("DSA_OPCODE_DUALCAST", dsa_opcode(Descriptor::dualcast(SRC, DST, DST, 0))),
        ("DSA_OPCODE_CRCGEN", dsa_opcode(Descriptor::crc(SRC, 0, 0))),
        ("DSA_OPCODE_COPY_CRC", dsa_opcode(Descriptor::copy_crc(SRC, DST, 0, 0))),
        ("DSA_OPCODE_DIF_CHECK", Opcode::DIF_CHECK.0.into()),
        ("DSA_OPCODE_DIF_INS", Opcode::DIF_INSERT.0.into()),
        ("DSA_OPCODE_DIF_STRP", Opcode::DIF_STRIP.0.into()),
        ("DSA_OPCODE_DIF_UPDT", Opcode::DIF_UPDATE.0.into()),
        ("DSA_OPCODE_CFLUSH", dsa_opcode(Descriptor::cache_flush(DST, 0))),
        ("IAX_OPCODE_NOOP", iax_opcode(iaa::Descriptor::noop())),
        ("IAX_OPCODE_DRAIN", iax_opcode(iaa::Descriptor::drain())),
        ("IAX_OPCODE_MEMMOVE", iax_opcode(iaa::Descriptor::memmove(SRC, DST, 0))),
        ("IAX_OPCODE_DECOMPRESS", Opcode::DECOMPRESS.0.into()),
        ("IAX_OPCODE_COMPRESS", Opcode::COMPRESS.0.into()),
        ("IAX_OPCODE_CRC64", Opcode::CRC64.0.into()),
        ("IAX_OPCODE_ZERO_DECOMP_32", Opcode::ZERO_DECOMPRESS_32.0.into()),
        ("IAX_OPCODE_ZERO_DECOMP_16", Opcode::ZERO_DECOMPRESS_16.0.into()),
        ("IAX_OPCODE_ZERO_COMP_32", Opcode::ZERO_COMPRESS_32.0.into()),
        ("IAX_OPCODE_ZERO_COMP_16", Opcode::ZERO_COMPRESS_16.0.into()),
        ("IAX_OPCODE_SCAN", Opcode::SCAN.0.into()),
        ("IAX_OPCODE_SET_MEMBER", Opcode::SET_MEMBERSHIP.0.into()),
        ("IAX_OPCODE_EXTRACT", Opcode::EXTRACT.0.into()),
        ("IAX_OPCODE_SELECT", Opcode::SELECT.0.into()),
        ("IAX_OPCODE_RLE_BURST", Opcode::RLE_BURST.0.into()),
        ("IAX_OPCODE_FIND_UNIQUE", Opcode::FIND_UNIQUE.0.into()),
        ("IAX_OPCODE_EXPAND", Opcode::EXPAND.0.into()),
    ]
}

fn driver_statuses() -> Vec<(&'static str, u64)> {
    vec![
        ("IDXD_SCMD_DEV_ENABLED", SoftCmdStatus::DEV_ENABLED.0.into()),
        ("IDXD_SCMD_DEV_NOT_ENABLED", SoftCmdStatus::DEV_NOT_ENABLED.0.into()),
        ("IDXD_SCMD_WQ_ENABLED", SoftCmdStatus::WQ_ENABLED.0.into()),
        ("IDXD_SCMD_DEV_DMA_ERR", SoftCmdStatus::DEV_DMA_ERR.0.into()),
        ("IDXD_SCMD_WQ_NO_GRP", SoftCmdStatus::WQ_NO_GRP.0.into()),
        ("IDXD_SCMD_WQ_NO_NAME", SoftCmdStatus::WQ_NO_NAME.0.into()),
        ("IDXD_SCMD_WQ_NO_SVM", SoftCmdStatus::WQ_NO_SVM.0.into()),
        ("IDXD_SCMD_WQ_NO_THRESH", SoftCmdStatus::WQ_NO_THRESH.0.into()),
        ("IDXD_SCMD_WQ_PORTAL_ERR", SoftCmdStatus::WQ_PORTAL_ERR.0.into()),
        ("IDXD_SCMD_WQ_RES_ALLOC_ERR", SoftCmdStatus::WQ_RES_ALLOC_ERR.0.into()),
        ("IDXD_SCMD_PERCPU_ERR", SoftCmdStatus::PERCPU_ERR.0.into()),
        ("IDXD_SCMD_DMA_CHAN_ERR", SoftCmdStatus::DMA_CHAN_ERR.0.into()),
        ("IDXD_SCMD_CDEV_ERR", SoftCmdStatus::CDEV_ERR.0.into()),
        ("IDXD_SCMD_WQ_NO_SWQ_SUPPORT", SoftCmdStatus::WQ_NO_SWQ_SUPPORT.0.into()),
        ("IDXD_SCMD_WQ_NONE_CONFIGURED", SoftCmdStatus::WQ_NONE_CONFIGURED.0.into()),
        ("IDXD_SCMD_WQ_NO_SIZE", SoftCmdStatus::WQ_NO_SIZE.0.into()),
        ("IDXD_SCMD_WQ_NO_PRIV", SoftCmdStatus::WQ_NO_PRIV.0.into()),
        ("IDXD_SCMD_WQ_IRQ_ERR", SoftCmdStatus::WQ_IRQ_ERR.0.into()),
        ("IDXD_SCMD_WQ_USER_NO_IOMMU", SoftCmdStatus::WQ_USER_NO_IOMMU.0.into()),
        ("IDXD_SCMD_SOFTERR_MASK", SoftCmdStatus::SOFT_ERROR.into()),
        ("IDXD_SCMD_SOFTERR_SHIFT", SoftCmdStatus::SOFT_ERROR_SHIFT.into()),
    ]
}

const SRC: SrcAddr = SrcAddr(0);
const DST: DstAddr = DstAddr(0);

/// The status as it comes out of a record that has it.
fn dsa(status: Status) -> u64 {
    Completion::new(status).to_bytes()[0].into()
}

fn iax(status: Status) -> u64 {
    iaa::Completion::new(status).to_bytes()[0].into()
}

/// The flag as it lands in a descriptor.
fn flag(flags: Flags) -> u64 {
    let descriptor = Descriptor::noop().with_flags(flags);
    let &[_, _, _, _, low, middle, high, ..] = descriptor.as_bytes();
    u32::from_le_bytes([low, middle, high, 0]).into()
}

fn dsa_opcode(descriptor: Descriptor) -> u64 {
    descriptor.as_bytes()[7].into()
}

fn iax_opcode(descriptor: iaa::Descriptor) -> u64 {
    descriptor.as_bytes()[7].into()
}
