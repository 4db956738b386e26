//! `svala doctor`: what an accelerator needs on this machine, how each of these stands, and what mends it.
//!
//! Checks are lines in tables, one table for each part of the machine; each is a function from the facts of a
//! [`Machine`] to a [`Finding`](finding::Finding). Nothing is changed; the only thing that is tried is what only
//! trying shows: an io_uring, and opening a work queue.

mod check;
mod cpu;
mod device;
mod finding;
mod iommu;
mod kernel;
mod kernel_config;
mod machine;
mod page_faults;
mod pci;
mod probe;
mod process;
mod qat;
mod queue;
mod report;

use serde_json::json;
use svala_idxd::{Device, WorkQueue};

pub(crate) use cpu::has_flag;
pub(crate) use machine::Machine;
pub(crate) use pci::Kind;

use crate::args::{Common, Doctor};
use crate::error::Trouble;
use crate::exit::Exit;
use crate::run::{Answer, say};
use check::{Check, Group};
use finding::Verdict;
use report::{Line, Report};

/// Tables of the machine, before what is looked at for each device and queue.
const BEFORE: &[&[Check]] =
    &[cpu::CHECKS, kernel::CHECKS, page_faults::CHECKS, iommu::CHECKS, device::MACHINE_CHECKS];
/// And after.
const AFTER: &[&[Check]] = &[process::CHECKS, qat::CHECKS];

pub(crate) fn run(common: &Common, args: &Doctor) -> Result<Answer, Trouble> {
    let report = examine(&Machine::new(&common.root));
    let exit = exit(&report, args.allow_software);
    say(common, report.text(report::is_coloured()).trim_end().as_bytes())?;
    let fields = json!({
        "usable": report.usable,
        "accelerators": report.accelerators,
        "summary": report.summary(),
        "findings": report.lines,
    });
    Ok(Answer { exit, fields })
}

/// 0 if a queue can be used; with `allow_software` also where there is nothing to mend, as there is no accelerator.
fn exit(report: &Report, allow_software: bool) -> Exit {
    let serves = allow_software && report.accelerators == 0;
    if serves || !report.usable.is_empty() { Exit::Success } else { Exit::Different }
}

fn examine(machine: &Machine) -> Report {
    let mut lines: Vec<_> = checks(machine, BEFORE);
    let mut usable = Vec::new();
    for device in machine.devices() {
        lines.extend(device::CHECKS.iter().map(|check| {
            let finding = (check.look)(machine, device);
            Line::new(Group::Device, check.id, Some(&device.name), check.title, check.required, finding)
        }));
    }
    for (device, queue) in machine.user_queues() {
        let found = queue_lines(machine, device, queue);
        if found.iter().all(|line| !line.required || matches!(line.verdict, Verdict::Ok | Verdict::NotNeeded))
        {
            usable.push(queue.name.clone());
        }
        lines.extend(found);
    }
    lines.extend(checks(machine, AFTER));
    let accelerators = machine.functions().iter().filter(|function| function.is_idxd()).count();
    // A container may show the driver's tree and not the PCI bus.
    Report { lines, usable, accelerators: accelerators.max(machine.devices().len()) }
}

fn checks(machine: &Machine, tables: &[&[Check]]) -> Vec<Line> {
    let all = tables.iter().copied().flatten();
    all.map(|check| {
        Line::new(check.group, check.id, None, check.title, check.required, (check.look)(machine))
    })
    .collect()
}

fn queue_lines(machine: &Machine, device: &Device, queue: &WorkQueue) -> Vec<Line> {
    let lines = queue::CHECKS.iter().map(|check| {
        let finding = (check.look)(machine, device, queue);
        Line::new(Group::Queue, check.id, Some(&queue.name), check.title, check.required, finding)
    });
    lines.collect()
}
