//! Whatever a configuration file holds: reading it panics nowhere, what is read is written the same, and the driver
//! takes what the plan does not refuse; a failure on the way leaves no trace.
//!
//! Input: a byte of options, a byte that chooses the machine, a byte that chooses the step that fails, then the file.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use svala_idxd::Discovery;
use svala_idxd::configuration::{Configuration, Plan, PlanOptions};

#[path = "../../drivers/idxd/tests/machine/mod.rs"]
mod machine;

use machine::Machine;
use machine::kernel::Kernel;

static MACHINES: LazyLock<Vec<(Machine, Discovery)>> = LazyLock::new(|| {
    let machines =
        [Machine::idle(0x100), Machine::idle(0x200), Machine::of_version(0x100), Machine::of_version(0x300)];
    let found = |machine: Machine| {
        let (_root, sysfs) = machine.unpacked();
        let found = sysfs.discover().unwrap();
        (machine, found)
    };
    machines.into_iter().map(found).collect()
});

fuzz_target!(|input: &[u8]| {
    let [options, machine, failing, text @ ..] = input else { return };
    let Ok(configuration) = Configuration::parse(text) else { return };
    let again = Configuration::parse(configuration.to_text().as_bytes()).expect("what was written is read");
    assert!(again == configuration, "and is the same");

    let (machine, found) = &MACHINES[usize::from(*machine) % MACHINES.len()];
    // Without the traffic classes of version 1: whether the driver takes them is a setting of its own.
    let options = PlanOptions {
        enable: options & 1 != 0,
        disable_first: options & 2 != 0,
        traffic_class_override: false,
    };
    let plan = match Plan::new(&configuration, found, options) {
        Ok(plan) => plan,
        Err(refused) => return drop(refused.to_string()),
    };
    drop(plan.to_string());
    let mut kernel = Kernel::new(machine.clone());
    plan.apply(&mut kernel).expect("the driver takes what was not refused");

    let mut kernel = Kernel::new(machine.clone());
    kernel.fail_at = Some(usize::from(*failing));
    if plan.apply(&mut kernel).is_err() {
        assert!(kernel.machine.files == machine.files, "everything is as it was");
    }
});
