//! A virtual machine, and QEMU's words for it.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What differs from one machine to another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Machine {
    /// For file names and messages.
    pub(crate) name: &'static str,
    pub(crate) cpus: u8,
    /// As QEMU's `-cpu`.
    pub(crate) cpu: &'static str,
    /// Properties of QEMU's IOMMU.
    pub(crate) iommu: &'static str,
    /// Devices, as QEMU's `-device`; their order makes their numbers in the guest.
    pub(crate) devices: &'static [&'static str],
    /// More for the kernel's command line.
    pub(crate) kernel: &'static str,
    /// What QEMU itself is to say in the end, if anything.
    pub(crate) says: &'static str,
}

/// All that SVA asks for.
pub(crate) const IOMMU: &str =
    "intremap=on,device-iotlb=on,x-scalable-mode=on,x-flts=on,x-pasid-mode=on,svm=on";
/// QEMU's IOMMU does not know page tables of five levels.
pub(crate) const CPU: &str = "max,la57=off";
pub(crate) const DSA: &str = "idxd,kind=dsa,version=2";
pub(crate) const IAA: &str = "idxd,kind=iaa,version=2";

/// A DSA and an IAA, and nothing wrong.
pub(crate) const WHOLE: Machine = Machine {
    name: "whole",
    cpus: 2,
    cpu: CPU,
    iommu: IOMMU,
    devices: &[DSA, IAA],
    kernel: "intel_iommu=on,sm_on",
    says: "",
};

/// For all of them: the serial line as console, and nothing that takes QEMU's waiting for its turn on a busy host for a
/// fault of the machine. The check of the timer would panic; the calibration of the TSC has found 150 MHz for 2600, and
/// the guest's clock ran seventeen times too fast.
const KERNEL: &str = "console=ttyS0 loglevel=7 panic=-1 no_timer_check clocksource=hpet tsc=unstable nowatchdog \
                      rcupdate.rcu_cpu_stall_suppress=1 no_hash_pointers";

/// What a machine is started with.
#[derive(Debug)]
pub(crate) struct Start<'a> {
    pub(crate) qemu: &'a Path,
    pub(crate) firmware: &'a [PathBuf],
    pub(crate) kernel: &'a Path,
    pub(crate) image: &'a Path,
    /// Where the kernel's console goes.
    pub(crate) log: &'a Path,
}

impl Machine {
    /// QEMU, with the report line at its standard input and output.
    pub(crate) fn command(&self, start: &Start<'_>) -> Command {
        let mut command = Command::new(start.qemu);
        for directory in start.firmware {
            command.arg("-L").arg(directory);
        }
        command.args([
            "-nodefaults",
            "-no-user-config",
            "-no-reboot",
            "-display",
            "none",
            "-monitor",
            "none",
        ]);
        command.args(["-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", self.cpu, "-m", "2048"]);
        command.args(["-smp", &self.cpus.to_string()]);
        command.arg("-serial").arg(format!("file:{}", start.log.display()));
        command.args(["-chardev", "stdio,id=report,signal=off", "-serial", "chardev:report"]);
        if !self.iommu.is_empty() {
            command.arg("-device").arg(format!("intel-iommu,{}", self.iommu));
        }
        for device in self.devices {
            command.args(["-device", device]);
        }
        command.arg("-kernel").arg(start.kernel).arg("-initrd").arg(start.image);
        command.arg("-append").arg(format!("{KERNEL} {}", self.kernel));
        command
    }
}
