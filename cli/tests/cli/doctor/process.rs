//! The process, its container and its limits.

use super::{Case, check, finding};
use crate::machine::Machine;

#[test]
fn what_a_container_or_a_limit_takes_away() {
    check(&Case {
        damage: |machine| machine.write("probe/io_uring_setup", "1"),
        complaints: &["io_uring: wrong"],
        evidence: "not permitted",
        remedy: "seccomp profile",
        usable: true,
    });
    for value in ["1", "2"] {
        let machine = Machine::right();
        machine.write("probe/io_uring_setup", "1");
        machine.write("proc/sys/kernel/io_uring_disabled", &format!("{value}\n"));
        let (report, _) = machine.json(&["doctor"]);
        assert!(finding(&report, "io_uring")["remedy"].as_str().unwrap().contains("io_uring_disabled=0"));
    }
    check(&Case {
        damage: |machine| machine.write("probe/io_uring_setup", "38"),
        complaints: &["io_uring: wrong"],
        evidence: "not implemented",
        remedy: "CONFIG_IO_URING",
        usable: true,
    });
    check(&Case {
        damage: |machine| {
            machine.write(
                "proc/self/status",
                &machine.read("proc/self/status").replace("Seccomp:\t0", "Seccomp:\t2"),
            );
        },
        complaints: &["seccomp: unknown"],
        evidence: "Seccomp 2",
        remedy: "seccomp=unconfined",
        usable: true,
    });
    check(&Case {
        damage: |machine| machine.write("probe/pagemap_scan", "25"),
        complaints: &["pagemap_scan: wrong"],
        evidence: "PAGEMAP_SCAN",
        remedy: "6.7",
        usable: true,
    });
    check(&Case {
        damage: |machine| {
            machine.write("sys/kernel/mm/transparent_hugepage/enabled", "always madvise [never]\n")
        },
        complaints: &["transparent_hugepage: wrong"],
        evidence: "[never]",
        remedy: "echo madvise",
        usable: true,
    });
}

/// The tightest of all levels counts, in both versions of cgroups.
#[test]
fn a_cgroup_with_too_little_memory() {
    check(&Case {
        damage: |machine| machine.write("sys/fs/cgroup/user.slice/memory.max", "134217728\n"),
        complaints: &["memory_cgroup: wrong"],
        evidence: "/sys/fs/cgroup/user.slice/memory.max",
        remedy: "256 MiB",
        usable: true,
    });
    check(&Case {
        damage: |machine| {
            machine.write("proc/self/cgroup", "5:cpu,cpuacct:/other\n4:memory:/job\n0::/\n");
            machine.write("sys/fs/cgroup/memory/job/memory.limit_in_bytes", "134217728\n");
            machine.write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
        },
        complaints: &["memory_cgroup: wrong"],
        evidence: "/sys/fs/cgroup/memory/job/memory.limit_in_bytes",
        remedy: "256 MiB",
        usable: true,
    });
}

#[test]
fn the_way_descriptors_go_depends_on_a_capability() {
    let machine = Machine::right();
    let verdict = |machine: &Machine| {
        let (report, _) = machine.json(&["doctor"]);
        let line = finding(&report, "cap_sys_rawio");
        (line["verdict"].as_str().unwrap().to_owned(), line["text"].as_str().unwrap().to_owned())
    };
    let (without, text) = verdict(&machine);
    assert!(without == "not_needed" && text.contains("write(2)"), "{without}: {text}");
    machine.status(nix::unistd::getuid().as_raw(), 1 << 17);
    let (with, text) = verdict(&machine);
    assert!(with == "ok" && text.contains("ENQCMD"), "{with}: {text}");
}
