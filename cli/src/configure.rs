//! `svala configure`: saves and loads the configuration of DSA and IAA devices, as `accel-config` does.
//!
//! A file is held against the machine before anything is written; what the kernel refuses after all, or a signal
//! interrupts, is put back.

mod interrupt;

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use svala_idxd::configuration::{
    ApplyError, Configuration, Plan, PlanOptions, Refusal, RefusalKind, Refused, SaveScope, Step, SysfsTree,
};

use crate::args::{Common, Configure, ConfigureAction, Load, Save};
use crate::doctor::Machine;
use crate::error::Trouble;
use crate::exit::Exit;
use crate::output::{Manner, Output};
use crate::run::{Answer, say, sysfs};
use crate::stop::Stop;
use interrupt::Interruptible;

/// Bytes of a file that are read at most: one more than a configuration may have.
const FILE_BYTES_MAX: u64 = (1 << 20) + 1;
/// Values that could not be put back and are named in an error.
const LEFT_SHOWN_MAX: usize = 8;
/// Permission bits of a saved file, before the umask.
const MODE: u32 = 0o666;

pub(crate) fn run(common: &Common, args: &Configure) -> Result<Answer, Trouble> {
    let fields = match &args.action {
        ConfigureAction::Save(args) => save(common, args)?,
        ConfigureAction::Load(args) => load(common, args)?,
    };
    Ok(Answer { exit: Exit::Success, fields })
}

fn save(common: &Common, args: &Save) -> Result<Value, Trouble> {
    let scope = if args.all { SaveScope::All } else { SaveScope::Enabled };
    let file = args.file.as_deref().filter(|file| *file != Path::new("-"));
    if file.is_none() && common.json_on_stdout() {
        return Err(Trouble::TwoOutputs);
    }
    let machine = sysfs(&common.root).discover()?;
    let configuration = Configuration::of(&machine, scope);
    let text = configuration.to_text();
    match file {
        Some(file) => {
            write_file(common, file, text.as_bytes())?;
            say(
                common,
                format!("{}: {} devices saved", file.display(), configuration.devices.len()).as_bytes(),
            )?;
        }
        // Data, which --quiet does not concern.
        None => write_stdout(text.as_bytes())?,
    }
    let devices: Vec<_> = configuration.devices.iter().map(|device| device.dev.as_str()).collect();
    Ok(json!({ "action": "save", "file": args.file, "devices": devices }))
}

fn write_file(common: &Common, path: &Path, text: &[u8]) -> Result<(), Trouble> {
    let stop = Stop::install()?;
    let manner = Manner { force: common.force, sync: !common.no_sync, mode: MODE };
    let output = Output::create(path, manner, &[], &stop)?;
    output.file().write_all(text).map_err(|error| Trouble::file(path, error))?;
    output.finish().map(drop)
}

fn write_stdout(text: &[u8]) -> Result<(), Trouble> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text).and_then(|()| stdout.flush()).map_err(Trouble::Stdout)
}

fn load(common: &Common, args: &Load) -> Result<Value, Trouble> {
    let text = read_file(&args.file)?;
    let configuration = Configuration::parse(&text)
        .map_err(|error| Trouble::Configuration { path: args.file.clone(), error })?;
    let sysfs = sysfs(&common.root);
    let machine = sysfs.discover()?;
    let options = PlanOptions {
        enable: args.enable,
        disable_first: args.disable_first,
        traffic_class_override: is_traffic_class_override(&common.root),
    };
    let plan = Plan::new(&configuration, &machine, options)
        .map_err(|refused| Trouble::Refused { path: args.file.clone(), what: refusals(&refused) })?;
    if !args.dry_run {
        // Only from here on: what waits for a pipe ends with the signal.
        apply(&plan, SysfsTree::new(&sysfs), &Stop::install()?)?;
    }
    let bus = "/sys/bus/dsa";
    say(common, told(&plan, args.dry_run, bus).trim_end().as_bytes())?;
    let writes = plan
        .steps
        .iter()
        .map(|step| json!({ "path": format!("{bus}/{}", step.path()), "value": step.value() }));
    Ok(json!({
        "action": "load",
        "file": args.file,
        "dry_run": args.dry_run,
        "writes": writes.collect::<Vec<_>>(),
        "notes": plan.notes,
    }))
}

