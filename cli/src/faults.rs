//! `svala faults`: what absent memory costs, under svala's policies and others'.
//!
//! What is asked for is refused before anything runs if it makes no sense. Then, workload by workload: the policies take
//! turns, forwards and backwards, each run on memory laid out anew and checked; a probe runs beside one more run; and the
//! medians are printed, so that Ctrl-C loses no workload that is done.

mod explain;
mod plot;
mod result;
mod table;

use std::time::{Duration, Instant};

use svala_engine::Device;
use svala_faults::{
    Bench, Model, Policy, Probe, Run, Setup, Target, TargetDevice, Timing, Workload, not_modelled,
};

use crate::args::{Common, Faults};
use crate::error::Trouble;
use crate::exit::Exit;
use crate::output::{check_document, write_document};
use crate::run::{Answer, sysfs};
use crate::stop::Stop;
use result::{Results, Row};
use table::Table;

/// Smallest memory of a workload.
const BYTES_MIN: u64 = 1 << 20;
/// How long a probe runs beside a workload, and alone; the last run is finished.
const PROBE_TIME: Duration = Duration::from_millis(150);
/// Runs with a probe at most.
const PROBED_RUNS_MAX: u32 = 200;

pub(crate) fn run(common: &Common, args: &Faults) -> Result<Answer, Trouble> {
    let target = target(common, args)?;
    if args.modelled && args.policy == [Policy::Auto] {
        return Err(Trouble::Faults("auto learns from the clock: it has no modelled times".into()));
    }
    if args.explain {
        return explain::run(common, target);
    }
    check_size(args)?;
    if let Some(svg) = &args.svg {
        check_document(svg, common.force, &[])?;
    }
    let stop = Stop::install()?;
    let is_emulated = target.device == TargetDevice::Emulated;
    let mut running = Running {
        args,
        stop,
        workloads: or_all(&args.workload, &Workload::ALL),
        policies: or_all(&args.policy, &Policy::ALL),
        table: Table::new(common),
        results: Results::new(args, is_emulated),
        clock: match args.modelled {
            true => Clock::Modelled(Model::new(Timing::SAPPHIRE_RAPIDS)),
            false => Clock::Wall(Bench::new(target)),
        },
    };
    let exit = match running.all() {
        Ok(()) => Exit::Success,
        Err(Trouble::Stopped(signal)) => {
            running.results.interrupted = true;
            Exit::Signal(signal)
        }
        Err(trouble) => return Err(trouble),
    };
    if let Clock::Wall(bench) = &mut running.clock {
        running.results.auto = bench.auto(false).map_err(failed)?;
    }
    running.table.end(&running.results)?;
    if let Some(svg) = &args.svg {
        let drawing =
            plot::draw(&running.results).map_err(|what| Trouble::Faults(format!("drawing: {what}")))?;
        write_document(svg, common.force, drawing.as_bytes())?;
    }
    Ok(Answer { exit, fields: running.results.fields() })
}

/// What was asked for, each once; or all there is.
fn or_all<T: Copy + PartialEq>(asked: &[T], all: &[T]) -> Vec<T> {
    all.iter().copied().filter(|one| asked.is_empty() || asked.contains(one)).collect()
}

fn target(common: &Common, args: &Faults) -> Result<Target, Trouble> {
    let device = match &common.device {
        Device::Auto | Device::Emulated => TargetDevice::Emulated,
        Device::Path(path) if !args.modelled => TargetDevice::Queue(path.clone()),
        Device::Path(_) => {
            return Err(Trouble::Faults(
                "the timing model is the emulated device's: --modelled takes no other".into(),
            ));
        }
        _ => {
            return Err(Trouble::Faults(
                "the CPU meets no page faults of a device: --device emulated, or a queue".into(),
            ));
        }
    };
    Ok(Target { device, sysfs: sysfs(&common.root) })
}

/// That there is memory for it: a source, a destination and a file in memory.
fn check_size(args: &Faults) -> Result<(), Trouble> {
    let bytes = args.size.bytes();
    if bytes < BYTES_MIN {
        return Err(Trouble::Faults(format!("size {bytes}: {BYTES_MIN} at least")));
    }
    let info = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = info.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    let Some(available) = kib.map(|kib| kib << 10) else { return Ok(()) };
    if bytes.saturating_mul(3) > available {
        return Err(Trouble::Faults(format!(
            "size {bytes}: three times that is more than the {available} bytes of memory there are"
        )));
    }
    Ok(())
}

