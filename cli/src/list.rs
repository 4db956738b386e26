//! `svala list`: what can do work here, and what cannot.

mod devices;
mod qat;
mod queues;

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use serde_json::json;
use svala_engine::{Device, Engine};

use crate::doctor::Machine;
use crate::error::Trouble;
use crate::exit::Exit;
use crate::hardware::{self, Finding as Hardware};
use crate::report::device_name;
use crate::run::{Finding, Session};
use crate::tally::Tally;
use queues::Queue;

pub(crate) fn run(session: &Session<'_>) -> Result<Finding, Trouble> {
    let machine = Machine::new(&session.common.root);
    let device = device_name(session.engine.device());
    let queues: Vec<_> = session.engine.capabilities().map(Queue::from).collect();
    let emulated = emulated(&session.engine);
    let hardware = hardware::look(&machine);
    let snapshot = session.engine.snapshot();
    session.say(
        text(&session.common.root, &machine, &device, &queues, &emulated, &hardware).trim_end().as_bytes(),
    )?;
    let (emulated, emulated_error) = match emulated {
        Ok(queues) => (queues, None),
        Err(error) => (Vec::new(), Some(error)),
    };
    let fields = json!({
        "device": device,
        "queues": queues,
        "emulated": emulated,
        "emulated_error": emulated_error,
        "qat": qat::functions(&session.common.root),
        "devices": machine.devices(),
        "drivers": machine.discovery().map_or(&[][..], |discovery| &discovery.drivers),
        "hardware": hardware,
        "resolver": snapshot.resolver,
        "resolver_reason": snapshot.resolver_reason,
        "waiting": snapshot.waiting,
    });
    Ok(Finding { exit: Exit::Success, tally: Tally::default(), sync: Duration::ZERO, fields })
}

/// The queues of the emulated devices, which are there for the asking; or why they are not.
fn emulated(engine: &Engine) -> Result<Vec<Queue>, String> {
    let of = |engine: &Engine| engine.capabilities().map(Queue::from).filter(Queue::is_emulated).collect();
    match engine.device() {
        Device::EmulatedAll => Ok(of(engine)),
        _ => match Engine::builder().device(Device::EmulatedAll).open() {
            Ok(engine) => Ok(of(&engine)),
            Err(error) => Err(error.to_string()),
        },
    }
}

fn text(
    root: &Path,
    machine: &Machine,
    device: &str,
    queues: &[Queue],
    emulated: &Result<Vec<Queue>, String>,
    hardware: &[Hardware],
) -> String {
    let mut text = format!("queues of device {device}, in order of preference\n");
    for queue in queues {
        queue.write(&mut text);
    }
    if device != "emulated-all" {
        text.push_str("emulated devices, with --device emulated, emulated-qat or emulated-all\n");
        match emulated {
            Ok(queues) => queues.iter().for_each(|queue| queue.write(&mut text)),
            Err(error) => {
                let _ = writeln!(text, "  none: {error}");
            }
        }
    }
    devices::write(&mut text, machine);
    qat::write(&mut text, root);
    text.push_str("hardware\n");
    for finding in hardware {
        let mark = if finding.found { "yes" } else { "no " };
        let _ = writeln!(text, "  {mark} {:<18} {}", finding.name, finding.detail);
    }
    text
}
