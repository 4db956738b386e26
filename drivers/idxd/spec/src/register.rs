//! The registers of BAR0: where they are and what their bits mean.
//!
//! A register is a newtype over the integer that was read, with a reader for each field and, where software or a
//! device model writes it, a setter. Unknown bits stay in the integer. `sysfs` shows some of them under the names
//! `gen_cap`, `op_cap`, `cmd_status`, so the same readers serve a process that has no access to the registers.
//!
//! IAA has the same registers except that 0x180 holds IAACAP (IAA §7.2).

mod capability;
mod command;
mod control;
mod event_log;
mod group;
mod inter_domain;
mod interrupt;
mod numeric;
pub mod perfmon;
mod portal;
mod software_error;
mod work_queue;

pub use capability::{CmdCap, EngCap, GenCap, GrpCap, IaaCap, OpCap, TableOffsets, Version, WqCap};
pub use command::{Cmd, CmdCode, CmdError, CmdStatus, SoftCmdStatus};
pub use control::{DeviceState, GenCfg, GenCtrl, GenSts, IntCause, ResetType};
pub use event_log::{EvlCfg, EvlStatus};
pub use group::{GrpCfg, GrpFlags};
pub use inter_domain::{IdCap, Idbr};
pub use interrupt::{ImsControl, InterruptEntry, MsixPerm};
pub use numeric::{DsaCap0, DsaCap1, DsaCap2};
pub use portal::Portal;
pub use software_error::{SwError, SwErrorDescriptor};
pub use work_queue::{WqCfg, WqState};

/// Offset of [`Version`] in BAR0, 4 bytes (DSA §9.2.1).
pub const VERSION: u64 = 0x00;
/// Offset of [`GenCap`] in BAR0, 8 bytes (DSA §9.2.2).
pub const GENCAP: u64 = 0x10;
/// Offset of [`WqCap`] in BAR0, 8 bytes (DSA §9.2.3).
pub const WQCAP: u64 = 0x20;
/// Offset of [`GrpCap`] in BAR0, 8 bytes (DSA §9.2.4).
pub const GRPCAP: u64 = 0x30;
/// Offset of [`EngCap`] in BAR0, 8 bytes (DSA §9.2.5).
pub const ENGCAP: u64 = 0x38;
/// Offset of [`OpCap`] in BAR0, 32 bytes (DSA §9.2.6).
pub const OPCAP: u64 = 0x40;
/// Offset of [`TableOffsets`] in BAR0, 16 bytes (DSA §9.2.7).
pub const OFFSETS: u64 = 0x60;
/// Offset of [`GenCfg`] in BAR0, 4 bytes (DSA §9.2.8).
pub const GENCFG: u64 = 0x80;
/// Offset of [`GenCtrl`] in BAR0, 4 bytes (DSA §9.2.9).
pub const GENCTRL: u64 = 0x88;
/// Offset of [`GenSts`] in BAR0, 4 bytes (DSA §9.2.10).
pub const GENSTS: u64 = 0x90;
/// Offset of [`IntCause`] in BAR0, 4 bytes (DSA §9.2.11).
pub const INTCAUSE: u64 = 0x98;
/// Offset of [`Cmd`] in BAR0, 4 bytes (DSA §9.2.12).
pub const CMD: u64 = 0xa0;
/// Offset of [`CmdStatus`] in BAR0, 4 bytes (DSA §9.2.13).
pub const CMDSTATUS: u64 = 0xa8;
/// Offset of [`CmdCap`] in BAR0, 8 bytes (DSA §9.2.14).
pub const CMDCAP: u64 = 0xb0;
/// Offset of [`SwError`] in BAR0, 32 bytes (DSA §9.2.15).
pub const SWERROR: u64 = 0xc0;
/// Offset of [`EvlCfg`] in BAR0, 16 bytes (DSA §9.2.16).
pub const EVLCFG: u64 = 0xe0;
/// Offset of [`EvlStatus`] in BAR0, 8 bytes (DSA §9.2.17).
pub const EVLSTATUS: u64 = 0xf0;
/// Offset of [`IdCap`] in BAR0, 8 bytes (DSA §9.2.18).
pub const IDCAP: u64 = 0x100;
/// Offset of [`Idbr`] in BAR0, 4 bytes (DSA §9.2.19).
pub const IDBR: u64 = 0x108;
/// Offset of [`DsaCap0`] in BAR0, 8 bytes (DSA §9.2.30).
pub const DSACAP0: u64 = 0x180;
/// Offset of [`DsaCap1`] in BAR0, 8 bytes (DSA §9.2.31).
pub const DSACAP1: u64 = 0x188;
/// Offset of [`DsaCap2`] in BAR0, 8 bytes (DSA §9.2.32).
pub const DSACAP2: u64 = 0x190;
/// Offset of [`IaaCap`] in BAR0 of an IAA, 8 bytes (IAA §7.2.2).
pub const IAACAP: u64 = 0x180;
/// Offset of the command parameter in BAR0, 8 bytes (DSA §9.2.20).
pub const CMDPARAM: u64 = 0xe000;
/// Offset of the dummy portal in BAR0, one page (DSA §9.2.21).
pub const DUMMY: u64 = 0xf000;

