//! Whether a machine can do what a configuration asks for.
//!
//! Everything is looked at before anything is said, so that one look at the answer is enough. What is checked is the
//! state that would result: sizes and read buffers are summed over the parts that the configuration does not name as
//! well.

mod refusal;
mod work_queue;

use std::collections::{BTreeMap, BTreeSet};

pub use refusal::{Note, Refusal, RefusalKind, Refused};

use super::json::{DeviceConfiguration, EngineConfiguration, GroupConfiguration};
use super::order::Change;
use super::plan::PlanOptions;
use crate::device::{Device, DeviceType, Engine, Group};
use crate::sysfs::{Discovery, part_name};

/// Entries of the event log (the driver's bounds; DSA §9.2.16 has 16 bits for it).
const EVENT_LOG_ENTRIES: (i64, i64) = (64, 0xffff);

/// A check under way.
pub(crate) struct Check<'m> {
    machine: &'m Discovery,
    options: PlanOptions,
    refusals: Vec<Refusal>,
    notes: Vec<Note>,
    seen: BTreeSet<String>,
    /// Of the present device.
    changes: Vec<Change>,
    /// The present device will be reset: nothing of what it has now is there when the writes begin.
    resets: bool,
    /// Drivers and names of the present device's queues that are to be enabled.
    to_enable: Vec<(String, String)>,
}

impl<'m> Check<'m> {
    pub(crate) fn new(machine: &'m Discovery, options: PlanOptions) -> Self {
        Self {
            machine,
            options,
            refusals: Vec::new(),
            notes: Vec::new(),
            seen: BTreeSet::new(),
            changes: Vec::new(),
            resets: false,
            to_enable: Vec::new(),
        }
    }

    /// The notes, if nothing was refused.
    pub(crate) fn finish(self) -> Result<Vec<Note>, Refused> {
        if self.refusals.is_empty() { Ok(self.notes) } else { Err(Refused { refusals: self.refusals }) }
    }

    /// Queues of the last device that are to be enabled.
    pub(crate) fn enabled(&mut self) -> Vec<(String, String)> {
        std::mem::take(&mut self.to_enable)
    }

    /// The changes one device needs. None if there is no such device.
    pub(crate) fn device(&mut self, wanted: &DeviceConfiguration) -> Option<(&'m Device, Vec<Change>)> {
        let at = wanted.dev.as_str();
        self.changes.clear();
        self.to_enable.clear();
        let Some(device) = self.machine.device(at) else {
            self.refuse(at, "dev", RefusalKind::NotThere);
            return None;
        };
        if !self.seen.insert(device.name.clone()) {
            self.refuse(at, "dev", RefusalKind::Twice);
            return None;
        }
        self.resets = device.is_enabled() && self.options.disable_first;
        self.unused(at, wanted.others.keys());
        self.device_attributes(device, wanted);
        let engines = self.engines(device, wanted);
        self.groups(device, wanted, &engines);
        self.work_queues(device, wanted, &engines);
        if !self.changes.is_empty() {
            if device.configurable == Some(false) {
                self.refuse(at, "configurable", RefusalKind::NotConfigurable);
            }
            if device.is_enabled() && !self.resets {
                self.refuse(at, "state", RefusalKind::Enabled);
            }
        }
        Some((device, std::mem::take(&mut self.changes)))
    }

    fn device_attributes(&mut self, device: &Device, wanted: &DeviceConfiguration) {
        let at = device.name.as_str();
        if let Some(limit) = wanted.read_buffer_limit {
            if device.device_type == DeviceType::Iax {
                self.note(at, "read_buffer_limit", "IAA has no read buffers");
            } else {
                let max = i64::from(device.max_read_buffers.unwrap_or(0));
                self.number(at, "read_buffer_limit", device.read_buffer_limit, limit, (0, max));
            }
        }
        if let Some(size) = wanted.event_log_size {
            self.number(at, "event_log_size", device.event_log_size, size, EVENT_LOG_ENTRIES);
        }
    }

    /// The group of each engine, as it would be.
    fn engines(&mut self, device: &Device, wanted: &DeviceConfiguration) -> BTreeMap<u32, u32> {
        let now = device.engines.iter().filter(|_| !self.resets);
        let mut groups: BTreeMap<u32, u32> =
            now.filter_map(|engine| engine.group_id.map(|group| (engine.id, group))).collect();
        let listed = wanted.groups.iter().flat_map(|group| {
            group.grouped_engines.iter().map(move |engine| (engine, Some(group.dev.as_str())))
        });
        for (engine, group) in listed.chain(wanted.ungrouped_engines.iter().map(|engine| (engine, None))) {
            let Some((found, group)) = self.engine(device, engine, group) else { continue };
            match group {
                Some(group) => groups.insert(found.id, group),
                None => groups.remove(&found.id),
            };
        }
        groups
    }

