//! What the guest's kernel complained of.

/// A line that should not be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Complaint {
    /// The step that was running; empty before and after all of them.
    pub(crate) step: String,
    pub(crate) line: String,
}

impl Complaint {
    /// Whether this is what Linux says, up to 7.2.13 at least, of a process that ended with `DESCRIPTORS` under way on a
    /// device with an event log (kernel-support/guest/README.md), and nothing else.
    pub(crate) fn is_known_bug_of_linux(&self) -> bool {
        // A dead process's memory is counted when SRCU lets go of it: the step behind these may have begun.
        const STEPS: [&str; 3] = ["exit_in_flight", "sigkill_in_flight", "pasids_come_back"];
        const DESCRIPTORS: u32 = 8;
        let pages = || {
            let (_, facts) = self.line.split_once("BUG: Bad rss-counter state ")?;
            let (_, number) = facts.split_once(" type:MM_ANONPAGES val:")?;
            number.split(' ').next()?.parse::<u32>().ok()
        };
        STEPS.contains(&self.step.as_str()) && pages().is_some_and(|pages| pages <= DESCRIPTORS)
    }
}

/// Words of a kernel in trouble.
const WORDS: &[&str] = &[
    "WARNING:",
    "BUG:",
    "BUG ",
    "Oops",
    "Call Trace",
    "cut here",
    "Kernel panic",
    "KASAN",
    "UBSAN",
    "possible circular locking",
    "possible recursive locking",
    "inconsistent lock state",
    "lock order",
    "held lock freed",
    "ODEBUG:",
    "suspected memory leaks",
    "suspicious RCU usage",
    "refcount_t",
    "general protection",
    "Bad page",
    "bad rss",
    "segfault",
    "traps:",
    "blocked for more than",
    "DMAR: DRHD: handling fault",
    "DMAR: [DMA",
    "DMAR: Invalid",
    "DMAR: VT-d detected",
    "idxd halted",
    "Device is HALTED",
];

/// All of them, with the step that each belongs to.
pub(crate) fn complaints(log: &str) -> Vec<Complaint> {
    let mut step = String::new();
    let mut found = Vec::new();
    for line in log.lines() {
        if let Some((_, mark)) = line.split_once("@svala ") {
            step = mark.strip_prefix("begin ").unwrap_or_default().trim().to_owned();
            continue;
        }
        if WORDS.iter().any(|word| line.contains(word)) {
            found.push(Complaint { step: step.clone(), line: line.trim().to_owned() });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_belongs_to_the_step_that_ran() {
        let log = "[ 1.0] all is well\n[ 2.0] @svala begin one\n[ 2.1] WARNING: CPU: 0 PID: 1 at mm/x.c:1\n\
                   [ 3.0] @svala end one\n[ 4.0] DMAR: DRHD: handling fault status reg 2\n";
        let found = complaints(log);
        let steps: Vec<_> = found.iter().map(|one| one.step.as_str()).collect();
        assert_eq!(steps, ["one", ""]);
    }

    #[test]
    fn known_bug_is_known_by_its_test_and_its_pages() {
        let complaint = |step: &str, what: &str| Complaint {
            step: step.to_owned(),
            line: format!(
                "[ 24.6] BUG: Bad rss-counter state mm:ffff8c9f43515400 type:{what} Comm:kworker/0:0 Pid:9"
            ),
        };
        assert!(complaint("exit_in_flight", "MM_ANONPAGES val:8").is_known_bug_of_linux());
        for (step, what) in [
            ("exit_in_flight", "MM_ANONPAGES val:9"),
            ("exit_in_flight", "MM_ANONPAGES val:-1"),
            ("exit_in_flight", "MM_FILEPAGES val:1"),
            ("exit_in_flight_without_an_event_log", "MM_ANONPAGES val:8"),
            ("fork_in_flight", "MM_ANONPAGES val:8"),
        ] {
            assert!(!complaint(step, what).is_known_bug_of_linux(), "{step} {what}");
        }
    }

    #[test]
    fn a_quiet_log_is_quiet() {
        assert!(
            complaints("[    0.5] DMAR: IOMMU feature pasid supported\n[ 1.0] idxd 0000:00:03.0: ok\n")
                .is_empty()
        );
    }
}
