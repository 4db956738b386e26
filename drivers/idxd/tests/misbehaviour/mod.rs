//! Devices that do not do what they should.

use std::time::Duration;

use idxd_emu::{FaultPlan, Nonsense, QueueConfig, Repeat, StopAt, Which};
use idxd_spec::Status;
use pollster::block_on;
use svala::{
    Access, DeflateOptions, DifDestination, DifFormat, DifSource, Error, IoBuf, Outcome, PopulatedInVain,
};

use crate::conformance::{batch, checksum, control, delta, integrity, memory, patterns};
use crate::support::{Emulation, Faults, PAGE, Pages, Setup, State, noise};

fn setup(plan: FaultPlan) -> Setup {
    Setup::with(QueueConfig::shared(16), Faults::Resolve, plan, |config| {
        config.answer_within = Duration::from_millis(300);
        config.drain_within = Duration::from_millis(300);
    })
}

#[test]
fn answers_out_of_order_and_with_noise_are_right() {
    let setup = setup(FaultPlan::seeded(7).out_of_order().noise());
    crate::conformance::memory::many_at_once(&setup);
    crate::conformance::memory::crc32c(&setup);
}

#[test]
fn retries_are_retried() {
    let setup = setup(FaultPlan::seeded(1).retry_first(50));
    let done = block_on(setup.runtime.copy(noise(9000, 1), vec![0; 9000])).expect("copies");
    assert!(done.buffers.0 == done.buffers.1);
}

#[test]
fn retries_without_end_are_an_error_that_counts_them() {
    let plan = FaultPlan::seeded(1).retry_first(u64::MAX.try_into().unwrap_or(u32::MAX));
    let setup = Setup::with(QueueConfig::shared(16), Faults::Resolve, plan, |config| {
        config.submit_tries_max = 100;
    });
    let failed = block_on(setup.runtime.copy(noise(9000, 1), vec![0; 9000])).expect_err("refused");
    assert!(matches!(failed.error, Error::Refused { tries: 100, .. }), "{}", failed.error);
    assert!(failed.buffers.is_some_and(|(src, _)| src == noise(9000, 1)));
}

#[test]
fn stops_half_way_are_resumed() {
    let setup = setup(FaultPlan::seeded(3).stop_at(StopAt::Random));
    crate::conformance::memory::copy_lengths(&setup);
    crate::conformance::memory::crc32c(&setup);
    crate::conformance::memory::fill(&setup);
}

/// The bodies of every operation.
const BODIES: [fn(&Setup); 23] = [
    control::noop,
    control::drain,
    control::cache_flush,
    memory::copy_lengths,
    memory::overlapping,
    memory::fill,
    memory::compare,
    memory::crc32c,
    batch::mixed,
    batch::cold,
    patterns::dualcast,
    patterns::fill16,
    patterns::compare_pattern,
    delta::create,
    delta::apply,
    delta::broken,
    checksum::crc,
    checksum::copy_crc,
    integrity::insert,
    integrity::dix_generate,
    integrity::check,
    integrity::strip,
    integrity::update,
];

/// Stops of every transfer at any byte, by seed, with noise in the records and out of order: results are the oracles'.
#[test]
fn every_operation_is_resumed_wherever_it_stops() {
    for (seed, body) in (1..).zip(BODIES) {
        let plan = FaultPlan::seeded(seed).stop_at(StopAt::Random).noise().out_of_order();
        println!("{plan}");
        let device = Emulation::new(QueueConfig::shared(16), Faults::Resolve).transfer_bytes_max(64 << 10);
        body(&Emulation { plan, ..device }.setup(|_| {}));
    }
}

/// Each transfer faults on its first page but one, and the first of all on its very first.
#[test]
fn every_operation_is_resumed_where_a_page_is_missing() {
    for body in BODIES {
        for plan in [
            FaultPlan::seeded(1).stop_at(StopAt::Bytes(PAGE as u64)),
            FaultPlan::seeded(1).fault_at_page(0, Repeat::Once),
        ] {
            let device = Emulation::new(QueueConfig::dedicated(16), Faults::Resolve);
            body(&Emulation { plan, ..device.transfer_bytes_max(64 << 10) }.setup(|_| {}));
        }
    }
}

#[test]
fn a_fault_on_a_present_page_is_resolved_once() {
    let setup = setup(FaultPlan::seeded(3).fault_at_page(2, Repeat::Once));
    let done = block_on(setup.runtime.copy(noise(5 * PAGE, 1), vec![0; 5 * PAGE])).expect("copies");
    assert!(done.buffers.0 == done.buffers.1);
    assert!(done.report.faults.resubmissions >= 1);
}

