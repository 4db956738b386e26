//! What a device is made of before anybody has configured it, and what its PCI configuration space says.

use crate::{DeviceKind, Version};

/// The fixed part of a device: sizes, and features that follow from no version.
///
/// Its registers show it, see [`Capabilities::of_hardware`](crate::Capabilities::of_hardware). What is configured through them is in
/// [`DeviceConfig`](crate::DeviceConfig).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hardware {
    /// Which accelerator.
    pub kind: DeviceKind,
    /// Which version of it.
    pub version: Version,
    /// Engines, 1 to 8.
    pub engines: u8,
    /// Work queues, 1 to 8.
    pub queues: u8,
    /// Groups, 1 to 8.
    pub groups: u8,
    /// Descriptors that all work queues hold together.
    pub entries: u16,
    /// Read buffers of a DSA. They are configured and checked, and have no effect. An IAA shows none (IAA §7.1).
    pub read_buffers: u8,
    /// Entries of the MSI-X table.
    pub msix_vectors: u16,
    /// Interrupt message storage, in units of 256 entries; at most 1.
    pub interrupt_storage_units: u8,
    /// Interrupt handles have to be asked for, and there are this many; `None`: the index is the handle (DSA §3.7).
    pub interrupt_handles: Option<u16>,
    /// A full event log drops events instead of blocking. Only since version 2, as the log itself.
    pub event_log_overflow: bool,
    /// Operations across address spaces, which come with version 2. They reach the memory of the bus whatever the space
    /// is, so a bus that has several does without them.
    pub inter_domain: bool,
}

impl Hardware {
    /// A device as the first silicon has it, in the version asked for: 8 work queues with 128 entries, 4 groups, and
    /// 4 engines, of which an IAA has 8.
    #[must_use]
    pub fn new(kind: DeviceKind, version: Version) -> Self {
        Self {
            kind,
            version,
            engines: match kind {
                DeviceKind::Dsa => 4,
                DeviceKind::Iaa => 8,
            },
            queues: 8,
            groups: 4,
            entries: 128,
            read_buffers: match kind {
                DeviceKind::Dsa => 96,
                DeviceKind::Iaa => 0,
            },
            msix_vectors: 9,
            interrupt_storage_units: 1,
            interrupt_handles: None,
            event_log_overflow: false,
            inter_domain: true,
        }
    }

    /// The DSA of Sapphire Rapids: version 1.
    #[must_use]
    pub fn sapphire_rapids_dsa() -> Self {
        Self::new(DeviceKind::Dsa, Version::V1)
    }

    /// The IAA of Sapphire Rapids: version 1.
    #[must_use]
    pub fn sapphire_rapids_iaa() -> Self {
        Self::new(DeviceKind::Iaa, Version::V1)
    }
}

/// What PCI configuration space says that the device goes by. Changed while the device is not disabled, it halts
/// (DSA §5.7, status 0x51).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PciConfig {
    /// PCICMD, Bus Master Enable.
    pub bus_master: bool,
    /// PASID capability, enable.
    pub pasid: bool,
    /// PASID capability, privileged mode enable.
    pub privileged: bool,
    /// ATS capability, enable.
    pub ats: bool,
    /// PRS capability, enable.
    pub prs: bool,
    /// PRSREQALLOC: page requests in flight at most.
    pub page_requests: u32,
    /// The VC capability: a bit for each traffic class that is mapped to a channel that is enabled.
    pub traffic_classes: u8,
    /// What the platform demands of [`ats`](Self::ats); `None`: either will do.
    pub platform_ats: Option<bool>,
}

impl PciConfig {
    /// PRSREQCAP: page requests in flight that a device can have.
    pub const PAGE_REQUESTS_MAX: u32 = 512;

    /// After a reset: everything off, traffic class 0 alone mapped.
    #[must_use]
    pub fn reset() -> Self {
        Self {
            bus_master: false,
            pasid: false,
            privileged: false,
            ats: false,
            prs: false,
            page_requests: 0,
            traffic_classes: 1,
            platform_ats: None,
        }
    }
}

impl Default for PciConfig {
    /// Shared virtual memory as it should be: PASIDs, privileged ones too, ATS and PRS, and all traffic classes.
    fn default() -> Self {
        Self {
            bus_master: true,
            pasid: true,
            privileged: true,
            ats: true,
            prs: true,
            page_requests: Self::PAGE_REQUESTS_MAX,
            traffic_classes: 0xff,
            platform_ats: None,
        }
    }
}
