//! The work queues of a configuration.

use std::collections::BTreeMap;

use idxd_spec::{OpCap, Opcode};

use super::super::json::{DeviceConfiguration, WorkQueueConfiguration};
use super::super::plan::usual_driver;
use super::{Check, RefusalKind};
use crate::device::{Device, DeviceType};
use crate::sysfs::{bitmap, bitmap_text, is_word, part_name};
use crate::work_queue::{WorkQueue, WorkQueueMode, WorkQueueType};

/// Bytes of a queue's name (the driver's bound).
const NAME_BYTES_MAX: usize = 1024;

/// What a queue would be.
struct Outcome {
    group: Option<u32>,
    size: i64,
    threshold: i64,
    priority: i64,
    mode: WorkQueueMode,
    queue_type: WorkQueueType,
    driver: String,
    prs_disable: bool,
}

impl Outcome {
    /// What it is now; after a reset, what the kernel makes it.
    fn of(queue: &WorkQueue, resets: bool) -> Self {
        let kept = (!resets).then_some(queue);
        let number = |value: Option<u32>| value.map_or(0, i64::from);
        Self {
            group: kept.and_then(|queue| queue.group_id),
            size: number(kept.and_then(|queue| queue.size)),
            threshold: number(kept.and_then(|queue| queue.threshold)),
            priority: number(kept.and_then(|queue| queue.priority)),
            mode: kept.and_then(|queue| queue.mode.clone()).unwrap_or(WorkQueueMode::Shared),
            queue_type: kept.and_then(|queue| queue.queue_type.clone()).unwrap_or(WorkQueueType::None),
            driver: kept.and_then(|queue| queue.driver_name.clone()).unwrap_or_default(),
            prs_disable: kept.and_then(|queue| queue.prs_disable).unwrap_or(false),
        }
    }
}

