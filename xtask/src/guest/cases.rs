//! The tests of a guest: which machine, what is done first, what is run, and how it is judged.

use crate::guest::job::Step;
use crate::guest::judge::Judge;
use crate::guest::machine::{Machine, WHOLE};

/// A test.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) step: Step,
    pub(crate) judge: Judge,
    /// What the kernel may say of it: parts of lines.
    pub(crate) provokes: &'static [&'static str],
}

/// A boot, and the tests in it.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) machine: Machine,
    /// Modules to load, with what they depend on.
    pub(crate) modules: &'static [&'static str],
    pub(crate) cases: Vec<Case>,
}

/// How much of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effort {
    /// Without the tests that are long or known to fail; the others shortened.
    Usual,
    /// Everything.
    Full,
}

impl Case {
    fn new(name: &str, command: &[&str]) -> Self {
        Self { step: Step::new(name, command), judge: Judge::Succeeds, provokes: &[] }
    }

    /// A test of `svala-guest`, on these queues.
    fn guest(name: &str, queues: &[&str]) -> Self {
        let command: Vec<_> = ["svala-guest", name].into_iter().chain(queues.iter().copied()).collect();
        Self::new(name, &command)
    }

    fn judged(mut self, judge: Judge) -> Self {
        self.judge = judge;
        self
    }

    fn by_user(mut self) -> Self {
        self.step.user = USER;
        self
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.step.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// What must succeed for the rest to make sense.
    fn required(mut self) -> Self {
        self.step.required = true;
        self
    }

    fn within(mut self, seconds: u64) -> Self {
        self.step.deadline_s = Some(seconds);
        self
    }
}

/// Nobody in particular.
const USER: u32 = 1000;

/// As `scripts/queues` makes them: one dedicated and one shared queue of either device.
const DEDICATED: &str = "wq0.0";
const SHARED: &str = "wq0.1";
const IAA_DEDICATED: &str = "wq1.0";
const IAA_SHARED: &str = "wq1.1";
const DSA_QUEUES: &[&str] = &[DEDICATED, SHARED];

const IDXD: &[&str] = &["idxd"];

fn script(name: &str) -> Case {
    Case::new(name, &[&format!("/scripts/{name}")])
}

/// Makes and enables the queues.
fn queues() -> Case {
    script("queues").required()
}

fn doctor(name: &str, wrong: &'static [&'static str]) -> Case {
    let command = ["svala", "doctor", "--json"];
    Case::new(name, &command).judged(Judge::Doctor { wrong })
}

/// The conformance bodies of one kind of device on one queue.
fn conformance(name: &str, kind: &'static str, queue: &str, way: &'static str) -> Case {
    // A program of others is a judge there, and the guest has no Python.
    let command = ["hardware", kind, "--ignored", "--test-threads=1", "--nocapture", "--skip=other_programs"];
    Case::new(name, &command)
        .with("SVALA_TEST_QUEUE", queue)
        .judged(Judge::Libtest { says: way })
        .within(1200)
}

/// All of tier 1.
pub(crate) fn plans(effort: Effort) -> Vec<Plan> {
    let mut all = vec![whole(), recovery(), saturation(effort)];
    all.extend(broken());
    if effort == Effort::Full {
        all.extend([conformances(), kernel_users(), tools()]);
    }
    all
}

/// Most tests, in one boot.
fn whole() -> Plan {
    let mut cases = vec![
        doctor("doctor_says_that_no_queue_is_enabled", &["device_state", "device_queues"]),
        queues(),
        doctor("doctor_says_that_all_is_well", &[]),
        doctor("doctor_says_that_the_user_may_not_open_a_queue", &["queue_permission"]).by_user(),
        script("permissions").required(),
        script("cli").within(900),
    ];
    for name in [
        "device_waits_for_cold_pages",
        "device_says_how_far_it_came",
        "cold_completion_record",
        "cold_batch_list",
        "unmapped_memory_is_refused",
        "read_only_memory_is_refused",
        "munmap_in_flight",
        "mprotect_in_flight",
        "discard_storm",
        "first_submission_by_another_thread",
        "fork_in_flight",
        "exit_in_flight",
        "sigkill_in_flight",
        "pasids_come_back",
    ] {
        cases.push(Case::guest(name, DSA_QUEUES));
    }
    cases.push(Case::guest("cold_aecs", &[IAA_DEDICATED, IAA_SHARED]));
    // A dedicated queue is one process's.
    cases.push(Case::guest("processes_see_their_own_memory", &[SHARED]));
    Plan { machine: WHOLE, modules: IDXD, cases }
}

