//! Administrative commands: begun by a write of CMD, ended when the last descriptor they wait for is finished
//! (DSA §3.15, §9.2.12).
//!
//! No thread runs them. What can be done at once is done by the write; what has to wait leaves a [`Pending`], and every
//! engine that finishes a descriptor looks whether that was the last. So the Active bit is on for as long as work is in
//! flight, and a write never waits.

use std::sync::atomic::Ordering;

use idxd_spec::register::{
    Cmd, CmdCode, CmdError, CmdStatus, DeviceState, InterruptEntry, ResetType, WqState,
};
use idxd_spec::{EventLogEntry, Status};

use crate::bus::Bus;
use crate::config::QueueConfig;
use crate::control::Control;
use crate::enable;
use crate::interrupt::Cause;
use crate::model::Model;
use crate::rules::Rules;
use crate::software_error;
use crate::work_queue::{Alarm, Scope};

/// A command that waits.
pub(crate) struct Pending {
    cmd: Cmd,
    /// Work queues, and what of them has to be finished.
    waits: Vec<(usize, Scope)>,
    then: Then,
}

/// What a command does when it need not wait any longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Nothing,
    DisableQueues,
    ResetQueues,
    DisableDevice,
    ResetDevice,
}

/// What the beginning of a command led to.
enum Begun {
    /// It is done, with this result.
    Done(u16),
    /// It is done, and an occupancy interrupt is due.
    Alarm(Alarm),
    /// It waits.
    Waits(Vec<(usize, Scope)>, Then),
}

type Outcome = Result<Begun, CmdError>;

impl<B: Bus> Model<B> {
    /// A write of CMD.
    pub(crate) fn write_cmd(&self, value: u32) {
        let cmd = Cmd(value);
        let mut control = self.control.lock();
        if control.pending.is_some() {
            drop(control);
            self.record_software_error(software_error::register_form(&EventLogEntry::new(
                Status::COMMAND_BUSY,
            )));
            return;
        }
        self.counters.commands.add(1);
        control.cmd_status = CmdStatus(0).with_active(true);
        let outcome = self.begin(&mut control, cmd);
        let mut alarm = None;
        match outcome {
            Err(error) => control.cmd_status = CmdStatus(0).with_error(error),
            Ok(Begun::Done(result)) => control.cmd_status = CmdStatus(0).with_result(result),
            Ok(Begun::Alarm(due)) => {
                control.cmd_status = CmdStatus(0);
                alarm = Some(due);
            }
            Ok(Begun::Waits(waits, then)) => {
                control.pending = Some(Pending { cmd, waits, then });
                self.has_pending.store(true, Ordering::SeqCst);
                drop(control);
                self.poll_command();
                return;
            }
        }
        drop(control);
        if let Some(alarm) = alarm {
            self.raise_alarm(alarm);
        }
        self.notify_command(cmd);
    }

    /// Ends the command that waits, if nothing it waits for is left.
    pub(crate) fn poll_command(&self) {
        let mut control = self.control.lock();
        let is_over = |pending: &mut Pending| {
            pending.waits.retain(|(queue, scope)| !self.queues[*queue].is_clear(*scope));
            pending.waits.is_empty()
        };
        let Some(pending) = control.pending.take_if(is_over) else { return };
        self.has_pending.store(false, Ordering::SeqCst);
        self.end(&mut control, &pending);
        control.cmd_status = CmdStatus(0);
        drop(control);
        self.notify_command(pending.cmd);
    }

    fn notify_command(&self, cmd: Cmd) {
        self.command_ended.notify();
        if cmd.interrupt() {
            self.raise(Cause::Command);
        }
    }

