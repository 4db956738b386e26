//! What the kernel says of the page faults of devices, where it counts them: one line for each bond of a device and an
//! address space, in debugfs. Kernels without `kernel-support/linux` have no such file.

use std::collections::{BTreeMap, HashMap};

use super::check::{Check, Group};
use super::finding::Finding;
use super::machine::Machine;

pub(crate) const CHECKS: &[Check] = &[Check {
    id: "kernel_page_faults",
    group: Group::Kernel,
    title: "page faults",
    required: false,
    look: page_faults,
}];

const BONDS: &str = "/sys/kernel/debug/iommu_iopf/bonds";

/// All bonds together.
#[derive(Debug, Default, PartialEq, Eq)]
struct Totals {
    bonds: u64,
    in_flight: u64,
    success: u64,
    invalid: u64,
    failure: u64,
    pages: u64,
    ahead: u64,
    hits: u64,
    waits: u64,
    /// Answers by the logarithm of their nanoseconds.
    latency: BTreeMap<u32, u64>,
}

impl Totals {
    /// Columns by the names in the first line: a later kernel may have more of them. `None` if it is in another form.
    fn read(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let names: Vec<_> = lines.next()?.strip_prefix("# ")?.split_whitespace().collect();
        let mut totals = Self::default();
        for line in lines {
            let row: HashMap<_, _> = names.iter().copied().zip(line.split_whitespace()).collect();
            totals.add(&row)?;
        }
        Some(totals)
    }

    fn add(&mut self, row: &HashMap<&str, &str>) -> Option<()> {
        self.bonds = self.bonds.saturating_add(1);
        for (name, total) in [
            ("in_flight", &mut self.in_flight),
            ("success", &mut self.success),
            ("invalid", &mut self.invalid),
            ("failure", &mut self.failure),
            ("pages", &mut self.pages),
            ("ahead", &mut self.ahead),
            ("hits", &mut self.hits),
            ("waits", &mut self.waits),
        ] {
            *total = total.saturating_add(row.get(name)?.parse().ok()?);
        }
        // Nothing at all while nothing was answered.
        let latency = row.get("latency_log2_ns").copied().unwrap_or_default();
        for pair in latency.split(',').filter(|pair| !pair.is_empty()) {
            let (log2, count) = pair.split_once(':')?;
            let log2 = log2.parse().ok().filter(|log2| *log2 < u64::BITS)?;
            let bucket = self.latency.entry(log2).or_default();
            *bucket = bucket.saturating_add(count.parse().ok()?);
        }
        Some(())
    }

    /// What half of the answers stayed below, in ns.
    fn median_ns(&self) -> Option<u64> {
        let count = self.latency.values().fold(0_u64, |sum, answers| sum.saturating_add(*answers));
        let mut seen = 0_u64;
        self.latency.iter().filter(|_| count > 0).find_map(|(log2, answers)| {
            seen = seen.saturating_add(*answers);
            (seen >= count.div_ceil(2)).then(|| 1_u64 << log2)
        })
    }

    fn text(&self) -> String {
        let Self { bonds, in_flight, success, invalid, failure, pages, ahead, hits, waits, .. } = self;
        let mut text = format!(
            "{bonds} bonds, {pages} page requests; answers: {success} success, {invalid} invalid, {failure} failure; \
             {in_flight} in flight; {ahead} pages ahead, {hits} used; {waits} waited for userfaultfd"
        );
        if let Some(ns) = self.median_ns() {
            text += &format!("; half within {} us", ns.div_ceil(1000));
        }
        text
    }
}

fn page_faults(machine: &Machine) -> Finding {
    let fact = machine.read(BONDS);
    let Some(text) = fact.text() else {
        return Finding::not_needed("this kernel does not count them, or only root may see it")
            .saw([fact.evidence()]);
    };
    let finding = match Totals::read(text) {
        Some(totals) if totals.failure > 0 => Finding::wrong(
            totals.text(),
            "a device that was answered failure asks no more: see the kernel's log, then disable and enable the device",
        ),
        Some(totals) => Finding::ok(totals.text()),
        None => Finding::unknown("in a form this program does not know", format!("read {BONDS}")),
    };
    finding.saw([fact.showing(format!("{} lines", text.lines().count()))])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written by hand in the form of `kernel-support/linux`'s file in debugfs.
    const PRINTED: &str = "\
# device pasid users groups in_flight success invalid failure overflows pages ahead hits no_memory waits waits_over latency_log2_ns
iommufd_mock0 1 1 1028 0 1028 0 0 0 1028 15356 15296 0 0 0 15:3,16:1000,17:25,
iommufd_mock0 2 2 7 1 5 1 0 0 8 0 0 0 2 1 14:6,
iommufd_mock1 3 1 0 0 0 0 0 0 0 0 0 0 0 0
";

    #[test]
    fn bonds_are_added_up() {
        let totals = Totals::read(PRINTED).unwrap();
        assert_eq!(
            totals.text(),
            "3 bonds, 1036 page requests; answers: 1033 success, 1 invalid, 0 failure; 1 in flight; 15356 pages ahead, \
             15296 used; 2 waited for userfaultfd; half within 66 us"
        );
    }

    #[test]
    fn without_bonds_there_is_nothing_and_no_median() {
        let header = PRINTED.lines().next().unwrap();
        let totals = Totals::read(header).unwrap();
        assert_eq!((totals.median_ns(), &totals), (None, &Totals::default()));
    }

    /// More columns are a later kernel's; fewer, or no numbers, are no such file.
    #[test]
    fn another_form_is_said_to_be_one() {
        let more =
            "# device later in_flight success invalid failure pages ahead hits waits\nx 9 1 2 3 4 5 6 7 8\n";
        let totals = Totals::read(more).unwrap();
        assert_eq!((totals.in_flight, totals.failure, totals.waits), (1, 4, 8));
        for other in [
            "",
            "bonds\n",
            "# device pasid\nx 1\n",
            &more.replace(" 4 ", " -4 "),
            &PRINTED.replace("15:3", "99:3"),
            &PRINTED.replace("15:3", "15"),
        ] {
            assert_eq!(Totals::read(other), None, "{other}");
        }
    }
}
