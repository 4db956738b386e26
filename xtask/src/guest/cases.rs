//! The tests of a guest: which machine, what is done first, what is run, and how it is judged.

mod vfio;

pub(crate) use vfio::plans as vfio_plans;

use crate::guest::job::Step;
use crate::guest::judge::Judge;
use crate::guest::machine::{IAA, Machine, WHOLE};

/// A test.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) step: Step,
    pub(crate) judge: Judge,
    /// What the kernel may say of it: parts of lines.
    pub(crate) provokes: &'static [&'static str],
    /// What not every machine has; without it the test is not run, and named.
    pub(crate) needs: Option<Need>,
}

/// A piece that a test needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Need {
    /// File name of a module.
    pub(crate) module: &'static str,
    /// Why it is not there, and what brings it.
    pub(crate) get: &'static str,
}

const DMATEST: Need = Need {
    module: crate::guest::dmatest::MODULE,
    get: "Debian's kernel has no dmatest; cargo xtask guest dmatest builds it",
};

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
    /// Without the tests that are long; the others shortened.
    Usual,
    /// Everything.
    Full,
}

impl Case {
    fn new(name: &str, command: &[&str]) -> Self {
        Self { step: Step::new(name, command), judge: Judge::Succeeds, provokes: &[], needs: None }
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

    fn provoking(mut self, lines: &'static [&'static str]) -> Self {
        self.provokes = lines;
        self
    }

