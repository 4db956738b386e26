//! `guest test`: boots the machines, judges, and says what came of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::cache::Cache;
use crate::error::Error;
use crate::guest::boot_kernel::BootKernel;
use crate::guest::cases::{Case, Effort, Plan, counts, plans, vfio_plans};
use crate::guest::dmatest;
use crate::guest::image::Image;
use crate::guest::job::Job;
use crate::guest::kernel_log::{Complaint, complaints};
use crate::guest::machine::{Machine, Start};
use crate::guest::packages::Packages;
use crate::guest::programs::Programs;
use crate::guest::session::{self, Listener, Ran, Session};
use crate::kernel::{Root, Variant};
use crate::qemu;

/// Seconds for a boot, on a machine that has other things to do.
const BOOT_S: u64 = 300;

/// All that a boot needs.
#[derive(Debug)]
pub(crate) struct Guests {
    qemu: PathBuf,
    firmware: [PathBuf; 2],
    kernel: BootKernel,
    image: Image,
    programs: Programs,
    /// Modules that are not Debian's.
    extra: Vec<PathBuf>,
    /// Where logs go.
    place: PathBuf,
}

impl Guests {
    /// Gets and builds what is missing, but for the kernel: Debian's, if none is named.
    pub(crate) fn prepare(variant: Option<Variant>) -> Result<Self, Error> {
        let cache = Cache::open()?;
        let qemu = qemu::program(&cache)?;
        let packages = Packages::get(&cache)?;
        let (kernel, dmatest) = if let Some(variant) = variant {
            let kernel = BootKernel::built(&Root::open(&cache)?, variant)?;
            let dmatest = kernel.dmatest();
            (kernel, dmatest)
        } else {
            let dmatest = dmatest::place(&cache, &packages.release);
            (BootKernel::debian(&packages), Some(dmatest).filter(|file| file.is_file()))
        };
        let image = Image::new(&packages, &kernel)?;
        let programs = Programs::build()?;
        let place = cache.dir(match variant {
            None => "guest/tier1".to_owned(),
            Some(variant) => format!("guest/tier1-{}", variant.name()),
        })?;
        let extra = dmatest.into_iter().collect();
        Ok(Self { qemu, firmware: packages.firmware(), kernel, image, programs, extra, place })
    }

    /// For vfio: QEMU of the Debian sid root, which has devices for it, and Debian's kernel, or the one with iommufd.
    fn vfio(iommufd: bool) -> Result<Self, Error> {
        let cache = Cache::open()?;
        let root = Root::open(&cache)?;
        if iommufd && !root.is_built(Variant::Vfio) {
            let build = "cargo xtask guest kernel --variant vfio";
            return Err(Error::missing("the kernel with iommufd and vfio's device nodes", build));
        }
        let place = cache.dir(if iommufd { "guest/iommufd" } else { "guest/vfio" })?;
        let qemu = place.join("qemu-system-x86_64");
        root.qemu(&qemu)?;
        let packages = Packages::get(&cache)?;
        let kernel = if iommufd { BootKernel::vfio(&root) } else { BootKernel::debian(&packages) };
        let image = Image::new(&packages, &kernel)?;
        let programs = Programs::build()?;
        let (firmware, extra) = (root.firmware(), Vec::new());
        Ok(Self { qemu, firmware, kernel, image, programs, extra, place })
    }

    /// What the kernel's console said in a boot of this machine.
    pub(crate) fn log(&self, machine: &Machine) -> PathBuf {
        self.place.join(format!("{}.kernel.log", machine.name))
    }

    /// What QEMU said.
    fn messages(&self, machine: &Machine) -> PathBuf {
        self.place.join(format!("{}.qemu.log", machine.name))
    }

    /// The modules of these names with what they need, in order.
    pub(crate) fn modules(&self, names: &[&str]) -> Vec<String> {
        let wanted = |name: &str| {
            let with = |asked: &str, also: &[&str]| names.contains(&asked) && also.contains(&name);
            names.contains(&name)
                || with("idxd", &["idxd_bus"])
                || with("vfio_pci", &["vfio", "vfio_pci_core", "irqbypass", "vfio_iommu_type1"])
        };
        self.image.modules().iter().filter(|(name, _)| wanted(name)).map(|(_, place)| place.clone()).collect()
    }

    /// QEMU with this job.
    pub(crate) fn command(&self, machine: &Machine, job: &Job) -> Result<std::process::Command, Error> {
        // A slow kernel is given more time, by the first process as well.
        let mut job = job.clone();
        for step in &mut job.steps {
            step.deadline_s = step.deadline_s.map(|seconds| seconds * self.kernel.slowness());
        }
        let job = serde_json::to_vec(&job).map_err(|error| Error::Unexpected {
            path: self.place.clone(),
            what: format!("the job: {error}"),
        })?;
        let to = self.place.join(format!("{}.image", machine.name));
        let image = self.image.write(&self.programs, &self.extra, &job, &to)?;
        let log = self.log(machine);
        let start = Start {
            qemu: &self.qemu,
            firmware: &self.firmware,
            kernel: &self.kernel.image,
            image: &image,
            log: &log,
        };
        Ok(machine.command(&start))
    }

