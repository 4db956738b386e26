//! What is checked when the device and when a work queue is enabled (DSA §5.1, §5.2). Pure functions of the registers.

use idxd_spec::Opcode;
use idxd_spec::register::{CmdError, EvlCfg, GrpCfg, WqCfg};

use crate::capability::Capabilities;
use crate::control::Control;
use crate::hardware::PciConfig;

type Verdict = Result<(), CmdError>;

/// An error unless `holds`.
fn require(holds: bool, error: CmdError) -> Verdict {
    if holds { Ok(()) } else { Err(error) }
}

/// All the checks of the Enable Device command but that for the device's state.
pub(crate) fn device(control: &Control, capabilities: &Capabilities) -> Verdict {
    let pci = &control.pci;
    require(pci.bus_master, CmdError::BUS_MASTER_DISABLED)?;
    let requests = 1..=PciConfig::PAGE_REQUESTS_MAX;
    require(!pci.prs || requests.contains(&pci.page_requests), CmdError::PAGE_REQUEST_ALLOCATION)?;
    let entries: u32 = control.queues.iter().map(|queue| u32::from(queue.size())).sum();
    require(entries <= capabilities.wq_cap.total_size().into(), CmdError::WQ_SIZE_SUM)?;
    groups(control, capabilities)?;
    read_buffers(control, capabilities)?;
    require(pci.platform_ats.is_none_or(|ats| ats == pci.ats), CmdError::ATS)?;
    event_log(control, capabilities)
}

fn groups(control: &Control, capabilities: &Capabilities) -> Verdict {
    let queues = usize::from(capabilities.wq_cap.queues());
    let engines = u32::from(capabilities.eng_cap.engines());
    let mut engines_seen = 0;
    for group in &control.groups {
        let has_queues = group.wqs.iter().any(|word| *word != 0);
        require(has_queues == (group.engines != 0), CmdError::GROUP_INCOMPLETE)?;
        require(!(queues..256).any(|queue| has_queue(group, queue)), CmdError::GROUP_WQS)?;
        require(group.engines.checked_shr(engines).unwrap_or(0) == 0, CmdError::GROUP_ENGINES)?;
        require(engines_seen & group.engines == 0, CmdError::GROUP_ENGINES)?;
        engines_seen |= group.engines;
    }
    for (index, queue) in control.queues.iter().enumerate() {
        let groups = control.groups.iter().filter(|group| has_queue(group, index)).count();
        require(groups == usize::from(queue.size() > 0), CmdError::GROUP_WQS)?;
    }
    Ok(())
}

fn has_queue(group: &GrpCfg, queue: usize) -> bool {
    u8::try_from(queue).is_ok_and(|queue| group.has_wq(queue))
}

/// Read buffers and bandwidth limits (§4.3, §4.5, §4.6).
fn read_buffers(control: &Control, capabilities: &Capabilities) -> Verdict {
    let cap = capabilities.grp_cap;
    let total = u32::from(cap.read_buffers());
    let limit = u32::from(control.gen_cfg.global_read_buffer_limit());
    let active = || control.groups.iter().filter(|group| group.engines != 0);
    let reserved: u32 = active().map(|group| u32::from(group.flags.read_buffers_reserved())).sum();
    let is_limited = |group: &&GrpCfg| group.flags.global_read_buffer_limit();
    let engines_limited: u32 = active().filter(is_limited).map(|group| group.engines.count_ones()).sum();
    let mut holds = true;
    if cap.global_read_buffer_limit() {
        holds &= limit <= total;
        holds &= engines_limited == 0 || limit >= 4 * engines_limited;
    } else {
        holds &= !control.groups.iter().any(|group| group.flags.global_read_buffer_limit());
    }
    if cap.read_buffer_control() {
        holds &= reserved <= total;
        for group in active() {
            let own = u32::from(group.flags.read_buffers_reserved());
            let allowed = u32::from(group.flags.read_buffers_allowed());
            holds &= allowed >= 4 * group.engines.count_ones() && allowed >= own;
            holds &= allowed <= own + total.saturating_sub(reserved);
        }
    }
    let bandwidth_max = if cap.bandwidth_limit() { 3 } else { 0 };
    holds &= control.groups.iter().all(|group| {
        group.flags.read_bandwidth_shift().max(group.flags.write_bandwidth_shift()) <= bandwidth_max
    });
    require(holds, CmdError::READ_BUFFERS)
}

