//! Machines as `/sys/bus/dsa` shows them, built here and unpacked into a directory.
//!
//! Names, formats and first-generation values are what a Sapphire Rapids server prints: `%#x` for versions and
//! capabilities, bitmaps in groups of 32 bits, -1 for no group, links from the bus to the PCI function. The links, and
//! not only the values, are part of what is tested.
#![allow(dead_code, reason = "each test binary uses its part")]

pub(crate) mod kernel;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use svala_idxd::{Discovery, Sysfs};
use tempfile::TempDir;

/// What the first generation of DSA supports, without the batch that its kernel hides.
pub(crate) const DSA_1_OPS: &str = "00000000,00000000,00000000,00000000,00000000,00000000,00000001,003f03fd";
/// What the second generation of DSA supports.
pub(crate) const DSA_2_OPS: &str = "00000000,00000000,00000000,00000000,00000000,00000000,0000007b,00bf07ff";
/// What the first generation of IAA supports.
pub(crate) const IAA_1_OPS: &str = "00000000,00000000,00000000,00000000,00000000,007f331c,00000000,0000000d";

/// What a device is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Model {
    pub(crate) name: &'static str,
    pub(crate) pci: &'static str,
    pub(crate) version: u32,
    pub(crate) numa_node: i32,
}

impl Model {
    pub(crate) const fn new(name: &'static str, pci: &'static str, version: u32, numa_node: i32) -> Self {
        Self { name, pci, version, numa_node }
    }

    pub(crate) fn is_dsa(self) -> bool {
        self.name.starts_with("dsa")
    }

    fn id(self) -> &'static str {
        &self.name[3..]
    }

    fn engines(self) -> u32 {
        if self.is_dsa() { 4 } else { 8 }
    }

    pub(crate) fn ops(self) -> &'static str {
        match (self.is_dsa(), self.version) {
            (false, _) => IAA_1_OPS,
            (true, 0x100) => DSA_1_OPS,
            (true, _) => DSA_2_OPS,
        }
    }
}

/// How a work queue is set up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueueSetup {
    pub(crate) mode: &'static str,
    pub(crate) size: u32,
    pub(crate) group: u32,
    pub(crate) block_on_fault: bool,
    pub(crate) queue_type: &'static str,
    pub(crate) driver: &'static str,
}

impl QueueSetup {
    pub(crate) const SHARED: Self =
        Self { mode: "shared", size: 16, group: 0, block_on_fault: true, queue_type: "user", driver: "user" };
    pub(crate) const DEDICATED: Self = Self { mode: "dedicated", size: 32, group: 1, ..Self::SHARED };
    pub(crate) const KERNEL: Self =
        Self { mode: "shared", queue_type: "kernel", driver: "dmaengine", ..Self::SHARED };
}

/// A tree: attributes by path, under the directory of devices.
#[derive(Clone, Debug, Default)]
pub(crate) struct Machine {
    pub(crate) models: Vec<Model>,
    pub(crate) files: BTreeMap<String, String>,
}

impl Machine {
    /// Four DSA and four IAA, as two sockets have them; `dsa0` and `iax1` are in use, the others as after boot.
    pub(crate) fn sapphire_rapids() -> Self {
        let mut machine = Self::default();
        for model in [
            Model::new("dsa0", "0000:6a:01.0", 0x100, 0),
            Model::new("iax1", "0000:6a:02.0", 0x100, 0),
            Model::new("dsa2", "0000:6f:01.0", 0x100, 0),
            Model::new("iax3", "0000:6f:02.0", 0x100, 0),
            Model::new("dsa4", "0000:e7:01.0", 0x100, 1),
            Model::new("iax5", "0000:e7:02.0", 0x100, 1),
            Model::new("dsa6", "0000:ec:01.0", 0x100, 1),
            Model::new("iax7", "0000:ec:02.0", 0x100, 1),
        ] {
            machine.add(model);
        }
        machine.enable("dsa0");
        machine.queue("wq0.0", QueueSetup::SHARED);
        machine.queue("wq0.1", QueueSetup::DEDICATED);
        machine.enable("iax1");
        machine.queue("wq1.0", QueueSetup::SHARED);
        machine
    }

    /// Two DSA, the first of them in use: quick to unpack.
    pub(crate) fn two_dsa() -> Self {
        let mut machine = Self::default();
        machine.add(Model::new("dsa0", "0000:6a:01.0", 0x100, 0));
        machine.add(Model::new("dsa2", "0000:6f:01.0", 0x100, 0));
        machine.enable("dsa0");
        machine.queue("wq0.0", QueueSetup::SHARED);
        machine.queue("wq0.1", QueueSetup::DEDICATED);
        machine
    }

    /// One DSA and one IAA as after boot.
    pub(crate) fn idle(version: u32) -> Self {
        let mut machine = Self::default();
        machine.add(Model::new("dsa0", "0000:6a:01.0", version, 0));
        machine.add(Model::new("iax1", "0000:6a:02.0", version, 0));
        machine
    }