    fn begin(&self, control: &mut Control, cmd: Cmd) -> Outcome {
        let code = cmd.code();
        if !self.capabilities.cmd_cap.contains(code) {
            return Err(CmdError::BAD_COMMAND);
        }
        if cmd.0 & RESERVED != 0 {
            return Err(CmdError::RESERVED_NOT_ZERO);
        }
        let brings_back = code == CmdCode::RESET_DEVICE && control.reset == ResetType::Software;
        if control.state == DeviceState::Halted && !brings_back {
            return Err(CmdError::HALTED);
        }
        match code {
            CmdCode::ENABLE_DEVICE => no_operand(cmd).and_then(|()| self.enable_device(control)),
            CmdCode::DISABLE_DEVICE => no_operand(cmd).and_then(|()| self.disable_device(control)),
            CmdCode::RESET_DEVICE => no_operand(cmd).map(|()| self.reset_device(control)),
            CmdCode::DRAIN_ALL => no_operand(cmd).map(|()| self.drain_all(None)),
            CmdCode::ABORT_ALL => no_operand(cmd).map(|()| self.abort(self.drain_all(None))),
            CmdCode::DRAIN_PASID => Ok(self.drain_all(Some(cmd.operand()))),
            CmdCode::ABORT_PASID => Ok(self.abort(self.drain_all(Some(cmd.operand())))),
            CmdCode::ENABLE_WQ => self.enable_wq(control, cmd),
            CmdCode::DISABLE_WQ => self.disable_wqs(cmd),
            CmdCode::DRAIN_WQ => self.enabled(cmd).map(|queues| self.drain_queues(&queues)),
            CmdCode::ABORT_WQ => self.enabled(cmd).map(|queues| self.abort(self.drain_queues(&queues))),
            CmdCode::RESET_WQ => self.reset_wqs(cmd),
            CmdCode::REQUEST_INTERRUPT_HANDLE => {
                let entry = InterruptEntry::from_operand(cmd.operand()).ok_or(CmdError::RESERVED_NOT_ZERO)?;
                self.interrupts.request(entry).map(Begun::Done)
            }
            CmdCode::RELEASE_INTERRUPT_HANDLE => {
                let entry = InterruptEntry::from_operand(cmd.operand()).ok_or(CmdError::RESERVED_NOT_ZERO)?;
                self.interrupts.release(entry).map(|()| Begun::Done(0))
            }
            _ => Err(CmdError::BAD_COMMAND),
        }
    }

    fn enable_device(&self, control: &mut Control) -> Outcome {
        if control.state != DeviceState::Disabled {
            return Err(CmdError::DEVICE_NOT_DISABLED);
        }
        enable::device(control, &self.capabilities)?;
        self.groups.configure(&control.groups, self.queues.len());
        // Whether any engine will do: all are in one group, and none is in no group.
        let engines = u32::from(self.capabilities.eng_cap.engines());
        let has_all = control.groups.iter().any(|group| group.engines.count_ones() == engines);
        self.doorbell.set_shared(!has_all);
        self.event_log.enable(control.gen_cfg.event_log().then_some(control.evl_cfg));
        control.state = DeviceState::Enabled;
        Ok(Begun::Done(0))
    }

    fn disable_device(&self, control: &mut Control) -> Outcome {
        if control.state != DeviceState::Enabled {
            return Err(CmdError::DISABLE_NOT_ENABLED);
        }
        control.state = DeviceState::Draining;
        Ok(Begun::Waits(self.stop_all(), Then::DisableDevice))
    }

    fn reset_device(&self, control: &mut Control) -> Begun {
        if control.state == DeviceState::Enabled {
            control.state = DeviceState::Draining;
        }
        let waits = self.stop_all();
        self.abandon(&waits);
        Begun::Waits(waits, Then::ResetDevice)
    }

    /// Everything that has been accepted, of one PASID or of all.
    fn drain_all(&self, pasid: Option<u32>) -> Begun {
        let scope = |queue: usize| Scope { before: self.queues[queue].mark(), pasid };
        Begun::Waits((0..self.queues.len()).map(|queue| (queue, scope(queue))).collect(), Then::Nothing)
    }

    fn drain_queues(&self, queues: &[usize]) -> Begun {
        let scope = |queue: &usize| (*queue, Scope { before: self.queues[*queue].mark(), pasid: None });
        Begun::Waits(queues.iter().map(scope).collect(), Then::Nothing)
    }

    /// Abandons what a drain would wait for; what runs already is still waited for.
    fn abort(&self, drain: Begun) -> Begun {
        if let Begun::Waits(waits, _) = &drain {
            self.abandon(waits);
        }
        drain
    }

    fn abandon(&self, waits: &[(usize, Scope)]) {
        for (queue, scope) in waits {
            self.counters.abandoned.add(self.queues[*queue].abandon(*scope) as u64);
        }
    }

    /// No work queue accepts any more; what they hold is to be waited for.
    fn stop_all(&self) -> Vec<(usize, Scope)> {
        self.queues.iter().for_each(|queue| queue.drain());
        (0..self.queues.len()).map(|queue| (queue, Scope::ALL)).collect()
    }

