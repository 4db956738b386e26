//! What this process may do, and what a container or a limit takes away.

use nix::errno::Errno;
use svala_idxd::WorkQueue;

use super::check::{Check, Group};
use super::finding::{Evidence, Finding};
use super::kernel::release;
use super::machine::{Fact, Machine};
use super::pci::Kind;
use super::probe::{self, Answer};

pub(crate) const CHECKS: &[Check] = &[
    Check {
        id: "cap_sys_rawio",
        group: Group::Process,
        title: "CAP_SYS_RAWIO",
        required: false,
        look: rawio,
    },
    Check { id: "io_uring", group: Group::Process, title: "io_uring", required: false, look: io_uring },
    Check { id: "seccomp", group: Group::Process, title: "seccomp", required: false, look: seccomp },
    Check {
        id: "pagemap_scan",
        group: Group::Process,
        title: "PAGEMAP_SCAN",
        required: false,
        look: pagemap_scan,
    },
    Check { id: "memlock", group: Group::Process, title: "memlock", required: false, look: memlock },
    Check {
        id: "memory_cgroup",
        group: Group::Process,
        title: "memory cgroup",
        required: false,
        look: memory_cgroup,
    },
    Check {
        id: "transparent_hugepage",
        group: Group::Process,
        title: "huge pages",
        required: false,
        look: huge_pages,
    },
];

pub(crate) const STATUS: &str = "/proc/self/status";
/// Bits of a set of capabilities; `linux/capability.h`.
const CAP_IPC_LOCK: u32 = 14;
const CAP_DAC_OVERRIDE: u32 = 1;
const CAP_SYS_RAWIO: u32 = 17;

/// What a QAT needs to pin, by its vendor's documents.
const MEMLOCK_BYTES: u64 = 500 << 20;
/// Twice what the commands were measured to need.
const MEMORY_BYTES: u64 = 256 << 20;
/// Above it a limit is none.
const NO_LIMIT_BYTES: u64 = 1 << 60;
/// Levels of a cgroup's path that are looked at.
const CGROUP_LEVELS_MAX: usize = 64;

/// Who a process is.
#[derive(Debug)]
pub(crate) struct Identity {
    user: Option<u32>,
    group: Option<u32>,
    groups: Vec<u32>,
    capabilities: Option<u64>,
}

impl Identity {
    pub(crate) fn read(machine: &Machine) -> Self {
        let status = machine.read(STATUS);
        // Of each, the second number is the effective one.
        let second = |name| field(&status, name)?.split_ascii_whitespace().nth(1)?.parse().ok();
        let groups = field(&status, "Groups").unwrap_or_default();
        Self {
            user: second("Uid"),
            group: second("Gid"),
            groups: groups.split_ascii_whitespace().filter_map(|group| group.parse().ok()).collect(),
            capabilities: field(&status, "CapEff").and_then(|set| u64::from_str_radix(set, 16).ok()),
        }
    }

    fn has(&self, capability: u32) -> Option<bool> {
        self.capabilities.map(|set| set >> capability & 1 == 1)
    }

    /// Whether permission bits let it read and write.
    pub(crate) fn may_open(&self, mode: u32, user: u32, group: u32) -> Option<bool> {
        if self.has(CAP_DAC_OVERRIDE) == Some(true) {
            return Some(true);
        }
        let shift = if self.user? == user {
            6
        } else if self.group? == group || self.groups.contains(&group) {
            3
        } else {
            0
        };
        Some(mode >> shift & 0o6 == 0o6)
    }

    pub(crate) fn evidence(&self) -> Evidence {
        let number = |number: Option<u32>| number.map_or("?".to_owned(), |number| number.to_string());
        let groups: Vec<_> = self.groups.iter().map(u32::to_string).collect();
        Evidence::new(
            STATUS,
            format!("user {}, group {}, groups {}", number(self.user), number(self.group), groups.join(" ")),
        )
    }
}

/// A line of `/proc/self/status`.
fn field<'a>(status: &'a Fact, name: &str) -> Option<&'a str> {
    status.text()?.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(str::trim))
}

fn rawio(machine: &Machine) -> Finding {
    let status = machine.read(STATUS);
    let evidence = status.showing(format!("CapEff {}", field(&status, "CapEff").unwrap_or("missing")));
    let finding = match machine.identity().has(CAP_SYS_RAWIO) {
        Some(true) => Finding::ok("the portal can be mapped: descriptors go by ENQCMD and MOVDIR64B"),
        Some(false) => Finding::not_needed(
            "without it descriptors go by write(2) since INTEL-SA-01084: slower, and no batches on version 1 devices",
        ),
        None => Finding::unknown("the capabilities are not to be read", format!("read {STATUS}")),
    };
    finding.saw([evidence])
}

