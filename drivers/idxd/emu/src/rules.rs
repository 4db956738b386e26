//! What a work queue lets its descriptors do: its configuration and the device's, put together when it is enabled.
//!
//! The checks of a descriptor ask this and nothing else, so that they need neither registers nor locks.

use idxd_spec::register::{DsaCap0, DsaCap1, DsaCap2, IaaCap, IdCap, WqCfg};
use idxd_spec::{Descriptor, Flags, GenCap, OpCap, Opcode};

use crate::capability::Capabilities;
use crate::control::Control;
use crate::{QueueConfig, Version};

/// The rules for the descriptors of one work queue.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    /// What the device can do at all. Flags of features that are not there are reserved.
    pub(crate) gen_cap: GenCap,
    /// Operations that run here: WQCFG's OPCFG, or OPCAP where a device has none (DSA §5.4).
    pub(crate) operations: OpCap,
    /// Bytes of one transfer at most.
    pub(crate) transfer_bytes_max: u32,
    /// Descriptors of one batch at most.
    pub(crate) batch_max: u32,
    /// Entries of one scatter-gather list at most; 0 where there are none.
    pub(crate) list_entries_max: u32,
    /// What the device can do across address spaces.
    pub(crate) id_cap: IdCap,
    /// What it can do with numbers and lists.
    pub(crate) dsa_cap: (DsaCap0, DsaCap1, DsaCap2),
    /// What an IAA can do beyond the first ones.
    pub(crate) iaa_cap: IaaCap,
    /// Block-on-fault is not reserved.
    pub(crate) block_on_fault: bool,
    /// The third cache control flag is not reserved, as it was before version 3.
    pub(crate) cache_control_3: bool,
    /// Addresses are translated with a PASID: inter-domain operations need one (status 0x28).
    pub(crate) pasid_enabled: bool,
    /// User-mode descriptors may ask for interrupts (GENCFG).
    pub(crate) user_interrupts: bool,
    /// Privileged descriptors may run at all: a shared work queue takes what it is sent (status 0x1d).
    pub(crate) privilege_enabled: bool,
    /// Missing pages of lists, records and readbacks are asked for.
    pub(crate) prs_enabled: bool,
    /// The traffic classes that are mapped: a bit for each.
    pub(crate) traffic_classes: u8,
}

impl Rules {
    /// The rules of a work queue that is configured like this, on a device that can do that.
    pub(crate) fn new(queue: &QueueConfig, capabilities: &Capabilities) -> Self {
        Self {
            gen_cap: capabilities.gen_cap,
            operations: capabilities.op_cap,
            transfer_bytes_max: queue.transfer_bytes_max,
            batch_max: queue.batch_max,
            list_entries_max: capabilities.dsa_cap.0.sgl_entries_max(),
            id_cap: capabilities.id_cap,
            dsa_cap: capabilities.dsa_cap,
            iaa_cap: capabilities.iaa_cap,
            block_on_fault: queue.block_on_fault,
            cache_control_3: capabilities.version >= Version::V3,
            pasid_enabled: true,
            user_interrupts: false,
            privilege_enabled: true,
            prs_enabled: true,
            traffic_classes: u8::MAX,
        }
    }

    /// Takes in what the registers say beside it, when a work queue is enabled.
    pub(crate) fn configure(&mut self, config: &WqCfg, control: &Control, capabilities: &Capabilities) {
        if capabilities.wq_cap.operation_config() {
            self.operations = config.operations();
        }
        if config.ats_disable() || !control.pci.ats {
            // A translation that is not cached cannot be fetched ahead (§5.4).
            self.operations = without(self.operations, Opcode::TRANSLATION_FETCH);
        }
        self.list_entries_max = 1 << config.list_entries_max_log2();
        self.pasid_enabled = config.pasid_enable();
        self.user_interrupts = control.gen_cfg.user_interrupts();
        self.privilege_enabled = control.pci.privileged;
        self.prs_enabled = control.pci.prs && !config.prs_disable();
        self.traffic_classes = control.pci.traffic_classes;
    }

