// SPDX-License-Identifier: MIT OR Apache-2.0

//! Why something was not done.

use core::fmt;

use super::env::OutOfMemory;
use super::pasid::{Busy, PasidNumber};
use super::platform::HardwareError;

/// Why a PASID, a table or a bond could not be had. Whatever was taken on the way was given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The surroundings had no memory.
    OutOfMemory,
    /// Every number of the table's range is in use.
    OutOfPasids {
        /// First of the range.
        first: PasidNumber,
        /// Last of the range.
        last: PasidNumber,
    },
    /// The table has no free slot.
    TableFull {
        /// How many it has.
        entries_max: usize,
    },
    /// The device has as many bonds as it may.
    BondsFull {
        /// How many.
        bonds_max: usize,
    },
    /// The PASID is in use by something else.
    Busy(Busy),
    /// The address space is bound to this device under another PASID than the one asked for.
    BoundElsewhere {
        /// The one it has.
        pasid: PasidNumber,
    },
    /// The device refused the PASID entry.
    Hardware(HardwareError),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfMemory => OutOfMemory.fmt(f),
            Self::OutOfPasids { first, last } => {
                write!(f, "every pasid from {first} to {last} is in use")
            }
            Self::TableFull { entries_max } => {
                write!(f, "pasid table full ({entries_max} entries)")
            }
            Self::BondsFull { bonds_max } => {
                write!(f, "device has all the bonds it may have ({bonds_max})")
            }
            Self::Busy(busy) => busy.fmt(f),
            Self::BoundElsewhere { pasid } => {
                write!(f, "address space is bound already, as pasid {pasid}")
            }
            Self::Hardware(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for Error {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Busy(busy) => Some(busy),
            Self::Hardware(error) => Some(error),
            _ => None,
        }
    }
}

impl From<OutOfMemory> for Error {
    fn from(_: OutOfMemory) -> Self {
        Self::OutOfMemory
    }
}

impl From<Busy> for Error {
    fn from(busy: Busy) -> Self {
        Self::Busy(busy)
    }
}

impl From<HardwareError> for Error {
    fn from(error: HardwareError) -> Self {
        Self::Hardware(error)
    }
}
