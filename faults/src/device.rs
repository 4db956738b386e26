//! What the workloads run on: a device of its own for each policy.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use idxd_emu::timing::{Served, Timing};
use idxd_emu::{Device as Emulation, DeviceStats};
use svala::{Config, Runtime};
use svala_engine::{Device, Engine, HardwareOptions, Sysfs};
use svala_idxd::{Emulated, EmulatedConfig};

use crate::{Error, Policy};

/// Engines of the emulated DSA.
const ENGINES: usize = 2;
/// How long a device has to take finished descriptors off its queue.
const DRAIN_TIME: Duration = Duration::from_secs(5);

/// Which device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetDevice {
    /// A DSA and an IAA in this process.
    Emulated,
    /// The work queue at this path, or with this name.
    Queue(PathBuf),
}

/// A device, and where the kernel shows work queues.
#[derive(Clone, Debug)]
pub struct Target {
    /// Which.
    pub device: TargetDevice,
    /// Where work queues are looked for.
    pub sysfs: Sysfs,
}

/// A runtime over a device that does nothing else.
pub(crate) struct Machine {
    runtime: Kept,
    /// The emulated devices, for their counters.
    emulations: Vec<Arc<Emulation>>,
}

enum Kept {
    Runtime(Runtime),
    Engine(Engine),
}

impl Machine {
    pub(crate) fn open(target: &Target, policy: Policy) -> Result<Self, Error> {
        let faults = policy.of_runtime();
        let TargetDevice::Queue(path) = &target.device else {
            return Self::emulated(policy, ENGINES, None);
        };
        let engine = Engine::builder().device(Device::Path(path.clone())).sysfs(target.sysfs.clone());
        let mut options = HardwareOptions::default();
        options.parallel_part_bytes = policy.descriptor_bytes().unwrap_or(options.parallel_part_bytes);
        let engine = engine
            .hardware(options)
            .faults(faults)
            .config(|config: &mut Config| config.offload_bytes_min = 0);
        Ok(Self { runtime: Kept::Engine(engine.open()?), emulations: Vec::new() })
    }

    /// An emulated device that keeps a book of what would take how long, with one engine: descriptor after descriptor.
    pub(crate) fn timed(policy: Policy, timing: Timing) -> Result<Self, Error> {
        Self::emulated(policy, 1, Some(timing))
    }

    fn emulated(policy: Policy, engines: usize, timing: Option<Timing>) -> Result<Self, Error> {
        let default = EmulatedConfig::default();
        let config = |name: &str, engines| EmulatedConfig {
            name: name.into(),
            engines,
            timing,
            parallel_part_bytes: policy.descriptor_bytes().unwrap_or(default.parallel_part_bytes),
            // Of silicon's time, what a stock kernel does: it brings in the page that is asked for.
            fault_around_pages_max: timing.map_or(default.fault_around_pages_max, |_| 1),
            ..EmulatedConfig::default()
        };
        let dsa = Emulated::dsa(config("emu-dsa", engines))?;
        let iaa = Emulated::iaa(config("emu-iaa", 1))?;
        let emulations = [dsa.portal().device(), iaa.portal().device()].into_iter().flatten().collect();
        let runtime = Runtime::builder().queue(dsa).queue(iaa);
        let runtime = runtime.config(|config: &mut Config| config.faults = policy.of_runtime());
        Ok(Self { runtime: Kept::Runtime(runtime.build()?), emulations })
    }

    pub(crate) fn runtime(&self) -> &Runtime {
        match &self.runtime {
            Kept::Runtime(runtime) => runtime,
            Kept::Engine(engine) => engine,
        }
    }

    /// Page requests of the emulated devices so far.
    pub(crate) fn page_requests(&self) -> u64 {
        self.stats().map(|stats| stats.page_requests).sum()
    }

    /// What descriptors since the last call would cost, those of the DSA first.
    pub(crate) fn take_served(&self) -> Vec<Served> {
        let deadline = Instant::now() + DRAIN_TIME;
        self.emulations
            .iter()
            .flat_map(|device| {
                // An entry is there when the descriptor is off its queue, which is after its record.
                device.drain_queue(0, deadline);
                device.take_served()
            })
            .collect()
    }

    fn stats(&self) -> impl Iterator<Item = DeviceStats> {
        self.emulations.iter().map(|device| device.stats())
    }
}
