//! How an operation ended.

use core::fmt;

/// Byte 0 of a completion record, and the error code of SWERROR and of event log entries.
///
/// Open: a newer device may send codes that have no name here. Zero is never written by a device, so a record that
/// was zeroed before submission is complete when this is not [`NONE`](Self::NONE).
///
/// DSA §8.2.1 puts the code in bits 5:0 and calls bit 6 unused; uapi masks with 0x7f. [`code`](Self::code) follows
/// uapi: the two agree on every code defined so far, and if bit 6 is ever set, an unknown status is the safe reading
/// where dropping the bit could turn it into success. It also lets the same type hold the codes 0x51 to 0x54, which
/// only SWERROR reports.
///
/// One type serves both devices: IAA table 4-7 changes no code, it only retires some and adds others.
///
/// Source: DSA §5.8.1, table 5-6, and §8.2.1; IAA §4.4.1, table 4-7; uapi `enum dsa_completion_status`,
/// `enum iax_completion_status`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Status(pub u8);

macro_rules! statuses {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $text:literal;)*) => {
        impl Status {
            $($(#[$doc])* pub const $name: Self = Self($code);)*

            /// Every code that has a name here, without the write bit.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// What the code means in a few words, if it has a name here. The write bit makes no difference.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match Self(self.code()) {
                    $(Self::$name => Some($text),)*
                    _ => None,
                }
            }
        }
    };
}