    /// One boot. Its console's log and QEMU's messages stay.
    pub(crate) fn boot(
        &self,
        machine: &Machine,
        job: &Job,
        listener: &mut dyn Listener,
    ) -> Result<Session, Error> {
        let messages = self.messages(machine);
        let steps = job.steps.iter().filter_map(|step| step.deadline_s).sum::<u64>();
        let deadline = Duration::from_secs((BOOT_S + steps) * self.kernel.slowness());
        let mut command = self.command(machine, job)?;
        let session = session::run(&mut command, &messages, deadline, listener)?;
        let image = self.place.join(format!("{}.image", machine.name));
        let _ = fs::remove_file(image);
        Ok(session)
    }

    /// What a test lacks.
    fn missing(&self, case: &Case) -> Option<&'static str> {
        let has = |name: &str| self.extra.iter().any(|module| module.ends_with(name));
        case.needs.filter(|need| !has(need.module)).map(|need| need.get)
    }

    /// The kernel and QEMU, in a line.
    pub(crate) fn describe(&self) -> String {
        let BootKernel { release, .. } = &self.kernel;
        format!("Linux {release} ({}), {}", self.kernel.name(), self.qemu.display())
    }
}

/// What came of a test.
#[derive(Debug)]
struct Verdict {
    name: String,
    outcome: Result<String, String>,
}

/// Runs the tests of a tier whose names contain one of `names`, or all.
pub(crate) fn run(kernel: Option<Variant>, names: &[String], effort: Effort) -> Result<ExitCode, Error> {
    // Who names a test wants it, however long it takes.
    let choice = if names.is_empty() { effort } else { Effort::Full };
    let mut plans = plans(choice);
    if kernel.is_some_and(Variant::is_in_rust) {
        plans.push(counts());
    }
    let chosen = named(plans, names)?;
    let left_out = if choice == Effort::Full { Vec::new() } else { left_out(&chosen) };
    all(&Guests::prepare(kernel)?, chosen, left_out)
}

/// What only a full run has, and why.
fn left_out(chosen: &[Plan]) -> Vec<String> {
    fn names(plans: &[Plan]) -> impl Iterator<Item = &str> {
        let cases = plans.iter().flat_map(|plan| &plan.cases);
        cases.filter(|case| !case.step.required).map(|case| case.step.name.as_str())
    }
    names(&plans(Effort::Full))
        .filter(|name| !names(chosen).any(|other| other == *name))
        .map(|name| format!("{name}: it is long; --full"))
        .collect()
}

/// Runs the tests of vfio whose names contain one of `names`, or all.
pub(crate) fn run_vfio(iommufd: bool, names: &[String]) -> Result<ExitCode, Error> {
    let plans = named(vfio_plans(), names)?;
    all(&Guests::vfio(iommufd)?, plans, Vec::new())
}

fn named(plans: Vec<Plan>, names: &[String]) -> Result<Vec<Plan>, Error> {
    let plans: Vec<_> = plans.into_iter().filter_map(|plan| chosen(plan, names)).collect();
    if plans.is_empty() {
        let what = format!("a test named {}", names.join(" or "));
        return Err(Error::missing(what, "cargo xtask guest test --list"));
    }
    Ok(plans)
}

fn all(guests: &Guests, plans: Vec<Plan>, mut not_run: Vec<String>) -> Result<ExitCode, Error> {
    println!("{}", guests.describe());
    let mut verdicts = Vec::new();
    for mut plan in plans {
        plan.cases.retain(|case| match guests.missing(case) {
            Some(get) => {
                not_run.push(format!("{}: {get}", case.step.name));
                false
            }
            None => true,
        });
        if plan.cases.iter().any(|case| !case.step.required) {
            verdicts.extend(carry_out(guests, &plan)?);
        }
    }
    if let (true, Some(first)) = (verdicts.is_empty(), not_run.first()) {
        return Err(Error::missing("a piece of the test", first));
    }
    Ok(summary(&verdicts, &not_run, &guests.place))
}

/// Prints the names.
pub(crate) fn list() -> ExitCode {
    for plan in plans(Effort::Full).into_iter().chain(vfio_plans()) {
        for case in plan.cases.iter().filter(|case| !case.step.required) {
            println!("{:12} {}", plan.machine.name, case.step.name);
        }
    }
    ExitCode::SUCCESS
}

/// Leaves the wanted tests, and what they need.
fn chosen(mut plan: Plan, names: &[String]) -> Option<Plan> {
    let wanted =
        |case: &Case| names.is_empty() || names.iter().any(|name| case.step.name.contains(name.as_str()));
    if !plan.cases.iter().any(|case| !case.step.required && wanted(case)) {
        return None;
    }
    plan.cases.retain(|case| case.step.required || wanted(case));
    Some(plan)
}

/// Prints a dot of progress: a name when a step begins, and its judgement.
struct Progress<'a> {
    cases: BTreeMap<&'a str, &'a Case>,
    started: Instant,
}