fn io_uring(machine: &Machine) -> Finding {
    let answer = machine.tried("io_uring_setup", probe::io_uring);
    let setting = machine.read("/proc/sys/kernel/io_uring_disabled");
    let purpose = "faults are resolved by two threads of svala's instead";
    let by_setting = match setting.text() {
        Some("1") => Some("sysctl kernel.io_uring_disabled=0, or be in the group of kernel.io_uring_group"),
        Some("2") => Some("sysctl kernel.io_uring_disabled=0"),
        _ => None,
    };
    let finding = match (answer, by_setting) {
        (Answer::Worked, _) => Finding::ok("faults are resolved in the kernel's workers"),
        (Answer::Refused(Errno::ENOSYS), _) => {
            Finding::wrong(format!("not in this kernel: {purpose}"), "a kernel with CONFIG_IO_URING")
        }
        (Answer::Refused(_), Some(remedy)) => Finding::wrong(format!("switched off: {purpose}"), remedy),
        (Answer::Refused(Errno::ENOMEM), None) => Finding::wrong(
            format!("no memory for it: {purpose}"),
            "raise the limit of locked memory (ulimit -l) or of the cgroup",
        ),
        (Answer::Refused(_), None) => Finding::wrong(
            format!("forbidden: {purpose}"),
            "a seccomp profile that allows io_uring_setup, io_uring_enter and io_uring_register (containers forbid them by default)",
        ),
        (Answer::NotTried, Some(remedy)) => Finding::wrong(format!("switched off: {purpose}"), remedy),
        (Answer::NotTried, None) => Finding::unknown("not tried", "run it on the machine itself"),
    };
    finding.saw([answer.evidence("io_uring_setup"), setting.evidence()])
}

fn seccomp(machine: &Machine) -> Finding {
    let status = machine.read(STATUS);
    let mode = field(&status, "Seccomp");
    let finding = match mode {
        Some("0") => Finding::ok("no filter"),
        Some("1") => Finding::wrong("strict mode: nothing works", "start it without"),
        Some(_) => Finding::unknown(
            "a filter may forbid io_uring, process_vm_readv and the queue's ioctls",
            "if something is refused, start the container with --security-opt seccomp=unconfined to see whether this is why",
        ),
        None => Finding::unknown("the mode is not to be read", "a kernel with CONFIG_SECCOMP"),
    };
    finding.saw([status.showing(format!("Seccomp {}", mode.unwrap_or("missing")))])
}

/// Linux 6.7 has it. For the emulated devices only.
fn pagemap_scan(machine: &Machine) -> Finding {
    let answer = machine.tried("pagemap_scan", probe::pagemap_scan);
    let fact = machine.read("/proc/sys/kernel/osrelease");
    let without = "emulated devices look at /proc/self/pagemap, blind to the shared page of zeros";
    let finding = match (answer, fact.text().and_then(release)) {
        (Answer::Worked, _) => Finding::ok("emulated devices see which pages are there"),
        (Answer::Refused(Errno::EACCES | Errno::EPERM), _) => Finding::wrong(
            "/proc/self/pagemap is closed: no emulated devices",
            "mount /proc without restrictions",
        ),
        (Answer::Refused(_), _) => Finding::wrong(without, "Linux 6.7 or later"),
        (Answer::NotTried, Some(running)) if running < (6, 7, 0) => {
            Finding::wrong(without, "Linux 6.7 or later")
        }
        (Answer::NotTried, _) => Finding::unknown("not tried", "run it on the machine itself"),
    };
    finding.saw([answer.evidence("ioctl(PAGEMAP_SCAN)"), fact.evidence()])
}

fn memlock(machine: &Machine) -> Finding {
    let fact = machine.read("/proc/self/limits");
    let line =
        fact.text().and_then(|text| text.lines().find_map(|line| line.strip_prefix("Max locked memory")));
    let soft = line.and_then(|line| line.split_ascii_whitespace().next());
    let evidence = fact.showing(format!("Max locked memory {}", soft.unwrap_or("missing")));
    // Who may lock memory is exempt, by iommufd as by vfio's containers.
    let is_exempt = machine.identity().has(CAP_IPC_LOCK) == Some(true);
    let is_pinned = machine.functions().iter().any(|function| function.kind == Kind::QatVf);
    let finding = match (is_pinned, soft, soft.and_then(|soft| soft.parse::<u64>().ok())) {
        (false, ..) => Finding::not_needed("DSA and IAA pin nothing"),
        (true, ..) if is_exempt => Finding::ok("no limit for a process with CAP_IPC_LOCK"),
        (true, Some("unlimited"), _) => Finding::ok("a QAT may pin what it needs"),
        (true, _, Some(bytes)) if bytes >= MEMLOCK_BYTES => Finding::ok("a QAT may pin what it needs"),
        (true, _, Some(_)) => Finding::wrong(
            "a QAT pins memory: 500 MiB are advised",
            "ulimit -l 512000, or memlock in /etc/security/limits.conf",
        ),
        (true, _, None) => Finding::unknown("the limit is not to be read", "ulimit -l"),
    };
    finding.saw([evidence])
}

