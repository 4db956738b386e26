//! The idxd driver's side of its attributes: what it takes in which state, and what a write changes besides.
//!
//! The rules are those of the driver's `store` functions in Linux 6.8 to 6.18, in their own words here. Where they
//! refuse, a plan that asks for it was wrong.

use std::io;

use svala_idxd::configuration::Tree;

use super::Machine;

/// A tree that answers as the driver does.
#[derive(Clone, Debug)]
pub(crate) struct Kernel {
    pub(crate) machine: Machine,
    /// What was written, refused or not.
    pub(crate) writes: Vec<(String, String)>,
    /// Which write fails, counted from 0, although the driver would have taken it.
    pub(crate) fail_at: Option<usize>,
    /// Writes that fail whenever they are tried: path and value.
    pub(crate) fail_always: Option<(String, String)>,
}

fn refuse<T>(errno: i32) -> io::Result<T> {
    Err(io::Error::from_raw_os_error(errno))
}

impl Kernel {
    pub(crate) fn new(machine: Machine) -> Self {
        Self { machine, writes: Vec::new(), fail_at: None, fail_always: None }
    }

    fn number(&self, path: &str) -> i64 {
        let text = self.machine.get(path);
        text.strip_prefix("0x")
            .map_or_else(|| text.parse().unwrap(), |digits| i64::from_str_radix(digits, 16).unwrap())
    }

    fn is(&self, path: &str, value: &str) -> bool {
        self.machine.get(path) == value
    }

    /// Sum of an attribute over a device's parts.
    fn sum(&self, device: &str, attribute: &str) -> i64 {
        let paths = self.machine.files.keys();
        let of_parts = paths.filter(|path| {
            path.strip_prefix(device).is_some_and(|rest| rest.matches('/').count() == 2)
                && path.ends_with(attribute)
        });
        of_parts.map(|path| self.number(path)).sum()
    }

    /// How many engines (or queues) of a device are in a group.
    fn members(&self, device: &str, kind: &str, group: &str) -> i64 {
        let prefix = format!("{device}/{kind}");
        let all = self.machine.files.iter();
        let here = all.filter(|(path, value)| {
            path.starts_with(&prefix) && path.ends_with("/group_id") && value.as_str() == group
        });
        i64::try_from(here.count()).unwrap()
    }