statuses! {
    /// Not written yet. uapi `DSA_COMP_NONE`, `IAX_COMP_NONE`.
    NONE = 0x00, "not complete";
    /// Done. uapi `DSA_COMP_SUCCESS`, `IAX_COMP_SUCCESS`.
    SUCCESS = 0x01, "success";
    /// Done, and the result is not the expected one. DSA only. uapi `DSA_COMP_SUCCESS_PRED`.
    SUCCESS_PREDICATE_FALSE = 0x02, "success with false predicate";
    /// Partial: a page fault, and the descriptor does not block on faults. uapi `DSA_COMP_PAGE_FAULT_NOBOF`; uapi has
    /// no IAA name for it, and IAA table 4-7 keeps it.
    PAGE_FAULT = 0x03, "page fault";
    /// Partial: the page request was answered "invalid", or retried too often. uapi `DSA_COMP_PAGE_FAULT_IR`,
    /// `IAX_COMP_PAGE_FAULT_IR`.
    PAGE_REQUEST_INVALID = 0x04, "page request answered invalid";
    /// At least one descriptor of the batch did not end with success. uapi `DSA_COMP_BATCH_FAIL`.
    BATCH_FAILED = 0x05, "a descriptor of the batch failed";
    /// Partial: a page fault on the descriptor list. uapi `DSA_COMP_BATCH_PAGE_FAULT`.
    BATCH_PAGE_FAULT = 0x06, "page fault on the descriptor list";
    /// Apply delta: the offsets do not increase. uapi `DSA_COMP_DR_OFFSET_NOINC`.
    DELTA_ORDER = 0x07, "delta offsets not in increasing order";
    /// Apply delta: an offset is beyond the transfer size. uapi `DSA_COMP_DR_OFFSET_ERANGE`.
    DELTA_RANGE = 0x08, "delta offset beyond the transfer size";
    /// A data integrity field does not match; see the DIF status. uapi `DSA_COMP_DIF_ERR`.
    DIF_ERROR = 0x09, "data integrity field mismatch";
    /// IAA: see the error code, [`iaa::ErrorCode`](crate::iaa::ErrorCode). uapi `IAX_COMP_ANALYTICS_ERROR`.
    ANALYTICS_ERROR = 0x0a, "analytics error";
    /// IAA: the output buffer is full; a decompression can go on. uapi `IAX_COMP_OUTBUF_OVERFLOW`.
    OUTPUT_OVERFLOW = 0x0b, "output buffer overflow";
    /// uapi `DSA_COMP_BAD_OPCODE`, `IAX_COMP_BAD_OPCODE`.
    BAD_OPCODE = 0x10, "unsupported operation code";
    /// The bits are in the record's invalid flags. uapi `DSA_COMP_INVALID_FLAGS`, `IAX_COMP_INVALID_FLAGS`.
    INVALID_FLAGS = 0x11, "invalid flags";
    /// uapi `DSA_COMP_NOZERO_RESERVE`, `IAX_COMP_NOZERO_RESERVE`.
    RESERVED_NOT_ZERO = 0x12, "reserved field is not zero";
    /// Zero, above the work queue's maximum, or not what the scatter-gather list adds up to.
    /// uapi `DSA_COMP_XFER_ERANGE`, `IAX_COMP_INVALID_SIZE`.
    TRANSFER_SIZE = 0x13, "invalid transfer size";
    /// Descriptor count or scatter-gather list size out of range. uapi `DSA_COMP_DESC_CNT_ERANGE`.
    DESCRIPTOR_COUNT = 0x14, "descriptor count out of range";
    /// A value in a field other than the flags: delta record size, data type, compute type, list format, selector.
    /// uapi `DSA_COMP_DR_ERANGE`, after the first use.
    UNSUPPORTED_VALUE = 0x15, "unsupported value in a field";
    /// uapi `DSA_COMP_OVERLAP_BUFFERS`, `IAX_COMP_OVERLAP_BUFFERS`.
    OVERLAPPING_BUFFERS = 0x16, "overlapping buffers";
    /// The two destinations differ in their low bits: bits 1:0 in the words of table 5-6, bits 11:0 in §5.4 and
    /// §8.3.10. uapi `DSA_COMP_DCAST_ERR`.
    DUALCAST_ALIGNMENT = 0x17, "dualcast destinations differ in bits 11:0";
    /// uapi `DSA_COMP_DESCLIST_ALIGN`.
    LIST_ALIGNMENT = 0x18, "misaligned descriptor list";
    /// uapi `DSA_COMP_INT_HANDLE_INVAL`, `IAX_COMP_INT_HANDLE_INVAL`.
    INTERRUPT_HANDLE = 0x19, "invalid interrupt handle";
    /// A page fault on the completion record. Not in a record, only in SWERROR and the event log.
    /// uapi `DSA_COMP_CRA_XLAT`, `IAX_COMP_CRA_XLAT`.
    COMPLETION_PAGE_FAULT = 0x1a, "page fault on the completion record";
    /// Not in a record, only in SWERROR and the event log. uapi `DSA_COMP_CRA_ALIGN`, `IAX_COMP_CRA_ALIGN`.
    COMPLETION_ALIGNMENT = 0x1b, "misaligned completion record";
    /// An address, a size or a stride that must be aligned is not. uapi `DSA_COMP_ADDR_ALIGN`, `IAX_COMP_ADDR_ALIGN`.
    ALIGNMENT = 0x1c, "misaligned address, size or stride";
    /// Not in a record, only in SWERROR and the event log. uapi `DSA_COMP_PRIV_BAD`, `IAX_COMP_PRIV_BAD`.
    PRIVILEGE = 0x1d, "privileged descriptor where privilege is not enabled";
    /// uapi `DSA_COMP_TRAFFIC_CLASS_CONF`, `IAX_COMP_TRAFFIC_CLASS_CONF`.
    TRAFFIC_CLASS = 0x1e, "traffic class not configured";
    /// A page fault on a readback address of a drain. uapi `DSA_COMP_PFAULT_RDBA`, `IAX_COMP_PFAULT_RDBA`.
    READBACK_PAGE_FAULT = 0x1f, "page fault on a readback address";
    /// A hardware error other than the next two. uapi `DSA_COMP_HW_ERR1`, `IAX_COMP_HW_ERR1`.
    HARDWARE = 0x20, "hardware error";
    /// A hardware error on a write or a readback. uapi `DSA_COMP_HW_ERR_DRB`, `IAX_COMP_HW_ERR_DRB`.
    HARDWARE_WRITE = 0x21, "hardware error on a write or readback";
    /// A hardware error during translation. uapi `DSA_COMP_TRANSLATION_FAIL`, `IAX_COMP_TRANSLATION_FAIL`.
    HARDWARE_TRANSLATION = 0x22, "hardware error during address translation";
    /// IAA: no answer to a page request in time. uapi `IAX_COMP_PRS_TIMEOUT`.
    PAGE_REQUEST_TIMEOUT = 0x23, "page request timed out";
    /// IAA: no progress. uapi `IAX_COMP_WATCHDOG`.
    WATCHDOG = 0x24, "watchdog expired";
    /// Event log only: records before a drain may have faulted. Not in uapi.
    DRAIN_COMPLETION_FAULTS = 0x26, "records before the drain may have faulted";
    /// Event log only: records of the batch may have faulted. Not in uapi.
    BATCH_COMPLETION_FAULTS = 0x27, "records of the batch may have faulted";
    /// An inter-domain operation on a work queue without PASID. Not in uapi.
    INTER_DOMAIN_NO_PASID = 0x28, "inter-domain operation without pasid";
    /// Not in uapi.
    INTER_DOMAIN_HANDLE = 0x29, "invalid inter-domain handle";
    /// Not in uapi.
    INTER_DOMAIN_PERMISSION = 0x2a, "inter-domain access not permitted";
    /// Not in uapi.
    INTER_DOMAIN_RANGE = 0x2b, "inter-domain access outside the window";
    /// An update window operation on an entry that cannot be changed. Not in uapi.
    WINDOW_HANDLE = 0x2c, "invalid window handle";
    /// Not in uapi.
    WINDOW_CONTROL = 0x2d, "invalid window control fields";
    /// Not in uapi.
    INTER_DOMAIN_INACCESSIBLE = 0x2e, "inter-domain address space is gone";
    /// IAA: bytes 39:38 of the descriptor. uapi `IAX_COMP_INVALID_COMP_FLAG`.
    INVALID_COMPRESSION_FLAGS = 0x30, "invalid flag in bytes 38 and 39";
    /// IAA: bytes 59:56 of the descriptor. uapi `IAX_COMP_INVALID_FILTER_FLAG`.
    INVALID_FILTER_FLAGS = 0x31, "invalid flag in bytes 56 to 59";
    /// IAA: an odd size where 16-bit words are read. uapi `IAX_COMP_INVALID_INPUT_SIZE`.
    INPUT_SIZE = 0x32, "invalid input size";
    /// IAA: a filter over no elements. uapi `IAX_COMP_INVALID_NUM_ELEMS`.
    ELEMENT_COUNT = 0x33, "invalid number of elements";
    /// IAA. uapi `IAX_COMP_INVALID_SRC1_WIDTH`; not in IAA table 4-7.
    SRC1_WIDTH = 0x34, "invalid source 1 width";
    /// IAA: inverted output that is not a bit vector. uapi `IAX_COMP_INVALID_INVERT_OUT`.
    INVERT_OUTPUT = 0x35, "invert output without a bit vector";
    /// SWERROR only: PCI configuration changed while the device was in use. DSA §5.8.2.
    CONFIGURATION_CHANGED = 0x51, "configuration changed while not disabled";
    /// SWERROR or event log: a command while another was active. DSA §5.8.2.
    COMMAND_BUSY = 0x52, "command while another is active";
    /// SWERROR only: a dedicated work queue was full and the descriptor was dropped. DSA §5.8.2.
    DEDICATED_QUEUE_FULL = 0x53, "dedicated work queue full, descriptor dropped";
    /// SWERROR only: the event could not be logged. DSA §5.8.2.
    EVENT_LOG_WRITE = 0x54, "event log could not be written";
}

