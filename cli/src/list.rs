//! `svala list`: what can do work here, and what cannot.

use std::fmt::Write;
use std::time::Duration;

use serde::Serialize;
use serde_json::json;
use svala::backend::{AddressMode, Capabilities, Kind};
use svala_engine::{Operation, QueueName};

use crate::args::List;
use crate::error::Trouble;
use crate::exit::Exit;
use crate::hardware::{self, Finding as Hardware};
use crate::report::device_name;
use crate::run::{Finding, Session};
use crate::tally::Tally;

/// A queue, for people and programs.
#[derive(Debug, Serialize)]
struct Queue {
    name: QueueName,
    kind: Kind,
    operations: Vec<Operation>,
    address_mode: AddressMode,
    depth: u32,
    batch_max: u32,
    /// Largest inflate; none without a limit, or without inflate.
    inflate_bytes_max: Option<u64>,
    block_on_fault: bool,
    adler32: bool,
}

impl From<&Capabilities> for Queue {
    fn from(queue: &Capabilities) -> Self {
        let limited = queue.unsplit_bytes_max != u64::MAX && queue.operations.contains(Operation::Inflate);
        Self {
            name: queue.name,
            kind: queue.kind,
            operations: queue.operations.iter().collect(),
            address_mode: queue.address_mode,
            depth: queue.depth,
            batch_max: queue.batch_max,
            inflate_bytes_max: limited.then_some(queue.unsplit_bytes_max),
            block_on_fault: queue.block_on_fault,
            adler32: queue.adler32,
        }
    }
}

pub(crate) fn run(session: &Session<'_>, _args: &List) -> Result<Finding, Trouble> {
    let queues: Vec<Queue> = session.engine.capabilities().map(Queue::from).collect();
    let hardware = hardware::look();
    let snapshot = session.engine.snapshot();
    session.say(text(&queues, &hardware, &device_name(session.engine.device())).trim_end().as_bytes())?;
    let fields = json!({
        "device": device_name(session.engine.device()),
        "queues": queues,
        "hardware": hardware,
        "resolver": snapshot.resolver,
        "resolver_reason": snapshot.resolver_reason,
        "waiting": snapshot.waiting,
    });
    Ok(Finding { exit: Exit::Success, tally: Tally::default(), sync: Duration::ZERO, fields })
}

fn word(value: impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word.replace('_', " "),
        _ => "?".into(),
    }
}

fn text(queues: &[Queue], hardware: &[Hardware], device: &str) -> String {
    let mut text = format!("queues of device {device}, in order of preference\n");
    for queue in queues {
        let operations: Vec<_> = queue.operations.iter().map(|operation| operation.name()).collect();
        let _ =
            writeln!(text, "  {:<10} {:<9} {}", queue.name.as_str(), word(queue.kind), operations.join(" "));
        let mut limits = format!("depth {}, batches of {}", queue.depth, queue.batch_max);
        if let Some(bytes) = queue.inflate_bytes_max {
            let _ = write!(limits, ", inflate up to {bytes} bytes");
        }
        if !queue.block_on_fault {
            limits.push_str(", no block-on-fault");
        }
        if !queue.adler32 && queue.operations.contains(&Operation::Deflate) {
            limits.push_str(", no Adler-32");
        }
        let _ = writeln!(text, "             addresses: {}; {limits}", word(queue.address_mode));
    }
    text.push_str("hardware\n");
    for finding in hardware {
        let mark = if finding.found { "yes" } else { "no " };
        let _ = writeln!(text, "  {mark} {:<18} {}", finding.name, finding.detail);
    }
    text
}