    fn set(&mut self, path: &str, value: &str) -> io::Result<()> {
        let (owner, attribute) = path.rsplit_once('/').unwrap();
        let (device, part) = owner.split_once('/').unwrap_or((owner, ""));
        if !self.machine.files.contains_key(path) {
            return refuse(libc::ENOENT);
        }
        let at = |attribute: &str| format!("{owner}/{attribute}");
        let of_device = |attribute: &str| format!("{device}/{attribute}");
        let enabled = self.is(&of_device("state"), "enabled");
        let active = part.starts_with("wq") && self.is(&at("state"), "enabled");
        if !self.is(&of_device("configurable"), "1") {
            return refuse(libc::EPERM);
        }
        let value_number = || value.parse::<i64>().map_err(|_| io::Error::from_raw_os_error(libc::EINVAL));
        let max = |attribute: &str| self.number(&of_device(attribute));
        match (part.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.'), attribute) {
            ("", "read_buffer_limit" | "event_log_size") if enabled => return refuse(libc::EPERM),
            ("", "read_buffer_limit") if value_number()? > max("max_read_buffers") => {
                return refuse(libc::EINVAL);
            }
            ("", "event_log_size") if !(64..=0xffff).contains(&value_number()?) => {
                return refuse(libc::EINVAL);
            }
            ("", "read_buffer_limit" | "event_log_size") => {}
            ("engine" | "wq", "group_id") => {
                if active {
                    return refuse(libc::EPERM);
                }
                if !(-1..max("max_groups")).contains(&value_number()?) {
                    return refuse(libc::EINVAL);
                }
            }
            ("group", _) if enabled && !attribute.ends_with("progress_limit") => return refuse(libc::EPERM),
            ("group", "use_read_buffer_limit") if max("read_buffer_limit") == 0 => {
                return refuse(libc::EPERM);
            }
            ("group", "use_read_buffer_limit") => _ = value_number()?,
            ("group", "read_buffers_reserved" | "read_buffers_allowed") => {
                let total = max("max_read_buffers");
                let mine = self.number(&at("read_buffers_reserved"));
                let free = total - self.sum(device, "/read_buffers_reserved");
                let group = part.split_once('.').unwrap().1;
                let least = if attribute.ends_with("allowed") {
                    4 * self.members(device, "engine", group)
                } else {
                    0
                };
                if !(least..=mine + free).contains(&value_number()?) {
                    return refuse(libc::EINVAL);
                }
            }
            ("group", "traffic_class_a" | "traffic_class_b") => {
                if self.number(&of_device("version")) < 0x200 {
                    return refuse(libc::EPERM);
                }
                if !(0..=7).contains(&value_number()?) {
                    return refuse(libc::EINVAL);
                }
            }
            ("group", _) if !(0..=3).contains(&value_number()?) => return refuse(libc::EINVAL),
            ("group", _) => {}
            ("wq", _) if active => return refuse(libc::EPERM),
            ("wq", "size") => {
                let others = self.sum(device, "/size") - self.number(path);
                if enabled {
                    return refuse(libc::EPERM);
                }
                if value_number()? < 0 || others + value_number()? > max("max_work_queues_size") {
                    return refuse(libc::EINVAL);
                }
            }
            ("wq", "priority") if !(0..=15).contains(&value_number()?) => return refuse(libc::EINVAL),
            ("wq", "priority") => {}
            ("wq", "threshold") => {
                if !(1..=self.number(&at("size"))).contains(&value_number()?)
                    || self.is(&at("mode"), "dedicated")
                {
                    return refuse(libc::EINVAL);
                }
            }
            ("wq", "mode") => match value {
                "dedicated" => self.machine.set(&at("threshold"), 0),
                "shared" => {}
                _ => return refuse(libc::EINVAL),
            },
            ("wq", "type") => {
                if !["none", "kernel", "user"].contains(&value) {
                    return refuse(libc::EINVAL);
                }
                if !self.is(path, value) {
                    self.machine.set(&at("name"), "");
                }
            }
            ("wq", "name" | "driver_name") => {}
            ("wq", "block_on_fault") => match value {
                "1" if self.number(&of_device("gen_cap")) & 1 == 0 => return refuse(libc::EOPNOTSUPP),
                "1" if self.machine.files.get(&at("prs_disable")).is_some_and(|off| off == "1") => {
                    return refuse(libc::EOPNOTSUPP);
                }
                "0" | "1" => {}
                _ => return refuse(libc::EINVAL),
            },
            ("wq", "prs_disable") => match value {
                "1" => self.machine.set(&at("block_on_fault"), 0),
                "0" => {}
                _ => return refuse(libc::EINVAL),
            },
            ("wq", "ats_disable") if !["0", "1"].contains(&value) => return refuse(libc::EINVAL),
            ("wq", "ats_disable") => {}
            ("wq", "max_transfer_size" | "max_batch_size") => {
                let rounded = u64::try_from(value_number()?).unwrap_or(0).next_power_of_two();
                if value_number()? <= 0 || i64::try_from(rounded).unwrap() > max(attribute) {
                    return refuse(libc::EINVAL);
                }
                self.machine.set(path, rounded);
                return Ok(());
            }
            ("wq", "op_config") => {}
            other => panic!("{other:?} cannot be written"),
        }
        self.machine.set(path, value);
        Ok(())
    }

