//! What a device is made like.

use std::time::Duration;

use crate::lz4;
use crate::plan::FaultPlan;

/// The generation to be like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Model {
    /// 4xxx.
    #[default]
    Gen4,
    /// 420xx.
    Gen5,
    /// 6xxx.
    Gen6,
}

impl Model {
    /// How far back LZ4 looks.
    pub(crate) const fn lz4_history_bytes(self) -> usize {
        if self.is_old() { lz4::HISTORY_OLD_BYTES } else { lz4::HISTORY_NEW_BYTES }
    }

    /// Whether overflow leaves something of use, failed verifications are stored, and checks can be seeded.
    pub(crate) const fn is_old(self) -> bool {
        !matches!(self, Self::Gen6)
    }
}

/// What a device can do that encrypts as well, and what its ring pairs do: in turn.
const CIPHERS: u32 = 0x0001_0001;
const COMPRESSION_AND_SYMMETRIC: u16 = 0o3232;

/// Settings of a device.
#[derive(Clone, Debug)]
pub struct DeviceConfig {
    /// Name, of the thread too.
    pub name: String,
    /// What it is like.
    pub model: Model,
    /// What the physical function's driver says the device can do: bit 0 symmetric cryptography, bit 5 deflate, bit 16
    /// AES-GCM in one pass, bit 24 LZ4.
    pub capabilities: u32,
    /// What it says the ring pairs do: three bits each, 2 for compression, 3 for symmetric cryptography.
    pub ring_map: u16,
    /// The version of the protocol it speaks.
    pub pf_version: u8,
    /// How long it waits for the driver to be ready for a restart.
    pub restart_patience: Duration,
    /// What is to go wrong.
    pub plan: FaultPlan,
}

impl Default for DeviceConfig {
    fn default() -> Self {
        Self {
            name: "emu-qat".into(),
            model: Model::Gen4,
            capabilities: 0x0100_0020,
            ring_map: 0o2222,
            pf_version: 5,
            restart_patience: Duration::from_secs(2),
            plan: FaultPlan::default(),
        }
    }
}

impl DeviceConfig {
    /// The same, with every second ring pair for symmetric cryptography.
    #[must_use]
    pub const fn with_ciphers(mut self) -> Self {
        self.capabilities |= CIPHERS;
        self.ring_map = COMPRESSION_AND_SYMMETRIC;
        self
    }

    /// Whether a ring pair is for symmetric cryptography.
    pub(crate) const fn is_symmetric(&self, bank: usize) -> bool {
        self.ring_map >> (3 * bank) & 7 == 3
    }
}
