//! A batch stopped by faults on its list: every descriptor is taken from it once and in order, and an error is not
//! forgotten.

use idxd_spec::{Completion, Descriptor, Flags, GenCap, Reason, Resume, Status, resume_on};
use proptest::prelude::*;

use super::{BASE, src};

/// What becomes of a batch.
#[derive(Debug, Default)]
struct Taken {
    /// Addresses of the descriptors, in the order they were run in.
    descriptors: Vec<u64>,
    /// Whether one of them failed.
    failed: bool,
}

/// A device that takes `stop` descriptors and then faults on the list. `failing` is the address of one that fails.
fn take(batch: &Descriptor, stop: Option<u32>, failing: Option<u64>, taken: &mut Taken) -> Completion {
    let asked = batch.desc_count();
    let count = stop.unwrap_or(asked).min(asked);
    let first = batch.desc_list_addr();
    let descriptors: Vec<_> = (0..u64::from(count)).map(|at| first + 64 * at).collect();
    // Of the parts before, only the flag tells.
    let failed =
        batch.flags().contains(Flags::BATCH_ERROR) || failing.is_some_and(|at| descriptors.contains(&at));
    taken.descriptors.extend(descriptors);
    taken.failed |= failed;
    let status = match (count == asked, failed) {
        (false, _) => Status::BATCH_PAGE_FAULT,
        (true, true) => Status::BATCH_FAILED,
        (true, false) => Status::SUCCESS,
    };
    Completion::new(status).with_bytes_completed(count).with_result(failed.into())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn batch_resumes(
        count in 2..300_u32, stops in proptest::collection::vec(0..100_u32, 0..8), failing in proptest::option::of(0..300_u64),
        takes_one: bool, keeps_error: bool,
    ) {
        let gencap = GenCap::default().with_batch_of_one(takes_one).with_batch_continuation(keeps_error);
        let failing = failing.map(|at| BASE + 64 * at).filter(|at| *at < BASE + 64 * u64::from(count));
        let (mut batch, mut taken, mut end) = (Descriptor::batch(src(0), count), Taken::default(), None);
        for stop in stops.into_iter().map(Some).chain([None]) {
            let done = take(&batch, stop, failing, &mut taken);
            match resume_on(&batch, &done, gencap) {
                Resume::Rest(rest) => batch = rest,
                Resume::Whole => {}
                Resume::Impossible(Reason::LastOfBatch(addr)) => {
                    prop_assert!(!takes_one);
                    taken.descriptors.push(addr);
                    taken.failed |= failing == Some(addr);
                    end = Some(taken.failed);
                    break;
                }
                Resume::Finished | Resume::Impossible(Reason::NotAFault(Status::BATCH_FAILED)) => {
                    end = Some(done.status() == Status::BATCH_FAILED);
                    break;
                }
                Resume::Impossible(reason) => prop_assert!(false, "{reason}"),
            }
        }
        prop_assert!(taken.descriptors.iter().copied().eq((0..u64::from(count)).map(|at| BASE + 64 * at)));
        // Where the device does not keep it, whoever resumes has seen each record.
        prop_assert_eq!(if keeps_error { end } else { Some(taken.failed) }, Some(failing.is_some()));
    }
}
