//! The registers of BAR0 as software reads and writes them (DSA §9.2).
//!
//! Everything is looked at as aligned words of 8 bytes; a narrower access is part of one, and a write says by a mask
//! which bits it is about. What is read-only at the moment is left out of the mask, so a write to it is ignored, as
//! tables 9-4 and 9-7 want.

use std::sync::atomic::Ordering;

use idxd_spec::PermissionEntry;
use idxd_spec::register::perfmon::{CNTRCAP, CNTRCFG};
use idxd_spec::register::{
    CMD, CMDCAP, CMDPARAM, CMDSTATUS, DSACAP0, DSACAP2, ENGCAP, EVLCFG, EVLSTATUS, EvlCfg, GENCAP, GENCFG,
    GENCTRL, GENSTS, GRPCAP, GrpCfg, IDBR, IDCAP, INTCAUSE, MsixPerm, OFFSETS, OPCAP, SWERROR, VERSION,
    WQCAP, WqCfg, WqState,
};

use crate::bus::Bus;
use crate::capability::table;
use crate::index::{index, low_half};
use crate::model::Model;

/// Bytes of BAR0.
pub const BAR0_BYTES: u64 = 0x1_0000;

/// GENCFG: event log, user-mode interrupts, global read buffer limit.
const GENCFG_MASK: u64 = 0x30ff;
/// IDBR without what is reserved (DSA §9.2.19).
const IDBR_MASK: u64 = 0x0fff_ff1f;
/// GRPFLAGS without what is reserved (DSA §9.2.23).
const GRPFLAGS_MASK: u64 = 0x0000_ff33_0ff0_ffbf;

impl<B: Bus> Model<B> {
    /// A read of `size` bytes at `offset` in BAR0: 1, 2, 4 or 8, aligned. Anything else reads as 0.
    pub fn read(&self, offset: u64, size: u32) -> u64 {
        let Some((word, shift, mask)) = part(offset, size) else { return 0 };
        self.word(word) >> shift & mask >> shift
    }

    /// A write of `size` bytes at `offset` in BAR0: 1, 2, 4 or 8, aligned. Anything else is ignored.
    pub fn write(&self, offset: u64, size: u32, value: u64) {
        if let Some((word, shift, mask)) = part(offset, size) {
            self.set_word(word, value << shift & mask, mask);
        }
    }

    fn word(&self, offset: u64) -> u64 {
        let cap = &self.capabilities;
        match offset {
            VERSION => (cap.version as u64) << 8,
            GENCAP => cap.gen_cap.0,
            WQCAP => cap.wq_cap.0,
            GRPCAP => cap.grp_cap.0,
            ENGCAP => cap.eng_cap.0,
            OPCAP..OFFSETS => cap.op_cap.0[index((offset - OPCAP) / 8)],
            OFFSETS => cap.offsets.0[0],
            0x68 => cap.offsets.0[1],
            GENCFG => self.control.lock().gen_cfg.0.into(),
            GENCTRL => self.gen_ctrl.load(Ordering::Relaxed).into(),
            GENSTS => self.control.lock().gen_sts().0.into(),
            INTCAUSE => self.interrupts.cause().into(),
            CMDSTATUS => self.control.lock().cmd_status.0.into(),
            CMDCAP if cap.gen_cap.command_capabilities() => cap.cmd_cap.0,
            SWERROR..EVLCFG => self.software_error.word(index((offset - SWERROR) / 8)),
            EVLCFG..EVLSTATUS => self.control.lock().evl_cfg.0[index((offset - EVLCFG) / 8)],
            EVLSTATUS => self.event_log.status(),
            IDCAP => cap.id_cap.0,
            IDBR => self.control.lock().idbr.0.into(),
            DSACAP0..=DSACAP2 => cap.specific(index((offset - DSACAP0) / 8)),
            CMDPARAM => self.control.lock().cmd_param,
            _ => self.table_word(offset),
        }
    }

    fn table_word(&self, offset: u64) -> u64 {
        match offset {
            table::MSIX_PERMISSIONS..table::GROUP_CONFIG => self
                .interrupts
                .permission(index((offset - table::MSIX_PERMISSIONS) / MsixPerm::STRIDE))
                .into(),
            table::GROUP_CONFIG..table::WQ_CONFIG => {
                let (group, at) = place(offset - table::GROUP_CONFIG, GrpCfg::SIZE);
                self.control.lock().groups.get(group).map_or(0, |group| group_word(group, at))
            }
            table::WQ_CONFIG..table::PERFORMANCE_MONITOR => {
                let (queue, at) =
                    place(offset - table::WQ_CONFIG, self.capabilities.wq_cap.wqcfg_size().into());
                self.wq_word(queue, at)
            }
            table::PERFORMANCE_MONITOR.. if offset < table::PERFORMANCE_MONITOR + CNTRCAP => {
                self.perfmon.word(offset - table::PERFORMANCE_MONITOR)
            }
            table::INTERRUPT_STORAGE..table::INTER_DOMAIN_PERMISSIONS => {
                self.interrupts.storage_word(offset - table::INTERRUPT_STORAGE)
            }
            table::INTER_DOMAIN_PERMISSIONS..CMDPARAM => {
                let (entry, at) = self.permission_place(offset);
                self.permission_entry(entry).map_or(0, |entry| permission_word(&entry, at))
            }
            _ => 0,
        }
    }

