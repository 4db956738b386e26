//! Real work queues: which one is meant, and which to take unasked. Never run on hardware.

use std::fs;
use std::path::Path;

use svala_idxd::{Device, DeviceType, Discovery, HardwareOptions, HardwareQueue, Sysfs, WorkQueue};

use crate::error::OpenError;

/// Opens the queue that `path` names: its device node, or its bare name.
pub(crate) fn open(
    sysfs: &Sysfs,
    path: &Path,
    options: &HardwareOptions,
) -> Result<HardwareQueue, OpenError> {
    let discovery = match sysfs.discover() {
        Ok(discovery) => discovery,
        Err(error) => {
            exists(path)?;
            return Err(OpenError::NoDriver { path: path.to_owned(), source: error });
        }
    };
    let Some((device, queue)) = meant(&discovery, path) else {
        exists(path)?;
        let known = discovery.work_queues().filter(|(_, queue)| queue.is_enabled() && queue.is_user());
        let known = known.map(|(_, queue)| queue.name.clone()).collect();
        return Err(OpenError::NotAQueue { path: path.to_owned(), known });
    };
    HardwareQueue::open(device, queue, options).map_err(OpenError::Hardware)
}

/// Whether `path` is a bare name: `wq0.0`.
fn is_name(path: &Path) -> bool {
    path.components().count() == 1 && path.to_str().is_some_and(|name| !name.contains('/'))
}

/// Says what the system says of a path that is not there.
fn exists(path: &Path) -> Result<(), OpenError> {
    if is_name(path) {
        return Ok(());
    }
    fs::metadata(path).map(drop).map_err(|source| OpenError::Device { path: path.to_owned(), source })
}

/// The queue with this name, or with this node, whether or not the node is there.
fn meant<'d>(discovery: &'d Discovery, path: &Path) -> Option<(&'d Device, &'d WorkQueue)> {
    if is_name(path) {
        return discovery.work_queue(path.to_str()?);
    }
    let real = fs::canonicalize(path).ok();
    discovery.work_queues().find(|(_, queue)| {
        queue.node_path == path
            || real
                .as_ref()
                .is_some_and(|real| fs::canonicalize(&queue.node_path).is_ok_and(|node| node == *real))
    })
}

/// Opens one queue of each kind of accelerator, as far as there are any that can be used: a shared one if possible,
/// as a dedicated one would be taken from everybody else.
pub(crate) fn open_any(sysfs: &Sysfs, options: &HardwareOptions) -> Vec<HardwareQueue> {
    match sysfs.discover() {
        Ok(discovery) => {
            let kinds = [DeviceType::Dsa, DeviceType::Iax];
            kinds.into_iter().filter_map(|kind| first_usable(&discovery, kind, options)).collect()
        }
        Err(error) => {
            tracing::debug!(%error, "no work queues");
            Vec::new()
        }
    }
}

fn first_usable(discovery: &Discovery, kind: DeviceType, options: &HardwareOptions) -> Option<HardwareQueue> {
    let mut queues: Vec<_> = discovery
        .work_queues()
        .filter(|(_, queue)| queue.device_type == kind && queue.is_user() && queue.is_enabled())
        .collect();
    queues.sort_by_key(|(_, queue)| queue.is_dedicated());
    queues.into_iter().find_map(|(device, queue)| {
        HardwareQueue::open(device, queue, options)
            .inspect_err(|error| tracing::debug!(queue = queue.name, %error, "not usable"))
            .ok()
    })
}
