//! What is asked of an accelerator, in terms of operations: what a queue is handed and what it answers.
//!
//! A [`Job`] holds addresses and nothing that owns them; the slot that carries the job owns the memory. Drivers
//! turn jobs into descriptors (or function calls) and may split them; nothing here knows a device.

use std::fmt;

use crate::address::{Access, Span, VirtAddr};

/// The kinds of operation, for capabilities, counters and messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
#[repr(u8)]
pub enum Operation {
    /// Copy memory.
    Copy,
    /// Write a repeated 8-byte pattern.
    Fill,
    /// Find the first difference of two ranges.
    Compare,
    /// CRC-32C of a range.
    Crc32c,
    /// Make a raw deflate segment.
    Deflate,
    /// Expand a raw deflate stream.
    Inflate,
}

impl Operation {
    /// Every kind there is.
    pub const ALL: [Self; 6] =
        [Self::Copy, Self::Fill, Self::Compare, Self::Crc32c, Self::Deflate, Self::Inflate];

    /// The word used in messages, counters and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Copy => "copy",
            Self::Fill => "fill",
            Self::Compare => "compare",
            Self::Crc32c => "crc32c",
            Self::Deflate => "deflate",
            Self::Inflate => "inflate",
        }
    }

    const fn bit(self) -> u32 {
        1 << self as u8
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of [`Operation`]s.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Operations(u32);

impl Operations {
    /// The empty set.
    pub const NONE: Self = Self(0);

    /// The set with `operation` in it as well.
    #[must_use]
    pub const fn with(self, operation: Operation) -> Self {
        Self(self.0 | operation.bit())
    }

    /// The set without `operation`.
    #[must_use]
    pub const fn without(self, operation: Operation) -> Self {
        Self(self.0 & !operation.bit())
    }

    /// Every operation.
    pub const fn all() -> Self {
        let mut set = Self::NONE;
        let mut i = 0;
        while i < Operation::ALL.len() {
            set = set.with(Operation::ALL[i]);
            i += 1;
        }
        set
    }

    /// Whether `operation` is in the set.
    pub const fn contains(self, operation: Operation) -> bool {
        self.0 & operation.bit() != 0
    }

    /// The first of `wanted` that is not in the set.
    pub fn first_missing(self, wanted: Self) -> Option<Operation> {
        if wanted.0 & !self.0 == 0 {
            return None;
        }
        Self(wanted.0 & !self.0).iter().next()
    }

    /// The members, in the order of [`Operation::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Operation> {
        Operation::ALL.into_iter().filter(move |operation| self.contains(*operation))
    }
}

impl fmt::Debug for Operations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// Which checksum of the uncompressed bytes a deflate or inflate job computes on the way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Check {
    /// None; the job answers 0.
    #[default]
    None,
    /// CRC-32 as gzip has it.
    Crc32,
    /// Adler-32 as zlib has it.
    Adler32,
}

/// One operation on memory of this process.
///
/// Ranges of a job do not overlap unless the variant says they may. Lengths are bytes and at least 1: the
/// runtime answers empty operations itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Job {
    /// Copies `len` bytes. The ranges may overlap (only raw submissions can arrange that); the result is as if
    /// the source had been read whole first.
    Copy {
        /// First byte read.
        src: VirtAddr,
        /// First byte written.
        dst: VirtAddr,
        /// Bytes.
        len: u64,
    },
    /// Writes `pattern`, little-endian, again and again; the last repetition may be cut.
    Fill {
        /// First byte written.
        dst: VirtAddr,
        /// Bytes; need not be a multiple of 8.
        len: u64,
        /// Eight bytes of pattern; the lowest byte goes to `dst`.
        pattern: u64,
    },
    /// Compares `len` bytes.
    Compare {
        /// First range.
        a: VirtAddr,
        /// Second range.
        b: VirtAddr,
        /// Bytes of each.
        len: u64,
    },
    /// CRC-32C (Castagnoli), chained: the result for `a || b` is the result for `b` with the result for `a` as
    /// seed; the first seed is 0.
    Crc32c {
        /// First byte read.
        src: VirtAddr,
        /// Bytes.
        len: u64,
        /// Result so far.
        seed: u32,
    },
    /// Compresses `src` into a raw deflate segment (RFC 1951) that ends on a byte boundary, so that segments
    /// can be concatenated.
    Deflate {
        /// What is compressed.
        src: Span,
        /// Room for the segment.
        dst: Span,
        /// 1 (fast) to 9 (small); devices with one setting ignore it.
        level: u8,
        /// Whether the stream ends with this segment.
        last: bool,
        /// Checksum of `src` to compute.
        check: Check,
    },
    /// Expands a whole raw deflate stream.
    Inflate {
        /// The stream; bytes after its end are left alone and counted as not read.
        src: Span,
        /// Room for the output.
        dst: Span,
        /// Checksum of the output to compute.
        check: Check,
    },
}

/// One range a job touches, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operand {
    /// The range.
    pub span: Span,
    /// What is done to it.
    pub access: Access,
}