/// Bits `high..=low` of `register`, moved down.
const fn bits(register: u64, high: u32, low: u32) -> u64 {
    register << (63 - high) >> (63 - high + low)
}

/// Whether bit `at` of `register` is 1.
const fn bit(register: u64, at: u32) -> bool {
    register >> at & 1 != 0
}

/// A field of at most eight bits.
#[expect(clippy::cast_possible_truncation, reason = "callers pass eight bits or fewer")]
const fn bits_u8(register: u64, high: u32, low: u32) -> u8 {
    bits(register, high, low) as u8
}

/// A field of at most sixteen bits.
#[expect(clippy::cast_possible_truncation, reason = "callers pass sixteen bits or fewer")]
const fn bits_u16(register: u64, high: u32, low: u32) -> u16 {
    bits(register, high, low) as u16
}

/// A field of at most thirty-two bits.
#[expect(clippy::cast_possible_truncation, reason = "callers pass thirty-two bits or fewer")]
const fn bits_u32(register: u64, high: u32, low: u32) -> u32 {
    bits(register, high, low) as u32
}

/// Declares a register: the newtype over its integer and one reader, and a setter if named, for each field.
macro_rules! register {
    (
        $(#[$doc:meta])*
        $name:ident: $raw:ty {
            $($(#[$field_doc:meta])* $field:ident $(/ $setter:ident)?: $kind:tt $high:literal $(, $low:literal)?;)*
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
        pub struct $name(pub $raw);

        impl $name {
            $(crate::register::register!(@field $raw, $(#[$field_doc])* $field $(/ $setter)?: $kind $high $(, $low)?);)*
        }

        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.debug_struct(stringify!($name))
                    .field("raw", &format_args!("{:#x}", self.0))
                    $(.field(stringify!($field), &self.$field()))*
                    .finish()
            }
        }
    };
    (@field $raw:ty, $(#[$doc:meta])* $field:ident: bit $at:literal) => {
        $(#[$doc])*
        #[must_use]
        pub const fn $field(self) -> bool {
            crate::register::bit(self.0 as u64, $at)
        }
    };
    (@field $raw:ty, $(#[$doc:meta])* $field:ident / $setter:ident: bit $at:literal) => {
        crate::register::register!(@field $raw, $(#[$doc])* $field: bit $at);

        #[doc = concat!("Sets [`", stringify!($field), "`](Self::", stringify!($field), ").")]
        #[must_use]
        pub const fn $setter(self, on: bool) -> Self {
            let mask: $raw = 1 << $at;
            Self(if on { self.0 | mask } else { self.0 & !mask })
        }
    };
    (@field $raw:ty, $(#[$doc:meta])* $field:ident: u8 $high:literal, $low:literal) => {
        $(#[$doc])*
        #[must_use]
        pub const fn $field(self) -> u8 {
            crate::register::bits_u8(self.0 as u64, $high, $low)
        }
    };
    (@field $raw:ty, $(#[$doc:meta])* $field:ident: u16 $high:literal, $low:literal) => {
        $(#[$doc])*
        #[must_use]
        pub const fn $field(self) -> u16 {
            crate::register::bits_u16(self.0 as u64, $high, $low)
        }
    };
    (@field $raw:ty, $(#[$doc:meta])* $field:ident: u32 $high:literal, $low:literal) => {
        $(#[$doc])*
        #[must_use]
        pub const fn $field(self) -> u32 {
            crate::register::bits_u32(self.0 as u64, $high, $low)
        }
    };
    (@field $raw:ty, $(#[$doc:meta])* $field:ident / $setter:ident: $kind:tt $high:literal, $low:literal) => {
        crate::register::register!(@field $raw, $(#[$doc])* $field: $kind $high, $low);

        #[doc = concat!("Sets [`", stringify!($field), "`](Self::", stringify!($field), "). Bits beyond it are dropped.")]
        #[must_use]
        pub const fn $setter(self, value: $kind) -> Self {
            let mask = <$raw>::MAX >> (<$raw>::BITS - 1 - $high + $low);
            Self(self.0 & !(mask << $low) | (value as $raw & mask) << $low)
        }
    };
}
use register;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Opcode, Status};

    /// The value a first-generation IAA shows in `gen_cap`.
    #[test]
    fn gencap_of_an_iaa_reads_as_its_features() {
        let gencap = GenCap(0x0007_1f10_901f_0105);
        assert!(gencap.block_on_fault() && gencap.cache_control() && gencap.dst_readback());
        assert!(!gencap.overlapping_copy() && !gencap.batch_continuation() && !gencap.fault_info());
        assert!(gencap.configurable() && gencap.decompress() && gencap.indexing());
        assert_eq!(gencap.transfer_bytes_max(), 1 << 31);
    }

    #[test]
    fn setter_changes_its_field_only() {
        let all = GenCap(u64::MAX).with_event_log(1).with_transfer_bytes_max_log2(21);
        assert_eq!(all.event_log_entry_size(), Some(64));
        assert_eq!(all.transfer_bytes_max(), 1 << 21);
        assert_eq!(all.with_event_log(3).with_transfer_bytes_max_log2(31), GenCap(u64::MAX));
        assert_eq!(WqCap(0).with_queues(8).with_total_size(128), WqCap(0x0008_0080));
    }

    #[test]
    fn opcode_bits_cross_words() {
        let ops = OpCap::default().with(Opcode::NOOP).with(Opcode::EXPAND).with(Opcode(0xff));
        assert_eq!(ops.0, [1, 1 << 0x16, 0, 1 << 63]);
        assert!(ops.iter().eq([Opcode::NOOP, Opcode::EXPAND, Opcode(0xff)]));
    }

    #[test]
    fn table_offsets_survive_the_round_trip() {
        let tables = TableOffsets::new([0x600, 0x800, 0x400, 0x8000, 0x2000, 0x9000]);
        assert_eq!((tables.group_config(), tables.wq_config()), (0x600, 0x800));
        assert_eq!((tables.msix_permissions(), tables.interrupt_storage()), (0x400, 0x8000));
        assert_eq!((tables.performance_monitor(), tables.inter_domain_permissions()), (0x2000, 0x9000));
    }

    /// The examples of DSA §9.2.12: work queues 1, 4 and 7, and 21 and 22.
    #[test]
    fn wq_operand_matches_the_specification() {
        assert_eq!(Cmd::wq_operand(1) | Cmd::wq_operand(4) | Cmd::wq_operand(7), 0x00092);
        assert_eq!(Cmd::wq_operand(21) | Cmd::wq_operand(22), 0x10060);
        let cmd = Cmd::new(CmdCode::DRAIN_WQ).with_operand(0x10060).with_interrupt(true);
        assert_eq!((cmd.0, cmd.code(), cmd.operand()), (0x8081_0060, CmdCode::DRAIN_WQ, 0x10060));
    }

    #[test]
    fn wq_configuration_reads_what_was_set() {
        let operations = OpCap([7, 1 << 40, 0, 2]);
        let wq = WqCfg::default().with_size(64).with_pasid(0xabcde).with_priority(10).with_dedicated(true);
        let wq = wq.with_operations(operations).with_state(WqState::ENABLED);
        assert_eq!((wq.size(), wq.pasid(), wq.priority(), wq.dedicated()), (64, 0xabcde, 10, true));
        assert_eq!((wq.operations(), wq.state()), (operations, WqState::ENABLED));
        assert_eq!(wq.0[2], 0x0abc_dea1);
    }

    #[test]
    fn software_error_reads_what_was_set() {
        let descriptor =
            SwErrorDescriptor { opcode: Opcode::MEMMOVE, pasid: 5, privileged: false, batch_index: Some(3) };
        let error = SwError::new(Status::COMPLETION_PAGE_FAULT).with_wq(2).with_descriptor(descriptor);
        let error = error.with_write().with_addr(0x7000).with_information(5 << 29);
        assert!(error.valid() && error.is_write() && !error.overflow());
        assert_eq!(
            (error.code(), error.wq(), error.addr()),
            (Status::COMPLETION_PAGE_FAULT, Some(2), 0x7000)
        );
        assert_eq!((error.descriptor(), error.operand()), (Some(descriptor), crate::Operand::COMPLETION));
        assert_eq!(SwError::default().descriptor(), None);
    }

    /// The first example of DSA appendix D.3, and the filters of the second.
    #[test]
    fn counter_configuration_matches_the_specification() {
        let submissions =
            perfmon::CntrCfg(0).with_enable(true).with_overflow_interrupt(true).with_events(0xf);
        assert_eq!(submissions.0, 0xf_0000_0003);
        let difs = submissions.with_category(perfmon::Category::Operations as u8).with_events(0xf000);
        assert_eq!(difs.0, 0xf000_0000_0303);
        assert_eq!([4095, 4096, 1 << 20].map(perfmon::size_range), [0x4, 0x8, 0x20]);
    }

    #[test]
    fn event_log_registers_read_what_was_set() {
        let log = EvlCfg::new(0x1234_5000, 64).with_pasid(0xabcde, true);
        assert_eq!(log.0, [0x1234_5003, 0xa_bcde_0040]);
        assert_eq!((log.base(), log.size(), log.pasid()), (0x1234_5000, 64, 0xabcde));
        assert!(log.0[0] & !EvlCfg::MASK[0] == 0 && log.0[1] & !EvlCfg::MASK[1] == 0);
        let status = EvlStatus(0).with_head(0x1111).with_tail(0x2222).with_interrupt_pending(true);
        assert_eq!(status.0, 0x4000_2222_0000_1111);
    }

    #[test]
    fn interrupt_entries_read_what_was_set() {
        let permission = MsixPerm(0).with_pasid(0xabcde).with_pasid_enable(true).with_ignore(true);
        assert_eq!(permission.0, 0xabcd_e00c);
        let entry = InterruptEntry { index: 0x123, storage: true };
        assert_eq!(entry.operand(), 0x1_0123);
        assert_eq!(InterruptEntry::from_operand(0x1_0123), Some(entry));
        assert_eq!(InterruptEntry::from_operand(0x2_0000), None);
    }

    #[test]
    fn portals_are_four_to_a_work_queue() {
        assert_eq!(Portal::Limited.offset(2), 0x9000);
        assert_eq!(Portal::at(0x9fc0), Some((2, Portal::Limited)));
        assert_eq!(Portal::at(u64::MAX), None);
    }
}
