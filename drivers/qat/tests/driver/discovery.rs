//! Functions found in a tree as the kernel has it, and what each lacks.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use qat_spec::Generation;
use svala_qat::{Error, QatFunctions, VfioFunction};

/// A machine with a physical function and three virtual ones: ready, bound elsewhere, without an IOMMU.
fn machine(services: &str) -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("a directory");
    let devices = root.path().join("sys/bus/pci/devices");
    let drivers = root.path().join("sys/bus/pci/drivers");
    for driver in ["vfio-pci", "4xxx", "other"] {
        fs::create_dir_all(drivers.join(driver)).expect("a directory");
    }
    let function = |address: &str, device: &str| {
        let at = devices.join(address);
        fs::create_dir_all(&at).expect("a directory");
        fs::write(at.join("vendor"), "0x8086\n").expect("a file");
        fs::write(at.join("device"), format!("{device}\n")).expect("a file");
        fs::write(at.join("numa_node"), "1\n").expect("a file");
        at
    };
    let physical = function("0000:6b:00.0", "0x4940");
    fs::create_dir_all(physical.join("qat")).expect("a directory");
    fs::write(physical.join("qat/state"), "up\n").expect("a file");
    fs::write(physical.join("qat/cfg_services"), format!("{services}\n")).expect("a file");
    symlink(drivers.join("4xxx"), physical.join("driver")).expect("a link");
    for (number, driver, iommu) in [(1, "vfio-pci", true), (2, "other", true), (3, "vfio-pci", false)] {
        let at = function(&format!("0000:6b:00.{number}"), "0x4941");
        symlink(&physical, at.join("physfn")).expect("a link");
        symlink(drivers.join(driver), at.join("driver")).expect("a link");
        if iommu {
            fs::create_dir_all(at.join("iommu_group")).expect("a directory");
        }
        if driver == "vfio-pci" {
            fs::create_dir_all(at.join(format!("vfio-dev/vfio{number}"))).expect("a directory");
        }
    }
    fs::create_dir_all(root.path().join("dev/vfio/devices")).expect("a directory");
    fs::write(root.path().join("dev/vfio/devices/vfio1"), "").expect("a file");
    root
}

#[test]
fn functions_are_found_with_what_they_lack() {
    let root = machine("dc");
    let found = QatFunctions::at(root.path()).discover();
    let addresses: Vec<_> = found.functions.iter().map(|function| function.address.as_str()).collect();
    assert_eq!(addresses, ["0000:6b:00.1", "0000:6b:00.2", "0000:6b:00.3"]);
    let [ready, elsewhere, open] = &found.functions[..] else { panic!("three") };
    assert_eq!((ready.generation, ready.numa_node), (Generation::Gen4, Some(1)));
    assert_eq!((ready.services.as_deref(), ready.compresses()), (Some("dc"), Some(true)));
    assert_eq!(ready.physical.as_deref(), Some("0000:6b:00.0"));
    assert_eq!(ready.missing(), None);
    assert!(
        elsewhere
            .missing()
            .expect("bound elsewhere")
            .contains("driverctl set-override 0000:6b:00.2 vfio-pci")
    );
    assert!(open.missing().expect("no IOMMU").contains("intel_iommu=on"));
}

#[test]
fn a_physical_function_set_up_for_something_else_is_named() {
    let root = machine("asym");
    let found = QatFunctions::at(root.path()).discover();
    let missing = found.functions[0].missing().expect("neither");
    assert!(
        missing.contains("set up for asym") && missing.contains("0000:6b:00.0/qat/cfg_services"),
        "{missing}"
    );
    // What only encrypts is of use.
    let root = machine("sym;asym");
    let found = QatFunctions::at(root.path()).discover();
    assert_eq!((found.functions[0].compresses(), found.functions[0].encrypts()), (Some(false), Some(true)));
    assert_eq!(found.functions[0].missing(), None);
}

#[test]
fn a_machine_without_any_has_none() {
    let root = tempfile::tempdir().expect("a directory");
    assert!(QatFunctions::at(root.path()).discover().functions.is_empty());
    assert!(QatFunctions::at(Path::new("/nonexistent")).discover().functions.is_empty());
}

#[test]
fn a_node_that_is_none_is_refused_with_the_ioctl() {
    let root = machine("dc");
    let functions = QatFunctions::at(root.path());
    let found = functions.discover();
    let error = VfioFunction::open(&found.functions[0], &functions.iommu()).expect_err("no /dev/iommu");
    assert!(matches!(error, Error::Open { .. }), "{error}");
    fs::write(functions.iommu(), "").expect("a file");
    let error = VfioFunction::open(&found.functions[0], &functions.iommu()).expect_err("a file");
    assert!(matches!(error, Error::Ioctl { ioctl: "VFIO_DEVICE_BIND_IOMMUFD", .. }), "{error}");
    let error = VfioFunction::open(&found.functions[1], &functions.iommu()).expect_err("bound elsewhere");
    assert!(matches!(error, Error::Function { .. }), "{error}");
}
