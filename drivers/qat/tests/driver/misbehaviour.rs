//! A device that answers late, twice, wrongly, or not at all.

use qat_emu::{Action, DeviceConfig, FaultPlan, Model, PfFaults, ResetRefusal};
use svala::{Check, DeflateOptions, Error, block_on};
use svala_qat::QatQueueConfig;

use crate::support::{Machine, all, deflate, impatient, inflate, noise, settings, stream, text, until};

const HOW: DeflateOptions = DeflateOptions { level: 6, last: true, check: Check::Crc32 };

fn one(machine: &Machine, data: &[u8]) -> Result<Vec<u8>, Error> {
    match block_on(machine.runtime.deflate(data.to_vec(), vec![0; 2 * data.len() + 4096], HOW)) {
        Ok(done) => Ok(stream(&done).to_vec()),
        Err(failed) => {
            assert!(failed.buffers.is_some(), "the buffers come back with {}", failed.error);
            Err(failed.error)
        }
    }
}

#[test]
fn answers_out_of_order_reach_their_requests() {
    let machine =
        Machine::new(FaultPlan::default().every(3, 1, Action::Late(5)).every(7, 2, Action::Late(20)));
    let inputs: Vec<_> = (0..60).map(|index| text(200 + 31 * index, index as u64)).collect();
    let futures: Vec<_> = inputs
        .iter()
        .map(|data| Box::pin(machine.runtime.deflate(data.clone(), vec![0; 8192], HOW)))
        .collect();
    for (data, done) in inputs.iter().zip(all(futures)) {
        assert_eq!(inflate(stream(&done.expect("compresses"))), *data);
    }
    machine.assert_clean();
}

#[test]
fn an_overflow_is_gone_on_from_where_it_is_progress() {
    let machine = Machine::new(FaultPlan::default().every(2, 1, Action::Overflow));
    let data = text(60_000, 1);
    assert_eq!(inflate(&one(&machine, &data).expect("goes on")), data);
    assert!(machine.function.device().stats().requests > 1);
    let device = DeviceConfig {
        model: Model::Gen6,
        plan: FaultPlan::default().at(1, Action::Overflow),
        ..DeviceConfig::default()
    };
    let machine = Machine::with(device, settings());
    assert!(matches!(one(&machine, &data), Err(Error::OutputFull { .. })));
}

#[test]
fn output_that_does_not_verify_is_never_handed_out() {
    let data = text(5000, 1);
    for (action, what) in [(Action::CnvFailure, "CNV_ERROR"), (Action::NoCnvFlag, "not verified")] {
        let machine = Machine::new(FaultPlan::default().at(1, action));
        let error = one(&machine, &data).expect_err("fails");
        assert!(error.to_string().contains(what), "{error}");
        assert_eq!(inflate(&one(&machine, &data).expect("the next one is good")), data);
    }
}

#[test]
fn stored_blocks_of_a_recovery_are_a_stream() {
    let machine = Machine::new(FaultPlan::default().every(2, 0, Action::CnvRecovered));
    let data = text(250_000, 1);
    assert_eq!(inflate(&one(&machine, &data).expect("recovered")), data);
    machine.assert_clean();
}

#[test]
fn a_hung_slice_is_an_error_with_its_name() {
    let machine = Machine::new(FaultPlan::default().at(2, Action::SliceHang));
    let data = text(1000, 1);
    one(&machine, &data).expect("the first");
    let error = one(&machine, &data).expect_err("the second");
    assert!(matches!(error, Error::Status { name: "SSM_ERROR", status: 0xf0, .. }), "{error}");
    one(&machine, &data).expect("the third");
}

#[test]
fn answers_that_make_no_sense_are_errors() {
    let data = text(1000, 1);
    for (action, what) in [(Action::Boasts, "more input or output"), (Action::NotValid, "not marked")] {
        let machine = Machine::new(FaultPlan::default().at(1, action));
        let error = one(&machine, &data).expect_err("fails");
        assert!(matches!(error, Error::Nonsense { .. }) && error.to_string().contains(what), "{error}");
    }
}

