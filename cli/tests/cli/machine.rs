//! A machine as a tree of files: the formats are those of the kernel's documents (sysfs-driver-dma-idxd, proc(5), the
//! VT-d and PCI Express specifications), not of the code under test.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::SVALA;

/// Where the kernel keeps a PCI function that is in a root complex.
const DSA: &str = "sys/devices/pci0000:6a/0000:6a:01.0";
const IAA: &str = "sys/devices/pci0000:6a/0000:6a:02.0";

/// A kernel's configuration that has everything.
pub(crate) const CONFIG: &str = "CONFIG_INTEL_IDXD=m\nCONFIG_INTEL_IDXD_SVM=y\nCONFIG_INTEL_IOMMU=y\n\
    CONFIG_INTEL_IOMMU_SVM=y\n# CONFIG_INTEL_IOMMU_SCALABLE_MODE_DEFAULT_ON is not set\nCONFIG_IOMMU_SVA=y\n\
    CONFIG_IO_URING=y\n";

/// VT-d registers of a Sapphire Rapids, as `dmesg` and sysfs show them; bits of interest: FS5LP 60, FS1GP 56; SMPWCS 48,
/// FSTS 47, SMTS 43, PASID 40, PRS 29, DT 2.
pub(crate) const CAP: u64 = 0x19ed_008c_40c7_80c6 | 1 << 60 | 1 << 56;
pub(crate) const ECAP: u64 = 0x0003_ee9e_86f0_50df | 1 << 48 | 1 << 47 | 1 << 43 | 1 << 40 | 1 << 29 | 1 << 2;

/// Files in the place of a machine's.
pub(crate) struct Machine(TempDir);

impl Machine {
    /// Nothing at all.
    pub(crate) fn empty() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// Sapphire Rapids with a DSA and an IAA, all of it as it should be: `wq0.0` shared, `wq0.1` dedicated, `wq1.0`
    /// shared.
    pub(crate) fn right() -> Self {
        let machine = Self::empty();
        machine.software();
        machine.firmware();
        machine.function(DSA, "0x0b25");
        machine.function(IAA, "0x0cfe");
        machine.device(DSA, "dsa0", 0);
        machine.device(IAA, "iax1", 1);
        machine.queue(DSA, "dsa0", "wq0.0", "shared");
        machine.queue(DSA, "dsa0", "wq0.1", "dedicated");
        machine.queue(IAA, "iax1", "wq1.0", "shared");
        for part in ["dsa", "iax"] {
            fs::create_dir_all(machine.at(&format!("dev/{part}"))).unwrap();
        }
        for (queue, node) in [("wq0.0", "dsa/wq0.0"), ("wq0.1", "dsa/wq0.1"), ("wq1.0", "iax/wq1.0")] {
            machine.write(&format!("dev/{node}"), "");
            machine.chmod(&format!("dev/{node}"), 0o600);
            machine.write(&format!("probe/open_{queue}"), "ok");
        }
        machine
    }

    fn software(&self) {
        self.write(
            "proc/cpuinfo",
            "processor\t: 0\nflags\t\t: fpu pdpe1gb la57 waitpkg movdiri movdir64b enqcmd\n\n",
        );
        self.write("probe/cpuid_7_ecx", &format!("{:#x}", 1_u32 << 29 | 1 << 28 | 1 << 16 | 1 << 5));
        self.write("proc/sys/kernel/osrelease", "6.19.3-1-amd64\n");
        self.write("proc/cmdline", "BOOT_IMAGE=/vmlinuz ro quiet intel_iommu=on,sm_on\n");
        self.config(CONFIG);
        self.write("sys/module/idxd/parameters/sva", "Y\n");
        for driver in ["idxd", "user", "dmaengine"] {
            for file in ["bind", "unbind"] {
                self.write(&format!("sys/bus/dsa/drivers/{driver}/{file}"), "");
            }
        }
        let user = nix::unistd::getuid();
        self.status(user.as_raw(), 0);
        self.write("proc/sys/kernel/io_uring_disabled", "0\n");
        self.write("proc/self/cgroup", "0::/user.slice/session.scope\n");
        self.write("sys/fs/cgroup/user.slice/session.scope/memory.max", "max\n");
        self.write("sys/fs/cgroup/user.slice/memory.max", "max\n");
        self.write(
            "proc/self/limits",
            "Limit                     Soft Limit           Hard Limit           Units     \n\
             Max locked memory         8388608              8388608              bytes     \n",
        );
        self.write("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n");
        for probe in ["io_uring_setup", "pagemap_scan"] {
            self.write(&format!("probe/{probe}"), "ok");
        }
    }