    /// An engine, and the group it is to be in. None if there is nothing to be done with it.
    fn engine<'d>(
        &mut self,
        device: &'d Device,
        wanted: &EngineConfiguration,
        listed: Option<&str>,
    ) -> Option<(&'d Engine, Option<u32>)> {
        let at = format!("{}/{}", device.name, wanted.dev);
        self.unused(&at, wanted.others.keys());
        let engine = part_name(&wanted.dev, "engine").and_then(|(_, id)| device.engine(id));
        let engine = self.part(&at, &wanted.dev, engine.map(|engine| (engine, engine.name.as_str())))?;
        let group = self.group_id(device, &at, wanted.group_id, listed)?;
        self.want(&at, "group_id", engine.group_id.map_or(-1, i64::from), group.map_or(-1, i64::from));
        Some((engine, group))
    }

    /// A part that is there and was not named before.
    fn part<'d, T>(&mut self, at: &str, name: &str, found: Option<(&'d T, &str)>) -> Option<&'d T> {
        let Some((part, _)) = found.filter(|&(_, actual)| actual == name) else {
            self.refuse(at, "dev", RefusalKind::NotThere);
            return None;
        };
        if !self.seen.insert(at.to_owned()) {
            self.refuse(at, "dev", RefusalKind::Twice);
            return None;
        }
        Some(part)
    }

    /// The group that a part is to be in: the one it says, or the one it is listed in. None: as it is, or refused.
    fn group_id(
        &mut self,
        device: &Device,
        at: &str,
        said: Option<i64>,
        listed: Option<&str>,
    ) -> Option<Option<u32>> {
        // A list under a group that is not there is refused where the group is.
        let listed = listed.and_then(|group| part_name(group, "group")).map(|(_, id)| id);
        let Some(said) = said else { return listed.map(Some) };
        if let Some(listed) = listed
            && said != i64::from(listed)
        {
            self.refuse(at, "group_id", RefusalKind::ListedElsewhere { listed, said });
            return None;
        }
        let group = u32::try_from(said).ok();
        if said != -1 && group.is_none_or(|group| device.group(group).is_none()) {
            let max = device.groups.iter().map(|group| i64::from(group.id)).max().unwrap_or(-1);
            self.refuse(at, "group_id", RefusalKind::Range { value: said, min: -1, max });
            return None;
        }
        Some(group)
    }

    fn groups(&mut self, device: &Device, wanted: &DeviceConfiguration, engines: &BTreeMap<u32, u32>) {
        let reserved_now =
            |group: &Group| if self.resets { 0 } else { group.read_buffers_reserved.unwrap_or(0) };
        let mut reserved: BTreeMap<u32, u64> =
            device.groups.iter().map(|group| (group.id, u64::from(reserved_now(group)))).collect();
        let mut named = Vec::new();
        let device_limit = wanted.read_buffer_limit.or(device.read_buffer_limit.map(i64::from)).unwrap_or(0);
        for wanted in &wanted.groups {
            let at = format!("{}/{}", device.name, wanted.dev);
            self.unused(&at, wanted.others.keys());
            let group = part_name(&wanted.dev, "group").and_then(|(_, id)| device.group(id));
            let group = self.part(&at, &wanted.dev, group.map(|group| (group, group.name.as_str())));
            let Some(group) = group else { continue };
            if let Some(buffers) = self.group(device, group, wanted, &at, device_limit) {
                reserved.insert(group.id, buffers);
            }
            named.push((group, wanted, at));
        }
        if device.device_type == DeviceType::Iax {
            return;
        }
        let max = u64::from(device.max_read_buffers.unwrap_or(0));
        // Numbers from a file: their sum may not fit.
        let sum = reserved.values().fold(0_u64, |sum, buffers| sum.saturating_add(*buffers));
        if sum > max {
            self.refuse(&device.name, "read_buffers_reserved", RefusalKind::Sum { sum, max });
            return;
        }
        for (group, wanted, at) in named {
            let Some(allowed) = wanted.read_buffers_allowed else { continue };
            // All of them is what a reset leaves, also where it could not be written any more.
            let now = if self.resets { device.max_read_buffers } else { group.read_buffers_allowed };
            if now.map(i64::from) == Some(allowed) {
                continue;
            }
            // Four for each engine (DSA §9.2.21); no more than what is reserved for it or for nobody.
            let count = engines.values().filter(|id| **id == group.id).count();
            let min = 4 * i64::try_from(count).unwrap_or(i64::MAX / 4);
            let room =
                i64::try_from(max - sum + reserved.get(&group.id).copied().unwrap_or(0)).unwrap_or(i64::MAX);
            self.number(&at, "read_buffers_allowed", group.read_buffers_allowed, allowed, (min, room));
        }
    }

    /// A group's own attributes, but for `read_buffers_allowed`, which depends on the others'. The read buffers it is
    /// to keep, if it is to keep others.
    fn group(
        &mut self,
        device: &Device,
        group: &Group,
        wanted: &GroupConfiguration,
        at: &str,
        device_limit: i64,
    ) -> Option<u64> {
        let mut kept = None;
        let limit = wanted.use_read_buffer_limit;
        if device.device_type == DeviceType::Iax {
            let some = [limit, wanted.read_buffers_allowed, wanted.read_buffers_reserved];
            if some.iter().any(Option::is_some) {
                self.note(at, "read_buffers_allowed", "IAA has no read buffers");
            }
        } else {
            let max = i64::from(device.max_read_buffers.unwrap_or(0));
            if let Some(reserved) = wanted.read_buffers_reserved
                && self.number(at, "read_buffers_reserved", group.read_buffers_reserved, reserved, (0, max))
            {
                kept = u64::try_from(reserved).ok();
            }
            if let Some(limit) = limit {
                self.use_limit(group, at, limit, device_limit);
            }
        }
        self.traffic_class(device, at, "traffic_class_a", group.traffic_class_a, wanted.traffic_class_a);
        self.traffic_class(device, at, "traffic_class_b", group.traffic_class_b, wanted.traffic_class_b);
        for (attribute, now, wanted) in [
            ("desc_progress_limit", group.desc_progress_limit, wanted.desc_progress_limit),
            ("batch_progress_limit", group.batch_progress_limit, wanted.batch_progress_limit),
        ] {
            if let Some(wanted) = wanted {
                self.number(at, attribute, now, wanted, (0, 3));
            }
        }
        kept
    }

    /// `use_read_buffer_limit`: the kernel lets it be written only while the device has a limit, 0 included.
    fn use_limit(&mut self, group: &Group, at: &str, wanted: i64, device_limit: i64) {
        let attribute = "use_read_buffer_limit";
        if wanted == 1 && device_limit == 0 {
            self.refuse(at, attribute, RefusalKind::Conflict { with: "read_buffer_limit 0" });
        } else if wanted != 0 || !self.resets {
            // A reset leaves 0.
            self.flag(at, attribute, group.use_read_buffer_limit, wanted);
        }
    }

    fn traffic_class(
        &mut self,
        device: &Device,
        at: &str,
        attribute: &'static str,
        now: Option<i32>,
        wanted: Option<i64>,
    ) {
        let Some(wanted) = wanted.filter(|&class| class != -1) else { return };
        let fixed = device.generation().is_none_or(|generation| generation < 2);
        if fixed && !self.options.traffic_class_override {
            // A file saved on such a device has the values it came with. A reset brings them back.
            if now.map(i64::from) != Some(wanted) {
                let version = device.version.unwrap_or(0);
                self.refuse(at, attribute, RefusalKind::Version { version });
            }
            return;
        }
        self.number(at, attribute, now, wanted, (0, 7));
    }

    /// A number within bounds; an attribute that the device does not have can only be left at 0.
    fn number<N: Copy + Into<i64>>(
        &mut self,
        at: &str,
        attribute: &'static str,
        now: Option<N>,
        wanted: i64,
        (min, max): (i64, i64),
    ) -> bool {
        let Some(now) = now else {
            self.absent(at, attribute, wanted <= 0, wanted.to_string());
            return false;
        };
        if !(min..=max).contains(&wanted) {
            self.refuse(at, attribute, RefusalKind::Range { value: wanted, min, max });
            return false;
        }
        self.want(at, attribute, now.into(), wanted);
        true
    }

    /// 0 or 1.
    fn flag(&mut self, at: &str, attribute: &'static str, now: Option<bool>, wanted: i64) -> bool {
        self.number(at, attribute, now, wanted, (0, 1))
    }

    /// An attribute that is not there: nothing to do if it is wanted as it is without it.
    fn absent(&mut self, at: &str, attribute: &'static str, harmless: bool, value: String) {
        if harmless {
            self.note(at, attribute, "not an attribute here, and at its default without it");
        } else {
            self.refuse(at, attribute, RefusalKind::Unsupported { value });
        }
    }

    /// Enters a write, if the value is not there already.
    fn want<T: ToString + PartialEq>(&mut self, at: &str, attribute: &'static str, now: T, new: T) {
        if self.resets || now != new {
            let old = (!self.resets).then(|| now.to_string());
            self.write(at, attribute, old, new.to_string());
        }
    }

    /// Enters a write.
    fn write(&mut self, at: &str, attribute: &'static str, old: Option<String>, new: String) {
        self.changes.push(Change { path: format!("devices/{at}/{attribute}"), old, new });
    }

    fn refuse(&mut self, at: &str, attribute: &'static str, kind: RefusalKind) {
        self.refusals.push(Refusal { at: at.to_owned(), attribute, kind });
    }

    fn note(&mut self, at: &str, attribute: &str, why: &'static str) {
        self.notes.push(Note { at: at.to_owned(), attribute: attribute.to_owned(), why });
    }

    /// Keys that are no configuration.
    fn unused<'k>(&mut self, at: &str, keys: impl Iterator<Item = &'k String>) {
        for key in keys {
            self.note(at, key, "not configuration");
        }
    }
}