#[test]
fn answers_nobody_waits_for_are_counted_and_ignored() {
    let plan = FaultPlan::default().every(4, 0, Action::StrayAnswer).every(4, 1, Action::Twice).every(
        4,
        2,
        Action::StrayInterrupt,
    );
    let device = DeviceConfig { plan, ..DeviceConfig::default() };
    let machine = Machine::with(device, settings());
    let data = text(3000, 5);
    for _ in 0..400 {
        assert_eq!(inflate(&one(&machine, &data).expect("compresses")), data);
    }
    machine.assert_clean();
}

/// The memory stays the request's until the reset is confirmed: the model writes to it at the last moment, and would count
/// a write to memory that was released.
#[test]
fn a_request_that_is_never_answered_ends_with_a_reset() {
    let machine = Machine::new(FaultPlan::default().at(2, Action::NeverAnswers));
    let data = text(1000, 1);
    one(&machine, &data).expect("the first");
    let error = one(&machine, &data).expect_err("the second");
    assert!(error.to_string().contains("not answered in time, ring pair reset"), "{error}");
    let stats = machine.function.device().stats();
    assert_eq!((stats.resets, stats.late_writes), (1, 1));
    assert_eq!(inflate(&one(&machine, &data).expect("the ring pair is open again")), data);
    machine.assert_clean();
}

#[test]
fn requests_beside_one_that_is_never_answered_are_sent_again() {
    let plan = FaultPlan::default().at(5, Action::NeverAnswers).every(9, 3, Action::Late(1000));
    let device = DeviceConfig { plan, ring_map: 0o0002, ..DeviceConfig::default() };
    let machine = Machine::with(device, impatient());
    let data = text(2000, 1);
    let futures: Vec<_> =
        (0..30).map(|_| Box::pin(machine.runtime.deflate(data.clone(), vec![0; 8192], HOW))).collect();
    let outcomes = all(futures);
    let failed: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).collect();
    assert_eq!(failed.len(), 1, "{failed:?}");
    for done in outcomes.iter().flatten() {
        assert_eq!(inflate(stream(done)), data);
    }
    machine.assert_clean();
}

/// A request that is not answered ends when its ring pair has been reset, `when` that is, and until then keeps its memory.
fn ends_by_one_reset(machine: &Machine, when: &str) {
    let error = one(machine, &text(1000, 1)).expect_err(when);
    assert!(error.to_string().contains("ring pair reset"), "{error}");
    let stats = machine.function.device().stats();
    assert_eq!((stats.resets, stats.late_writes, stats.late_faults), (1, 1, 0), "{stats:?}");
}

#[test]
fn a_refused_reset_keeps_the_memory_and_is_asked_for_again() {
    let faults = PfFaults { refused_resets: 1, refusal: Some(ResetRefusal::Timeout), ..PfFaults::default() };
    let machine = Machine::new(FaultPlan::default().at(1, Action::NeverAnswers).pf(faults));
    ends_by_one_reset(&machine, "ends after the second reset");
}

/// More often than a message is sent again: ever more rarely, but for as long as it takes.
#[test]
fn a_reset_is_asked_for_until_it_is_done() {
    let faults = PfFaults { refused_resets: 4, refusal: Some(ResetRefusal::Timeout), ..PfFaults::default() };
    let config = QatQueueConfig { answer_within: std::time::Duration::from_millis(200), ..settings() };
    let plan = FaultPlan::default().at(1, Action::NeverAnswers).pf(faults);
    let machine = Machine::with(DeviceConfig { plan, ..DeviceConfig::default() }, config);
    ends_by_one_reset(&machine, "ends after the fifth");
}