/// The files that may limit the memory of this process's cgroup, version 1 or 2, from the inside out.
fn limit_files(machine: &Machine) -> Vec<String> {
    let cgroups = machine.read("/proc/self/cgroup").value.unwrap_or_default();
    let of_memory = cgroups.lines().find_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        controllers.split(',').any(|one| one == "memory").then_some(path)
    });
    let (mount, path, file) = match of_memory {
        Some(path) => ("/sys/fs/cgroup/memory", path, "memory.limit_in_bytes"),
        None => {
            let path = cgroups.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
            ("/sys/fs/cgroup", path, "memory.max")
        }
    };
    let mut parts: Vec<_> =
        path.split('/').filter(|part| !part.is_empty() && *part != "..").take(CGROUP_LEVELS_MAX).collect();
    let mut files = Vec::new();
    loop {
        let below: String = parts.iter().map(|part| format!("/{part}")).collect();
        files.push(format!("{mount}{below}/{file}"));
        if parts.pop().is_none() {
            return files;
        }
    }
}

fn memory_cgroup(machine: &Machine) -> Finding {
    let facts: Vec<_> = limit_files(machine).iter().map(|file| machine.read(file)).collect();
    let limit = |fact: &Fact| fact.text().and_then(|text| text.parse::<u64>().ok());
    let lowest = facts
        .iter()
        .filter_map(|fact| limit(fact).map(|bytes| (bytes, fact)))
        .min_by_key(|(bytes, _)| *bytes);
    match lowest {
        Some((bytes, fact)) if bytes < MEMORY_BYTES => Finding::wrong(
            format!("{} MiB for this process and its neighbours", bytes >> 20),
            format!(
                "{} MiB at least: svala keeps up to 64 MiB of each file mapped, and these pages count",
                MEMORY_BYTES >> 20
            ),
        )
        .saw([fact.evidence()]),
        Some((bytes, fact)) => {
            // Version 1 says so with the largest number of whole pages.
            let text = if bytes > NO_LIMIT_BYTES { "no limit" } else { "enough" };
            Finding::ok(text).saw([fact.evidence()])
        }
        None => match facts.iter().find(|fact| fact.value.is_ok()) {
            Some(fact) => Finding::ok("no limit").saw([fact.evidence()]),
            None => Finding::ok("no limit to be seen").saw(facts.first().map(Fact::evidence)),
        },
    }
}

fn huge_pages(machine: &Machine) -> Finding {
    let fact = machine.read("/sys/kernel/mm/transparent_hugepage/enabled");
    let chosen = fact.text().and_then(|text| Some(text.split_once('[')?.1.split_once(']')?.0));
    let finding = match chosen {
        Some("always" | "madvise") => Finding::ok("large buffers take fewer faults and translations"),
        Some("never") => Finding::wrong(
            "off: every 4 KiB of a buffer is a translation of its own",
            "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled",
        ),
        _ => Finding::unknown("the setting is not to be read", "a kernel with CONFIG_TRANSPARENT_HUGEPAGE"),
    };
    finding.saw([fact.evidence()])
}

/// Whether it makes sense to open the queue: it runs, has a node, and this process may.
pub(crate) fn may_try(machine: &Machine, queue: &WorkQueue) -> bool {
    let allowed =
        queue.node.as_ref().is_some_and(|node| !machine.is_this() || (node.is_device && node.openable));
    allowed && queue.is_enabled()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_fits_of_owner_group_and_others_decides() {
        let somebody =
            |capabilities| Identity { user: Some(1000), group: Some(100), groups: vec![44], capabilities };
        let plain = somebody(Some(0));
        assert_eq!(plain.may_open(0o600, 1000, 0), Some(true));
        assert_eq!(plain.may_open(0o066, 1000, 0), Some(false));
        assert_eq!(plain.may_open(0o660, 0, 44), Some(true));
        assert_eq!(plain.may_open(0o606, 0, 100), Some(false));
        assert_eq!(plain.may_open(0o666, 0, 0), Some(true));
        assert_eq!(plain.may_open(0o644, 0, 0), Some(false));
        assert_eq!(somebody(Some(1 << 1)).may_open(0, 0, 0), Some(true));
        assert_eq!(somebody(None).may_open(0o600, 0, 0), Some(false));
    }
}
