//! Virtual functions of QAT: which one is meant. Never run on hardware.

use std::sync::Arc;

use qat_emu::{DeviceConfig, FaultPlan};
use svala_qat::{Error, QatFunctions, QatQueue, QatQueueConfig, VfioFunction};

/// The name of the emulated function's queue.
const EMULATED: &str = "emu-qat";

/// Opens the function at a PCI address, or the first that lacks nothing.
pub(crate) fn open(functions: &QatFunctions, address: Option<&str>) -> Result<QatQueue, Error> {
    let found = functions.discover().functions;
    let name = address.unwrap_or("QAT");
    let lacks = |what: String| Error::Function { address: name.to_owned(), what };
    let function = match address {
        Some(address) => found.iter().find(|function| function.address == address),
        None => found.iter().find(|function| function.missing().is_none()).or(found.first()),
    };
    let Some(function) = function else {
        let known: Vec<_> = found.iter().map(|function| function.address.as_str()).collect();
        let known = if known.is_empty() { "there is none".to_owned() } else { known.join(" ") };
        return Err(lacks(format!("no such virtual function; {known}")));
    };
    if let Some(what) = function.missing() {
        return Err(Error::Function { address: function.address.clone(), what });
    }
    let opened = VfioFunction::open(function, &functions.iommu())?;
    // Names are 15 bytes at most: without the domain a PCI address fits.
    let short = function.address.split_once(':').map_or(function.address.as_str(), |(_, rest)| rest);
    QatQueue::open(
        Arc::new(opened),
        QatQueueConfig { name: format!("qat{short}"), ..QatQueueConfig::default() },
    )
}

/// Starts an emulated function.
pub(crate) fn emulated(plan: FaultPlan) -> Result<QatQueue, Error> {
    let device = DeviceConfig { name: EMULATED.into(), plan, ..DeviceConfig::default() }.with_ciphers();
    let config = QatQueueConfig { name: EMULATED.into(), ..QatQueueConfig::default() };
    svala_qat::emulated(device, config).map(|(queue, _)| queue)
}
