//! From a machine to a configuration.

use super::json::{
    Configuration, DeviceConfiguration, EngineConfiguration, GroupConfiguration, WorkQueueConfiguration,
};
use crate::device::{Device, Engine, Group};
use crate::sysfs::{Discovery, bitmap_text};
use crate::work_queue::WorkQueue;

/// What to save.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SaveScope {
    /// Enabled devices and their enabled work queues, as `accel-config save-config`.
    #[default]
    Enabled,
    /// Everything.
    All,
}

impl Configuration {
    /// The configuration of a machine. What the kernel does not show is left out.
    #[must_use]
    pub fn of(machine: &Discovery, scope: SaveScope) -> Self {
        let devices = machine.devices.iter();
        let devices = devices.filter(|device| scope == SaveScope::All || device.is_enabled());
        Self { devices: devices.map(|device| save_device(device, scope)).collect() }
    }
}

fn save_device(device: &Device, scope: SaveScope) -> DeviceConfiguration {
    let queues: Vec<_> =
        device.work_queues.iter().filter(|queue| scope == SaveScope::All || queue.is_enabled()).collect();
    let is_loose = |id: Option<u32>| id.is_none_or(|id| device.group(id).is_none());
    let loose_queues = queues.iter().filter(|queue| is_loose(queue.group_id));
    let loose_engines = device.engines.iter().filter(|engine| is_loose(engine.group_id));
    DeviceConfiguration {
        dev: device.name.clone(),
        read_buffer_limit: device.read_buffer_limit.map(i64::from),
        event_log_size: device.event_log_size.map(i64::from),
        groups: device.groups.iter().map(|group| save_group(device, group, &queues)).collect(),
        ungrouped_workqueues: loose_queues.map(|queue| save_queue(queue)).collect(),
        ungrouped_engines: loose_engines.map(save_engine).collect(),
        ..DeviceConfiguration::default()
    }
}

fn save_group(device: &Device, group: &Group, queues: &[&WorkQueue]) -> GroupConfiguration {
    let is_here = |id: Option<u32>| id == Some(group.id);
    let queues = queues.iter().filter(|queue| is_here(queue.group_id));
    let engines = device.engines.iter().filter(|engine| is_here(engine.group_id));
    GroupConfiguration {
        dev: group.name.clone(),
        read_buffers_reserved: group.read_buffers_reserved.map(i64::from),
        use_read_buffer_limit: group.use_read_buffer_limit.map(i64::from),
        read_buffers_allowed: group.read_buffers_allowed.map(i64::from),
        traffic_class_a: group.traffic_class_a.map(i64::from),
        traffic_class_b: group.traffic_class_b.map(i64::from),
        desc_progress_limit: group.desc_progress_limit.map(i64::from),
        batch_progress_limit: group.batch_progress_limit.map(i64::from),
        grouped_workqueues: queues.map(|queue| save_queue(queue)).collect(),
        grouped_engines: engines.map(save_engine).collect(),
        ..GroupConfiguration::default()
    }
}

fn save_queue(queue: &WorkQueue) -> WorkQueueConfiguration {
    let signed = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    WorkQueueConfiguration {
        dev: queue.name.clone(),
        mode: queue.mode.as_ref().map(ToString::to_string),
        size: queue.size.map(i64::from),
        group_id: queue.group_id.map(i64::from),
        // 0 is that of a queue nobody has configured, and cannot be written as a setting.
        priority: queue.priority.filter(|&priority| priority > 0).map(i64::from),
        block_on_fault: queue.block_on_fault.map(i64::from),
        max_batch_size: queue.max_batch_size.map(i64::from),
        max_transfer_size: queue.max_transfer_size.map(signed),
        queue_type: queue.queue_type.as_ref().map(ToString::to_string),
        name: queue.label.clone(),
        driver_name: queue.driver_name.clone(),
        threshold: queue.threshold.filter(|&entries| entries > 0 || queue.is_dedicated()).map(i64::from),
        prs_disable: queue.prs_disable.map(i64::from),
        ats_disable: queue.ats_disable.map(i64::from),
        op_config: queue.op_config.map(|operations| bitmap_text(operations.0)),
        ..WorkQueueConfiguration::default()
    }
}

fn save_engine(engine: &Engine) -> EngineConfiguration {
    EngineConfiguration {
        dev: engine.name.clone(),
        group_id: engine.group_id.map(i64::from),
        ..EngineConfiguration::default()
    }
}
