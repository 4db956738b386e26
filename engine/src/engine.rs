//! The engine: a runtime with queues in it.

use std::ops::Deref;

use idxd_emu::FaultPlan;
use svala::backend::Kind;
use svala::{Config, FaultPolicy, Path, Reason, Report, Runtime};
use svala_idxd::{Emulated, EmulatedConfig, HardwareOptions, HardwareQueue, Sysfs};
use svala_qat::QatFunctions;
use svala_software::{SoftwareConfig, SoftwareQueue};

use crate::device::Device;
use crate::error::OpenError;
use crate::hardware;
use crate::qat;

/// An engine about to be opened.
#[derive(Clone, Debug, Default)]
pub struct Builder {
    device: Device,
    config: Option<Config>,
    plan: FaultPlan,
    qat_plan: qat_emu::FaultPlan,
    cpu_threads: Option<usize>,
    sysfs: Sysfs,
    hardware: HardwareOptions,
    qat_functions: QatFunctions,
}

impl Builder {
    /// What to run on.
    #[must_use]
    pub fn device(mut self, device: Device) -> Self {
        self.device = device;
        self
    }

    /// What to do about device page faults.
    #[must_use]
    pub fn faults(self, faults: FaultPolicy) -> Self {
        self.config(|config| config.faults = faults)
    }

    /// Changes the runtime's settings.
    #[must_use]
    pub fn config(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(self.config.get_or_insert_with(Config::default));
        self
    }

    /// What is to go wrong on the emulated devices.
    #[must_use]
    pub fn emulated_plan(mut self, plan: FaultPlan) -> Self {
        self.plan = plan;
        self
    }

    /// What is to go wrong on the emulated QAT.
    #[must_use]
    pub fn emulated_qat_plan(mut self, plan: qat_emu::FaultPlan) -> Self {
        self.qat_plan = plan;
        self
    }

    /// Threads of the CPU engine; by default as many as the machine runs at once.
    #[must_use]
    pub const fn cpu_threads(mut self, threads: usize) -> Self {
        self.cpu_threads = Some(threads);
        self
    }

    /// Where work queues are looked for; by default where the kernel has them.
    #[must_use]
    pub fn sysfs(mut self, sysfs: Sysfs) -> Self {
        self.sysfs = sysfs;
        self
    }

    /// How work queues are used.
    #[must_use]
    pub fn hardware(mut self, options: HardwareOptions) -> Self {
        self.hardware = options;
        self
    }

    /// Where virtual functions of QAT are looked for; by default where the kernel has them.
    #[must_use]
    pub fn qat_functions(mut self, functions: QatFunctions) -> Self {
        self.qat_functions = functions;
        self
    }

    /// Opens the engine.
    ///
    /// # Errors
    ///
    /// A device that does not exist or cannot be used, and what the system refuses.
    pub fn open(self) -> Result<Engine, OpenError> {
        let mut config = self.config.unwrap_or_default();
        config.software_reason =
            if self.device == Device::Software { Reason::Asked } else { Reason::NoDevice };
        let mut builder = Runtime::builder();
        if matches!(self.device, Device::Emulated | Device::EmulatedAll) {
            let emulated = |name: &str| EmulatedConfig {
                name: name.into(),
                plan: self.plan.clone(),
                ..EmulatedConfig::default()
            };
            builder =
                builder.queue(Emulated::dsa(emulated("emu-dsa"))?).queue(Emulated::iaa(emulated("emu-iaa"))?);
        }
        if matches!(self.device, Device::EmulatedQat | Device::EmulatedAll) {
            builder = builder.queue(qat::emulated(self.qat_plan).map_err(OpenError::EmulatedQat)?);
        }
        let queues = match &self.device {
            Device::Path(path) => vec![hardware::open(&self.sysfs, path, &self.hardware)?],
            Device::Auto | Device::Qat(_) => hardware::open_any(&self.sysfs, &self.hardware),
            Device::Software | Device::Emulated | Device::EmulatedQat | Device::EmulatedAll => Vec::new(),
        };
        for queue in queues {
            builder = match queue {
                HardwareQueue::Dsa(queue) => builder.queue(queue),
                HardwareQueue::Iaa(queue) => builder.queue(queue),
                other => unreachable!("a queue of neither kind: {other:?}"),
            };
        }
        if let Device::Qat(address) = &self.device {
            builder =
                builder.queue(qat::open(&self.qat_functions, address.as_deref()).map_err(OpenError::Qat)?);
        }
        let mut software = SoftwareConfig::default();
        if let Some(threads) = self.cpu_threads {
            software.workers = threads;
        }
        let software = SoftwareQueue::new(software).map_err(|error| OpenError::Software(Box::new(error)))?;
        let runtime = builder.queue(software).config(|settings| *settings = config).build()?;
        tracing::debug!(device = ?self.device, "engine open");
        Ok(Engine { runtime, device: self.device })
    }
}

/// A [`Runtime`] with queues in it, and operations on framed streams.
///
/// Cheap to clone. Everything a runtime does, it does: see [`Runtime`] for `copy`, `fill`, `compare`, `crc32c`,
/// `run_batch`, `scope`, `snapshot` and `shutdown`.
#[derive(Clone)]
pub struct Engine {
    runtime: Runtime,
    device: Device,
}

impl Engine {
    /// Begins an engine.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Why a stream is expanded on the CPU.
    pub(crate) fn stream_reason(&self) -> Reason {
        let offloads = self.runtime.capabilities().any(|queue| queue.kind != Kind::Software);
        if offloads { Reason::Stream } else { self.runtime.config().software_reason }
    }

    /// The failure of an operation that never reached a queue.
    pub(crate) fn refuse<B>(&self, error: svala::Error, buffers: B) -> svala::Failed<B> {
        let path = Path::Software { reason: Reason::Empty };
        svala::Failed { error, buffers: Some(buffers), report: Report::new(path) }
    }

    /// What was asked for.
    pub const fn device(&self) -> &Device {
        &self.device
    }
}

impl Deref for Engine {
    type Target = Runtime;

    fn deref(&self) -> &Runtime {
        &self.runtime
    }
}