    fn wq_word(&self, queue: usize, at: u64) -> u64 {
        let Some(work_queue) = self.queues.get(queue) else { return 0 };
        let low = index(at / 4);
        if at == 24 {
            return work_queue.status_word().into();
        }
        let control = self.control.lock();
        let word = |at: usize| control.queues.get(queue).map_or(0, |config| u64::from(config.0[at]));
        word(low) | word(low + 1) << 32
    }

    fn set_word(&self, offset: u64, value: u64, mask: u64) {
        let merge = |old: u64, allowed: u64| old & !(mask & allowed) | value & allowed;
        match offset {
            GENCFG => {
                let has_log = self.capabilities.gen_cap.event_log_entry_size().is_some();
                let allowed = if has_log { GENCFG_MASK } else { GENCFG_MASK & !0x2000 };
                let mut control = self.control.lock();
                if control.is_disabled() {
                    control.gen_cfg.0 = low_half(merge(control.gen_cfg.0.into(), allowed));
                }
            }
            GENCTRL => {
                let allowed = if self.capabilities.gen_cap.event_log_entry_size().is_some() { 7 } else { 3 };
                let old = self.gen_ctrl.load(Ordering::Relaxed);
                self.gen_ctrl.store(low_half(merge(old.into(), allowed)), Ordering::Relaxed);
            }
            INTCAUSE => self.interrupts.clear_cause(low_half(value)),
            CMD if low_half(mask) == u32::MAX => self.write_cmd(low_half(value)),
            SWERROR => self.software_error.clear_bits(value),
            EVLCFG..EVLSTATUS => {
                let at = index((offset - EVLCFG) / 8);
                let has_log = self.capabilities.gen_cap.event_log_entry_size().is_some();
                let mut control = self.control.lock();
                if control.is_disabled() && has_log {
                    control.evl_cfg.0[at] = merge(control.evl_cfg.0[at], EvlCfg::MASK[at]);
                }
            }
            EVLSTATUS => self.event_log.set_status(value, mask),
            IDBR if self.capabilities.id_cap.submitter_bitmap() => {
                let mut control = self.control.lock();
                if control.is_disabled() {
                    control.idbr.0 = low_half(merge(control.idbr.0.into(), IDBR_MASK));
                }
            }
            CMDPARAM => {
                let mut control = self.control.lock();
                control.cmd_param = merge(control.cmd_param, u64::MAX);
            }
            _ => self.set_table_word(offset, value, mask),
        }
    }

    fn set_table_word(&self, offset: u64, value: u64, mask: u64) {
        match offset {
            table::MSIX_PERMISSIONS..table::GROUP_CONFIG => {
                let at = index((offset - table::MSIX_PERMISSIONS) / MsixPerm::STRIDE);
                self.interrupts.set_permission(at, low_half(value), low_half(mask));
            }
            table::GROUP_CONFIG..table::WQ_CONFIG => {
                let (group, at) = place(offset - table::GROUP_CONFIG, GrpCfg::SIZE);
                let mut control = self.control.lock();
                if control.is_disabled()
                    && let Some(group) = control.groups.get_mut(group)
                {
                    set_group_word(group, at, value, mask);
                }
            }
            table::WQ_CONFIG..table::PERFORMANCE_MONITOR => {
                let (queue, at) =
                    place(offset - table::WQ_CONFIG, self.capabilities.wq_cap.wqcfg_size().into());
                self.set_wq_word(queue, index(at / 4), value, mask);
            }
            table::PERFORMANCE_MONITOR.. if offset < table::PERFORMANCE_MONITOR + CNTRCAP => {
                let at = offset - table::PERFORMANCE_MONITOR;
                // What is below the first counter and is not a control register is read-only.
                if !(0x40..CNTRCFG).contains(&at) {
                    self.perfmon.set_word(at, value, mask);
                }
            }
            table::INTERRUPT_STORAGE..table::INTER_DOMAIN_PERMISSIONS => {
                self.interrupts.set_storage_word(offset - table::INTERRUPT_STORAGE, value, mask);
            }
            table::INTER_DOMAIN_PERMISSIONS..CMDPARAM => {
                let (index, at) = self.permission_place(offset);
                let Some(old) = self.permission_entry(index) else { return };
                let word = permission_word(&old, at) & !mask | value & mask;
                let mut bytes = *old.as_bytes();
                if let Some(place) = bytes.get_mut(at..at + 8) {
                    place.copy_from_slice(&word.to_le_bytes());
                    self.set_permission_entry(index, &PermissionEntry::from_bytes(bytes));
                }
            }
            _ => {}
        }
    }