impl Check<'_> {
    pub(super) fn work_queues(
        &mut self,
        device: &Device,
        wanted: &DeviceConfiguration,
        engines: &BTreeMap<u32, u32>,
    ) {
        let mut outcomes: BTreeMap<u32, Outcome> =
            device.work_queues.iter().map(|queue| (queue.id, Outcome::of(queue, self.resets))).collect();
        let listed = wanted.groups.iter().flat_map(|group| {
            group.grouped_workqueues.iter().map(move |queue| (queue, Some(group.dev.as_str())))
        });
        let ungrouped = wanted.ungrouped_workqueues.iter().map(|queue| (queue, None));
        for (wanted, group) in listed.chain(ungrouped) {
            let at = format!("{}/{}", device.name, wanted.dev);
            self.unused(&at, wanted.others.keys());
            let queue = part_name(&wanted.dev, "wq").and_then(|(_, id)| device.work_queue(id));
            let queue = self.part(&at, &wanted.dev, queue.map(|queue| (queue, queue.name.as_str())));
            let Some(queue) = queue else { continue };
            let Some(outcome) = outcomes.get_mut(&queue.id) else { continue };
            if let Some(group) = self.group_id(device, &at, wanted.group_id, group) {
                self.want(&at, "group_id", queue.group_id.map_or(-1, i64::from), group.map_or(-1, i64::from));
                outcome.group = group;
            }
            self.work_queue(device, queue, wanted, &at, outcome);
            if self.options.enable {
                self.ready(device, queue, &at, outcome, engines);
            }
        }
        let max = u64::from(device.max_work_queues_size.unwrap_or(0));
        let sizes = outcomes.values().map(|outcome| u64::try_from(outcome.size).unwrap_or(0));
        let sum = sizes.fold(0_u64, u64::saturating_add);
        if sum > max && self.changes.iter().any(|change| change.path.ends_with("/size")) {
            self.refuse(&device.name, "size", RefusalKind::Sum { sum, max });
        }
    }

    fn work_queue(
        &mut self,
        device: &Device,
        queue: &WorkQueue,
        wanted: &WorkQueueConfiguration,
        at: &str,
        outcome: &mut Outcome,
    ) {
        self.whom_for(queue, wanted, at, outcome);
        self.mode_and_size(device, queue, wanted, at, outcome);
        self.faults(device, queue, wanted, at, outcome);
        if let Some(priority) = wanted.priority
            // 0 is what a reset leaves; a queue cannot be enabled with it (DSA §9.2.24).
            && self.number(at, "priority", queue.priority, priority, (1, 15))
        {
            outcome.priority = priority;
        }
        self.limits(device, queue, wanted, at);
        if let Some(text) = &wanted.op_config {
            self.operations(device, queue, text, at);
        }
    }

    /// `type`, `name`, `driver_name`.
    fn whom_for(
        &mut self,
        queue: &WorkQueue,
        wanted: &WorkQueueConfiguration,
        at: &str,
        outcome: &mut Outcome,
    ) {
        if let Some(word) = &wanted.queue_type {
            outcome.queue_type = WorkQueueType::from(word.as_str());
            if matches!(outcome.queue_type, WorkQueueType::Other(_)) {
                let kind = RefusalKind::Word { value: word.clone(), expected: "user, kernel or none" };
                self.refuse(at, "type", kind);
            } else {
                let now = queue.queue_type.as_ref().map_or("", |now| now.as_str());
                self.want(at, "type", now, word.as_str());
            }
        }
        if let Some(name) = &wanted.name {
            if name.len() > NAME_BYTES_MAX || name.trim() != name || name.chars().any(char::is_control) {
                let value = name.chars().take(32).collect();
                self.refuse(at, "name", RefusalKind::Word { value, expected: "a name" });
            } else if queue.queue_type.as_ref() != Some(&outcome.queue_type) {
                // Writing the type clears it, so it is written even if it is the same.
                self.write(at, "name", queue.label.clone(), name.clone());
            } else {
                self.want(at, "name", queue.label.as_deref().unwrap_or(""), name.as_str());
            }
        }
        if let Some(driver) = &wanted.driver_name {
            let fits = match outcome.queue_type {
                WorkQueueType::User => driver == "user",
                WorkQueueType::Kernel => is_word(driver) && driver != "user" && driver != "idxd",
                _ => is_word(driver),
            };
            if !fits {
                let kind = RefusalKind::Word { value: driver.clone(), expected: "a driver for its type" };
                self.refuse(at, "driver_name", kind);
            } else if queue.driver_name.is_none() && queue.missing.contains(&"driver_name") {
                self.note(at, "driver_name", "this kernel takes the driver's name when the queue is enabled");
            } else {
                self.want(at, "driver_name", queue.driver_name.as_deref().unwrap_or(""), driver.as_str());
            }
            outcome.driver.clone_from(driver);
        }
    }

    /// `mode`, `size`, `threshold`.
    fn mode_and_size(
        &mut self,
        device: &Device,
        queue: &WorkQueue,
        wanted: &WorkQueueConfiguration,
        at: &str,
        outcome: &mut Outcome,
    ) {
        if let Some(word) = &wanted.mode {
            outcome.mode = WorkQueueMode::from(word.as_str());
            if matches!(outcome.mode, WorkQueueMode::Other(_)) {
                let kind = RefusalKind::Word { value: word.clone(), expected: "shared or dedicated" };
                self.refuse(at, "mode", kind);
            } else {
                self.want(at, "mode", queue.mode.as_ref().map_or("", |now| now.as_str()), word.as_str());
            }
        }
        let max = i64::from(device.max_work_queues_size.unwrap_or(0));
        if let Some(size) = wanted.size
            && self.number(at, "size", queue.size, size, (0, max))
        {
            outcome.size = size;
        }
        let dedicated = outcome.mode == WorkQueueMode::Dedicated;
        match wanted.threshold {
            Some(0) if dedicated => outcome.threshold = 0,
            Some(_) if dedicated => {
                self.refuse(at, "threshold", RefusalKind::Conflict { with: "mode dedicated" });
            }
            Some(threshold) => {
                let now = if queue.is_dedicated() { Some(0) } else { queue.threshold };
                if self.number(at, "threshold", now, threshold, (1, outcome.size)) {
                    outcome.threshold = threshold;
                }
            }
            None if dedicated => outcome.threshold = 0,
            // The kernel lets the size fall below it, and then does not enable the queue.
            None if outcome.threshold > outcome.size => {
                let (value, max) = (outcome.threshold, outcome.size);
                self.refuse(at, "threshold", RefusalKind::Range { value, min: 1, max });
            }
            None => {}
        }
    }

    /// `prs_disable`, `block_on_fault`, `ats_disable`.
    fn faults(
        &mut self,
        device: &Device,
        queue: &WorkQueue,
        wanted: &WorkQueueConfiguration,
        at: &str,
        outcome: &mut Outcome,
    ) {
        if let Some(disable) = wanted.prs_disable
            && self.flag(at, "prs_disable", queue.prs_disable, disable)
        {
            outcome.prs_disable = disable == 1;
        }
        if let Some(block) = wanted.block_on_fault {
            if block == 1 && device.gen_cap.is_some_and(|cap| !cap.block_on_fault()) {
                self.refuse(at, "block_on_fault", RefusalKind::Unsupported { value: "1".into() });
            } else if block == 1 && outcome.prs_disable {
                self.refuse(at, "block_on_fault", RefusalKind::Conflict { with: "prs_disable 1" });
            } else {
                self.flag(at, "block_on_fault", queue.block_on_fault, block);
            }
        }
        if let Some(disable) = wanted.ats_disable {
            self.flag(at, "ats_disable", queue.ats_disable, disable);
        }
    }

    /// `max_transfer_size`, `max_batch_size`: the kernel rounds both up to powers of two.
    fn limits(&mut self, device: &Device, queue: &WorkQueue, wanted: &WorkQueueConfiguration, at: &str) {
        let rounded = |value: i64| u64::try_from(value).ok().and_then(u64::checked_next_power_of_two);
        let rounded =
            |value: i64| rounded(value).and_then(|value| i64::try_from(value).ok()).unwrap_or(i64::MAX);
        let signed = |value: Option<u64>| value.map(|value| i64::try_from(value).unwrap_or(i64::MAX));
        if let Some(size) = wanted.max_transfer_size {
            let bounds = (1, signed(device.max_transfer_size).unwrap_or(0));
            let size = if size > 0 { rounded(size) } else { size };
            self.number(at, "max_transfer_size", signed(queue.max_transfer_size), size, bounds);
        }
        match wanted.max_batch_size {
            Some(_) if device.device_type == DeviceType::Iax => {
                self.note(at, "max_batch_size", "IAA has no batches");
            }
            Some(size) => {
                let bounds = (1, device.max_batch_size.map_or(0, i64::from));
                let size = if size > 0 { rounded(size) } else { size };
                self.number(at, "max_batch_size", queue.max_batch_size, size, bounds);
            }
            None => {}
        }
    }

    fn operations(&mut self, device: &Device, queue: &WorkQueue, text: &str, at: &str) {
        let Some(wanted) = bitmap(text) else {
            let kind = RefusalKind::Word {
                value: text.chars().take(80).collect(),
                expected: "a bitmap of 256 bits",
            };
            return self.refuse(at, "op_config", kind);
        };
        let mut of_device = device.op_cap.unwrap_or_default();
        if device.device_type == DeviceType::Dsa {
            // Kernels hide it where they refuse it from processes; the device has it, and the kernel knows.
            of_device = of_device.with(Opcode::BATCH);
        }
        let extra: [u64; 4] = std::array::from_fn(|word| wanted[word] & !of_device.0[word]);
        if extra != [0; 4] {
            let kind = RefusalKind::Operations { extra: bitmap_text(extra) };
            return self.refuse(at, "op_config", kind);
        }
        match queue.op_config {
            Some(OpCap(now)) => self.want(at, "op_config", bitmap_text(now), bitmap_text(wanted)),
            None => self.absent(at, "op_config", device.op_cap == Some(OpCap(wanted)), text.to_owned()),
        }
    }

    /// Whether the queue could be enabled, and that it is to be.
    fn ready(
        &mut self,
        device: &Device,
        queue: &WorkQueue,
        at: &str,
        outcome: &Outcome,
        engines: &BTreeMap<u32, u32>,
    ) {
        if queue.is_enabled() && !self.resets {
            return;
        }
        let driver = match outcome.driver.as_str() {
            "" => usual_driver(device.device_type, Some(&outcome.queue_type)),
            driver => driver,
        };
        let needs = [
            (outcome.group.is_some(), "a group"),
            (
                outcome.group.is_none_or(|group| engines.values().any(|id| *id == group)),
                "an engine in its group",
            ),
            (outcome.size > 0, "a size"),
            (outcome.mode == WorkQueueMode::Dedicated || outcome.threshold > 0, "a threshold"),
            (outcome.priority > 0, "a priority"),
            (outcome.queue_type != WorkQueueType::None, "a type"),
            // Since Linux 6.7 a queue is bound only to the driver it names.
            (!outcome.driver.is_empty() || queue.missing.contains(&"driver_name"), "a driver_name"),
            (
                outcome.queue_type != WorkQueueType::User || device.pasid_enabled != Some(false),
                "user PASID of its device",
            ),
            (
                self.machine.drivers.is_empty() || self.machine.drivers.iter().any(|name| name == driver),
                "its driver, which is not loaded",
            ),
        ];
        for (_, without) in needs.into_iter().filter(|(is_there, _)| !is_there) {
            self.refuse(at, "state", RefusalKind::NotReady { without });
        }
        self.to_enable.push((driver.to_owned(), queue.name.clone()));
    }
}
