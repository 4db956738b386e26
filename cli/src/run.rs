//! From the command line to the exit status.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use svala_engine::{Engine, QatFunctions, Sysfs, block_on};
use tracing_subscriber::EnvFilter;

use crate::args::{self, Args, Command, Common};
use crate::error::Trouble;
use crate::exit::Exit;
use crate::output::Manner;
use crate::progress::Progress;
use crate::report::Stats;
use crate::stop::Stop;
use crate::tally::Tally;
use crate::{
    bench, compare, compress, configure, copy, crc, decompress, delta, dif, doctor, encrypt, faults, fill,
    list, output, scan, top,
};

/// What a command works with.
pub(crate) struct Session<'a> {
    pub(crate) engine: Engine,
    pub(crate) stop: Stop,
    pub(crate) progress: Progress,
    pub(crate) common: &'a Common,
}

impl Session<'_> {
    /// Prints `line` and a line's end, unless nothing is to be printed but the result as JSON, or nothing at all.
    pub(crate) fn say(&self, line: &[u8]) -> Result<(), Trouble> {
        say(self.common, line)
    }

    /// As the options say, with these permission bits.
    pub(crate) fn manner(&self, mode: u32) -> Manner {
        Manner { force: self.common.force, sync: !self.common.no_sync, mode }
    }
}

/// What a command found.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) exit: Exit,
    pub(crate) tally: Tally,
    /// Part of the time: waiting for the disk at the end.
    pub(crate) sync: Duration,
    /// The result for programs.
    pub(crate) fields: Value,
}

/// What a command found that needs no engine.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) exit: Exit,
    /// The result for programs.
    pub(crate) fields: Value,
}

/// As [`Session::say`], without one.
pub(crate) fn say(common: &Common, line: &[u8]) -> Result<(), Trouble> {
    if is_silent(common) {
        return Ok(());
    }
    print(line)
}

/// Whether nothing is printed for people.
pub(crate) fn is_silent(common: &Common) -> bool {
    common.quiet || common.json_on_stdout()
}

/// Runs the program.
pub fn main() -> ExitCode {
    let args = match args::parse(std::env::args_os()) {
        Ok(args) => args,
        Err(error) => {
            let printed = error.print();
            let code = if printed.is_ok() { error.exit_code() } else { 2 };
            return ExitCode::from(u8::try_from(code).unwrap_or(2));
        }
    };
    trace(args.common.verbose);
    match run(&args) {
        Ok(exit) => exit.into(),
        Err(trouble) => {
            complain(&args, &trouble);
            trouble.exit().into()
        }
    }
}

fn trace(verbose: u8) {
    let level = match verbose {
        0 => return,
        1 => "debug",
        _ => "trace",
    };
    let filter = EnvFilter::builder().parse_lossy(format!("svala={level},svala_cli={level},svala_engine={level},svala_software={level},svala_idxd={level},idxd_emu={level}"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).init();
}

fn run(args: &Args) -> Result<Exit, Trouble> {
    let Args { command, common } = args;
    if let Some(file) = &common.json
        && !common.json_on_stdout()
    {
        output::check_document(file, common.force, &[])?;
    }
    match command {
        Command::Doctor(args) => return answer(command, common, doctor::run(common, args)?),
        Command::Configure(args) => return answer(command, common, configure::run(common, args)?),
        Command::Bench(args) => return answer(command, common, bench::run(common, args)?),
        Command::Faults(args) => return answer(command, common, faults::run(common, args)?),
        Command::Top(args) => return answer(command, common, top::run(common, args)?),
        _ => {}
    }
    let stop = Stop::install()?;
    let engine = Engine::builder().device(common.device.clone()).faults(common.faults);
    let engine = engine.sysfs(sysfs(&common.root)).qat_functions(QatFunctions::at(&common.root)).open()?;
    let session = Session { engine, stop, progress: Progress::new(!is_silent(common)), common };
    let start = Instant::now();
    let found = block_on(dispatch(&session, command));
    let taken = start.elapsed();
    session.progress.end();
    let finding = found?;
    let stats = Stats::new(&session.engine, &finding.tally, taken, finding.sync);
    let result = json!({ "command": command.name(), "exit": finding.exit.code() });
    put_result(common, || merged([result, finding.fields, json!({ "stats": stats })]))?;
    if common.stats {
        let _ = write!(io::stderr(), "{stats}");
    }
    Ok(finding.exit)
}

/// The idxd driver's tree under `root`.
pub(crate) fn sysfs(root: &Path) -> Sysfs {
    Sysfs::new(root.join("sys/bus/dsa"), root.join("dev"))
}

/// Prints the result of a command without an engine.
fn answer(command: &Command, common: &Common, answer: Answer) -> Result<Exit, Trouble> {
    let Answer { exit, fields } = answer;
    let result = json!({ "command": command.name(), "exit": exit.code() });
    put_result(common, || merged([result, fields]))?;
    Ok(exit)
}

/// The result for programs, where they want it.
fn put_result(common: &Common, result: impl FnOnce() -> Value) -> Result<(), Trouble> {
    match &common.json {
        None => Ok(()),
        Some(_) if common.json_on_stdout() => print(result().to_string().as_bytes()),
        Some(file) => output::write_document(file, common.force, format!("{}\n", result()).as_bytes()),
    }
}

async fn dispatch(session: &Session<'_>, command: &Command) -> Result<Finding, Trouble> {
    match command {
        Command::Copy(args) => copy::run(session, args).await,
        Command::Crc(args) => crc::run(session, args).await,
        Command::Compare(args) => compare::run(session, args).await,
        Command::Fill(args) => fill::run(session, args).await,
        Command::Compress(args) => compress::run(session, args).await,
        Command::Decompress(args) => decompress::run(session, args).await,
        Command::Encrypt(args) => encrypt::run(session, &args.what, true).await,
        Command::Decrypt(args) => encrypt::run(session, &args.what, false).await,
        Command::Delta(args) => delta::run(session, args).await,
        Command::Dif(args) => dif::run(session, args).await,
        Command::Scan(args) => scan::run(session, args).await,
        Command::List => list::run(session),
        // Answered before there was an engine.
        Command::Doctor(_)
        | Command::Configure(_)
        | Command::Bench(_)
        | Command::Faults(_)
        | Command::Top(_) => {
            unreachable!("{} with an engine", command.name())
        }
    }
}

/// One object with the fields of all, in their order.
fn merged<const N: usize>(parts: [Value; N]) -> Value {
    let mut all = Map::new();
    for part in parts {
        if let Value::Object(fields) = part {
            all.extend(fields);
        }
    }
    Value::Object(all)
}

/// Says what went wrong. That nobody reads the output (as in `svala crc * | head -1`) is no news to anybody.
fn complain(args: &Args, trouble: &Trouble) {
    if let Trouble::Stdout(error) = trouble
        && error.kind() == io::ErrorKind::BrokenPipe
    {
        return;
    }
    let _ = writeln!(io::stderr(), "svala: {trouble}");
    let result = || json!({ "command": args.command.name(), "exit": trouble.exit().code(), "error": trouble.to_string() });
    let _ = put_result(&args.common, result);
}

fn print(line: &[u8]) -> Result<(), Trouble> {
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(line)
        .and_then(|()| stdout.write_all(b"\n"))
        .and_then(|()| stdout.flush())
        .map_err(Trouble::Stdout)
}