/// The event log; and what its PASID and that of submitter bitmaps need.
fn event_log(control: &Control, capabilities: &Capabilities) -> Verdict {
    let (config, pci) = (&control.evl_cfg, &control.pci);
    if control.gen_cfg.event_log() {
        let entry = capabilities.gen_cap.event_log_entry_size().ok_or(CmdError::EVENT_LOG)?;
        require(config.size() >= EvlCfg::SIZE_MIN, CmdError::EVENT_LOG)?;
        let end = u128::from(config.base()) + u128::from(config.size()) * u128::from(entry);
        require(end <= 1 << 64, CmdError::EVENT_LOG)?;
    }
    require(!config.pasid_enable() || pci.pasid, CmdError::PASID)?;
    require(!config.privileged() || (config.pasid_enable() && pci.privileged), CmdError::PASID)?;
    let bitmap = control.idbr;
    require(!bitmap.pasid_enable() || pci.pasid, CmdError::PASID)?;
    require(!bitmap.privileged() || (bitmap.pasid_enable() && pci.privileged), CmdError::PASID)
}

/// All the checks of the Enable WQ command but those of states and of the interrupt handle.
pub(crate) fn queue(config: &WqCfg, control: &Control, capabilities: &Capabilities) -> Verdict {
    let (cap, gen_cap, pci) = (capabilities.wq_cap, capabilities.gen_cap, &control.pci);
    require(config.size() > 0, CmdError::WQ_SIZE)?;
    require(!cap.priority() || config.priority() > 0, CmdError::WQ_PRIORITY)?;
    let mode = if config.dedicated() { cap.dedicated_mode() } else { cap.shared_mode() };
    require(mode, CmdError::WQ_MODE)?;
    let can_block = gen_cap.block_on_fault() && pci.prs;
    require(can_block || !config.block_on_fault(), CmdError::WQ_BLOCK_ON_FAULT)?;
    require(config.dedicated() || config.pasid_enable(), CmdError::WQ_PASID_ENABLE)?;
    require(pci.pasid || !config.pasid_enable(), CmdError::WQ_PASID_ENABLE)?;
    batch_and_list(config, capabilities)?;
    let size = config.transfer_bytes_max_log2() <= gen_cap.transfer_bytes_max_log2();
    require(size, CmdError::WQ_TRANSFER_SIZE)?;
    let is_privileged = config.dedicated() && config.pasid_enable() && config.privileged();
    require(pci.privileged || !is_privileged, CmdError::WQ_PRIVILEGE)?;
    require(cap.ats_control() || !config.ats_disable(), CmdError::WQ_ATS)?;
    if cap.operation_config() {
        let beyond = config.operations().0.iter().zip(capabilities.op_cap.0).any(|(wq, cap)| wq & !cap != 0);
        require(!beyond, CmdError::WQ_OPERATIONS)?;
    }
    let may_disable_prs = cap.prs_control() && control.gen_cfg.event_log() && !config.block_on_fault();
    require(may_disable_prs || !config.prs_disable(), CmdError::WQ_PRS)
}

/// The largest batch and the largest list. With Batch1 Support a batch size of 2^0 is allowed (§9.2.2).
fn batch_and_list(config: &WqCfg, capabilities: &Capabilities) -> Verdict {
    let gen_cap = capabilities.gen_cap;
    let batch = config.batch_descriptors_max_log2();
    if capabilities.op_cap.contains(Opcode::BATCH) {
        let least = if gen_cap.batch_of_one() { 0 } else { 1 };
        let holds = (least..=gen_cap.batch_descriptors_max_log2()).contains(&batch);
        require(holds, CmdError::WQ_BATCH_SIZE)?;
    }
    require(config.list_entries_max_log2() <= capabilities.list_entries_max_log2(), CmdError::WQ_BATCH_SIZE)
}