    /// Whether a descriptor may ask for an interrupt (DSA table 5-4). Its PASID and privilege are those it runs with.
    pub(crate) fn allows_interrupts(&self, descriptor: &Descriptor) -> bool {
        self.user_interrupts || !self.pasid_enabled || descriptor.privileged()
    }

    /// Flags of an operation that are reserved because the device lacks what they are for (DSA §5.4).
    pub(crate) fn unsupported_flags(&self, opcode: Opcode) -> Flags {
        let unless = |has: bool, flags: Flags| if has { Flags::empty() } else { flags };
        let cap = self.gen_cap;
        let readbacks = Flags::READBACK_ADDR_1_VALID | Flags::READBACK_ADDR_2_VALID;
        let by_operation = match opcode {
            Opcode::BATCH => unless(cap.batch_continuation(), Flags::BATCH_ERROR),
            Opcode::DRAIN => unless(cap.drain_readback_addr(), readbacks),
            Opcode::TYPE_CONVERSION | Opcode::GATHER_COPY | Opcode::SCATTER_COPY | Opcode::SCATTER_FILL => {
                let sides = Flags::ALTERNATE_SRC_PASID | Flags::ALTERNATE_DST_PASID;
                unless(self.dsa_cap.0.crosses_domains(opcode), sides)
            }
            Opcode::REDUCE | Opcode::REDUCE_DUALCAST => {
                unless(self.dsa_cap.0.crosses_domains(opcode), Flags::INTER_DOMAIN_SELECTOR)
            }
            Opcode::UPDATE_WINDOW => unless(self.id_cap.suppress_drain(), Flags::SUPPRESS_DRAIN),
            Opcode::FILL | Opcode::INTER_DOMAIN_FILL => unless(cap.fill_16(), Flags::PATTERN_16),
            Opcode::TRANSLATION_FETCH => unless(cap.translation_fetch_stride(), Flags::USE_STRIDE),
            Opcode::CRC | Opcode::COPY_CRC => unless(cap.crc64(), Flags::CRC64),
            _ => Flags::empty(),
        };
        by_operation
            | unless(cap.block_on_fault(), Flags::BLOCK_ON_FAULT)
            | unless(cap.cache_control(), Flags::CACHE_CONTROL_1)
            | unless(cap.dst_readback(), Flags::CACHE_CONTROL_2)
            | unless(self.cache_control_3, Flags::CACHE_CONTROL_3)
    }
}

/// The same without `opcode`.
fn without(mut operations: OpCap, opcode: Opcode) -> OpCap {
    operations.0[usize::from(opcode.0 >> 6)] &= !(1 << (opcode.0 & 63));
    operations
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DeviceKind;

    fn rules(version: Version) -> Rules {
        Rules::new(&QueueConfig::default(), &Capabilities::of(DeviceKind::Dsa, version))
    }

    #[test]
    fn first_version_reserves_what_the_second_brought() {
        let (first, second) = (rules(Version::V1), rules(Version::V2));
        for (opcode, flags) in [
            (Opcode::FILL, Flags::PATTERN_16),
            (Opcode::COPY_CRC, Flags::CRC64),
            (Opcode::BATCH, Flags::BATCH_ERROR),
            (Opcode::DRAIN, Flags::READBACK_ADDR_1_VALID | Flags::READBACK_ADDR_2_VALID),
        ] {
            // The third cache control flag is for the version after both.
            let later = Flags::CACHE_CONTROL_3;
            assert_eq!(first.unsupported_flags(opcode), flags | later, "{opcode}");
            assert_eq!(second.unsupported_flags(opcode), later, "{opcode}");
        }
    }

    #[test]
    fn user_mode_asks_for_interrupts_only_where_that_is_enabled() {
        let (mut rules, user) = (rules(Version::V2), Descriptor::noop());
        assert!(!rules.allows_interrupts(&user));
        assert!(rules.allows_interrupts(&user.with_privileged(true)));
        rules.user_interrupts = true;
        assert!(rules.allows_interrupts(&user));
        (rules.user_interrupts, rules.pasid_enabled) = (false, false);
        assert!(rules.allows_interrupts(&user));
    }
}
