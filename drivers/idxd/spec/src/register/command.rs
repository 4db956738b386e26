//! Administrative commands and how they ended.

use core::fmt;

use super::register;

register! {
    /// The command register. Write only while [`CmdStatus::active`] is clear.
    ///
    /// Source: DSA §9.2.12.
    Cmd: u32 {
        /// Bits 19:0: a work queue, a set of work queues, a PASID or an index, by command.
        operand / with_operand: u32 19, 0;
        /// Bit 31: raise interrupt 0 when the command is done.
        interrupt / with_interrupt: bit 31;
    }
}

impl Cmd {
    /// Command `code`, with operand 0 and no interrupt.
    #[must_use]
    pub const fn new(code: CmdCode) -> Self {
        Self((code.0 as u32 & 0x1f) << 20)
    }

    /// Bits 24:20.
    #[must_use]
    pub const fn code(self) -> CmdCode {
        CmdCode(super::bits_u8(self.0 as u64, 24, 20))
    }

    /// The operand of disable, drain, abort and reset of work queue `wq`, alone: its bit in the set of sixteen that
    /// bits 19:16 choose.
    #[must_use]
    pub const fn wq_operand(wq: u8) -> u32 {
        (wq as u32 >> 4) << 16 | 1 << (wq & 15)
    }
}

/// Bits 24:20 of [`Cmd`]: what to do. Open: unknown codes pass through.
///
/// Source: DSA §9.2.12, table 9-5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CmdCode(pub u8);

impl CmdCode {
    /// Enable the device.
    pub const ENABLE_DEVICE: Self = Self(1);
    /// Disable the device.
    pub const DISABLE_DEVICE: Self = Self(2);
    /// Wait for all descriptors.
    pub const DRAIN_ALL: Self = Self(3);
    /// Abandon all descriptors, or wait for them.
    pub const ABORT_ALL: Self = Self(4);
    /// Disable the device and clear its configuration.
    pub const RESET_DEVICE: Self = Self(5);
    /// Enable the work queue that the operand names by its index.
    pub const ENABLE_WQ: Self = Self(6);
    /// Disable a set of work queues, see [`Cmd::wq_operand`].
    pub const DISABLE_WQ: Self = Self(7);
    /// Wait for the descriptors of a set of work queues.
    pub const DRAIN_WQ: Self = Self(8);
    /// Abandon the descriptors of a set of work queues, or wait for them.
    pub const ABORT_WQ: Self = Self(9);
    /// Disable a set of work queues and clear their configuration.
    pub const RESET_WQ: Self = Self(10);
    /// Wait for the descriptors of a PASID.
    pub const DRAIN_PASID: Self = Self(11);
    /// Abandon the descriptors of a PASID, or wait for them.
    pub const ABORT_PASID: Self = Self(12);
    /// Give a handle for an interrupt table entry.
    pub const REQUEST_INTERRUPT_HANDLE: Self = Self(13);
    /// Take it back.
    pub const RELEASE_INTERRUPT_HANDLE: Self = Self(14);
    /// Give a handle for an inter-domain permissions table entry.
    pub const REQUEST_IDPT_HANDLE: Self = Self(15);
    /// Take it back.
    pub const RELEASE_IDPT_HANDLE: Self = Self(16);
    /// Forget a range of a submitter bitmap.
    pub const INVALIDATE_SUBMITTER_BITMAP: Self = Self(17);
}

register! {
    /// How the last command ended. While [`active`](Self::active), the other fields mean nothing.
    ///
    /// Source: DSA §9.2.13.
    CmdStatus: u32 {
        /// Bit 31: the command is not done.
        active / with_active: bit 31;
        /// Bits 23:8: the handle that a request command returned.
        result / with_result: u16 23, 8;
    }
}

impl CmdStatus {
    /// Bits 7:0.
    #[must_use]
    pub const fn error(self) -> CmdError {
        CmdError(super::bits_u8(self.0 as u64, 7, 0))
    }

    /// Sets [`error`](Self::error).
    #[must_use]
    pub const fn with_error(self, error: CmdError) -> Self {
        Self(self.0 & !0xff | error.0 as u32)
    }
}

