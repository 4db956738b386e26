//! What the kernel says of the page faults of devices, where it counts them.

use super::check::{Check, Group};
use super::finding::Finding;
use super::machine::Machine;
use crate::bonds::{self, Bond, Latency};

pub(crate) const CHECKS: &[Check] = &[Check {
    id: "kernel_page_faults",
    group: Group::Kernel,
    title: "page faults",
    required: false,
    look: page_faults,
}];

fn page_faults(machine: &Machine) -> Finding {
    let fact = machine.read(bonds::PLACE);
    let Some(text) = fact.text() else {
        return Finding::not_needed("this kernel does not count them, or only root may see it")
            .saw([fact.evidence()]);
    };
    let finding = match bonds::read(text) {
        Some(bonds) if bonds.iter().any(|bond| bond.failure > 0) => Finding::wrong(
            summary(&bonds),
            "a device that was answered failure asks no more: see the kernel's log, then disable and enable the device",
        ),
        Some(bonds) => Finding::ok(summary(&bonds)),
        None => Finding::unknown("in a form this program does not know", format!("read {}", bonds::PLACE)),
    };
    finding.saw([fact.showing(format!("{} lines", text.lines().count()))])
}

/// All bonds together, in a line.
fn summary(bonds: &[Bond]) -> String {
    let sum = |of: fn(&Bond) -> u64| bonds.iter().map(of).fold(0, u64::saturating_add);
    let mut latency = Latency::default();
    bonds.iter().for_each(|bond| latency.extend(&bond.latency));
    let mut text = format!(
        "{} bonds, {} page requests; answers: {} success, {} invalid, {} failure; {} in flight; {} pages ahead, {} used; \
         {} waited for userfaultfd",
        bonds.len(),
        sum(|bond| bond.pages),
        sum(|bond| bond.success),
        sum(|bond| bond.invalid),
        sum(|bond| bond.failure),
        sum(|bond| bond.in_flight),
        sum(|bond| bond.ahead),
        sum(|bond| bond.hits),
        sum(|bond| bond.waits),
    );
    if let Some(ns) = latency.below_ns(500) {
        text += &format!("; half within {} us", ns.div_ceil(1000));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bonds::tests::PRINTED;

    #[test]
    fn bonds_are_added_up() {
        assert_eq!(
            summary(&bonds::read(PRINTED).unwrap()),
            "3 bonds, 1036 page requests; answers: 1033 success, 1 invalid, 0 failure; 1 in flight; 15356 pages ahead, \
             15296 used; 2 waited for userfaultfd; half within 66 us"
        );
    }

    #[test]
    fn without_bonds_there_is_no_median() {
        assert!(summary(&[]).ends_with("0 waited for userfaultfd"));
    }
}