impl Listener for Progress<'_> {
    fn begin(&mut self, _: &str) {
        self.started = Instant::now();
    }

    fn end(&mut self, ran: &Ran) {
        let seconds = self.started.elapsed().as_secs_f64();
        let verdict = self.cases.get(ran.name.as_str()).map(|case| case.judge.judge(ran));
        match verdict {
            Some(Ok(text)) => println!("  ok    {} ({seconds:.1} s): {text}", ran.name),
            Some(Err(text)) => {
                println!("  FAILED {} ({seconds:.1} s): {text}", ran.name);
                ran.output
                    .lines()
                    .rev()
                    .take(25)
                    .collect::<Vec<_>>()
                    .iter()
                    .rev()
                    .for_each(|line| println!("      | {line}"));
            }
            None => {}
        }
    }
}

/// One boot, and a verdict for each of its tests.
fn carry_out(guests: &Guests, plan: &Plan) -> Result<Vec<Verdict>, Error> {
    let machine = &plan.machine;
    println!("machine {}", machine.name);
    let job = Job {
        modules: guests.modules(plan.modules),
        steps: plan.cases.iter().map(|case| case.step.clone()).collect(),
    };
    let cases = plan.cases.iter().map(|case| (case.step.name.as_str(), case)).collect();
    let mut progress = Progress { cases, started: Instant::now() };
    let session = guests.boot(machine, &job, &mut progress)?;
    let log = guests.log(machine);
    let text = fs::read(&log).map_err(Error::io(&log))?;
    let text = String::from_utf8_lossy(&text).into_owned();
    keep(guests, machine, &session)?;
    for note in &session.notes {
        println!("  note: {note}");
    }
    let mut complaints = complaints(&text);
    for one in complaints.extract_if(.., |one| one.is_known_bug_of_linux()) {
        println!("  known bug of Linux, in {}: {}", one.step, one.line);
    }
    let mut verdicts: Vec<_> =
        plan.cases.iter().map(|case| verdict(case, &session, &complaints, &text)).collect();
    // What belongs to no test: booting, modules, powering off.
    let others: Vec<_> = complaints.iter().filter(|one| one.step.is_empty()).collect();
    let messages = fs::read(guests.messages(machine)).unwrap_or_default();
    let outcome = match others.first() {
        None if !String::from_utf8_lossy(&messages).contains(machine.says) => {
            Err(format!("QEMU did not say {:?}; see {}", machine.says, guests.messages(machine).display()))
        }
        None if session.is_over => Ok(format!("up after {} s", session.up)),
        None => Err(format!("the guest did not come to its end; see {}", log.display())),
        Some(first) => Err(format!("the kernel complains, {} lines: {}", others.len(), first.line)),
    };
    if let Err(text) = &outcome {
        println!("  FAILED boot_{}: {text}", machine.name);
    }
    verdicts.push(Verdict { name: format!("boot_{}", machine.name), outcome });
    Ok(verdicts)
}

/// Writes what the tests printed beside the kernel's log.
fn keep(guests: &Guests, machine: &Machine, session: &Session) -> Result<(), Error> {
    let path = guests.place.join(format!("{}.output.log", machine.name));
    let text: String =
        session.ran.iter().map(|ran| format!("=== {} {:?}\n{}\n", ran.name, ran.end, ran.output)).collect();
    fs::write(&path, text).map_err(Error::io(path))
}

fn verdict(case: &Case, session: &Session, complaints: &[Complaint], log: &str) -> Verdict {
    let name = case.step.name.clone();
    let ran = session.ran.iter().find(|ran| ran.name == name);
    let mut outcome = match ran {
        Some(ran) => case.judge.judge(ran),
        None => Err(last_words(log)),
    };
    let provoked = |one: &&Complaint| case.provokes.iter().any(|part| one.line.contains(part));
    let own: Vec<_> = complaints.iter().filter(|one| one.step == name && !provoked(one)).collect();
    if let (Ok(_), Some(first)) = (&outcome, own.first()) {
        let text = format!("the kernel complains, {} lines: {}", own.len(), first.line);
        println!("  FAILED {name}: {text}");
        outcome = Err(text);
    }
    Verdict { name, outcome }
}

/// Why a step was not reached.
fn last_words(log: &str) -> String {
    let last = log.trim_end().lines().last().unwrap_or("nothing");
    format!("not reached; the kernel's last line: {}", last.trim())
}

fn summary(verdicts: &[Verdict], not_run: &[String], place: &Path) -> ExitCode {
    let failed: Vec<_> = verdicts.iter().filter(|one| one.outcome.is_err()).collect();
    println!("\nlogs: {}", place.display());
    for one in &failed {
        if let Err(text) = &one.outcome {
            println!("FAILED {}: {text}", one.name);
        }
    }
    for one in not_run {
        println!("NOT RUN {one}");
    }
    println!("{} passed, {} failed, {} not run", verdicts.len() - failed.len(), failed.len(), not_run.len());
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