/// The answer to a reset does not say which ring pair it is about. One that comes after it was given up is not taken for that
/// of the next, whose ring pair the device would reset only after it was opened again, with new requests in it.
#[test]
fn a_late_answer_to_a_reset_is_not_that_to_another() {
    let faults = PfFaults { refused_resets: 1, refusal: Some(ResetRefusal::Late), ..PfFaults::default() };
    let plan = FaultPlan::default().at(1, Action::NeverAnswers).at(2, Action::NeverAnswers).pf(faults);
    // One request fits into each of two ring pairs.
    let device = DeviceConfig { plan, ring_map: 0o0022, ..DeviceConfig::default() };
    let config = QatQueueConfig {
        ring_messages: 2,
        reset_within: std::time::Duration::from_secs(2),
        resends_max: 100,
        ..impatient()
    };
    let machine = Machine::with(device, config);
    let data = text(1000, 1);
    let futures = |count: usize| {
        all((0..count)
            .map(|_| Box::pin(machine.runtime.deflate(data.clone(), vec![0; 4096], HOW)))
            .collect::<Vec<_>>())
    };
    for failed in futures(2) {
        let error = failed.expect_err("neither is answered").error;
        assert!(error.to_string().contains("ring pair reset"), "{error}");
    }
    for done in futures(8) {
        assert_eq!(inflate(stream(&done.expect("both ring pairs work"))), data);
    }
    let stats = machine.function.device().stats();
    assert_eq!((stats.late_writes, stats.late_faults), (2, 0), "{stats:?}");
}

#[test]
fn without_any_reset_the_memory_is_never_released() {
    let faults =
        PfFaults { refused_resets: 100, refusal: Some(ResetRefusal::NotSupported), ..PfFaults::default() };
    let device = DeviceConfig {
        plan: FaultPlan::default().at(1, Action::NeverAnswers).pf(faults),
        ..DeviceConfig::default()
    };
    let (queue, function) = svala_qat::emulated(device, impatient()).expect("a function");
    let runtime = svala::Runtime::builder()
        .queue(queue)
        .config(|config| {
            config.answer_within = std::time::Duration::from_secs(8);
            config.drain_within = std::time::Duration::from_millis(100);
        })
        .build()
        .expect("a runtime");
    let failed = block_on(runtime.deflate(text(1000, 1), vec![0; 4096], HOW)).expect_err("no answer");
    assert!(matches!(failed.error, Error::NoAnswer { .. }), "{}", failed.error);
    assert!(failed.buffers.is_none(), "the device may still write to them");
    assert_eq!(runtime.shutdown().unanswered, 1);
    assert_eq!(function.device().stats().resets, 0);
}

#[test]
fn rings_wrap_and_fill_up() {
    let config = QatQueueConfig { ring_messages: 4, depth: 64, ..settings() };
    let device = DeviceConfig { ring_map: 0o0002, ..DeviceConfig::default() };
    let machine = Machine::with(device, config);
    let data = text(600, 1);
    for round in 0..20 {
        let futures: Vec<_> =
            (0..20).map(|_| Box::pin(machine.runtime.deflate(data.clone(), vec![0; 4096], HOW))).collect();
        for done in all(futures) {
            let done = done.unwrap_or_else(|failed| panic!("round {round}: {}", failed.error));
            assert_eq!(inflate(stream(&done)), data);
        }
    }
    machine.assert_clean();
    assert!(machine.function.device().stats().requests >= 400);
}

#[test]
fn incompressible_data_grows_within_the_bound() {
    for model in [Model::Gen4, Model::Gen5, Model::Gen6] {
        let machine = Machine::of(model);
        let data = noise(65_536, 3);
        assert_eq!(inflate(&one(&machine, &data).expect("compresses")), data);
        let packed = deflate(&data);
        let done =
            block_on(machine.runtime.inflate(packed, vec![0; data.len()], Check::None)).expect("expands");
        assert_eq!(done.buffers.1, data);
    }
}

#[test]
fn a_broken_device_is_out_and_says_so() {
    let machine = Machine::new(FaultPlan::default());
    one(&machine, &text(100, 1)).expect("up");
    machine.function.device().fatal_error();
    until("the queue is out", || matches!(one(&machine, &text(100, 1)), Err(Error::QueueOut { .. })));
}