/// Bits 7:0 of [`CmdStatus`]. Open: unknown codes pass through.
///
/// Source: DSA §9.2.13 and §5.8.3, table 5-8.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CmdError(pub u8);

macro_rules! command_errors {
    ($($name:ident = $code:literal, $text:literal;)*) => {
        impl CmdError {
            $(
                #[doc = concat!("Code ", stringify!($code), ": ", $text, ".")]
                pub const $name: Self = Self($code);
            )*

            /// What the code means in a few words, if it has a name here.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self {
                    $(Self::$name => Some($text),)*
                    _ => None,
                }
            }
        }
    };
}

command_errors! {
    NONE = 0x00, "success";
    BAD_COMMAND = 0x01, "undefined or unsupported command";
    BAD_WQ = 0x02, "invalid work queue index";
    HARDWARE = 0x03, "platform or hardware error";
    RESERVED_NOT_ZERO = 0x04, "reserved field is not zero";
    HALTED = 0x05, "device is halted";
    DEVICE_NOT_DISABLED = 0x10, "device is not disabled";
    CONFIGURATION = 0x11, "error in the configuration";
    BUS_MASTER_DISABLED = 0x12, "bus mastering is disabled";
    PAGE_REQUEST_ALLOCATION = 0x13, "unsupported page request allocation";
    WQ_SIZE_SUM = 0x14, "work queue sizes add up to too much";
    GROUP_INCOMPLETE = 0x15, "group without work queues or without engines";
    GROUP_WQS = 0x16, "work queue in two groups or in none";
    GROUP_ENGINES = 0x17, "engine in two groups";
    READ_BUFFERS = 0x18, "invalid read buffers or bandwidth limit";
    EVENT_LOG = 0x19, "invalid event log configuration";
    ATS = 0x1a, "invalid ats configuration";
    PASID = 0x1b, "invalid pasid configuration";
    DEVICE_NOT_ENABLED = 0x20, "device is not enabled";
    WQ_NOT_DISABLED = 0x21, "work queue is not disabled";
    WQ_SIZE = 0x22, "work queue size is 0";
    WQ_PRIORITY = 0x23, "work queue priority is 0";
    WQ_MODE = 0x24, "invalid work queue mode";
    WQ_BLOCK_ON_FAULT = 0x25, "block on fault is not supported";
    WQ_PASID_ENABLE = 0x26, "invalid pasid enable";
    WQ_BATCH_SIZE = 0x27, "invalid maximum batch or list size";
    WQ_TRANSFER_SIZE = 0x28, "invalid maximum transfer size";
    WQ_PRIVILEGE = 0x2a, "privileged mode is not enabled";
    WQ_OCCUPANCY_INTERRUPT = 0x2b, "invalid occupancy interrupt";
    WQ_ATS = 0x2c, "ats disable is not supported";
    WQ_OPERATIONS = 0x2d, "operation that the device does not support";
    WQ_PRS = 0x2e, "invalid prs disable";
    DISABLE_NOT_ENABLED = 0x31, "device is not enabled";
    WQ_NOT_ENABLED = 0x32, "work queue is not enabled";
    INTERRUPT_INDEX = 0x41, "invalid interrupt table index";
    NO_INTERRUPT_HANDLE = 0x42, "no interrupt handle is available";
    IDPT_INDEX = 0x51, "invalid permissions table index";
    NO_IDPT_HANDLE = 0x52, "no permissions table handle is available";
}

impl fmt::Display for CmdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => write!(f, "command error {:#04x}", self.0),
        }
    }
}

impl fmt::Debug for CmdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} ({:#04x})", self.0)
    }
}

/// What `cmd_status` in sysfs shows: [`CmdStatus`] as the device left it, or an error of the kernel driver's own, with
/// bit 31 set. (In the register bit 31 is [`CmdStatus::active`], which the driver has waited for.)
///
/// Source: uapi `enum idxd_scmd_stat`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SoftCmdStatus(pub u32);

