//! What a kernel with the page-fault path of ours counts of a device's page faults, and what `svala top` makes of it.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::Test;
use crate::cold::{each, pattern};
use crate::map::{Map, PAGE};
use crate::queue::{PAGE_REFUSED, Queue, Record, SUCCESS, copy};

pub(crate) const TESTS: &[Test] =
    &[("page_faults_are_counted", counted), ("fault_around", |queues| each(queues, around))];

/// All bonds of a device and an address space, a line each.
const BONDS: &str = "/sys/kernel/debug/iommu_iopf/bonds";
/// KiB that are made present ahead of a device: with 0 each absent page is a fault.
const AHEAD: &str = "/sys/module/iommu_iopf/parameters/fault_around_kb";

const PAGES: u64 = 64;
const LEN: usize = 64 * PAGE;

/// Has each absent page be a fault, on a kernel that can make pages present ahead.
pub(crate) fn nothing_ahead() -> Result<()> {
    ahead(0)
}

fn ahead(kib: u32) -> Result<()> {
    if Path::new(AHEAD).exists() {
        fs::write(AHEAD, kib.to_string()).context(AHEAD)?;
    }
    Ok(())
}

/// Nobody has a queue open, so no address space is bound to a device.
pub(crate) fn no_bond_is_left() -> Result<()> {
    let Ok(text) = fs::read_to_string(BONDS) else { return Ok(()) };
    let bonds: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
    ensure!(bonds.is_empty(), "bonds that nobody holds: {}", bonds.join("; "));
    println!("no bond is left");
    Ok(())
}

/// The only bond, as `svala top` says it.
struct Counts(Value);

impl Counts {
    fn now() -> Result<Self> {
        let report = svala("top")?;
        let bonds = report["bonds"].as_array().context("no bonds")?;
        ensure!(bonds.len() == 1, "{} bonds and not one: {report}", bonds.len());
        Ok(Self(bonds[0].clone()))
    }

    fn of(&self, name: &str) -> Result<u64> {
        self.0[name].as_u64().with_context(|| format!("no {name} in {}", self.0))
    }

    /// How much more it is than before.
    fn more(&self, before: &Self, name: &str) -> Result<u64> {
        let (now, then) = (self.of(name)?, before.of(name)?);
        now.checked_sub(then).with_context(|| format!("{name} went from {then} to {now}"))
    }

    /// Every group has had an answer, and one.
    fn reconcile(&self) -> Result<()> {
        let answers = self.of("success")? + self.of("invalid")? + self.of("failure")?;
        ensure!(
            self.of("in_flight")? == 0 && self.of("groups")? == answers,
            "they do not add up: {}",
            self.0
        );
        Ok(())
    }
}

/// What a command of `svala` reports.
fn svala(command: &str) -> Result<Value> {
    let output = Command::new("svala").args([command, "--json"]).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text)
        .with_context(|| format!("{}: {text}{}", output.status, String::from_utf8_lossy(&output.stderr)))
}

/// 64 MiB in a row, all absent, as a device asks for them: without pages ahead, and with.
fn around(queue: &Queue) -> Result<()> {
    const STEP: usize = 2 << 20;
    const STEPS: usize = 32;
    let record = Record::new()?;
    let src = Map::filled(STEP, pattern(3))?;
    let walk = |kib| -> Result<(u64, Duration)> {
        ahead(kib)?;
        let dst = Map::cold(STEPS * STEP)?;
        let (before, started) = (Counts::now()?, Instant::now());
        for at in (0..STEPS).map(|step| step * STEP) {
            queue.copy(src.at(0), dst.at(at), STEP, &record)?.expect(SUCCESS)?;
        }
        let took = started.elapsed();
        let requests = Counts::now()?.more(&before, "pages")?;
        for at in (0..STEPS).map(|step| step * STEP) {
            dst.expect(at, STEP, pattern(3))?;
        }
        Ok((requests, took))
    };
    let ((without, long), (with, short)) = (walk(0)?, walk(64)?);
    let pages = u64::try_from(STEPS * STEP / PAGE)?;
    ensure!(
        without >= pages && with * 8 <= without,
        "{with} page requests with 64 KiB ahead, {without} without"
    );
    let times = long.as_secs_f64() / short.as_secs_f64();
    println!(
        "{pages} absent pages: {without} page requests in {long:.2?}, with 64 KiB ahead {with} in {short:.2?}, {times:.1} times as fast"
    );
    Ok(())
}

fn counted(queues: &[String]) -> Result<()> {
    each(queues, on)?;
    no_bond_is_left()
}

fn on(queue: &Queue) -> Result<()> {
    let record = Record::new()?;
    let src = Map::filled(LEN, pattern(1))?;
    let cold = || -> Result<()> {
        let dst = Map::cold(LEN)?;
        queue.copy(src.at(0), dst.at(0), LEN, &record)?.expect(SUCCESS)?;
        dst.expect(0, LEN, pattern(1))
    };
    nothing_ahead()?;
    let start = Counts::now()?;
    cold()?;
    let each_page = Counts::now()?;
    let requests = each_page.more(&start, "pages")?;
    // A page may be asked for again, if the answer came before the device had looked.
    ensure!((PAGES..PAGES * 2).contains(&requests), "{requests} page requests for {PAGES} absent pages");
    ensure!(each_page.more(&start, "ahead")? == 0, "pages ahead with none allowed: {}", each_page.0);

    ahead(64)?;
    cold()?;
    let around = Counts::now()?;
    let (fewer, pages) = (around.more(&each_page, "pages")?, around.more(&each_page, "ahead")?);
    ensure!(fewer * 4 <= PAGES, "{fewer} page requests for {PAGES} absent pages in a row, with 64 KiB ahead");
    ensure!(fewer + pages >= PAGES, "{fewer} page requests and {pages} pages ahead for {PAGES}");

    let gone = Map::filled(LEN, |_| 0)?;
    gone.unmap(0, LEN)?;
    queue.run(copy(gone.at(0), src.at(0), PAGE).with_block_on_fault(), &record)?.expect(PAGE_REFUSED)?;
    std::mem::forget(gone);
    let refused = Counts::now()?;
    ensure!(refused.more(&around, "invalid")? >= 1, "what is unmapped was not refused: {}", refused.0);
    refused.reconcile()?;

    let report = svala("doctor")?;
    let findings = report["findings"].as_array().context("no findings")?;
    let finding = findings.iter().find(|one| one["id"] == "kernel_page_faults").context("not looked at")?;
    ensure!(finding["verdict"] == "ok", "{finding}");
    println!(
        "{PAGES} absent pages: {requests} page requests; with 64 KiB ahead {fewer}, and {pages} pages ahead; doctor: {}",
        finding["summary"]
    );
    Ok(())
}
