//! The conversation with the physical function, when it goes wrong.
//!
//! UNSAFETY: passes on the promise about memory that is mapped for a function.
#![expect(unsafe_code, reason = "mapping memory for a device is a promise about it, also for a model")]

use std::io;
use std::ops::RangeInclusive;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use qat_emu::{Action, DeviceConfig, FaultPlan, PfFaults};
use svala::backend::Kind;
use svala::{Check, DeflateOptions, Span, block_on};
use svala_qat::{
    EmulatedFunction, Error, Generation, PfError, QatQueue, QatQueueConfig, Region, VirtualFunction,
    emulated, ring_pairs,
};

use crate::support::{Machine, impatient, settings, text, until};

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
    let function = Arc::new(EmulatedFunction::start(device).expect("a device"));
    assert_eq!(ring_pairs(function.clone()).expect("says"), ["dc", "sym", "asym", "decomp"]);
    assert_eq!(QatQueue::open(function, settings()).expect("opens").open_pairs(), 1);
    let silent = with(PfFaults { lost_messages: 1000, ..PfFaults::default() });
    let error =
        ring_pairs(Arc::new(EmulatedFunction::start(silent).expect("a device"))).expect_err("nobody listens");
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

/// A function whose register of messages, once it is stuck, always has another one, which means nothing.
#[derive(Debug)]
struct Stuck {
    function: EmulatedFunction,
    is_stuck: AtomicBool,
}

impl Stuck {
    fn new(is_stuck: bool) -> Arc<Self> {
        let function = EmulatedFunction::start(DeviceConfig::default()).expect("a device");
        Arc::new(Self { function, is_stuck: AtomicBool::new(is_stuck) })
    }
}

impl VirtualFunction for Stuck {
    fn name(&self) -> &str {
        self.function.name()
    }

    fn generation(&self) -> Generation {
        self.function.generation()
    }

    fn kind(&self) -> Kind {
        self.function.kind()
    }

    fn read32(&self, region: Region, offset: u64) -> u32 {
        match (region, offset) {
            // To be taken, by the system, of a kind there is not.
            (Region::Misc, 0x1008) if self.is_stuck.load(Ordering::Relaxed) => 3 | 0x3f << 2,
            _ => self.function.read32(region, offset),
        }
    }

    fn write32(&self, region: Region, offset: u64, value: u32) {
        self.function.write32(region, offset, value);
    }

    unsafe fn map(&self, span: Span) -> io::Result<()> {
        // SAFETY: the caller's promise, passed on.
        unsafe { self.function.map(span) }
    }

    fn unmap(&self, span: Span) -> io::Result<()> {
        self.function.unmap(span)
    }

    fn aperture(&self) -> Vec<RangeInclusive<u64>> {
        self.function.aperture()
    }

    fn interrupt(&self) -> BorrowedFd<'_> {
        self.function.interrupt()
    }
}

/// Nobody waits for its end: not who opens a function, and not who closes it.
#[test]
fn a_register_that_always_has_another_message_holds_nobody_up() {
    let error = QatQueue::open(Stuck::new(true), settings()).expect_err("no answer among them");
    assert!(matches!(error, Error::Pf { source: PfError::NotAnswered { .. }, .. }), "{error}");
    let function = Stuck::new(false);
    let queue = QatQueue::open(Arc::clone(&function) as Arc<dyn VirtualFunction>, settings()).expect("opens");
    function.is_stuck.store(true, Ordering::Relaxed);
    function.function.device().stray_interrupt();
    let closing = std::thread::spawn(move || drop(queue));
    until("it is closed", || closing.is_finished());
}
