//! Runs of workloads under policies: checked, timed, counted.
//!
//! UNSAFETY: submits operations on a case's memory.
#![expect(unsafe_code, reason = "raw submission on memory that a `Case` owns")]

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use svala::{AutoSnapshot, Job, Value};

use crate::case::Case;
use crate::counts::Counts;
use crate::cpu_time::CpuTime;
use crate::device::Machine;
use crate::probe::{Probe, Quantiles};
use crate::strategy::perform;
use crate::{Error, Policy, Setup, Target, Workload};

/// One run of a workload under a policy.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct Run {
    /// The time of the operations, and of nothing around them.
    pub seconds: f64,
    /// Bytes of the sources.
    pub bytes: u64,
    /// Pages of all operands.
    pub pages: u64,
    /// What happened.
    pub counts: Counts,
    /// Processor time of the host: of this process without the engines of emulated devices.
    pub host_cpu_seconds: f64,
    /// Small copies that were done beside it, in the mixed workload.
    pub small_operations: u64,
}

/// Devices and runtimes, one for each policy.
pub struct Bench {
    target: Target,
    machines: HashMap<Policy, Machine>,
}

impl Bench {
    /// On this device.
    pub fn new(target: Target) -> Self {
        Self { target, machines: HashMap::new() }
    }

    /// Does `setup`'s workload once under `policy`, on memory laid out anew, and checks the result.
    ///
    /// # Errors
    ///
    /// What fails, and a result that is not right.
    pub fn run(&mut self, setup: &Setup, policy: Policy) -> Result<Run, Error> {
        let machine = self.machine(policy)?;
        run(machine, setup, policy)
    }

    /// The same with a probe beside it, which gathers latencies in `probe`.
    ///
    /// # Errors
    ///
    /// As [`Bench::run`], and what fails in the probe.
    pub fn run_probed(&mut self, setup: &Setup, policy: Policy, probe: &mut Probe) -> Result<Run, Error> {
        let machine = self.machine(policy)?;
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let probing = scope.spawn(|| probe.run(machine.runtime(), &stop));
            let ended = run(machine, setup, policy);
            stop.store(true, Ordering::Relaxed);
            match probing.join() {
                Ok(probed) => probed.and(ended),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    /// The probe with nothing beside it, for `time`.
    ///
    /// # Errors
    ///
    /// What fails in the probe.
    pub fn probe_alone(&mut self, policy: Policy, time: Duration) -> Result<Option<Quantiles>, Error> {
        let machine = self.machine(policy)?;
        let (stop, mut probe) = (AtomicBool::new(false), Probe::new());
        thread::scope(|scope| {
            let probing = scope.spawn(|| probe.run(machine.runtime(), &stop));
            thread::sleep(time);
            stop.store(true, Ordering::Relaxed);
            probing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })?;
        Ok(probe.quantiles())
    }

    /// What svala's `auto` policy knows and has chosen, if it has run or `open` has it begin now.
    ///
    /// # Errors
    ///
    /// A device that cannot be opened.
    pub fn auto(&mut self, open: bool) -> Result<Option<AutoSnapshot>, Error> {
        if !open && !self.machines.contains_key(&Policy::Auto) {
            return Ok(None);
        }
        Ok(self.machine(Policy::Auto)?.runtime().fault_choices())
    }

    fn machine(&mut self, policy: Policy) -> Result<&Machine, Error> {
        if !self.machines.contains_key(&policy) {
            self.machines.insert(policy, Machine::open(&self.target, policy)?);
        }
        let Some(machine) = self.machines.get(&policy) else { unreachable!("opened just now") };
        Ok(machine)
    }
}

fn run(machine: &Machine, setup: &Setup, policy: Policy) -> Result<Run, Error> {
    run_case(machine, setup.case()?, setup.workload(), policy)
}

/// Does a case's steps, and checks the result.
pub(crate) fn run_case(
    machine: &Machine,
    mut case: Case,
    workload: Workload,
    policy: Policy,
) -> Result<Run, Error> {
    let requests = machine.page_requests();
    let (mut counts, mut values) = (Counts::default(), Vec::with_capacity(case.steps.len()));
    let before = CpuTime::now();
    let (elapsed, small_operations) = match case.beside {
        None => (steps(machine, policy, &case, &mut counts, &mut values)?, 0),
        Some(small) => beside(machine, policy, &case, small, &mut counts, &mut values)?,
    };
    let host = CpuTime::now().host_since(&before);
    counts.page_requests = machine.page_requests() - requests;
    let wrong = |what| Error::Wrong { workload, policy, what };
    case.verify(&values).map_err(wrong)?;
    Ok(Run {
        seconds: elapsed.as_secs_f64(),
        bytes: case.bytes(),
        pages: case.pages(),
        counts,
        host_cpu_seconds: host.as_secs_f64(),
        small_operations,
    })
}

/// The steps of a case, one after the other; the time of their operations.
fn steps(
    machine: &Machine,
    policy: Policy,
    case: &Case,
    counts: &mut Counts,
    values: &mut Vec<Value>,
) -> Result<Duration, Error> {
    let mut elapsed = Duration::ZERO;
    for step in &case.steps {
        if let Some(region) = step.forget.and_then(|index| case.regions.get(index)) {
            region.forget().map_err(Error::system("giving memory back"))?;
        }
        let start = Instant::now();
        // SAFETY: the job's memory is the case's, mapped for as long as it, and nobody has a reference to it while it is
        // borrowed here; one operation at a time uses it.
        let value = unsafe { perform(machine.runtime(), policy, &step.job, counts) }?;
        elapsed += start.elapsed();
        values.push(value);
    }
    Ok(elapsed)
}

/// The steps, and beside them a small copy again and again. Answers how many of those.
fn beside(
    machine: &Machine,
    policy: Policy,
    case: &Case,
    small: Job,
    counts: &mut Counts,
    values: &mut Vec<Value>,
) -> Result<(Duration, u64), Error> {
    let (stop, done) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        let copying = scope.spawn(|| {
            let mut of_small = Counts::default();
            while !stop.load(Ordering::Relaxed) {
                // SAFETY: memory of the case that only this thread's copies use, one at a time.
                unsafe { perform(machine.runtime(), policy, &small, &mut of_small) }?;
                done.fetch_add(1, Ordering::Relaxed);
            }
            Ok::<_, Error>(of_small)
        });
        let elapsed = steps(machine, policy, case, counts, values);
        stop.store(true, Ordering::Relaxed);
        match copying.join() {
            Ok(of_small) => counts.add(&of_small?),
            Err(panic) => std::panic::resume_unwind(panic),
        }
        Ok((elapsed?, done.load(Ordering::Relaxed)))
    })
}