impl Status {
    /// Bits 6:0: the code. uapi `DSA_COMP_STATUS_MASK`.
    pub const CODE_MASK: u8 = 0x7f;
    /// Bit 7: the access that faulted was a write. uapi `DSA_COMP_STATUS_WRITE`.
    pub const WRITE: u8 = 0x80;

    /// The code without the write bit.
    #[must_use]
    pub const fn code(self) -> u8 {
        self.0 & Self::CODE_MASK
    }

    /// The same status without the write bit, to compare with the constants.
    #[must_use]
    pub const fn without_write(self) -> Self {
        Self(self.code())
    }

    /// The same status with the write bit, as a device reports a fault on a write.
    #[must_use]
    pub const fn with_write(self) -> Self {
        Self(self.0 | Self::WRITE)
    }

    /// Success, whatever the predicate.
    #[must_use]
    pub const fn is_success(self) -> bool {
        matches!(self.without_write(), Self::SUCCESS | Self::SUCCESS_PREDICATE_FALSE)
    }

    /// A page fault: 0x03, 0x04, 0x06, 0x1a or 0x1f. For these bit 7 and the fault address mean something (§8.2.1).
    #[must_use]
    pub const fn is_page_fault(self) -> bool {
        matches!(
            self.without_write(),
            Self::PAGE_FAULT
                | Self::PAGE_REQUEST_INVALID
                | Self::BATCH_PAGE_FAULT
                | Self::COMPLETION_PAGE_FAULT
                | Self::READBACK_PAGE_FAULT
        )
    }

    /// A page fault of a write. Bit 7 is not used by other codes, so it is not looked at there.
    #[must_use]
    pub const fn is_write_fault(self) -> bool {
        self.is_page_fault() && self.0 & Self::WRITE != 0
    }
}

impl From<u8> for Status {
    fn from(raw: u8) -> Self {
        Self(raw)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.name(), self.is_page_fault()) {
            (Some(name), false) => f.pad(name),
            (Some(name), true) if self.is_write_fault() => write!(f, "{name}, write"),
            (Some(name), true) => write!(f, "{name}, read"),
            (None, _) => write!(f, "status {:#04x}", self.0),
        }
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} ({:#04x})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Status;

    #[test]
    fn write_bit_counts_only_for_faults() {
        assert!(Status(0x84).is_write_fault());
        assert!(!Status(0x04).is_write_fault());
        assert!(!Status(0x90).is_write_fault());
        assert_eq!(Status(0x84).without_write(), Status::PAGE_REQUEST_INVALID);
    }

    #[test]
    fn unknown_status_is_neither_success_nor_fault() {
        let status = Status(0x41);
        assert!(!status.is_success() && !status.is_page_fault());
        assert_eq!(status.name(), None);
    }
}