    fn firmware(&self) {
        self.write("sys/firmware/acpi/tables/DMAR", "DMAR");
        self.write("sys/class/iommu/dmar5/intel-iommu/cap", &format!("{CAP:x}\n"));
        self.write("sys/class/iommu/dmar5/intel-iommu/ecap", &format!("{ECAP:x}\n"));
    }

    /// A PCI function with all three capabilities, bound to idxd, behind dmar5.
    pub(crate) fn function(&self, directory: &str, number: &str) {
        let address = directory.rsplit('/').next().unwrap();
        self.write(&format!("{directory}/vendor"), "0x8086\n");
        self.write(&format!("{directory}/device"), &format!("{number}\n"));
        fs::write(self.at(&format!("{directory}/config")), config_space(&[0x0f, 0x1b, 0x13], true)).unwrap();
        self.link(&format!("{directory}/driver"), "../../../bus/pci/drivers/idxd");
        self.link(&format!("{directory}/iommu"), "../../virtual/iommu/dmar5");
        let target = directory.strip_prefix("sys/").unwrap();
        self.link(&format!("sys/bus/pci/devices/{address}"), &format!("../../../{target}"));
    }

    fn device(&self, function: &str, name: &str, id: u32) {
        let directory = format!("{function}/{name}");
        let common = [
            ("version", "0x100"),
            ("state", "enabled"),
            ("numa_node", "0"),
            ("configurable", "1"),
            ("pasid_enabled", "1"),
            ("clients", "0"),
            ("op_cap", "00000000,00000000,00000000,00000000,00000000,00000000,0000007b,00bf07ff"),
            ("gen_cap", "0x40915f010f"),
            ("max_groups", "4"),
            ("max_engines", "4"),
            ("max_work_queues", "8"),
            ("max_work_queues_size", "128"),
            ("max_transfer_size", "2147483648"),
            ("max_batch_size", "1024"),
            ("max_read_buffers", "96"),
            ("read_buffer_limit", "0"),
            ("cdev_major", "0"),
            ("cmd_status", "0x0"),
            ("errors", "00000000,00000000,00000000,00000000,00000000,00000000,00000000,00000000"),
        ];
        // An IAA has no batches and no read buffers.
        let of_dsa = |attribute: &str| ["read_buffer", "batch"].iter().any(|part| attribute.contains(part));
        for (attribute, value) in common.into_iter().filter(|(attribute, _)| id == 0 || !of_dsa(attribute)) {
            self.write(&format!("{directory}/{attribute}"), &format!("{value}\n"));
        }
        for engine in 0..2 {
            self.write(&format!("{directory}/engine{id}.{engine}/group_id"), "0\n");
        }
        let group = format!("{directory}/group{id}.0");
        for (attribute, value) in [
            ("read_buffers_allowed", "96"),
            ("read_buffers_reserved", "0"),
            ("use_read_buffer_limit", "0"),
            ("traffic_class_a", "1"),
            ("traffic_class_b", "1"),
        ]
        .into_iter()
        .filter(|(attribute, _)| id == 0 || !of_dsa(attribute))
        {
            self.write(&format!("{group}/{attribute}"), &format!("{value}\n"));
        }
        self.write(&format!("{group}/engines"), &format!("engine{id}.0 engine{id}.1\n"));
        let queues = if id == 0 { "wq0.0 wq0.1" } else { "wq1.0" };
        self.write(&format!("{group}/work_queues"), &format!("{queues}\n"));
        self.link(&format!("{directory}/driver"), "../../../../bus/dsa/drivers/idxd");
        let target = directory.strip_prefix("sys/").unwrap();
        self.link(&format!("sys/bus/dsa/devices/{name}"), &format!("../../../{target}"));
    }