#[test]
fn a_page_that_faults_for_ever_is_an_error_after_a_bound() {
    let setup = setup(FaultPlan::seeded(3).fault_at_page(0, Repeat::Always));
    let failed = block_on(setup.runtime.copy(noise(5 * PAGE, 1), vec![0; 5 * PAGE])).expect_err("never");
    assert!(matches!(failed.error, Error::Fault { .. }), "{}", failed.error);
    assert!(failed.report.faults.faults <= 20, "{:?}", failed.report);
    assert!(failed.buffers.is_some());
}

/// What keeps nothing of a partial run is populated whole each time, and loses its page each time: as under a control
/// group too small for it. It ends, and says why.
#[test]
fn an_operation_that_begins_again_and_again_ends_and_says_why() {
    let setup = setup(FaultPlan::seeded(3).fault_at_page(0, Repeat::Always));
    let (src, room) = (noise(5 * PAGE, 1), vec![0; 8 * PAGE]);
    let failed = block_on(setup.runtime.deflate(src, room, DeflateOptions::default())).expect_err("never");
    let Error::Fault { source: Some(source), .. } = &failed.error else { panic!("{}", failed.error) };
    let in_vain = source.get_ref().and_then(|why| why.downcast_ref::<PopulatedInVain>());
    let in_vain = in_vain.unwrap_or_else(|| panic!("{source}"));
    assert_eq!(in_vain.faults, setup.runtime.config().fault_retries_max + 1);
    // All of both buffers, as often as it began again.
    let pages = failed.report.faults.pages_populated;
    assert_eq!(in_vain.populated_bytes, pages * PAGE as u64);
    assert!(pages >= 13 * u64::from(setup.runtime.config().fault_retries_max), "{:?}", failed.report);
    assert!(failed.buffers.is_some());
}

#[test]
fn nonsense_is_an_error_with_the_record() {
    for nonsense in [Nonsense::BytesBeyondSize, Nonsense::UnknownStatus] {
        let setup = setup(FaultPlan::seeded(3).nonsense(nonsense, Which::Every));
        let failed = block_on(setup.runtime.copy(noise(5000, 1), vec![0; 5000])).expect_err("nonsense");
        assert!(
            matches!(failed.error, Error::Nonsense { record: 1.., .. }),
            "{nonsense:?}: {}",
            failed.error
        );
        assert!(failed.buffers.is_some_and(|(src, _)| src == noise(5000, 1)));
    }
}

/// What only hardware brings about is an error with the status, and the buffers are back.
#[test]
fn an_error_of_the_hardware_is_an_error_with_its_status() {
    for status in [Status::HARDWARE, Status::HARDWARE_WRITE, Status::HARDWARE_TRANSLATION] {
        let plan = FaultPlan::seeded(3).fail(status, Which::Nth(0));
        let setup = Setup::with(QueueConfig::shared(16), Faults::Resolve, plan, |_| {});
        let failed = block_on(setup.runtime.copy(noise(5000, 1), vec![0; 5000])).expect_err("broken");
        assert!(
            matches!(failed.error, Error::Status { status: found, .. } if found == status.0),
            "{}",
            failed.error
        );
        assert!(failed.buffers.is_some_and(|(src, _)| src == noise(5000, 1)));
        block_on(setup.runtime.copy(noise(5000, 1), vec![0; 5000])).expect("only the first is broken");
    }
}

/// A device that goes on behind a fault does not know the entry before: the driver compares the two. (A page is 410
/// entries, the fraction counted; with large transfers no window is in between that the driver has looked through.)
#[test]
fn entries_on_either_side_of_a_fault_are_in_order() {
    let plan = FaultPlan::seeded(1).stop_at(StopAt::Bytes(PAGE as u64));
    let device = Emulation::new(QueueConfig::shared(16), Faults::Resolve).transfer_bytes_max(1 << 20);
    delta::broken(&Emulation { plan, ..device }.setup(|_| {}));
}

