//! The portal of a real work queue, whichever way descriptors get there.

use std::fmt;
use std::fs::File;
use std::io;

use idxd_spec::Descriptor;
use svala::backend::{Completion, Kind};

use super::enqcmd::EnqcmdPortal;
use super::movdir64b::Movdir64bPortal;
use super::write::WritePortal;
use super::{Accepted, Portal};
use crate::cpu::{Enqcmd, Movdir64b};

/// How descriptors get to a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// `ENQCMD` to the mapped portal of a shared queue.
    Enqcmd,
    /// `MOVDIR64B` to the mapped portal of a dedicated queue.
    Movdir64b,
    /// `write(2)` to the device node.
    Write,
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Enqcmd => "ENQCMD",
            Self::Movdir64b => "MOVDIR64B",
            Self::Write => "write(2)",
        })
    }
}

/// Why a queue is written to with `write(2)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum WriteReason {
    /// It was asked for.
    Chosen,
    /// The CPU has no instruction for it.
    NoInstruction {
        /// The one it would take.
        instruction: Method,
    },
    /// The portal cannot be mapped.
    MapRefused {
        /// The kernel's error number; `EPERM` is for want of `CAP_SYS_RAWIO`.
        errno: i32,
    },
}

impl fmt::Display for WriteReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chosen => f.write_str("as asked for"),
            Self::NoInstruction { instruction } => write!(f, "this CPU and kernel have no {instruction}"),
            Self::MapRefused { errno } => {
                write!(f, "mapping the portal: {}", io::Error::from_raw_os_error(*errno))?;
                match *errno {
                    libc::EPERM => f.write_str(", needs CAP_SYS_RAWIO"),
                    _ => Ok(()),
                }
            }
        }
    }
}

/// How a portal is to be chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MethodChoice {
    /// The CPU's instruction if it can be used, else `write(2)`.
    #[default]
    Auto,
    /// `write(2)` only.
    Write,
    /// The CPU's instruction or nothing.
    Mapped,
}

/// Why there is no way to a queue.
#[derive(Debug, thiserror::Error)]
#[error("no way to write to it: {}; {}", mapped_text(.mapped), written_text(.written))]
pub struct NoWay {
    /// What the instruction or the mapping failed with; none if it was not to be tried.
    pub mapped: Option<WriteReason>,
    /// What `write(2)` failed with; none if it was not to be tried.
    #[source]
    pub written: Option<io::Error>,
}

fn mapped_text(reason: &Option<WriteReason>) -> String {
    reason.map_or_else(|| "mapping not tried".into(), |reason| reason.to_string())
}

fn written_text(error: &Option<io::Error>) -> String {
    error.as_ref().map_or_else(|| "write(2) not tried".into(), |error| format!("write(2): {error}"))
}

/// A real work queue's portal.
#[derive(Debug)]
pub struct HardwarePortal {
    way: Way,
    reason: Option<WriteReason>,
}

#[derive(Debug)]
enum Way {
    Enqcmd(EnqcmdPortal),
    Movdir64b(Movdir64bPortal),
    Write(WritePortal),
}

impl HardwarePortal {
    /// Finds a way to write to the queue behind `node`.
    ///
    /// A dedicated queue takes `MOVDIR64B`, a shared one `ENQCMD`. Where the CPU lacks it or the portal cannot be
    /// mapped it is `write(2)`; [`write_reason`](Self::write_reason) and a warning tell.
    ///
    /// # Errors
    ///
    /// [`NoWay`] with what each failed with.
    pub fn new(node: File, dedicated: bool, choice: MethodChoice) -> Result<Self, NoWay> {
        if choice == MethodChoice::Write {
            return Self::by_write(node, WriteReason::Chosen);
        }
        match map(node, dedicated) {
            Ok(way) => Ok(Self { way, reason: None }),
            Err((reason, _)) if choice == MethodChoice::Mapped => {
                Err(NoWay { mapped: Some(reason), written: None })
            }
            Err((reason, node)) => Self::by_write(node, reason),
        }
    }

    fn by_write(node: File, reason: WriteReason) -> Result<Self, NoWay> {
        match WritePortal::new(node) {
            Ok(portal) => {
                if reason != WriteReason::Chosen {
                    tracing::warn!(%reason, "descriptors go through write(2)");
                }
                Ok(Self { way: Way::Write(portal), reason: Some(reason) })
            }
            Err((written, _)) => {
                let mapped = Some(reason).filter(|&reason| reason != WriteReason::Chosen);
                Err(NoWay { mapped, written: Some(written) })
            }
        }
    }

    /// How descriptors get there.
    #[must_use]
    pub const fn method(&self) -> Method {
        match self.way {
            Way::Enqcmd(_) => Method::Enqcmd,
            Way::Movdir64b(_) => Method::Movdir64b,
            Way::Write(_) => Method::Write,
        }
    }

    /// Why it is `write(2)`, if it is.
    #[must_use]
    pub const fn write_reason(&self) -> Option<WriteReason> {
        self.reason
    }

    /// The kernel's last lasting refusal of a descriptor, with `write(2)`: see [`WritePortal::refusal`].
    pub fn refusal(&self) -> Option<io::Error> {
        match &self.way {
            Way::Write(portal) => portal.refusal(),
            Way::Enqcmd(_) | Way::Movdir64b(_) => None,
        }
    }
}

/// Maps the portal, if the CPU has what it takes.
fn map(node: File, dedicated: bool) -> Result<Way, (WriteReason, File)> {
    let refused = |(error, node): (io::Error, File)| {
        (WriteReason::MapRefused { errno: error.raw_os_error().unwrap_or(0) }, node)
    };
    let absent = |instruction, node| (WriteReason::NoInstruction { instruction }, node);
    if dedicated {
        let Some(cpu) = Movdir64b::detect() else { return Err(absent(Method::Movdir64b, node)) };
        Movdir64bPortal::map(node, cpu).map(Way::Movdir64b).map_err(refused)
    } else {
        let Some(cpu) = Enqcmd::detect() else { return Err(absent(Method::Enqcmd, node)) };
        EnqcmdPortal::map(node, cpu).map(Way::Enqcmd).map_err(refused)
    }
}

impl fmt::Display for HardwarePortal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason {
            Some(reason) => write!(f, "{}: {reason}", self.method()),
            None => write!(f, "{}", self.method()),
        }
    }
}

impl Portal for HardwarePortal {
    #[inline]
    fn submit(&self, descriptor: &Descriptor) -> Accepted {
        match &self.way {
            Way::Enqcmd(portal) => portal.submit(descriptor),
            Way::Movdir64b(portal) => portal.submit(descriptor),
            Way::Write(portal) => portal.submit(descriptor),
        }
    }

    fn kind(&self) -> Kind {
        Kind::Hardware
    }

    fn completion(&self) -> Completion {
        Completion::Polled
    }
}
