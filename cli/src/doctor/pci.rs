//! PCI functions, and the capabilities in their configuration space.

use std::io;

use super::finding::{Evidence, plain};
use super::machine::Machine;

/// Where the kernel shows them.
const FUNCTIONS: &str = "/sys/bus/pci/devices";
/// Vendor of all of them.
const INTEL: &str = "0x8086";

/// What a function is, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Dsa,
    Iaa,
    /// A physical function of a QAT.
    Qat,
    /// A virtual function of a QAT.
    QatVf,
}

/// PCI device numbers. DSA and IAA: Linux `drivers/dma/idxd/registers.h`; QAT of the fourth generation and later: Linux
/// `drivers/crypto/intel/qat/qat_common/adf_accel_devices.h`.
const NUMBERS: &[(u16, Kind)] = &[
    (0x0b25, Kind::Dsa),
    (0x11fb, Kind::Dsa),
    (0x1212, Kind::Dsa),
    (0x0cfe, Kind::Iaa),
    (0x1216, Kind::Iaa),
    (0xb02d, Kind::Iaa),
    (0xfd2d, Kind::Iaa),
    (0x4940, Kind::Qat),
    (0x4941, Kind::QatVf),
    (0x4942, Kind::Qat),
    (0x4943, Kind::QatVf),
    (0x4944, Kind::Qat),
    (0x4945, Kind::QatVf),
    (0x4946, Kind::Qat),
    (0x4947, Kind::QatVf),
    (0x4948, Kind::Qat),
    (0x4949, Kind::QatVf),
];

/// An accelerator on the PCI bus.
#[derive(Clone, Debug)]
pub(crate) struct Function {
    /// As `0000:6a:01.0`.
    pub(crate) address: String,
    /// Device number.
    pub(crate) number: u16,
    pub(crate) kind: Kind,
    /// The driver that is bound.
    pub(crate) driver: Option<String>,
    /// The IOMMU in front of it, as `dmar5`.
    pub(crate) iommu: Option<String>,
}

impl Function {
    /// Its directory.
    pub(crate) fn directory(&self) -> String {
        format!("{FUNCTIONS}/{}", self.address)
    }

    /// Whether it is a DSA or an IAA.
    pub(crate) const fn is_idxd(&self) -> bool {
        matches!(self.kind, Kind::Dsa | Kind::Iaa)
    }

    /// What it is called.
    pub(crate) const fn kind_name(&self) -> &'static str {
        match self.kind {
            Kind::Dsa => "DSA",
            Kind::Iaa => "IAA",
            Kind::Qat => "QAT",
            Kind::QatVf => "QAT virtual function",
        }
    }

    /// As evidence.
    pub(crate) fn evidence(&self) -> Evidence {
        let driver = self.driver.as_deref().unwrap_or("none");
        Evidence::new(
            self.directory(),
            format!("8086:{:04x} ({}), driver {driver}", self.number, self.kind_name()),
        )
    }
}

/// All accelerators of the machine, by address.
pub(crate) fn functions(machine: &Machine) -> Vec<Function> {
    let addresses = machine.names(FUNCTIONS).unwrap_or_default();
    addresses.into_iter().filter_map(|address| function(machine, address)).collect()
}

fn function(machine: &Machine, address: String) -> Option<Function> {
    let directory = format!("{FUNCTIONS}/{address}");
    if machine.read(&format!("{directory}/vendor")).text() != Some(INTEL) {
        return None;
    }
    let device = machine.read(&format!("{directory}/device"));
    let number = u16::from_str_radix(device.text()?.strip_prefix("0x")?, 16).ok()?;
    let &(number, kind) = NUMBERS.iter().find(|(known, _)| *known == number)?;
    let link = |name| machine.link(&format!("{directory}/{name}")).ok().map(|name| plain(&name));
    Some(Function { kind, number, driver: link("driver"), iommu: link("iommu"), address })
}

/// An extended capability that shared virtual memory needs, by its number (PCI Express base specification, 7.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub(crate) enum Extended {
    /// Address translation services.
    Ats = 0x0f,
    /// Page requests.
    Pri = 0x13,
    /// Process address space numbers.
    Pasid = 0x1b,
}

