//! `svala faults --explain`: what the `auto` policy goes by.

use serde_json::{Value, json};
use svala::{CostModel, Situation};
use svala_faults::{Bench, Target, TargetDevice};

use super::failed;
use crate::args::Common;
use crate::error::Trouble;
use crate::exit::Exit;
use crate::report::EMULATED;
use crate::run::{Answer, say};

/// Pages of the operations that are estimated: 4 KiB, 64 KiB, 2 MiB, 1 GiB.
const PAGES: [u64; 4] = [1, 16, 512, 1 << 18];

/// Has the policy measure this machine, and shows what it found and what it would choose.
pub(super) fn run(common: &Common, target: Target) -> Result<Answer, Trouble> {
    let is_emulated = target.device == TargetDevice::Emulated;
    let snapshot = Bench::new(target).auto(true).map_err(failed)?;
    let Some(auto) = snapshot else {
        return Err(Trouble::Faults("the runtime has no cost model under the auto policy".into()));
    };
    let line = |text: String| say(common, text.trim_end().as_bytes());
    if is_emulated {
        line(EMULATED.into())?;
    }
    let whence = if auto.measured { "measured on this machine just now" } else { "published figures" };
    line(format!(
        "what things cost, {whence}; a submission and a page request are usual figures until there are some"
    ))?;
    for (name, what, ns) in costs(&auto.costs) {
        line(format!("  {name:<17} {ns:>9.0} ns  {what}"))?;
    }
    line(format!("pages are looked at by {}", auto.sampler))?;
    line(String::new())?;
    line("what a copy would cost, in us; auto takes the least".into())?;
    line(format!(
        "  {:>9} {:>8} {:>11} {:>11} {:>11}  {}",
        "pages", "absent", "resolve", "prefetch", "block", "auto takes"
    ))?;
    let estimates = estimates(&auto.costs);
    for (situation, estimate) in &estimates {
        let block = estimate.block_ns.map_or("-".into(), |ns| format!("{:.1}", ns / 1e3));
        line(format!(
            "  {:>9} {:>7}% {:>11.1} {:>11.1} {block:>11}  {}",
            situation.pages,
            situation.pages_absent * 100 / situation.pages.max(1),
            estimate.resolve_ns / 1e3,
            estimate.prefetch_ns / 1e3,
            estimate.policy,
        ))?;
    }
    let estimates: Vec<Value> = estimates
        .iter()
        .map(|(situation, estimate)| json!({ "situation": situation, "estimate": estimate }))
        .collect();
    let note = is_emulated.then_some(EMULATED);
    Ok(Answer { exit: Exit::Success, fields: json!({ "note": note, "auto": auto, "estimates": estimates }) })
}

fn costs(costs: &CostModel) -> [(&'static str, &'static str, f64); 10] {
    [
        ("submit", "a descriptor to the device and its record back, without its work", costs.submit_ns),
        ("fault", "a fault under resolve, without the populating", costs.fault_ns),
        ("small fault", "the same for a few pages", costs.small_fault_ns),
        ("populate call", "a request to populate, without its pages", costs.populate_call_ns),
        ("small call", "the same for a few pages", costs.small_call_ns),
        ("populate page", "an absent page made present", costs.populate_page_ns),
        ("present page", "a page populated that was there already", costs.present_page_ns),
        ("work on a page", "a device that works on a present page", costs.work_page_ns),
        ("sample", "a look at whether pages of an operation are there", costs.sample_ns),
        ("block on a page", "a page that the device itself waits for", costs.block_page_ns),
    ]
}

/// Copies of different sizes, with nothing, half and everything absent.
fn estimates(costs: &CostModel) -> Vec<(Situation, svala::Estimate)> {
    let mut estimates = Vec::new();
    for pages in PAGES {
        for pages_absent in [0, pages / 2, pages] {
            if pages_absent == 0 && pages == 1 && !estimates.is_empty() {
                // Half of a page is none.
                continue;
            }
            let mut situation = Situation::new(pages);
            situation.pages_absent = pages_absent;
            situation.holes = u64::from(pages_absent > 0);
            situation.can_block = true;
            estimates.push((situation, costs.estimate(&situation)));
        }
    }
    estimates
}
