//! General configuration, control and status.

use super::register;

register! {
    /// General configuration. Written while the device is disabled.
    ///
    /// Source: DSA §9.2.8.
    GenCfg: u32 {
        /// Bits 7:0: read buffers for low-bandwidth memory, all engines together.
        global_read_buffer_limit / with_global_read_buffer_limit: u8 7, 0;
        /// Bit 12: user-mode descriptors may ask for interrupts.
        user_interrupts / with_user_interrupts: bit 12;
        /// Bit 13: events go to the event log, not to the software error register.
        event_log / with_event_log: bit 13;
    }
}

register! {
    /// General control: which causes raise interrupt 0.
    ///
    /// Source: DSA §9.2.9.
    GenCtrl: u32 {
        /// Bit 0: software errors.
        software_error_interrupt / with_software_error_interrupt: bit 0;
        /// Bit 1: the device halts.
        halt_interrupt / with_halt_interrupt: bit 1;
        /// Bit 2: events.
        event_log_interrupt / with_event_log_interrupt: bit 2;
    }
}

register! {
    /// General status.
    ///
    /// Source: DSA §9.2.10.
    GenSts: u32 {}
}

impl GenSts {
    /// A status with `state` and, for a halted device, the reset that brings it back.
    #[must_use]
    pub const fn new(state: DeviceState, reset: ResetType) -> Self {
        Self(state as u32 | (reset as u32) << 2)
    }

    /// Bits 1:0.
    #[must_use]
    pub const fn state(self) -> DeviceState {
        match self.0 & 3 {
            0 => DeviceState::Disabled,
            1 => DeviceState::Enabled,
            2 => DeviceState::Draining,
            _ => DeviceState::Halted,
        }
    }

    /// Bits 3:2.
    #[must_use]
    pub const fn reset(self) -> ResetType {
        match self.0 >> 2 & 3 {
            0 => ResetType::Software,
            1 => ResetType::FunctionLevel,
            2 => ResetType::Warm,
            _ => ResetType::Cold,
        }
    }
}

/// Bits 1:0 of [`GenSts`] (DSA §9.2.10).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeviceState {
    /// No work is done; `ENQCMD` answers retry.
    Disabled = 0,
    /// Work queues may be enabled.
    Enabled = 1,
    /// A disable or a reset is in progress.
    Draining = 2,
    /// Stopped by an error.
    Halted = 3,
}

/// Bits 3:2 of [`GenSts`]: the weakest reset that brings the device back (DSA §9.2.10).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ResetType {
    /// The reset device command.
    Software = 0,
    /// A function-level reset.
    FunctionLevel = 1,
    /// A warm reset.
    Warm = 2,
    /// A cold reset.
    Cold = 3,
}

register! {
    /// Why interrupt 0 was raised. Writing a 1 clears the bit.
    ///
    /// Source: DSA §9.2.11.
    IntCause: u32 {
        /// Bit 0: the software error register became valid.
        software_error / with_software_error: bit 0;
        /// Bit 1: a command completed.
        command / with_command: bit 1;
        /// Bit 2: a work queue is at or below its occupancy limit.
        occupancy / with_occupancy: bit 2;
        /// Bit 3: a performance counter overflowed.
        performance_overflow / with_performance_overflow: bit 3;
        /// Bit 4: the device halted.
        halt / with_halt: bit 4;
        /// Bit 5: an event was logged.
        event_log / with_event_log: bit 5;
        /// Bit 31: interrupt handles were revoked.
        interrupt_handles_revoked / with_interrupt_handles_revoked: bit 31;
    }
}
