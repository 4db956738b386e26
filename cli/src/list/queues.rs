//! Queues of an engine, for people and programs.

use std::fmt::Write;

use serde::Serialize;
use svala::backend::{AddressMode, Capabilities, Kind};
use svala_engine::{Operation, QueueName};

/// A queue that an engine can use.
#[derive(Debug, Serialize)]
pub(crate) struct Queue {
    name: QueueName,
    kind: Kind,
    operations: Vec<Operation>,
    address_mode: AddressMode,
    depth: u32,
    batch_max: u32,
    block_on_fault: bool,
    adler32: bool,
}

impl From<&Capabilities> for Queue {
    fn from(queue: &Capabilities) -> Self {
        Self {
            name: queue.name,
            kind: queue.kind,
            operations: queue.operations.iter().collect(),
            address_mode: queue.address_mode,
            depth: queue.depth,
            batch_max: queue.batch_max,
            block_on_fault: queue.block_on_fault,
            adler32: queue.adler32,
        }
    }
}

impl Queue {
    /// Whether a device model is behind it.
    pub(crate) fn is_emulated(&self) -> bool {
        self.kind == Kind::Emulated
    }

    /// Two lines.
    pub(crate) fn write(&self, text: &mut String) {
        let operations: Vec<_> = self.operations.iter().map(|operation| operation.name()).collect();
        let _ =
            writeln!(text, "  {:<10} {:<9} {}", self.name.as_str(), word(self.kind), operations.join(" "));
        let mut limits = format!("depth {}, batches of {}", self.depth, self.batch_max);
        if !self.block_on_fault {
            limits.push_str(", no block-on-fault");
        }
        if !self.adler32 && self.operations.contains(&Operation::Deflate) {
            limits.push_str(", no Adler-32");
        }
        let _ = writeln!(text, "             addresses: {}; {limits}", word(self.address_mode));
    }
}

fn word(value: impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word.replace('_', " "),
        _ => "?".into(),
    }
}