    fn bind(&mut self, driver: &str, name: &str) -> io::Result<()> {
        if driver == "idxd" {
            let state = format!("{name}/state");
            if !self.machine.files.contains_key(&state) || self.is(&state, "enabled") {
                return refuse(libc::ENODEV);
            }
            self.machine.set(&state, "enabled");
            return Ok(());
        }
        let device = self.machine.device_of(name);
        let at = |attribute: &str| format!("{device}/{name}/{attribute}");
        let group = self.machine.get(&at("group_id")).to_owned();
        let ready = self.is(&format!("{device}/state"), "enabled")
            && self.is(&at("state"), "disabled")
            && self.machine.files.get(&at("driver_name")).is_none_or(|wanted| wanted == driver)
            && self.number(&at("size")) > 0
            && self.number(&at("priority")) > 0
            && (self.is(&at("mode"), "dedicated") || self.number(&at("threshold")) > 0)
            && !self.is(&at("type"), "none")
            && self.members(device, "engine", &group) > 0;
        if !ready {
            return refuse(libc::ENXIO);
        }
        self.machine.set(&at("state"), "enabled");
        Ok(())
    }

    fn unbind(&mut self, driver: &str, name: &str) -> io::Result<()> {
        if driver != "idxd" {
            let device = self.machine.device_of(name);
            if !self.is(&format!("{device}/{name}/state"), "enabled") {
                return refuse(libc::ENODEV);
            }
            self.reset_queue(name, false);
            return Ok(());
        }
        if !self.is(&format!("{name}/state"), "enabled") {
            return refuse(libc::ENODEV);
        }
        let model = self.machine.model(name);
        let id = &name[3..];
        for queue in 0..8 {
            self.reset_queue(&format!("wq{id}.{queue}"), true);
        }
        for group in 0..4 {
            let shown = ["engines", "work_queues"].map(|members| {
                let path = format!("{name}/group{id}.{group}/{members}");
                (path.clone(), self.machine.get(&path).to_owned())
            });
            self.machine.group_defaults(model, group);
            // Lists of members: computed by the driver, not kept up here.
            for (path, value) in shown {
                self.machine.set(&path, value);
            }
        }
        let engines: Vec<_> = self
            .machine
            .files
            .keys()
            .filter(|path| path.starts_with(&format!("{name}/engine")))
            .cloned()
            .collect();
        for engine in engines {
            self.machine.set(&engine, -1);
        }
        self.machine.set(&format!("{name}/state"), "disabled");
        Ok(())
    }

    /// A queue that is disabled loses its settings, but its size and group, which go with the device.
    fn reset_queue(&mut self, name: &str, whole: bool) {
        let device = self.machine.device_of(name);
        let model = self.machine.model(device);
        let at = |attribute: &str| format!("{device}/{name}/{attribute}");
        let kept = ["size", "group_id", "driver_name", "cdev_minor"]
            .map(|attribute| (at(attribute), self.machine.files.get(&at(attribute)).cloned()));
        let there: Vec<_> =
            self.machine.files.keys().filter(|path| path.starts_with(&at(""))).cloned().collect();
        self.machine.queue_defaults(model, name.split_once('.').unwrap().1.parse().unwrap());
        self.machine.files.retain(|path, _| !path.starts_with(&at("")) || there.contains(path));
        for (path, value) in kept {
            let is_kept = !whole || path.ends_with("driver_name") || path.ends_with("cdev_minor");
            if let Some(value) = value.filter(|_| is_kept) {
                self.machine.set(&path, value);
            }
        }
    }
}

impl Tree for Kernel {
    fn read(&mut self, path: &str) -> io::Result<String> {
        let path = path.strip_prefix("devices/").expect("only attributes are read");
        self.machine.files.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn write(&mut self, path: &str, value: &str) -> io::Result<()> {
        self.writes.push((path.to_owned(), value.to_owned()));
        let always = self.fail_always.as_ref().is_some_and(|(at, what)| at == path && what == value);
        if always || self.fail_at == Some(self.writes.len() - 1) {
            return refuse(libc::EIO);
        }
        if let Some(attribute) = path.strip_prefix("devices/") {
            return self.set(attribute, value);
        }
        let (driver, action) = path.strip_prefix("drivers/").unwrap().split_once('/').unwrap();
        match action {
            "bind" => self.bind(driver, value),
            _ => self.unbind(driver, value),
        }
    }
}