    fn needing(mut self, need: Need) -> Self {
        self.needs = Some(need);
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

/// Conformance bodies, and the queues they run on.
#[derive(Clone, Copy, Debug)]
struct Conformance {
    name: &'static str,
    /// The module of `hardware.rs` that they are in.
    bodies: &'static str,
    dedicated: &'static str,
    shared: &'static str,
    /// For the user who may not map a portal.
    by_user: &'static str,
}

/// As in process: with the 2 MiB that Linux sets, every job of several parts would be of many MiB, and a column of several
/// parts too long for its test.
const CONFORMANCE_TRANSFER_BYTES: &str = "65536";

impl Conformance {
    fn by_each_way(&self) -> [Case; 3] {
        [
            self.case("movdir64b", self.dedicated, "by MOVDIR64B"),
            self.case("enqcmd", self.shared, "by ENQCMD"),
            self.case("write_by_a_user", self.by_user, "by write(2)").by_user(),
        ]
    }

    fn case(&self, how: &str, queue: &str, says: &'static str) -> Case {
        let command = ["hardware", self.bodies, "--ignored", "--test-threads=1", "--nocapture"];
        Case::new(&format!("{}_conformance_{how}", self.name), &command)
            .with("SVALA_TEST_QUEUE", queue)
            .judged(Judge::Libtest { says })
            .within(3600)
    }
}

/// All of tier 1.
pub(crate) fn plans(effort: Effort) -> Vec<Plan> {
    let mut all = vec![whole(), versions(), recovery(), saturation(effort)];
    all.push(storm(effort));
    all.push(kernel_users());
    all.extend(broken());
    if effort == Effort::Full {
        all.extend(halts());
        all.extend(conformances());
        all.push(tools());
    }
    all
}

/// Most tests, in one boot.
fn whole() -> Plan {
    let mut cases = vec![
        doctor("doctor_says_that_no_queue_is_enabled", &["device_queues", "device_state"]),
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
        "merge_in_flight",
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

/// The bodies of `drivers/idxd/tests` on real queues, by each way to a queue: those of the first two versions in one boot,
/// what only a DSA 3 does in another.
fn conformances() -> [Plan; 2] {
    const WITH_DSA_3: &[&str] = &["idxd,kind=dsa,version=3", IAA];
    let plan = |machine, each: &[Conformance]| {
        let queues = queues().with("TRANSFER_BYTES", CONFORMANCE_TRANSFER_BYTES);
        let mut cases = vec![queues, script("permissions").required()];
        cases.extend(each.iter().flat_map(Conformance::by_each_way));
        Plan { machine, modules: IDXD, cases }
    };
    let dsa =
        Conformance { name: "dsa", bodies: "dsa::", dedicated: DEDICATED, shared: SHARED, by_user: SHARED };
    let iaa = Conformance {
        name: "iaa",
        bodies: "iaa::",
        dedicated: IAA_DEDICATED,
        shared: IAA_SHARED,
        by_user: IAA_DEDICATED,
    };
    [
        plan(Machine { name: "conformance", ..WHOLE }, &[dsa, iaa]),
        plan(
            Machine { name: "conformance-3", devices: WITH_DSA_3, ..WHOLE },
            &[Conformance { name: "dsa3", bodies: "dsa3::", ..dsa }],
        ),
    ]
}

/// Devices that are reset, let go, disabled, also while an engine works on them.
fn recovery() -> Plan {
    Plan {
        machine: Machine { name: "recovery", ..WHOLE },
        modules: IDXD,
        cases: vec![
            queues(),
            script("disable_enable"),
            script("reset"),
            script("rebind"),
            under_load("queue_disabled_under_load", &["same", "/scripts/queues", "/scripts/unbind", "wq0.1"]),
            under_load("device_disabled_under_load", &["same", "/scripts/queues", "/scripts/unbind", "dsa0"]),
            under_load("flr_under_load", &["same", "/scripts/queues", "/scripts/flr"]),
            // What happens to one device is nothing to another.
            under_load(
                "registers_elsewhere_come_and_go_under_load",
                &["untouched", "true", "svala-guest", "blink", "iax1", "4000"],
            ),
        ],
    }
}

/// One of each version of the specification in one machine.
fn versions() -> Plan {
    const DEVICES: &[&str] = &[
        "idxd,id=first,kind=dsa,version=1,timing=on",
        "idxd,kind=iaa,version=1",
        "idxd,kind=dsa,version=3",
        "idxd,kind=iaa,version=2",
    ];
    const NAMES: [&str; 4] = ["dsa0", "iax1", "dsa2", "iax3"];
    let with = |name: &str, script: &str, words: &[&str]| Case::new(name, &[&[script], words].concat());
    Plan {
        machine: Machine {
            name: "versions",
            devices: DEVICES,
            says: "first: modelled, no measurement of hardware: {\"descriptors\": ",
            ..WHOLE
        },
        modules: IDXD,
        cases: vec![
            with("queues", "/scripts/queues", &NAMES).required(),
            with("versions_are_seen", "/scripts/versions", &["dsa0=100", "iax1=100", "dsa2=300", "iax3=200"]),
            doctor("doctor_says_that_all_versions_are_well", &[]),
            with("cli_on_every_version", "/scripts/cli", &["wq0.1", "wq1.1", "wq2.0", "wq2.1", "wq3.1"])
                .within(900),
            // Here nothing is forgiven: what Linux does wrong when a process ends, it does for an event log's sake.
            with("exit_in_flight_without_an_event_log", "svala-guest", &["exit_in_flight", "wq0.0", "wq0.1"]),
            with(
                "sigkill_in_flight_without_an_event_log",
                "svala-guest",
                &["sigkill_in_flight", "wq0.0", "wq0.1"],
            ),
        ],
    }
}

/// Which engine comes back, how the queues are made again, and what happens to the shared queue of the DSA.
fn under_load(name: &str, words: &[&str]) -> Case {
    let command = [&["svala-guest", "under_load", SHARED], words].concat();
    Case::new(name, &command)
}

/// Devices that halt by themselves.
fn halts() -> Vec<Plan> {
    let plan = |name, devices, case: &str, repair: &str| Plan {
        machine: Machine { name, devices, ..WHOLE },
        modules: IDXD,
        cases: vec![queues(), under_load(case, &["new", repair]).provoking(&["Device is HALTED!"])],
    };
    vec![
        plan(
            "halt-software",
            &["idxd,kind=dsa,version=2,faults=halt-after:300:software", IAA],
            "halt_that_wants_a_software_reset_under_load",
            // Linux 7.2.13 gives a halted device no command, not even the reset that it asks for.
            "/scripts/flr_queues",
        ),
        plan(
            "halt-flr",
            &["idxd,kind=dsa,version=2,faults=halt-after:300:flr", IAA],
            "halt_that_wants_an_flr_under_load",
            "/scripts/queues",
        ),
    ]
}

/// The kernel's own use of the devices.
fn kernel_users() -> Plan {
    Plan {
        machine: Machine { name: "kernel-users", ..WHOLE },
        modules: IDXD,
        cases: vec![script("iaa_crypto").within(900), script("dmatest").needing(DMATEST).within(900)],
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

/// Without an event log, for whose sake Linux writes into processes that are gone.
fn storm(effort: Effort) -> Plan {
    let faults = if effort == Effort::Full { "1000000" } else { "20000" };
    Plan {
        machine: Machine { name: "storm", devices: &["idxd,kind=dsa,version=1", IAA], ..WHOLE },
        modules: IDXD,
        cases: vec![queues(), Case::guest("storm", &[faults, SHARED]).within(3600)],
    }
}

/// What a kernel with the page-fault path in Rust counts.
pub(crate) fn counts() -> Plan {
    let mut cases = vec![queues()];
    cases.extend(["page_faults_are_counted", "fault_around"].map(|name| Case::guest(name, &[SHARED])));
    Plan { machine: Machine { name: "counts", ..WHOLE }, modules: IDXD, cases }
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
            doctor(
                "doctor_names_scalable_mode_that_is_off",
                &["iommu_scalable_mode", "device_pasid", "device_queues", "device_state"],
            ),
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
            doctor(
                "doctor_names_page_tables_of_five_levels",
                &["iommu_five_levels", "device_queues", "device_state"],
            ),
        ),
        plan(
            "no-pasid",
            Machine {
                iommu: "intremap=on,device-iotlb=on,x-scalable-mode=on,x-flts=on,x-pasid-mode=off",
                ..WHOLE
            },
            IDXD,
            doctor(
                "doctor_names_an_iommu_without_pasids",
                &["iommu_pasid", "iommu_prs", "device_pasid", "device_queues", "device_state"],
            ),
        ),
    ]
}
