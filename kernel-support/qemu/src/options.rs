//! What kind of device to be, as the properties of the machine's device say it.

use std::time::Duration;

use idxd_emu::{DeviceKind, FaultPlan, Hardware, Repeat, StopAt, Version, Which};
use idxd_spec::register::ResetType;

/// Engines, queues and groups a device can have.
const PARTS_MAX: u8 = 8;
/// Entries of the device TLB at most.
const TLB_ENTRIES_MAX: u32 = 1 << 16;

/// A device to be made.
#[derive(Clone, Debug)]
pub struct Options {
    /// Sizes and features.
    pub hardware: Hardware,
    /// Entries of the device TLB.
    pub tlb_entries: usize,
    /// What is to go wrong.
    pub plan: FaultPlan,
    /// Whether a book is kept of what silicon would have taken.
    pub timing: bool,
}

/// A property that no device can have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OptionsError {
    /// There are DSA 1 to 3 and IAA 1 and 2.
    #[error("{kind:?} version {version}: there is none")]
    Version {
        /// Which accelerator.
        kind: DeviceKind,
        /// What was asked for.
        version: u32,
    },
    /// A number out of range.
    #[error("{property}={value}: {min} to {max}")]
    Range {
        /// The property.
        property: &'static str,
        /// What was asked for.
        value: u32,
        /// The least there can be.
        min: u32,
        /// The most there can be.
        max: u32,
    },
    /// The fault plan has an item nobody knows.
    #[error("faults: {0:?} is not an item (see the table in the README)")]
    Fault(String),
}

impl Options {
    /// The device of a version, with the sizes of the first silicon.
    ///
    /// # Errors
    ///
    /// There is no such version.
    pub fn new(kind: DeviceKind, version: u32) -> Result<Self, OptionsError> {
        let version = match (kind, version) {
            (_, 1) => Version::V1,
            (_, 2) => Version::V2,
            (DeviceKind::Dsa, 3) => Version::V3,
            _ => return Err(OptionsError::Version { kind, version }),
        };
        let first = Hardware::new(kind, version);
        let hardware = Hardware { interrupt_storage_units: 0, inter_domain: false, ..first };
        Ok(Self { hardware, tlb_entries: 1024, plan: FaultPlan::default(), timing: false })
    }

    /// Checks what [`Hardware`] leaves to its user.
    ///
    /// # Errors
    ///
    /// The first number that is out of range.
    pub fn check(&self) -> Result<(), OptionsError> {
        let hardware = &self.hardware;
        let parts_max = PARTS_MAX.into();
        let tlb_entries = u32::try_from(self.tlb_entries).unwrap_or(u32::MAX);
        let ranges = [
            ("engines", hardware.engines.into(), 1, parts_max),
            ("queues", hardware.queues.into(), 1, parts_max),
            ("groups", hardware.groups.into(), 1, parts_max),
            ("entries", hardware.entries.into(), u32::from(hardware.queues), u16::MAX.into()),
            ("msix", hardware.msix_vectors.into(), 1, 64),
            ("tlb", tlb_entries, 1, TLB_ENTRIES_MAX),
        ];
        for (property, value, min, max) in ranges {
            if !(min..=max).contains(&value) {
                return Err(OptionsError::Range { property, value, min, max });
            }
        }
        Ok(())
    }
}

/// A fault plan in words: items joined by `+`, each `name` or `name:value` or `name:value:value`.
///
/// # Errors
///
/// The first item that is none.
pub(crate) fn fault_plan(words: &str) -> Result<FaultPlan, OptionsError> {
    let items = || words.split('+').filter(|item| !item.is_empty());
    let seed = items().find_map(|item| item.strip_prefix("seed:"));
    let first = match seed {
        Some(seed) => {
            FaultPlan::seeded(seed.parse().map_err(|_| OptionsError::Fault(format!("seed:{seed}")))?)
        }
        None => FaultPlan::default(),
    };
    items().filter(|item| !item.starts_with("seed:")).try_fold(first, |plan, item| {
        with_item(plan, item).ok_or_else(|| OptionsError::Fault(item.to_owned()))
    })
}

fn with_item(plan: FaultPlan, item: &str) -> Option<FaultPlan> {
    let words: Vec<_> = item.split(':').collect();
    Some(match *words {
        ["out-of-order"] => plan.out_of_order(),
        ["noise"] => plan.noise(),
        ["retry-first", times] => plan.retry_first(times.parse().ok()?),
        ["fault-page", page, repeat] => plan.fault_at_page(page.parse().ok()?, repeated(repeat)?),
        ["stop", "random"] => plan.stop_at(StopAt::Random),
        ["stop", bytes] => plan.stop_at(StopAt::Bytes(bytes.parse().ok()?)),
        ["never-answer", which] => plan.never_answer(which_of(which)?),
        ["answer-twice", which] => plan.answer_twice(which_of(which)?),
        ["disable-queue", which] => plan.disable_queue_at(which_of(which)?),
        ["log-full", which] => plan.event_log_full(which_of(which)?),
        ["delay-us", delay] => plan.delay(Duration::from_micros(delay.parse().ok()?)),
        ["halt-after", count, reset] => plan.halt_after(count.parse().ok()?, reset_of(reset)?),
        _ => return None,
    })
}

fn repeated(word: &str) -> Option<Repeat> {
    match word {
        "once" => Some(Repeat::Once),
        "always" => Some(Repeat::Always),
        _ => None,
    }
}

fn which_of(word: &str) -> Option<Which> {
    match word {
        "every" => Some(Which::Every),
        nth => nth.parse().ok().map(Which::Nth),
    }
}

fn reset_of(word: &str) -> Option<ResetType> {
    match word {
        "software" => Some(ResetType::Software),
        "flr" => Some(ResetType::FunctionLevel),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use idxd_spec::Opcode;

    use super::*;

    #[test]
    fn plan_in_words_is_the_plan() {
        let words = "fault-page:1:once+seed:7+out-of-order+retry-first:2";
        let plan = FaultPlan::seeded(7).retry_first(2).fault_at_page(1, Repeat::Once).out_of_order();
        assert_eq!(fault_plan(words), Ok(plan));
        assert_eq!(fault_plan(""), Ok(FaultPlan::default()));
        for wrong in ["fault-page:1", "seed:x", "retry-first:-1", "halt-after:3:warm", "sloth"] {
            assert_eq!(fault_plan(wrong), Err(OptionsError::Fault(wrong.into())));
        }
    }

    /// What needs the memory of another process would find that of its own.
    #[test]
    fn nothing_crosses_address_spaces() {
        for version in 1..=3 {
            let options = Options::new(DeviceKind::Dsa, version).unwrap();
            let capabilities = idxd_emu::Capabilities::of_hardware(&options.hardware);
            assert!(!capabilities.gen_cap.inter_domain() && capabilities.op_cap.contains(Opcode::MEMMOVE));
            assert!(!capabilities.op_cap.contains(Opcode::INTER_DOMAIN_COPY));
            assert_eq!(capabilities.dsa_cap.0.inter_domain_operations(), 0);
        }
    }

    #[test]
    fn there_is_no_third_iaa() {
        let error = Options::new(DeviceKind::Iaa, 3).unwrap_err();
        assert_eq!(error, OptionsError::Version { kind: DeviceKind::Iaa, version: 3 });
        let mut options = Options::new(DeviceKind::Dsa, 3).unwrap();
        options.check().unwrap();
        options.hardware.queues = 9;
        let error = OptionsError::Range { property: "queues", value: 9, min: 1, max: 8 };
        assert_eq!(options.check(), Err(error));
    }
}
