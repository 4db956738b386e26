//! The conversation with the physical function, when it goes wrong.

use qat_emu::{Action, DeviceConfig, FaultPlan, PfFaults};
use svala::{Check, DeflateOptions, block_on};
use svala_qat::{EmulatedFunction, Error, PfError, QatQueueConfig, emulated, ring_pairs};

use crate::support::{Machine, impatient, settings, text};

fn open(device: DeviceConfig) -> Result<svala_qat::QatQueue, Error> {
    emulated(device, settings()).map(|(queue, _)| queue)
}

fn with(faults: PfFaults) -> DeviceConfig {
    DeviceConfig { plan: FaultPlan::default().pf(faults), ..DeviceConfig::default() }
}

#[test]
fn a_damaged_block_is_asked_for_again() {
    open(with(PfFaults { bad_checks: 2, ..PfFaults::default() })).expect("the third is good");
    let error = open(with(PfFaults { bad_checks: 3, ..PfFaults::default() })).expect_err("three are bad");
    assert!(matches!(error, Error::Pf { source: PfError::Check { tries: 3, .. }, .. }), "{error}");
}

#[test]
fn lost_messages_and_answers_are_sent_again() {
    open(with(PfFaults { lost_messages: 1, lost_answers: 1, ..PfFaults::default() })).expect("once each");
    let error =
        open(with(PfFaults { lost_messages: 1000, ..PfFaults::default() })).expect_err("nobody listens");
    assert!(matches!(error, Error::Pf { source: PfError::NotTaken { tries: 3, .. }, .. }), "{error}");
    let error =
        open(with(PfFaults { lost_answers: 1000, ..PfFaults::default() })).expect_err("nobody answers");
    assert!(matches!(error, Error::Pf { source: PfError::NotAnswered { tries: 3, .. }, .. }), "{error}");
}

/// The driver looks whether its question was taken, and then for what was said: the answer may have come in between.
#[test]
fn answers_may_be_there_before_the_question_is_seen_to_be_taken() {
    let quick = PfFaults { early_answers: u32::MAX, ..PfFaults::default() };
    let plan = FaultPlan::default().at(1, Action::NeverAnswers).pf(quick);
    let device = DeviceConfig { plan, ..DeviceConfig::default() };
    let config = QatQueueConfig { pf_tries_max: 1, ..impatient() };
    let machine = Machine::with(device, config);
    let how = DeflateOptions { level: 1, last: true, check: Check::None };
    let error =
        block_on(machine.runtime.deflate(text(1000, 1), vec![0; 4096], how)).expect_err("a reset").error;
    assert!(error.to_string().contains("ring pair reset"), "{error}");
    block_on(machine.runtime.deflate(text(1000, 1), vec![0; 4096], how)).expect("works again");
}

#[test]
fn a_physical_function_that_does_not_fit_is_refused() {
    let error = open(with(PfFaults { version_result: 2, ..PfFaults::default() })).expect_err("incompatible");
    assert!(
        matches!(error, Error::Pf { source: PfError::Incompatible { ours: 5, theirs: 5 }, .. }),
        "{error}"
    );
    open(with(PfFaults { version_result: 3, ..PfFaults::default() })).expect("left to this side");
}

#[test]
fn services_are_those_of_the_map() {
    let queue = open(DeviceConfig { ring_map: 0o2424, ..DeviceConfig::default() }).expect("two ring pairs");
    assert_eq!(queue.open_pairs(), 2);
    let error = open(DeviceConfig { ring_map: 0o3434, capabilities: 0x23, ..DeviceConfig::default() })
        .expect_err("none");
    let text = error.to_string();
    assert!(text.contains("asym sym asym sym") && text.contains("cfg_services"), "{text}");
    let error = open(DeviceConfig { capabilities: 0x3, ..DeviceConfig::default() }).expect_err("none");
    assert!(matches!(error, Error::NoService { .. }), "{error}");
}

/// Without a queue, and a queue may be opened afterwards.
#[test]
fn a_function_says_what_each_ring_pair_does() {
    let device = DeviceConfig { ring_map: 0o5432, ..DeviceConfig::default() };
    let function = std::sync::Arc::new(EmulatedFunction::start(device).expect("a device"));
    assert_eq!(ring_pairs(function.clone()).expect("says"), ["dc", "sym", "asym", "decomp"]);
    assert_eq!(svala_qat::QatQueue::open(function, settings()).expect("opens").open_pairs(), 1);
    let silent = with(PfFaults { lost_messages: 1000, ..PfFaults::default() });
    let error = ring_pairs(std::sync::Arc::new(EmulatedFunction::start(silent).expect("a device")))
        .expect_err("nobody listens");
    assert!(matches!(error, Error::Pf { source: PfError::NotTaken { .. }, .. }), "{error}");
}

/// Before version 4 there is no map: a device that only compresses does so everywhere.
#[test]
fn an_old_physical_function_has_no_map() {
    let queue = open(DeviceConfig { pf_version: 3, ..DeviceConfig::default() }).expect("compresses");
    assert_eq!(queue.open_pairs(), 4);
}

#[test]
fn settings_out_of_bounds_are_refused_by_name() {
    let bad = [
        QatQueueConfig { ring_messages: 100, ..settings() },
        QatQueueConfig { ring_messages: 1 << 20, ..settings() },
        QatQueueConfig { batch_max: 0, ..settings() },
        QatQueueConfig { depth: 0, ..settings() },
        QatQueueConfig { bounce_part_bytes_max: 1 << 30, ..settings() },
        QatQueueConfig { bounce_bytes_max: 1 << 30, ..settings() },
        QatQueueConfig { part_bytes_max: 0, ..settings() },
    ];
    for config in bad {
        let error = emulated(DeviceConfig::default(), config).map(drop).expect_err("refused");
        assert!(matches!(error, Error::Config { .. }), "{error}");
    }
    let small = QatQueueConfig {
        arena_bytes: 65536,
        bounce_part_bytes_max: 4096,
        bounce_bytes_max: 4096,
        ..settings()
    };
    let error = emulated(DeviceConfig::default(), small).map(drop).expect_err("no room for the rings");
    assert!(matches!(error, Error::ArenaFull { .. }), "{error}");
}
