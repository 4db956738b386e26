//! `svala bench`: operations on memory, measured.
//!
//! A [`plan`] of points is made and refused before anything runs if it makes no sense. Then, queue by queue: the engine
//! is opened, each operation's result is [`check`]ed, and each point is [`measure`]d, with the CPU engine doing the
//! same beside it. What was measured is printed as it comes, so that Ctrl-C loses nothing.

mod check;
mod columns;
mod lane;
mod measure;
mod memory;
mod miniblocks;
mod numbers;
mod plan;
mod plot;
mod result;
mod setup;
mod streams;
mod table;

use std::time::{Duration, Instant};

use svala::{Config, block_on};
use svala_engine::{Device, Engine, QatFunctions};

use crate::args::{Against, Bench, Common};
use crate::error::Trouble;
use crate::exit::Exit;
use crate::output::{check_document, write_document};
use crate::run::{Answer, sysfs};
use crate::stop::Stop;
use plan::{Plan, Point};
pub(crate) use result::Machine;
use result::{Figures, Results, Row, Skipped};
use table::Table;
pub(crate) use table::{size, time};

pub(crate) fn run(common: &Common, args: &Bench) -> Result<Answer, Trouble> {
    let plan = Plan::new(args, &common.device)?;
    plan.check_memory()?;
    if let Some(svg) = &args.svg {
        check_document(svg, common.force, &[])?;
    }
    let stop = Stop::install()?;
    let mut bench = Running {
        until: Instant::now() + plan.total,
        table: Table::new(common),
        results: Results::new(&plan),
        cpu: match plan.against {
            Against::Cpu => Some(open(common, &Device::Software)?),
            Against::None => None,
        },
        common,
        plan,
        stop,
    };
    let exit = match bench.queues() {
        Ok(()) if bench.results.is_wrong() => Exit::Trouble,
        Ok(()) => Exit::Success,
        Err(Trouble::Stopped(signal)) => {
            bench.results.interrupted = true;
            Exit::Signal(signal)
        }
        Err(trouble) => return Err(trouble),
    };
    bench.table.end(&bench.results)?;
    if let Some(svg) = &args.svg {
        let drawing =
            plot::draw(&bench.results).map_err(|what| Trouble::Bench(format!("drawing: {what}")))?;
        write_document(svg, common.force, drawing.as_bytes())?;
    }
    Ok(Answer { exit, fields: bench.results.fields() })
}

/// Opens a queue. Small operations are not sent to the CPU instead: what they cost on the queue is the question.
fn open(common: &Common, device: &Device) -> Result<Engine, Trouble> {
    let engine = Engine::builder().device(device.clone()).faults(common.faults);
    let engine = engine.config(|config: &mut Config| config.offload_bytes_min = 0);
    Ok(engine.sysfs(sysfs(&common.root)).qat_functions(QatFunctions::at(&common.root)).open()?)
}

struct Running<'a> {
    common: &'a Common,
    plan: Plan,
    stop: Stop,
    /// When everything is to be over.
    until: Instant,
    table: Table<'a>,
    results: Results,
    cpu: Option<Engine>,
}

impl Running<'_> {
    fn queues(&mut self) -> Result<(), Trouble> {
        for device in self.plan.queues.clone() {
            let engine = open(self.common, &device)?;
            if device.is_emulated() {
                self.results.is_emulated = true;
            }
            self.table.begin(&self.results)?;
            self.queue(&device, &engine)?;
        }
        Ok(())
    }

    /// Measures every point on one queue.
    fn queue(&mut self, device: &Device, engine: &Engine) -> Result<(), Trouble> {
        let name = crate::report::device_name(device);
        for operation in self.plan.operations.clone() {
            self.stop.check()?;
            if let Err(why) = block_on(check::check(engine, operation)) {
                self.skip(Skipped::operation(&name, operation, &why))?;
                continue;
            }
            for point in self.plan.points(operation) {
                self.point(&name, engine, &point)?;
            }
        }
        Ok(())
    }

    fn skip(&mut self, skipped: Skipped) -> Result<(), Trouble> {
        self.table.skipped(&skipped)?;
        self.results.skipped.push(skipped);
        Ok(())
    }

    fn point(&mut self, name: &str, engine: &Engine, point: &Point) -> Result<(), Trouble> {
        if Instant::now() >= self.until {
            return self.skip(Skipped::point(name, point, "the time for everything is over"));
        }
        let measured = match self.measure(engine, point)? {
            Ok(measured) => measured,
            Err(why) => return self.skip(Skipped::point(name, point, &why)),
        };
        let cpu = match &self.cpu {
            // The CPU against itself says nothing.
            Some(cpu) if !measured.is_software() => match self.measure(&cpu.clone(), point)? {
                Ok(measured) => Some(Figures::of(&measured, point)),
                Err(why) => {
                    self.skip(Skipped::point("cpu beside it", point, &why))?;
                    None
                }
            },
            _ => None,
        };
        let row = Row::new(name, point, &measured, cpu, self.plan.cold);
        self.table.row(&row)?;
        self.results.rows.push(row);
        Ok(())
    }

    /// Measures one point. A signal is trouble; whatever else goes wrong is the point's.
    fn measure(&self, engine: &Engine, point: &Point) -> Result<Result<measure::Measured, String>, Trouble> {
        let left = self.until.saturating_duration_since(Instant::now());
        let time = self.plan.time.min(left.max(Duration::from_millis(1)));
        let measured = block_on(measure::measure(engine, point, self.plan.cold, time, &self.stop));
        match measured {
            Err(measure::Ended::Stopped(trouble)) => Err(trouble),
            Err(measure::Ended::Failed(why)) => Ok(Err(why)),
            Ok(measured) => Ok(Ok(measured)),
        }
    }
}
