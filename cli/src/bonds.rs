//! What the kernel counts of the page faults of devices: one line for each bond of a device and an address space, in
//! debugfs. Kernels without `kernel-support/linux` have no such file.

use std::collections::{BTreeMap, HashMap};

use serde::{Serialize, Serializer};

/// Where it is.
pub(crate) const PLACE: &str = "/sys/kernel/debug/iommu_iopf/bonds";

/// One bond, counted since it was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Bond {
    pub(crate) device: String,
    pub(crate) pasid: u32,
    /// How many have bound the same address space to the same device.
    pub(crate) users: u64,
    /// Groups of page requests that the device completed.
    pub(crate) groups: u64,
    pub(crate) in_flight: u64,
    pub(crate) success: u64,
    pub(crate) invalid: u64,
    pub(crate) failure: u64,
    /// Groups that were given up, incomplete, when the queue of page requests overflowed.
    pub(crate) overflows: u64,
    /// Page requests, each for a page.
    pub(crate) pages: u64,
    /// Pages made present ahead of the device, and those of them it is known to have come to.
    pub(crate) ahead: u64,
    pub(crate) hits: u64,
    /// Times that nothing was made present ahead, for want of memory.
    pub(crate) no_memory: u64,
    /// Faults that waited for a userfaultfd handler, and those it did not answer in time.
    pub(crate) waits: u64,
    pub(crate) waits_over: u64,
    pub(crate) latency: Latency,
}

/// From a group's last page request to its answer: answers by the logarithm of the nanoseconds they stayed below.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Latency(BTreeMap<u32, u64>);

/// All bonds. Columns are found by the names in the first line: a later kernel may have more of them. `None` if the text is
/// in another form.
pub(crate) fn read(text: &str) -> Option<Vec<Bond>> {
    let mut lines = text.lines();
    let names: Vec<_> = lines.next()?.strip_prefix("# ")?.split_whitespace().collect();
    lines.map(|line| Bond::read(&names.iter().copied().zip(line.split_whitespace()).collect())).collect()
}

impl Bond {
    fn read(row: &HashMap<&str, &str>) -> Option<Self> {
        let number = |name: &str| row.get(name)?.parse::<u64>().ok();
        Some(Self {
            device: (*row.get("device")?).to_owned(),
            pasid: row.get("pasid")?.parse().ok()?,
            users: number("users")?,
            groups: number("groups")?,
            in_flight: number("in_flight")?,
            success: number("success")?,
            invalid: number("invalid")?,
            failure: number("failure")?,
            overflows: number("overflows")?,
            pages: number("pages")?,
            ahead: number("ahead")?,
            hits: number("hits")?,
            no_memory: number("no_memory")?,
            waits: number("waits")?,
            waits_over: number("waits_over")?,
            // Nothing at all while nothing was answered.
            latency: Latency::read(row.get("latency_log2_ns").copied().unwrap_or_default())?,
        })
    }
}

impl Latency {
    /// `15:3,16:1000,`.
    fn read(text: &str) -> Option<Self> {
        let mut latency = Self::default();
        for pair in text.split(',').filter(|pair| !pair.is_empty()) {
            let (log2, answers) = pair.split_once(':')?;
            let log2 = log2.parse().ok().filter(|log2| *log2 < u64::BITS)?;
            latency.add(log2, answers.parse().ok()?);
        }
        Some(latency)
    }

    fn add(&mut self, log2: u32, answers: u64) {
        let bucket = self.0.entry(log2).or_default();
        *bucket = bucket.saturating_add(answers);
    }

    /// Counts another bond's answers as well.
    pub(crate) fn extend(&mut self, other: &Self) {
        other.0.iter().for_each(|(log2, answers)| self.add(*log2, *answers));
    }

    /// What `permille` of the answers stayed below, in ns: a power of two, so less than twice the true one. `None`
    /// without answers.
    pub(crate) fn below_ns(&self, permille: u32) -> Option<u64> {
        let count: u128 = self.0.values().map(|answers| u128::from(*answers)).sum();
        let wanted = (count * u128::from(permille)).div_ceil(1000).max(1);
        let mut seen = 0;
        self.0.iter().find_map(|(log2, answers)| {
            seen += u128::from(*answers);
            (seen >= wanted).then(|| 1 << log2)
        })
    }
}

impl Serialize for Latency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Answers {
            below_ns: u64,
            answers: u64,
        }
        let buckets = self.0.iter().map(|(log2, answers)| Answers { below_ns: 1 << log2, answers: *answers });
        serializer.collect_seq(buckets)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Written by hand in the form of `kernel-support/linux`'s file in debugfs.
    pub(crate) const PRINTED: &str = "\
# device pasid users groups in_flight success invalid failure overflows pages ahead hits no_memory waits waits_over latency_log2_ns
iommufd_mock0 1 1 1028 0 1028 0 0 0 1028 15356 15296 0 0 0 15:3,16:1000,17:25,
iommufd_mock0 2 2 7 1 5 1 0 0 8 0 0 0 2 1 14:6,
iommufd_mock1 3 1 0 0 0 0 0 0 0 0 0 0 0 0
";

    #[test]
    fn each_column_has_its_place() {
        let bonds = read(PRINTED).unwrap();
        let names: Vec<_> = bonds.iter().map(|bond| (bond.device.as_str(), bond.pasid, bond.users)).collect();
        assert_eq!(names, [("iommufd_mock0", 1, 1), ("iommufd_mock0", 2, 2), ("iommufd_mock1", 3, 1)]);
        let Bond { groups, in_flight, success, invalid, failure, overflows, pages, .. } = bonds[1];
        assert_eq!([groups, in_flight, success, invalid, failure, overflows, pages], [7, 1, 5, 1, 0, 0, 8]);
        let Bond { ahead, hits, no_memory, waits, waits_over, .. } = bonds[1];
        assert_eq!([ahead, hits, no_memory, waits, waits_over], [0, 0, 0, 2, 1]);
        assert_eq!([bonds[0].ahead, bonds[0].hits], [15356, 15296]);
    }

    #[test]
    fn answers_stay_below_powers_of_two() {
        let bonds = read(PRINTED).unwrap();
        let below = |permille| bonds[0].latency.below_ns(permille);
        assert_eq!(
            [below(0), below(2), below(500), below(990)].map(Option::unwrap),
            [1 << 15, 1 << 15, 1 << 16, 1 << 17]
        );
        assert_eq!(bonds[2].latency.below_ns(500), None);
        let mut all = bonds[0].latency.clone();
        all.extend(&bonds[1].latency);
        assert_eq!(all.below_ns(1), Some(1 << 14));
    }

    /// More columns are a later kernel's; fewer, or no numbers, are no such file.
    #[test]
    fn another_form_is_said_to_be_one() {
        let more = PRINTED.replace("# device", "# later device").replace("iommufd", "9 iommufd");
        assert_eq!(read(&more), read(PRINTED));
        for other in [
            "",
            "bonds\n",
            "# device pasid\nx 1\n",
            &PRINTED.replace(" 1028 ", " -4 "),
            &PRINTED.replace("15:3", "99:3"),
            &PRINTED.replace("15:3", "15"),
        ] {
            assert_eq!(read(other), None, "{other}");
        }
    }
}
