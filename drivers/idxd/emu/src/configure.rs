//! From a [`DeviceConfig`] to register writes and commands: what a kernel driver does when it enables a device.
//!
//! So a device in this process passes the same checks as one behind PCI.

use std::time::{Duration, Instant};

use idxd_spec::register::{
    CMD, CMDSTATUS, Cmd, CmdCode, CmdError, CmdStatus, EVLCFG, EvlCfg, GENCFG, GENCTRL, GenCfg, GenCtrl,
    GrpCfg, GrpFlags, WqCfg,
};

use crate::bus::Bus;
use crate::capability::table;
use crate::config::GroupConfig;
use crate::model::Model;
use crate::{DeviceConfig, Error};

/// How long a command that enables something may take: it has nothing to wait for but another command.
const COMMAND_TIME: Duration = Duration::from_secs(10);

/// Who uses the device, and where its event log is.
pub(crate) struct Identity {
    /// The PASID of dedicated work queues.
    pub(crate) pasid: u32,
    pub(crate) event_log: Option<EvlCfg>,
}

impl<B: Bus> Model<B> {
    /// Configures and enables the device and its work queues.
    pub(crate) fn configure(&self, config: &DeviceConfig, identity: &Identity) -> Result<(), Error> {
        let prs = config.prs && config.pci.prs;
        self.set_pci(crate::PciConfig { prs, ..config.pci });
        let gen_cfg = GenCfg(self.read_u32(GENCFG))
            .with_user_interrupts(config.user_interrupts)
            .with_event_log(identity.event_log.is_some());
        self.write(GENCFG, 4, gen_cfg.0.into());
        if let Some(log) = identity.event_log {
            self.write(EVLCFG, 8, log.0[0]);
            self.write(EVLCFG + 8, 8, log.0[1]);
        }
        let control = GenCtrl(0).with_software_error_interrupt(true).with_halt_interrupt(true);
        self.write(GENCTRL, 4, control.with_event_log_interrupt(identity.event_log.is_some()).0.into());
        for (group, config) in groups(config).iter().enumerate() {
            self.write_group(group, config);
        }
        for (queue, queue_config) in config.queues.iter().enumerate() {
            let mut wq = queue_config.register(config.kind, identity.pasid);
            wq = wq.with_block_on_fault(wq.block_on_fault() && prs);
            wq = wq.with_list_entries_max_log2(self.capabilities.list_entries_max_log2());
            let operations = queue_config.operations.unwrap_or(self.capabilities.op_cap);
            self.write_wq(queue, &wq.with_operations(operations));
        }
        self.execute_named(Cmd::new(CmdCode::ENABLE_DEVICE), || "enable device".into())?;
        for queue in 0..config.queues.len() {
            let index = u32::try_from(queue).unwrap_or(u32::MAX);
            let enable = Cmd::new(CmdCode::ENABLE_WQ).with_operand(index);
            self.execute_named(enable, || format!("enable wq{queue}"))?;
        }
        Ok(())
    }

    fn write_group(&self, group: usize, config: &GrpCfg) {
        let base = table::GROUP_CONFIG + group as u64 * GrpCfg::SIZE;
        for (at, word) in (0..).step_by(8).zip(config.wqs) {
            self.write(base + GrpCfg::WQS + at, 8, word);
        }
        self.write(base + GrpCfg::ENGINES, 8, config.engines);
        // Those of a default are what the register has after a reset.
        if config.flags != GrpFlags(0) {
            self.write(base + GrpCfg::FLAGS, 8, config.flags.0);
        }
    }

    fn write_wq(&self, queue: usize, config: &WqCfg) {
        let size = u64::from(self.capabilities.wq_cap.wqcfg_size());
        let base = table::WQ_CONFIG + queue as u64 * size;
        // Without what is not there, and without what would be a command to the device: state and occupancy.
        for (at, word) in config.0.iter().enumerate().filter(|(at, _)| *at != 6) {
            let offset = at as u64 * 4;
            if offset < size {
                self.write(base + offset, 4, (*word).into());
            }
        }
    }

    fn read_u32(&self, offset: u64) -> u32 {
        u32::try_from(self.read(offset, 4)).unwrap_or(0)
    }

    fn execute_named(&self, cmd: Cmd, name: impl Fn() -> String) -> Result<(), Error> {
        let refused = |error| Error::Refused { command: name(), error };
        self.execute(cmd, Instant::now() + COMMAND_TIME).map(drop).map_err(refused)
    }

    /// Issues an administrative command when none is active, and waits for its end. The error is that of CMDSTATUS, or
    /// [`CmdError::HARDWARE`] at the deadline.
    pub(crate) fn execute(&self, cmd: Cmd, deadline: Instant) -> Result<u16, CmdError> {
        let status = || CmdStatus(self.read_u32(CMDSTATUS));
        let is_idle = || !status().active();
        if !self.command_ended.wait_until(deadline, is_idle) {
            return Err(CmdError::HARDWARE);
        }
        self.write(CMD, 4, cmd.0.into());
        if !self.command_ended.wait_until(deadline, is_idle) {
            return Err(CmdError::HARDWARE);
        }
        let status = status();
        if status.error() == CmdError::NONE { Ok(status.result()) } else { Err(status.error()) }
    }
}

/// The groups as registers have them.
fn groups(config: &DeviceConfig) -> Vec<GrpCfg> {
    let everything = [GroupConfig {
        queues: (0..config.queues.len()).collect(),
        engines: (0..config.engines).collect(),
        flags: GrpFlags(0),
    }];
    let groups = if config.groups.is_empty() { &everything[..] } else { &config.groups };
    groups.iter().map(group).collect()
}

fn group(config: &GroupConfig) -> GrpCfg {
    let mut this = GrpCfg { flags: config.flags, ..GrpCfg::default() };
    for queue in config.queues.iter().filter(|queue| **queue < 256) {
        this.wqs[queue / 64] |= 1 << (queue % 64);
    }
    for engine in config.engines.iter().filter(|engine| **engine < 64) {
        this.engines |= 1 << engine;
    }
    this
}