struct Running<'a> {
    args: &'a Faults,
    stop: Stop,
    workloads: Vec<Workload>,
    policies: Vec<Policy>,
    table: Table<'a>,
    results: Results,
    clock: Clock,
}

/// Where times come from.
enum Clock {
    /// They are measured.
    Wall(Bench),
    /// They are modelled.
    Modelled(Model),
}

impl Running<'_> {
    fn all(&mut self) -> Result<(), Trouble> {
        self.table.begin(&self.results)?;
        for workload in self.workloads.clone() {
            self.stop.check()?;
            let directory = self.args.directory.clone().unwrap_or_else(std::env::temp_dir);
            let setup = match not_modelled(workload).filter(|_| self.args.modelled) {
                Some(why) => Err(format!("not modelled: {why}")),
                None => Setup::new(workload, self.args.size.bytes(), &directory).map_err(failed)?,
            };
            match setup {
                Ok(setup) => self.workload(&setup)?,
                Err(why) => {
                    self.table.not_run(workload, &why)?;
                    self.results.not_run(workload, why);
                }
            }
        }
        Ok(())
    }

    fn workload(&mut self, setup: &Setup) -> Result<(), Trouble> {
        let mut rows = match &mut self.clock {
            Clock::Modelled(model) => {
                let mut rows = Vec::new();
                for policy in self.policies.iter().filter(|policy| **policy != Policy::Auto) {
                    self.stop.check()?;
                    let modelled = model.run(setup, *policy).map_err(failed)?;
                    rows.push(Row::modelled(setup.workload(), *policy, &modelled, self.args.no_probe));
                }
                rows
            }
            Clock::Wall(bench) => {
                let measuring =
                    Measuring { bench, stop: &self.stop, args: self.args, policies: &self.policies };
                measuring.rows(setup)?
            }
        };
        result::compare_with_floor(&mut rows);
        self.table.workload(setup.workload(), &rows)?;
        self.results.rows.extend(rows);
        Ok(())
    }
}

/// Measures a workload.
struct Measuring<'a> {
    bench: &'a mut Bench,
    stop: &'a Stop,
    args: &'a Faults,
    policies: &'a [Policy],
}

impl Measuring<'_> {
    fn rows(mut self, setup: &Setup) -> Result<Vec<Row>, Trouble> {
        let mut runs: Vec<Vec<Run>> = vec![Vec::new(); self.policies.len()];
        for round in 0..self.args.runs {
            let mut order: Vec<usize> = (0..self.policies.len()).collect();
            // Whatever the machine's other work does, it does to all of them.
            if round % 2 == 1 {
                order.reverse();
            }
            for at in order {
                self.stop.check()?;
                runs[at].push(self.bench.run(setup, self.policies[at]).map_err(failed)?);
            }
        }
        let mut rows = Vec::new();
        for (policy, runs) in self.policies.iter().zip(&runs) {
            let (alone, beside) = if self.args.no_probe { (None, None) } else { self.probe(setup, *policy)? };
            rows.extend(Row::new(setup.workload(), *policy, runs, alone, beside));
        }
        Ok(rows)
    }

    /// A probe alone, and beside the workload.
    fn probe(&mut self, setup: &Setup, policy: Policy) -> Result<Probed, Trouble> {
        let alone = self.bench.probe_alone(policy, PROBE_TIME).map_err(failed)?;
        let (mut probe, until) = (Probe::new(), Instant::now() + PROBE_TIME);
        for _ in 0..PROBED_RUNS_MAX {
            self.stop.check()?;
            self.bench.run_probed(setup, policy, &mut probe).map_err(failed)?;
            if Instant::now() >= until {
                break;
            }
        }
        Ok((alone, probe.quantiles()))
    }
}

type Probed = (Option<svala_faults::Quantiles>, Option<svala_faults::Quantiles>);

fn failed(error: svala_faults::Error) -> Trouble {
    Trouble::Faults(error.to_string())
}
