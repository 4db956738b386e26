//! From a configuration and a machine to an ordered list of writes.

use std::fmt;

use super::check::{Check, Note, Refused};
use super::json::Configuration;
use super::order;
use crate::device::{Device, DeviceType};
use crate::sysfs::Discovery;
use crate::work_queue::{WorkQueue, WorkQueueType};

/// What may be done besides writing attributes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlanOptions {
    /// Enable the devices and work queues of the configuration afterwards, as `load-config -e`.
    pub enable: bool,
    /// Disable devices that are enabled, and whoever uses them, as `load-config -f`. The kernel resets what it
    /// disables, so everything in the configuration is written then.
    pub disable_first: bool,
    /// Write traffic classes of version-1 devices: the kernel takes them if its module was told so (`tc_override`).
    pub traffic_class_override: bool,
}

/// One write.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Step {
    /// Sets an attribute.
    Set {
        /// Under the bus.
        path: String,
        /// What to write.
        value: String,
    },
    /// Enables a device or work queue.
    Bind {
        /// The driver.
        driver: String,
        /// The device's or queue's name.
        name: String,
    },
    /// Disables one.
    Unbind {
        /// The driver.
        driver: String,
        /// The device's or queue's name.
        name: String,
    },
}

impl Step {
    /// What is written to, under the bus.
    #[must_use]
    pub fn path(&self) -> String {
        match self {
            Self::Set { path, .. } => path.clone(),
            Self::Bind { driver, .. } => format!("drivers/{driver}/bind"),
            Self::Unbind { driver, .. } => format!("drivers/{driver}/unbind"),
        }
    }

    /// What is written.
    #[must_use]
    pub fn value(&self) -> &str {
        match self {
            Self::Set { value, .. } => value,
            Self::Bind { name, .. } | Self::Unbind { name, .. } => name,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} <- {}", self.path(), self.value())
    }
}

/// What is to be written, in this order. Printing it is the dry run.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Plan {
    /// The writes.
    pub steps: Vec<Step>,
    /// What of the configuration is not written, and why that does no harm.
    pub notes: Vec<Note>,
    /// All that can change, by intent or as a consequence: what is looked at before, and put back on failure.
    pub(crate) watched: Vec<String>,
}

impl Plan {
    /// Holds a configuration against a machine. What is as it should be already is not written.
    ///
    /// # Errors
    ///
    /// [`Refused`] with everything the machine cannot do.
    pub fn new(
        configuration: &Configuration,
        machine: &Discovery,
        options: PlanOptions,
    ) -> Result<Self, Refused> {
        let mut plan = Self::default();
        let mut check = Check::new(machine, options);
        for wanted in &configuration.devices {
            let Some((device, mut changes)) = check.device(wanted) else { continue };
            order::sort(&mut changes);
            let resets = options.disable_first && device.is_enabled();
            if resets {
                plan.disable(device);
            }
            let sets = changes.into_iter().map(|change| Step::Set { path: change.path, value: change.new });
            plan.steps.extend(sets);
            if options.enable {
                plan.enable(device, resets, check.enabled());
            }
            plan.watch(device);
        }
        plan.notes = check.finish()?;
        if plan.steps.is_empty() {
            plan.watched.clear();
        }
        Ok(plan)
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    fn disable(&mut self, device: &Device) {
        for queue in device.work_queues.iter().filter(|queue| queue.is_enabled()) {
            self.steps.push(Step::Unbind { driver: driver_of(queue), name: queue.name.clone() });
        }
        self.steps.push(Step::Unbind { driver: "idxd".into(), name: device.name.clone() });
    }

    fn enable(&mut self, device: &Device, was_reset: bool, queues: Vec<(String, String)>) {
        if was_reset || !device.is_enabled() {
            self.steps.push(Step::Bind { driver: "idxd".into(), name: device.name.clone() });
        }
        for (driver, name) in queues {
            self.steps.push(Step::Bind { driver, name });
        }
    }

    fn watch(&mut self, device: &Device) {
        let dir = format!("devices/{}", device.name);
        let mut watch = |dir: &str, attributes: &[&str]| {
            self.watched.extend(attributes.iter().map(|attribute| format!("{dir}/{attribute}")));
        };
        watch(&dir, &order::DEVICE);
        for group in &device.groups {
            watch(&format!("{dir}/{}", group.name), &order::GROUP);
        }
        for engine in &device.engines {
            watch(&format!("{dir}/{}", engine.name), &order::ENGINE);
        }
        for queue in &device.work_queues {
            watch(&format!("{dir}/{}", queue.name), &order::WORK_QUEUE);
        }
    }
}

/// The driver a work queue is bound to, or would be.
pub(crate) fn driver_of(queue: &WorkQueue) -> String {
    let named = queue.driver.clone().or_else(|| queue.driver_name.clone());
    named.unwrap_or_else(|| usual_driver(queue.device_type, queue.queue_type.as_ref()).to_owned())
}

/// The driver for a queue of a kernel that does not ask for one.
pub(crate) fn usual_driver(device_type: DeviceType, queue_type: Option<&WorkQueueType>) -> &'static str {
    match (queue_type, device_type) {
        (Some(WorkQueueType::Kernel), DeviceType::Dsa) => "dmaengine",
        (Some(WorkQueueType::Kernel), DeviceType::Iax) => "crypto",
        _ => "user",
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            writeln!(f, "{step}")?;
        }
        for note in &self.notes {
            writeln!(f, "not written: {note}")?;
        }
        Ok(())
    }
}