/// What comes back is compared with what was asked, whatever the operation.
#[test]
fn nonsense_is_an_error_of_every_operation() {
    let (bytes, zeros) = (|| noise(8320, 1), || vec![0_u8; 8320]);
    let pages = |len| State::Warm.destination(len, 0);
    let (format, source, new) = (DifFormat::default(), DifSource::default(), DifDestination::default());
    for nonsense in [Nonsense::BytesBeyondSize, Nonsense::UnknownStatus] {
        let setup = setup(FaultPlan::seeded(3).nonsense(nonsense, Which::Every));
        let runtime = &setup.runtime;
        let errors = [
            error(runtime.noop()),
            error(runtime.drain()),
            error(runtime.copy(bytes(), zeros())),
            error(runtime.dualcast(bytes(), pages(8320), pages(8320))),
            error(runtime.fill(zeros(), 1)),
            error(runtime.fill16(zeros(), [1; 16])),
            error(runtime.compare(bytes(), zeros())),
            error(runtime.compare_pattern(bytes(), 1)),
            error(runtime.create_delta(pages(8320), pages(8320), pages(10_400))),
            error(runtime.apply_delta(pages(8320), pages(8320))),
            error(runtime.crc32c(bytes(), 0)),
            error(runtime.crc64(bytes(), 0)),
            error(runtime.copy_crc32c(bytes(), zeros(), 0)),
            error(runtime.dif_check(bytes(), format, source)),
            error(runtime.dif_insert(vec![0; 8192], zeros(), format, new)),
            error(runtime.dif_strip(bytes(), vec![0; 8192], format, source)),
            error(runtime.dif_update(bytes(), zeros(), format, source, new)),
            error(runtime.dix_generate(vec![0; 8192], pages(128), format, new)),
            error(runtime.cache_flush(bytes())),
        ];
        for (at, error) in errors.into_iter().enumerate() {
            assert!(matches!(error, Error::Nonsense { record: 1.., .. }), "{nonsense:?}, {at}: {error}");
        }
    }
}

/// How an operation ended that had to fail and to give its buffers back.
fn error<V, B>(operation: impl Future<Output = Outcome<V, B>>) -> Error {
    let Err(failed) = block_on(operation) else { panic!("a record that makes no sense is not a success") };
    assert!(failed.buffers.is_some(), "{}", failed.error);
    failed.error
}

// One engine writes its second answer before it looks at anything else. (With several, an engine that is held up
// between its two answers for longer than a slot's records take to come round cannot be told from one that answers.)
#[test]
fn a_device_that_answers_twice_does_not_spoil_what_follows() {
    let plan = FaultPlan::seeded(3).answer_twice(Which::Every);
    let one = Emulation { engines: 1, plan, ..Emulation::new(QueueConfig::shared(16), Faults::Resolve) };
    let setup = one.setup(|_| {});
    let mut wrong = 0;
    for round in 0..50 {
        let bytes = noise(5000, round);
        match block_on(setup.runtime.copy(bytes.clone(), vec![0; 5000])) {
            Ok(done) => {
                assert!(done.buffers.1 == bytes, "round {round}");
                assert_eq!(wrong, 0, "a queue that cannot be trusted takes no more jobs");
            }
            // Seen when the record came round: the second answer to an earlier job.
            Err(failed) => {
                let is_out = matches!(failed.error, Error::Nonsense { .. } | Error::QueueOut { .. });
                assert!(is_out, "{}", failed.error);
                assert!(failed.buffers.is_some_and(|(src, _)| src == bytes));
                wrong += 1;
            }
        }
    }
    assert!((1..50).contains(&wrong), "{wrong}");
}

#[test]
fn no_answer_is_reported_and_the_memory_stays_lent() {
    let setup = setup(FaultPlan::seeded(3).never_answer(Which::Nth(0)));
    let failed = block_on(setup.runtime.copy(noise(5000, 1), vec![0; 5000])).expect_err("silence");
    assert!(matches!(failed.error, Error::NoAnswer { .. }), "{}", failed.error);
    assert!(failed.buffers.is_none());
    // The others are not held up.
    block_on(setup.runtime.copy(noise(5000, 1), vec![0; 5000])).expect("copies");
    assert_eq!(setup.runtime.shutdown().unanswered, 1);
}

#[test]
fn the_fail_policy_ends_with_the_fault() {
    let setup = Setup::new(QueueConfig::shared(16), Faults::Fail);
    let setup = &setup;
    let failed = block_on(setup.runtime.copy(noise(3 * PAGE, 1), Pages::cold(3 * PAGE))).expect_err("cold");
    let (src, dst) = failed.buffers.expect("come back");
    match failed.error {
        Error::Fault { access: Access::Write, addr, done: 0, status, .. } => {
            assert_eq!(addr.page(), dst.addr());
            assert_eq!(status & 0x80, 0x80, "{status:#x}");
        }
        other => panic!("{other}"),
    }
    assert_eq!(src.len(), dst.bytes().len());
}

#[test]
fn dropped_futures_leave_nothing_behind() {
    let setup = setup(FaultPlan::seeded(5).delay(Duration::from_millis(1)));
    for round in 0..40 {
        let copy = setup.runtime.copy(noise(20_000, round), Pages::cold(20_000));
        let mut copy = Box::pin(copy);
        let waker = std::task::Waker::noop();
        let polled = copy.as_mut().poll(&mut std::task::Context::from_waker(waker));
        assert!(polled.is_pending());
        drop(copy);
    }
    assert_eq!(setup.runtime.shutdown().unanswered, 0);
    let queue = &setup.runtime.snapshot().queues[0];
    assert_eq!(queue.in_flight, 0);
    assert!(queue.abandoned > 0);
}