/// A file's bytes, up to a bound; `-` is standard input.
fn read_file(path: &Path) -> Result<Vec<u8>, Trouble> {
    let trouble = |error| Trouble::file(path, error);
    let mut text = Vec::new();
    if path == Path::new("-") {
        io::stdin().lock().take(FILE_BYTES_MAX).read_to_end(&mut text).map_err(trouble)?;
    } else {
        File::open(path).map_err(trouble)?.take(FILE_BYTES_MAX).read_to_end(&mut text).map_err(trouble)?;
    }
    Ok(text)
}

/// Whether the driver was told to take traffic classes of version 1 devices.
fn is_traffic_class_override(root: &Path) -> bool {
    let parameter = Machine::new(root).read("/sys/module/idxd/parameters/tc_override");
    matches!(parameter.text(), Some("Y" | "1"))
}

fn apply(plan: &Plan, tree: SysfsTree, stop: &Stop) -> Result<(), Trouble> {
    let mut tree = Interruptible::new(tree, stop.clone());
    match plan.apply(&mut tree) {
        Ok(()) => Ok(()),
        // Nothing is left of it.
        Err(error) if tree.is_interrupted() && error.left.is_empty() => stop.check(),
        Err(error) => Err(Trouble::Apply(unapplied(&error))),
    }
}

/// Everything the machine cannot do, in one line.
fn refusals(refused: &Refused) -> String {
    let mut all: Vec<_> = refused.refusals.iter().map(Refusal::to_string).collect();
    if refused.refusals.iter().any(|refusal| refusal.kind == RefusalKind::Enabled) {
        all.push("--disable-first disables what is enabled".to_owned());
    }
    all.join("; ")
}

/// What failed, and what is left of it.
fn unapplied(error: &ApplyError) -> String {
    let ApplyError { index, step, source, left, .. } = error;
    let mut text = format!("/sys/bus/dsa/{}: writing {:?}: {source}", step.path(), step.value());
    match left.as_slice() {
        [] if *index == 0 => text.push_str("; nothing was changed"),
        [] => text.push_str(&format!("; the {index} writes before it were put back")),
        left => {
            text.push_str("; not put back:");
            for value in left.iter().take(LEFT_SHOWN_MAX) {
                text.push_str(&format!(" {} was {:?},", value.path, value.was));
            }
            match left.len().saturating_sub(LEFT_SHOWN_MAX) {
                0 => drop(text.pop()),
                more => text.push_str(&format!(" and {more} more")),
            }
        }
    }
    text
}

/// For people: the writes as a shell would make them, or how many there were.
fn told(plan: &Plan, dry_run: bool, bus: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    match (dry_run, plan.is_empty()) {
        (_, true) => lines.push("nothing to do: everything is as the file has it".into()),
        (true, _) => {
            lines.extend(
                plan.steps.iter().map(|step| format!("echo '{}' > {bus}/{}", step.value(), step.path())),
            );
        }
        (false, _) => lines.push(done(plan)),
    }
    lines.extend(plan.notes.iter().map(|note| format!("# not written: {note}")));
    lines.join("\n")
}

fn done(plan: &Plan) -> String {
    let sets = plan.steps.iter().filter(|step| matches!(step, Step::Set { .. })).count();
    let enabled: Vec<_> = plan
        .steps
        .iter()
        .filter_map(|step| match step {
            Step::Bind { name, .. } => Some(name.as_str()),
            Step::Set { .. } | Step::Unbind { .. } => None,
        })
        .collect();
    let mut text = format!("{sets} attributes written");
    if !enabled.is_empty() {
        text.push_str(&format!(", enabled {}", enabled.join(" ")));
    }
    text
}

impl From<svala_idxd::SysfsError> for Trouble {
    fn from(error: svala_idxd::SysfsError) -> Self {
        match error {
            svala_idxd::SysfsError::Bus { path, source } => Self::NoBus { path, source },
            other => Self::NoBus { path: PathBuf::from("/sys/bus/dsa"), source: io::Error::other(other) },
        }
    }
}