    /// One DSA and one IAA of another version.
    pub(crate) fn of_version(version: u32) -> Self {
        let mut machine = Self::default();
        machine.add(Model::new("dsa0", "0000:75:01.0", version, 0));
        machine.add(Model::new("iax1", "0000:75:02.0", version, 0));
        machine.enable("dsa0");
        machine.queue("wq0.0", QueueSetup::SHARED);
        machine.queue("wq0.1", QueueSetup::DEDICATED);
        machine.enable("iax1");
        machine.queue("wq1.0", QueueSetup::SHARED);
        machine
    }

    pub(crate) fn set(&mut self, path: &str, value: impl ToString) {
        self.files.insert(path.to_owned(), value.to_string());
    }

    pub(crate) fn get(&self, path: &str) -> &str {
        &self.files[path]
    }

    pub(crate) fn remove(&mut self, path: &str) {
        assert!(self.files.remove(path).is_some(), "{path}");
    }

    /// A device as after boot.
    pub(crate) fn add(&mut self, model: Model) {
        self.models.push(model);
        let (name, id) = (model.name, model.id());
        let device = |attribute: &str| format!("{name}/{attribute}");
        self.set(&device("version"), format_args!("{:#x}", model.version));
        self.set(&device("state"), "disabled");
        self.set(&device("numa_node"), model.numa_node);
        self.set(&device("configurable"), 1);
        self.set(&device("pasid_enabled"), 1);
        self.set(&device("clients"), 0);
        self.set(&device("cmd_status"), "0x0");
        self.set(&device("errors"), ["00000000"; 8].join(","));
        self.set(&device("op_cap"), model.ops());
        self.set(&device("gen_cap"), if model.is_dsa() { "0x40915f0107" } else { "0x71f10901f0105" });
        self.set(&device("max_groups"), 4);
        self.set(&device("max_engines"), model.engines());
        self.set(&device("max_work_queues"), 8);
        self.set(&device("max_work_queues_size"), 128);
        self.set(&device("max_transfer_size"), 2_147_483_648_u64);
        self.set(&device("cdev_major"), if model.is_dsa() { 235 } else { 234 });
        if model.is_dsa() {
            self.set(&device("max_batch_size"), 1024);
            self.set(&device("max_read_buffers"), 96);
            self.set(&device("read_buffer_limit"), 0);
            // Deprecated names, still there.
            self.set(&device("max_tokens"), 96);
            self.set(&device("token_limit"), 0);
        }
        if model.version >= 0x200 {
            self.set(&device("event_log_size"), 64);
            if !model.is_dsa() {
                self.set(&device("iaa_cap"), "0x9d");
            }
        }
        if model.version >= 0x300 && model.is_dsa() {
            self.set(&device("dsacaps"), "0000000000000003,0000000000000002,00000000000a0001");
        }
        for group in 0..4 {
            self.group_defaults(model, group);
        }
        for engine in 0..model.engines() {
            self.set(&device(&format!("engine{id}.{engine}/group_id")), -1);
        }
        for queue in 0..8 {
            self.queue_defaults(model, queue);
        }
    }

    pub(crate) fn group_defaults(&mut self, model: Model, group: u32) {
        let at = |attribute: &str| format!("{}/group{}.{group}/{attribute}", model.name, model.id());
        self.set(&at("engines"), "");
        self.set(&at("work_queues"), "");
        self.set(&at("traffic_class_a"), 1);
        self.set(&at("traffic_class_b"), 1);
        if model.is_dsa() {
            self.set(&at("read_buffers_allowed"), 96);
            self.set(&at("read_buffers_reserved"), 0);
            self.set(&at("use_read_buffer_limit"), 0);
        }
        if model.version >= 0x200 {
            self.set(&at("desc_progress_limit"), 0);
            self.set(&at("batch_progress_limit"), 0);
        }
    }

    /// The values of a work queue that is not configured.
    pub(crate) fn queue_defaults(&mut self, model: Model, queue: u32) {
        let at = |attribute: &str| format!("{}/wq{}.{queue}/{attribute}", model.name, model.id());
        self.set(&at("mode"), "shared");
        self.set(&at("type"), "none");
        self.set(&at("state"), "disabled");
        self.set(&at("name"), "");
        self.set(&at("driver_name"), "");
        self.set(&at("group_id"), -1);
        self.set(&at("size"), 0);
        self.set(&at("threshold"), 0);
        self.set(&at("priority"), 0);
        self.set(&at("block_on_fault"), 0);
        self.set(&at("max_transfer_size"), 2 << 20);
        self.set(&at("ats_disable"), 0);
        self.set(&at("op_config"), model.ops());
        self.set(&at("enqcmds_retries"), 0);
        self.set(&at("clients"), 0);
        if model.is_dsa() {
            self.set(&at("max_batch_size"), 32);
            self.set(&at("occupancy"), 0);
        }
        if model.version >= 0x200 {
            self.set(&at("prs_disable"), 0);
        }
    }