    fn enable_wq(&self, control: &mut Control, cmd: Cmd) -> Outcome {
        if control.state != DeviceState::Enabled {
            return Err(CmdError::DEVICE_NOT_ENABLED);
        }
        if cmd.operand() >> 8 != 0 {
            return Err(CmdError::RESERVED_NOT_ZERO);
        }
        let index = cmd.operand() as usize;
        let (work_queue, config) =
            self.queues.get(index).zip(control.queues.get(index)).ok_or(CmdError::BAD_WQ)?;
        if work_queue.wq_state() != WqState::DISABLED {
            return Err(CmdError::WQ_NOT_DISABLED);
        }
        enable::queue(config, control, &self.capabilities)?;
        self.check_occupancy_interrupt(config)?;
        let mut rules = Rules::new(&QueueConfig::of_register(config), &self.capabilities);
        rules.configure(config, control, &self.capabilities);
        match work_queue.enable(*config, rules) {
            Some(alarm) => Ok(Begun::Alarm(alarm)),
            None => Ok(Begun::Done(0)),
        }
    }

    /// The handle has to be good; one that was to be asked for only if the interrupt is enabled, because no handle that
    /// is given out is 0, the first value.
    fn check_occupancy_interrupt(&self, config: &idxd_spec::register::WqCfg) -> Result<(), CmdError> {
        let (handle, storage) = (config.occupancy_interrupt_handle(), config.occupancy_interrupt_storage());
        let has_storage = self.capabilities.gen_cap.interrupt_storage_units() > 0;
        let is_unused = self.interrupts.needs_handles() && !config.occupancy_interrupt();
        let is_good = is_unused || self.interrupts.entry(handle, storage).is_some();
        if (storage && !has_storage) || !is_good { Err(CmdError::WQ_OCCUPANCY_INTERRUPT) } else { Ok(()) }
    }

    fn disable_wqs(&self, cmd: Cmd) -> Outcome {
        let queues = self.enabled(cmd)?;
        queues.iter().for_each(|queue| self.queues[*queue].drain());
        Ok(Begun::Waits(queues.into_iter().map(|queue| (queue, Scope::ALL)).collect(), Then::DisableQueues))
    }

    fn reset_wqs(&self, cmd: Cmd) -> Outcome {
        let queues = self.named(cmd)?;
        queues.iter().for_each(|queue| self.queues[*queue].drain());
        let waits: Vec<_> = queues.into_iter().map(|queue| (queue, Scope::ALL)).collect();
        self.abandon(&waits);
        Ok(Begun::Waits(waits, Then::ResetQueues))
    }

    /// The work queues of a set (§9.2.12).
    fn named(&self, cmd: Cmd) -> Result<Vec<usize>, CmdError> {
        let queues: Vec<_> = set_of(cmd).collect();
        if queues.iter().any(|queue| *queue >= self.queues.len()) {
            return Err(CmdError::BAD_WQ);
        }
        Ok(queues)
    }

    /// The same, all of them enabled.
    fn enabled(&self, cmd: Cmd) -> Result<Vec<usize>, CmdError> {
        let queues = self.named(cmd)?;
        match queues.iter().all(|queue| self.queues[*queue].wq_state() == WqState::ENABLED) {
            true => Ok(queues),
            false => Err(CmdError::WQ_NOT_ENABLED),
        }
    }

    /// Nothing a command waited for is left.
    fn end(&self, control: &mut Control, pending: &Pending) {
        match pending.then {
            Then::Nothing => {}
            Then::DisableQueues => set_of(pending.cmd).for_each(|queue| self.queues[queue].disable()),
            Then::ResetQueues => set_of(pending.cmd).for_each(|queue| {
                self.queues[queue].reset();
                control.clear_queue(queue, &self.capabilities);
            }),
            Then::DisableDevice => {
                self.queues.iter().for_each(|queue| queue.disable());
                self.event_log.disable();
                control.state = DeviceState::Disabled;
            }
            Then::ResetDevice => self.clear(control),
        }
    }

    /// Everything that a software reset clears.
    pub(crate) fn clear(&self, control: &mut Control) {
        let was_halted = control.state == DeviceState::Halted;
        self.queues.iter().for_each(|queue| queue.reset());
        self.event_log.disable();
        self.interrupts.reset();
        self.perfmon.reset();
        self.permissions.reset();
        self.gen_ctrl.store(0, Ordering::Relaxed);
        control.clear_configuration(&self.capabilities);
        if was_halted {
            self.life.begin();
        }
    }
}

/// Bits 30:25 of CMD.
const RESERVED: u32 = 0x7e00_0000;

fn no_operand(cmd: Cmd) -> Result<(), CmdError> {
    if cmd.operand() == 0 { Ok(()) } else { Err(CmdError::RESERVED_NOT_ZERO) }
}

/// The indices that the operand of a command on a set of work queues names.
fn set_of(cmd: Cmd) -> impl Iterator<Item = usize> {
    let (set, bits) = (cmd.operand() as usize >> 16, cmd.operand() & 0xffff);
    (0..16).filter(move |bit| bits >> bit & 1 != 0).map(move |bit| set * 16 + bit)
}