    fn queue(&self, function: &str, device: &str, name: &str, mode: &str) {
        let directory = format!("{function}/{device}/{name}");
        let is_dsa = device.starts_with("dsa");
        for (attribute, value) in [
            ("mode", mode),
            ("type", "user"),
            ("state", "enabled"),
            ("name", "app"),
            ("driver_name", "user"),
            ("group_id", "0"),
            ("size", "16"),
            ("threshold", if mode == "shared" { "15" } else { "0" }),
            ("priority", "10"),
            ("block_on_fault", "1"),
            ("max_transfer_size", "2097152"),
            ("max_batch_size", "32"),
            ("ats_disable", "0"),
            ("clients", "0"),
            ("cdev_minor", "0"),
        ]
        .into_iter()
        .filter(|(attribute, _)| is_dsa || *attribute != "max_batch_size")
        {
            self.write(&format!("{directory}/{attribute}"), &format!("{value}\n"));
        }
        self.link(&format!("{directory}/driver"), "../../../../../bus/dsa/drivers/user");
    }

    /// The process's status: this user, these capabilities.
    pub(crate) fn status(&self, user: u32, capabilities: u64) {
        self.write(
            "proc/self/status",
            &format!(
                "Name:\tsvala\nUid:\t{user}\t{user}\t{user}\t{user}\nGid:\t100\t100\t100\t100\nGroups:\t100 44 \n\
                 CapEff:\t{capabilities:016x}\nNoNewPrivs:\t0\nSeccomp:\t0\nSeccomp_filters:\t0\n"
            ),
        );
    }

    /// The kernel's own copy of its configuration.
    pub(crate) fn config(&self, text: &str) {
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(text.as_bytes()).unwrap();
        self.write("proc/config.gz", "");
        fs::write(self.at("proc/config.gz"), packed.finish().unwrap()).unwrap();
    }

    pub(crate) fn root(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    pub(crate) fn directory(&self, path: &str) {
        fs::create_dir_all(self.at(path)).unwrap();
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.at(path)).unwrap()
    }

    pub(crate) fn link(&self, path: &str, target: &str) {
        let path = self.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let _ = fs::remove_file(&path);
        symlink(target, path).unwrap();
    }

    pub(crate) fn chmod(&self, path: &str, mode: u32) {
        fs::set_permissions(self.at(path), fs::Permissions::from_mode(mode)).unwrap();
    }

    /// Removes a file, or a directory and what is in it.
    pub(crate) fn remove(&self, path: &str) {
        let path = self.at(path);
        match fs::symlink_metadata(&path).unwrap().is_dir() {
            true => fs::remove_dir_all(path).unwrap(),
            false => fs::remove_file(path).unwrap(),
        }
    }

    /// An attribute of the DSA or one of its parts.
    pub(crate) fn dsa(&self, attribute: &str, value: &str) {
        self.write(&format!("sys/bus/dsa/devices/dsa0/{attribute}"), &format!("{value}\n"));
    }

    /// Runs svala over this machine.
    pub(crate) fn svala(&self, args: &[&str]) -> assert_cmd::Command {
        let mut command = assert_cmd::Command::new(SVALA);
        command.args(args).arg("--root").arg(self.root()).env_remove("NO_COLOR");
        command.timeout(std::time::Duration::from_secs(60));
        command
    }

    /// What `args` say as JSON, and the exit status.
    pub(crate) fn json(&self, args: &[&str]) -> (Value, i32) {
        let output = self.svala(args).arg("--json").output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr);
        let value: Value =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}{complaint}"));
        let code = output.status.code().unwrap();
        assert_eq!(value["exit"], code, "{complaint}");
        (value, code)
    }
}

/// A PCI Express configuration space with these extended capabilities in a chain, all of them switched on or off.
pub(crate) fn config_space(capabilities: &[u16], on: bool) -> Vec<u8> {
    let mut space = vec![0_u8; 4096];
    let mut put = |at: usize, value: u16| space[at..at + 2].copy_from_slice(&value.to_le_bytes());
    // The chain begins with error reporting, as it does in nature.
    let mut at = 0x100;
    put(at, 0x01);
    for (index, capability) in capabilities.iter().enumerate() {
        let next = 0x200 + 0x40 * index;
        put(at + 2, u16::try_from(next << 4).unwrap() | 1);
        at = next;
        put(at, *capability);
        match capability {
            0x0f => put(at + 6, u16::from(on) << 15),
            0x13 => put(at + 4, u16::from(on)),
            _ => put(at + 6, u16::from(on)),
        }
    }
    put(at + 2, 1);
    space
}