/// How a capability of a function stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Absent,
    Off,
    On,
}

/// Where extended capabilities begin: what is before may be read by everybody, what follows by root only.
const EXTENDED_BEGIN: usize = 0x100;
/// Capabilities that fit in 4 KiB: more hops than this is a circle.
const HOPS_MAX: usize = (4096 - EXTENDED_BEGIN) / 4;

/// Looks for `wanted` in a configuration space.
///
/// # Errors
///
/// The file cannot be read, or ends before the extended capabilities.
pub(crate) fn standing(machine: &Machine, function: &Function, wanted: Extended) -> io::Result<Standing> {
    let space = machine.bytes(&format!("{}/config", function.directory()))?;
    if space.len() < EXTENDED_BEGIN + 4 {
        return Err(io::Error::other(format!("{} bytes: the rest is for root", space.len())));
    }
    Ok(find(&space, wanted))
}

fn word(space: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(space.get(at..at + 2)?.try_into().ok()?))
}

fn find(space: &[u8], wanted: Extended) -> Standing {
    let mut at = EXTENDED_BEGIN;
    for _ in 0..HOPS_MAX {
        let (Some(number), Some(next)) = (word(space, at), word(space, at + 2)) else { break };
        if number == wanted as u16 {
            // The control register: 6 bytes in, of page requests 4; enabled by bit 15, or by bit 0.
            let (control, enable) = match wanted {
                Extended::Ats => (at + 6, 1 << 15),
                Extended::Pri => (at + 4, 1),
                Extended::Pasid => (at + 6, 1),
            };
            let on = word(space, control).is_some_and(|control| control & enable != 0);
            return if on { Standing::On } else { Standing::Off };
        }
        at = usize::from(next >> 4);
        if at < EXTENDED_BEGIN {
            break;
        }
    }
    Standing::Absent
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space(capabilities: &[(usize, u16, u16, usize, u16)]) -> Vec<u8> {
        let mut space = vec![0; 4096];
        for &(at, number, next, control, value) in capabilities {
            space[at..at + 2].copy_from_slice(&number.to_le_bytes());
            space[at + 2..at + 4].copy_from_slice(&((next << 4) | 1).to_le_bytes());
            space[control..control + 2].copy_from_slice(&value.to_le_bytes());
        }
        space
    }

    #[test]
    fn capabilities_are_found_along_the_chain() {
        let space = space(&[
            (0x100, 0x01, 0x148, 0x106, 0),
            (0x148, 0x0f, 0x220, 0x14e, 0x8000),
            (0x220, 0x1b, 0x240, 0x226, 0x0001),
            (0x240, 0x13, 0, 0x244, 0x0000),
        ]);
        assert_eq!(find(&space, Extended::Ats), Standing::On);
        assert_eq!(find(&space, Extended::Pasid), Standing::On);
        assert_eq!(find(&space, Extended::Pri), Standing::Off);
    }

    /// Page requests have their control register where others have their capabilities.
    #[test]
    fn page_requests_are_on_by_bit_0_of_the_word_at_4() {
        assert_eq!(find(&space(&[(0x100, 0x13, 0, 0x104, 0x0001)]), Extended::Pri), Standing::On);
        assert_eq!(find(&space(&[(0x100, 0x13, 0, 0x106, 0x0001)]), Extended::Pri), Standing::Off);
    }

    #[test]
    fn a_chain_that_bites_its_tail_or_leaves_the_space_ends() {
        let circle = space(&[(0x100, 0x01, 0x100, 0x106, 0)]);
        assert_eq!(find(&circle, Extended::Ats), Standing::Absent);
        let outside = space(&[(0x100, 0x01, 0xfff, 0x106, 0)]);
        assert_eq!(find(&outside, Extended::Pri), Standing::Absent);
        assert_eq!(find(&vec![0xff; 4096], Extended::Pasid), Standing::Absent);
        assert_eq!(find(&[0; 0x105], Extended::Pasid), Standing::Absent);
    }
}