impl Operand {
    const fn read(addr: VirtAddr, len: u64) -> Option<Self> {
        Some(Self { span: Span::new(addr, len), access: Access::Read })
    }

    const fn write(addr: VirtAddr, len: u64) -> Option<Self> {
        Some(Self { span: Span::new(addr, len), access: Access::Write })
    }
}

/// The ranges of a job: at most [`OPERANDS_MAX`].
pub type Operands = [Option<Operand>; OPERANDS_MAX];

/// Most ranges one job can touch.
pub const OPERANDS_MAX: usize = 2;

impl Job {
    /// The kind of operation.
    pub const fn operation(&self) -> Operation {
        match self {
            Self::Copy { .. } => Operation::Copy,
            Self::Fill { .. } => Operation::Fill,
            Self::Compare { .. } => Operation::Compare,
            Self::Crc32c { .. } => Operation::Crc32c,
            Self::Deflate { .. } => Operation::Deflate,
            Self::Inflate { .. } => Operation::Inflate,
        }
    }

    /// Input bytes (for a fill: bytes written).
    pub const fn bytes(&self) -> u64 {
        match *self {
            Self::Copy { len, .. }
            | Self::Fill { len, .. }
            | Self::Compare { len, .. }
            | Self::Crc32c { len, .. } => len,
            Self::Deflate { src, .. } | Self::Inflate { src, .. } => src.len,
        }
    }

    /// Whether byte `n` of every range belongs together, so that work on one range predicts work at the same
    /// offset of the other. Not so for compression, whose output runs at its own pace.
    pub const fn in_step(&self) -> bool {
        !matches!(self, Self::Deflate { .. } | Self::Inflate { .. })
    }

    /// What the job finds when there is not a byte to work on. None for compression, which has something to write
    /// or to refuse even then.
    pub const fn empty_value(&self) -> Option<Value> {
        match *self {
            Self::Copy { .. } | Self::Fill { .. } => Some(Value::None),
            Self::Compare { .. } => Some(Value::Difference(None)),
            Self::Crc32c { seed, .. } => Some(Value::Crc32c(seed)),
            Self::Deflate { .. } | Self::Inflate { .. } => None,
        }
    }

    /// The checksum a deflate or inflate job computes.
    pub const fn check(&self) -> Check {
        match *self {
            Self::Deflate { check, .. } | Self::Inflate { check, .. } => check,
            _ => Check::None,
        }
    }

    /// Whether a driver can do the job piece by piece. An inflate cannot be: where a piece ends, only the stream
    /// knows.
    pub const fn can_split(&self) -> bool {
        !matches!(self, Self::Inflate { .. })
    }

    /// The ranges the job touches.
    pub const fn operands(&self) -> Operands {
        match *self {
            Self::Copy { src, dst, len } => [Operand::read(src, len), Operand::write(dst, len)],
            Self::Fill { dst, len, .. } => [Operand::write(dst, len), None],
            Self::Compare { a, b, len } => [Operand::read(a, len), Operand::read(b, len)],
            Self::Crc32c { src, len, .. } => [Operand::read(src, len), None],
            Self::Deflate { src, dst, .. } | Self::Inflate { src, dst, .. } => {
                [Operand::read(src.addr, src.len), Operand::write(dst.addr, dst.len)]
            }
        }
    }
}

/// What a finished job found.
// The tag a whole word: moved in words, an answer that was just written costs loads; at odd places, stalls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
#[repr(u64)]
pub enum Value {
    /// Nothing beyond having been done.
    #[default]
    None,
    /// Offset of the first difference, none if the ranges are equal.
    Difference(Option<u64>),
    /// The CRC-32C.
    Crc32c(u32),
    /// A deflate segment.
    Deflate {
        /// Bytes of output.
        written: u64,
        /// Checksum of the input, as asked.
        check: u32,
    },
    /// An expanded stream.
    Inflate {
        /// Bytes of the stream, up to and including its last.
        read: u64,
        /// Bytes of output.
        written: u64,
        /// Checksum of the output, as asked.
        check: u32,
    },
}

/// A finished job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// Input bytes worked on; for a compare that found a difference, the bytes before it.
    pub bytes: u64,
    /// What was found.
    pub value: Value,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_set_of_all_operations_has_each_once() {
        assert_eq!(Operations::all().iter().count(), Operation::ALL.len());
        assert!(Operations::NONE.iter().next().is_none());
        assert!(!Operations::NONE.with(Operation::Copy).contains(Operation::Fill));
    }

    #[test]
    fn operands_name_what_is_written() {
        let job = Job::Copy { src: VirtAddr::new(1), dst: VirtAddr::new(100), len: 7 };
        let [Some(src), Some(dst)] = job.operands() else { panic!("two operands") };
        assert_eq!((src.access, dst.access), (Access::Read, Access::Write));
        assert_eq!(dst.span, Span::new(VirtAddr::new(100), 7));
    }
}