impl SoftCmdStatus {
    /// Bit 31: the driver's own. uapi `IDXD_SCMD_SOFTERR_MASK`.
    pub const SOFT_ERROR: u32 = 0x8000_0000;
    /// Where the number of the driver's own error starts. uapi `IDXD_SCMD_SOFTERR_SHIFT`.
    pub const SOFT_ERROR_SHIFT: u32 = 16;

    /// Whether the error is the driver's own.
    #[must_use]
    pub const fn is_soft(self) -> bool {
        self.0 & Self::SOFT_ERROR != 0
    }
}

macro_rules! soft_statuses {
    ($($name:ident, $uapi:literal = $code:literal, $text:literal;)*) => {
        impl SoftCmdStatus {
            $(
                #[doc = concat!($text, ". uapi `", $uapi, "`.")]
                pub const $name: Self = Self($code);
            )*

            /// What the code means in a few words, if it is the driver's own and has a name here.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self {
                    $(Self::$name => Some($text),)*
                    _ => None,
                }
            }
        }
    };
}

soft_statuses! {
    DEV_ENABLED, "IDXD_SCMD_DEV_ENABLED" = 0x8000_0010, "device is enabled";
    DEV_NOT_ENABLED, "IDXD_SCMD_DEV_NOT_ENABLED" = 0x8000_0020, "device is not enabled";
    WQ_ENABLED, "IDXD_SCMD_WQ_ENABLED" = 0x8000_0021, "work queue is enabled";
    DEV_DMA_ERR, "IDXD_SCMD_DEV_DMA_ERR" = 0x8002_0000, "dma device not registered";
    WQ_NO_GRP, "IDXD_SCMD_WQ_NO_GRP" = 0x8003_0000, "work queue has no group";
    WQ_NO_NAME, "IDXD_SCMD_WQ_NO_NAME" = 0x8004_0000, "work queue has no name";
    WQ_NO_SVM, "IDXD_SCMD_WQ_NO_SVM" = 0x8005_0000, "no shared virtual memory for a shared work queue";
    WQ_NO_THRESH, "IDXD_SCMD_WQ_NO_THRESH" = 0x8006_0000, "shared work queue has no threshold";
    WQ_PORTAL_ERR, "IDXD_SCMD_WQ_PORTAL_ERR" = 0x8007_0000, "portal not mapped";
    WQ_RES_ALLOC_ERR, "IDXD_SCMD_WQ_RES_ALLOC_ERR" = 0x8008_0000, "work queue resources not allocated";
    PERCPU_ERR, "IDXD_SCMD_PERCPU_ERR" = 0x8009_0000, "per-cpu counter not allocated";
    DMA_CHAN_ERR, "IDXD_SCMD_DMA_CHAN_ERR" = 0x800a_0000, "dma channel not registered";
    CDEV_ERR, "IDXD_SCMD_CDEV_ERR" = 0x800b_0000, "character device not registered";
    WQ_NO_SWQ_SUPPORT, "IDXD_SCMD_WQ_NO_SWQ_SUPPORT" = 0x800c_0000, "shared work queues are not supported";
    WQ_NONE_CONFIGURED, "IDXD_SCMD_WQ_NONE_CONFIGURED" = 0x800d_0000, "no work queue is configured";
    WQ_NO_SIZE, "IDXD_SCMD_WQ_NO_SIZE" = 0x800e_0000, "work queue has no size";
    WQ_NO_PRIV, "IDXD_SCMD_WQ_NO_PRIV" = 0x800f_0000, "kernel work queue without privilege";
    WQ_IRQ_ERR, "IDXD_SCMD_WQ_IRQ_ERR" = 0x8010_0000, "work queue interrupt not set up";
    WQ_USER_NO_IOMMU, "IDXD_SCMD_WQ_USER_NO_IOMMU" = 0x8011_0000, "user work queue without an iommu domain";
}

impl fmt::Display for SoftCmdStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None if self.is_soft() => write!(f, "driver error {:#010x}", self.0),
            None => CmdStatus(self.0).error().fmt(f),
        }
    }
}

impl fmt::Debug for SoftCmdStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} ({:#010x})", self.0)
    }
}