    /// The entry of the inter-domain permissions table that `offset` is in, and where in it.
    fn permission_place(&self, offset: u64) -> (u16, usize) {
        let stride = self.capabilities.id_cap.permission_entry_size();
        let (entry, at) = place(offset - table::INTER_DOMAIN_PERMISSIONS, stride.into());
        (u16::try_from(entry).unwrap_or(u16::MAX), index(at))
    }

    /// Two words of WQCFG, by the rules of table 9-7.
    fn set_wq_word(&self, queue: usize, low: usize, value: u64, mask: u64) {
        let Some(work_queue) = self.queues.get(queue) else { return };
        let mut alarm = None;
        let mut control = self.control.lock();
        let is_device_disabled = control.is_disabled();
        let is_disabled = is_device_disabled || work_queue.wq_state() == WqState::DISABLED;
        let Some(config) = control.queues.get_mut(queue) else { return };
        for (at, shift) in [(low, 0), (low + 1, 32)] {
            let (value, mask) = (low_half(value >> shift), low_half(mask >> shift));
            let allowed = self.writable(config, at, value & mask, (is_device_disabled, is_disabled));
            if at < 16 {
                config.0[at] = config.0[at] & !(mask & allowed) | value & mask & allowed;
            }
            match at {
                1 if mask != 0 => work_queue.set_threshold(config.threshold()),
                5 if mask != 0 => {
                    let limit = config.occupancy_limit();
                    alarm = work_queue.set_occupancy_interrupt(config.occupancy_interrupt(), limit);
                }
                6 if value & mask & 1 << 16 != 0 => alarm = work_queue.clear_occupancy_interrupt(),
                _ => {}
            }
        }
        drop(control);
        if let Some(alarm) = alarm {
            self.raise_alarm(alarm);
        }
    }

    /// The bits of a word of WQCFG that software may write now.
    fn writable(&self, config: &WqCfg, at: usize, value: u32, (device, queue): (bool, bool)) -> u32 {
        let cap = self.capabilities.wq_cap;
        let when = |holds: bool, bits: u32| if holds { bits } else { 0 };
        match at {
            0 => when(device, 0xffff),
            1 => 0xffff,
            // Bits that need a capability stay writable without it: the enable command then says what is wrong.
            2 => when(queue, 0x3fff_ffff),
            3 => when(queue, 0x1fff),
            4 => when(queue && cap.occupancy_interrupt(), 0x1_ffff),
            // The limit is locked while the interrupt is enabled, but for a write that enables it.
            5 if config.occupancy_interrupt() && value & 1 << 16 != 0 => 1 << 16,
            5 => when(cap.occupancy_interrupt(), 0x1_ffff),
            8..16 => when(queue && cap.operation_config(), u32::MAX),
            _ => 0,
        }
    }
}

/// The aligned word of 8 bytes that an access is part of, where in it, and which of its bits.
fn part(offset: u64, size: u32) -> Option<(u64, u64, u64)> {
    let is_valid = matches!(size, 1 | 2 | 4 | 8) && offset.is_multiple_of(size.into()) && offset < BAR0_BYTES;
    let shift = offset % 8 * 8;
    is_valid.then(|| (offset & !7, shift, u64::MAX >> (64 - 8 * size) << shift))
}

/// The entry of a table that `offset` is in, and where in it.
fn place(offset: u64, stride: u64) -> (usize, u64) {
    (index(offset / stride), offset % stride)
}

fn permission_word(entry: &PermissionEntry, at: usize) -> u64 {
    let mut word = [0; 8];
    if let Some(bytes) = entry.as_bytes().get(at..at + 8) {
        word.copy_from_slice(bytes);
    }
    u64::from_le_bytes(word)
}

fn group_word(group: &GrpCfg, at: u64) -> u64 {
    match at {
        GrpCfg::WQS..GrpCfg::ENGINES => group.wqs[index(at / 8)],
        GrpCfg::ENGINES => group.engines,
        GrpCfg::FLAGS => group.flags.0,
        _ => 0,
    }
}

fn set_group_word(group: &mut GrpCfg, at: u64, value: u64, mask: u64) {
    let word = match at {
        GrpCfg::WQS..GrpCfg::ENGINES => &mut group.wqs[index(at / 8)],
        GrpCfg::ENGINES => &mut group.engines,
        GrpCfg::FLAGS => &mut group.flags.0,
        _ => return,
    };
    let allowed = if at == GrpCfg::FLAGS { GRPFLAGS_MASK } else { u64::MAX };
    *word = *word & !(mask & allowed) | value & mask & allowed;
}