    /// Enables a device, with engines 0 and 1 in groups 0 and 1.
    pub(crate) fn enable(&mut self, device: &str) {
        let id = &device[3..];
        self.set(&format!("{device}/state"), "enabled");
        for group in 0..2 {
            self.set(&format!("{device}/engine{id}.{group}/group_id"), group);
            self.set(&format!("{device}/group{id}.{group}/engines"), format_args!("engine{id}.{group}"));
        }
    }

    /// Configures and enables a work queue.
    pub(crate) fn queue(&mut self, name: &str, setup: QueueSetup) {
        let (device, id) = (self.device_of(name), &name[2..]);
        let at = |attribute: &str| format!("{device}/{name}/{attribute}");
        self.set(&at("mode"), setup.mode);
        self.set(&at("type"), setup.queue_type);
        self.set(&at("state"), "enabled");
        self.set(&at("name"), format_args!("app{id}"));
        self.set(&at("driver_name"), setup.driver);
        self.set(&at("group_id"), setup.group);
        self.set(&at("size"), setup.size);
        self.set(&at("threshold"), if setup.mode == "shared" { setup.size - 1 } else { 0 });
        self.set(&at("priority"), 10);
        self.set(&at("block_on_fault"), u8::from(setup.block_on_fault));
        self.set(&at("cdev_minor"), &id[id.len() - 1..]);
        let members = format!("{device}/group{}.{}/work_queues", &device[3..], setup.group);
        let all = format!("{} {name}", self.get(&members)).trim().to_owned();
        self.set(&members, all);
    }

    /// The device a work queue belongs to.
    pub(crate) fn device_of(&self, queue: &str) -> &'static str {
        let id = queue.trim_start_matches(char::is_alphabetic).split_once('.').expect("a dot").0;
        self.models.iter().find(|model| model.id() == id).expect("the device").name
    }

    pub(crate) fn model(&self, device: &str) -> Model {
        *self.models.iter().find(|model| model.name == device).expect("the device")
    }

    /// Writes the tree below `root`: `sys/devices`, `sys/bus/dsa`, `dev`.
    pub(crate) fn unpack(&self, root: &Path) -> Sysfs {
        let bus = root.join("sys/bus/dsa");
        fs::create_dir_all(bus.join("devices")).unwrap();
        for driver in ["idxd", "user", "dmaengine", "crypto"] {
            fs::create_dir_all(bus.join("drivers").join(driver)).unwrap();
        }
        for directory in ["dsa", "iax"] {
            fs::create_dir_all(root.join("dev").join(directory)).unwrap();
        }
        for model in &self.models {
            let function = format!("devices/pci{}/{}", &model.pci[..7], model.pci);
            let device = root.join("sys").join(&function).join(model.name);
            fs::create_dir_all(&device).unwrap();
            let link = format!("../../../{function}/{}", model.name);
            symlink(link, bus.join("devices").join(model.name)).unwrap();
        }
        for (path, value) in &self.files {
            let at = bus.join("devices").join(path);
            let directory = at.parent().unwrap();
            if !directory.exists() {
                fs::create_dir_all(directory).unwrap();
                self.link_part(path, &bus);
            }
            fs::write(at, format!("{value}\n")).unwrap();
        }
        self.link_drivers(&bus);
        Sysfs::new(bus, root.join("dev"))
    }

    /// The bus lists parts beside devices.
    fn link_part(&self, path: &str, bus: &Path) {
        let (device, rest) = path.split_once('/').expect("a device");
        let part = rest.split_once('/').expect("a part").0;
        symlink(format!("{device}/{part}"), bus.join("devices").join(part)).unwrap();
    }

    /// What is enabled is bound.
    fn link_drivers(&self, bus: &Path) {
        for (path, value) in &self.files {
            let Some(owner) = path.strip_suffix("/state") else { continue };
            if value != "enabled" {
                continue;
            }
            let driver = self.files.get(&format!("{owner}/driver_name")).map_or("idxd", String::as_str);
            let link = bus.join("devices").join(owner).join("driver");
            symlink(format!("../../../../bus/dsa/drivers/{driver}"), link).unwrap();
        }
    }

    /// The same in a directory of its own, which goes with the first value.
    pub(crate) fn unpacked(&self) -> (TempDir, Sysfs) {
        let root = tempfile::tempdir().unwrap();
        let sysfs = self.unpack(root.path());
        (root, sysfs)
    }
}

/// A machine that stays unpacked, so that showing another state of it costs only what differs.
pub(crate) struct Shown {
    _root: TempDir,
    sysfs: Sysfs,
    files: BTreeMap<String, String>,
}

impl Shown {
    pub(crate) fn new(machine: &Machine) -> Self {
        let (root, sysfs) = machine.unpacked();
        Self { _root: root, sysfs, files: machine.files.clone() }
    }

    /// What discovery finds in this state. The state has the same attributes.
    pub(crate) fn discover(&mut self, files: &BTreeMap<String, String>) -> Discovery {
        for (path, value) in files {
            let shown = self.files.get_mut(path).expect("the same attributes");
            if shown != value {
                fs::write(self.sysfs.devices().join(path), format!("{value}\n")).unwrap();
                shown.clone_from(value);
            }
        }
        self.sysfs.discover().unwrap()
    }
}
