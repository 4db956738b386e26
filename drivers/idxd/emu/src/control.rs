//! What is configured through the registers, and how far a command is.

use idxd_spec::register::{
    CmdStatus, DeviceState, EvlCfg, GenCfg, GenSts, GrpCfg, GrpFlags, Idbr, ResetType, WqCfg,
};

use crate::capability::Capabilities;
use crate::command::Pending;
use crate::hardware::PciConfig;

/// The registers that are configuration: one lock for all of them, which no engine holds while it works.
pub(crate) struct Control {
    pub(crate) state: DeviceState,
    /// What brings a halted device back.
    pub(crate) reset: ResetType,
    pub(crate) gen_cfg: GenCfg,
    pub(crate) evl_cfg: EvlCfg,
    pub(crate) idbr: Idbr,
    pub(crate) cmd_param: u64,
    pub(crate) cmd_status: CmdStatus,
    /// A command that waits for descriptors.
    pub(crate) pending: Option<Pending>,
    pub(crate) groups: Vec<GrpCfg>,
    pub(crate) queues: Vec<WqCfg>,
    pub(crate) pci: PciConfig,
}

impl Control {
    pub(crate) fn new(capabilities: &Capabilities, pci: PciConfig) -> Self {
        let mut this = Self {
            state: DeviceState::Disabled,
            reset: ResetType::Software,
            gen_cfg: GenCfg(0),
            evl_cfg: EvlCfg::default(),
            idbr: Idbr(0),
            cmd_param: 0,
            cmd_status: CmdStatus(0),
            pending: None,
            groups: vec![GrpCfg::default(); capabilities.grp_cap.groups().into()],
            queues: vec![WqCfg::default(); capabilities.wq_cap.queues().into()],
            pci,
        };
        this.clear_configuration(capabilities);
        this
    }

    pub(crate) fn is_disabled(&self) -> bool {
        // Writable in the halt state too, as §5.7 allows.
        matches!(self.state, DeviceState::Disabled | DeviceState::Halted)
    }

    pub(crate) fn gen_sts(&self) -> GenSts {
        GenSts::new(self.state, self.reset)
    }

    /// The configuration back to its first values (DSA table 9-3).
    pub(crate) fn clear_configuration(&mut self, capabilities: &Capabilities) {
        let buffers = capabilities.grp_cap.read_buffers();
        self.state = DeviceState::Disabled;
        self.reset = ResetType::Software;
        self.gen_cfg = GenCfg(0).with_global_read_buffer_limit(buffers);
        self.evl_cfg = EvlCfg::default();
        self.idbr = Idbr(0);
        self.cmd_param = 0;
        let flags = GrpFlags(0).with_read_buffers_allowed(buffers);
        self.groups.fill(GrpCfg { flags, ..GrpCfg::default() });
        let first = first_wq_cfg(capabilities);
        self.queues.fill(first);
    }

    /// A work queue's configuration back to its first values, but for its size (§3.15).
    pub(crate) fn clear_queue(&mut self, queue: usize, capabilities: &Capabilities) {
        if let Some(config) = self.queues.get_mut(queue) {
            *config = first_wq_cfg(capabilities).with_size(config.size());
        }
    }
}

fn first_wq_cfg(capabilities: &Capabilities) -> WqCfg {
    if capabilities.wq_cap.operation_config() {
        WqCfg::default().with_operations(capabilities.op_cap)
    } else {
        WqCfg::default()
    }
}
