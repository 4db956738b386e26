//! The conversation with the physical function, when it goes wrong.

use qat_emu::{DeviceConfig, FaultPlan, PfFaults};
use svala_qat::{Error, PfError, QatQueueConfig, emulated};

use crate::support::settings;

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