/// The bodies of `drivers/idxd/tests`, by each way to a queue.
fn conformances() -> Plan {
    Plan {
        machine: Machine { name: "conformance", ..WHOLE },
        modules: IDXD,
        cases: vec![
            queues(),
            script("permissions").required(),
            conformance("dsa_conformance_movdir64b", "dsa::", DEDICATED, "by MOVDIR64B"),
            conformance("dsa_conformance_enqcmd", "dsa::", SHARED, "by ENQCMD"),
            conformance("dsa_conformance_write_by_a_user", "dsa::", SHARED, "by write(2)").by_user(),
            conformance("iaa_conformance_movdir64b", "iaa::", IAA_DEDICATED, "by MOVDIR64B"),
            conformance("iaa_conformance_enqcmd", "iaa::", IAA_SHARED, "by ENQCMD"),
            conformance("iaa_conformance_write_by_a_user", "iaa::", IAA_DEDICATED, "by write(2)").by_user(),
        ],
    }
}

/// Devices that are reset, let go, disabled.
fn recovery() -> Plan {
    Plan {
        machine: Machine { name: "recovery", ..WHOLE },
        modules: IDXD,
        cases: vec![queues(), script("disable_enable"), script("reset"), script("rebind")],
    }
}

/// The kernel's own use of the devices.
fn kernel_users() -> Plan {
    Plan {
        machine: Machine { name: "kernel-users", ..WHOLE },
        modules: IDXD,
        cases: vec![script("iaa_crypto").within(900)],
    }
}

fn saturation(effort: Effort) -> Plan {
    let seconds = if effort == Effort::Full { "60" } else { "10" };
    Plan {
        machine: Machine { name: "saturation", cpus: 4, ..WHOLE },
        modules: IDXD,
        cases: vec![queues(), Case::guest("saturation", &[SHARED, seconds]).within(900)],
    }
}

/// accel-config's own tests.
fn tools() -> Plan {
    let matrix = |name| script(name).judged(Judge::Matrix).within(1800);
    Plan {
        machine: Machine { name: "tools", ..WHOLE },
        modules: IDXD,
        cases: vec![
            script("accel_config_settings"),
            matrix("accel_config_dsa_matrix"),
            matrix("accel_config_iaa_matrix"),
        ],
    }
}

/// Machines on which something is missing, and what `svala doctor` says of it.
fn broken() -> Vec<Plan> {
    let plan = |name, machine: Machine, modules, case: Case| {
        let machine = Machine { name, ..machine };
        Plan { machine, modules, cases: vec![case] }
    };
    vec![
        plan(
            "sm-off",
            Machine { kernel: "intel_iommu=on,sm_off", ..WHOLE },
            IDXD,
            doctor("doctor_names_scalable_mode_that_is_off", &["iommu_scalable_mode"]),
        ),
        plan(
            "no-module",
            WHOLE,
            &[],
            doctor("doctor_names_a_module_that_is_missing", &["module_idxd", "device_driver"]),
        ),
        plan(
            "la57",
            Machine { cpu: "max", ..WHOLE },
            IDXD,
            doctor("doctor_names_page_tables_of_five_levels", &["iommu_five_levels"]),
        ),
        plan(
            "no-pasid",
            Machine {
                iommu: "intremap=on,device-iotlb=on,x-scalable-mode=on,x-flts=on,x-pasid-mode=off",
                ..WHOLE
            },
            IDXD,
            doctor("doctor_names_an_iommu_without_pasids", &["iommu_pasid"]),
        ),
    ]
}
