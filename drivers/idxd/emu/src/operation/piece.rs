//! The bytes of one piece of an operand, between the bus and an engine's buffer.

use crate::bus::{Access, Bus, PAGE_BYTES};
use crate::index::index;
use crate::walk::{Flow, Interrupted, Piece, Span};

/// The part of an engine's buffer that a piece takes.
pub(super) fn part(buffer: &mut [u8], piece: Piece) -> &mut [u8] {
    &mut buffer[..index(piece.len)]
}

pub(super) fn read<B: Bus>(bus: &B, span: Span, piece: Piece, bytes: &mut [u8]) -> Result<(), Interrupted> {
    bus.read(span.addr.wrapping_add(piece.offset), bytes).map_err(|fault| Interrupted { done: 0, fault })
}

pub(super) fn write<B: Bus>(bus: &B, span: Span, piece: Piece, bytes: &[u8]) -> Result<Flow, Interrupted> {
    let addr = span.addr.wrapping_add(piece.offset);
    match bus.write(addr, bytes) {
        Ok(()) => Ok(Flow::Continue),
        Err(fault) => Err(Interrupted { done: fault.addr.wrapping_sub(addr).min(piece.len), fault }),
    }
}

/// Writes page by page from the end, so that what is done is a whole end of the piece, whatever faults.
pub(super) fn write_backward<B: Bus>(
    bus: &B,
    span: Span,
    piece: Piece,
    bytes: &[u8],
) -> Result<Flow, Interrupted> {
    let start = span.addr.wrapping_add(piece.offset);
    let mut left = bytes.len();
    while left > 0 {
        let in_last_page = index(start.wrapping_add(left as u64 - 1) % PAGE_BYTES) + 1;
        let from = left.saturating_sub(in_last_page);
        let addr = start.wrapping_add(from as u64);
        bus.write(addr, &bytes[from..left])
            .map_err(|fault| Interrupted { done: (bytes.len() - left) as u64, fault })?;
        left = from;
    }
    Ok(Flow::Continue)
}

pub(super) fn copy_piece<B: Bus>(bus: &B, src: Span, dst: Span, piece: Piece) -> Result<Flow, Interrupted> {
    let (from, to) = (src.addr.wrapping_add(piece.offset), dst.addr.wrapping_add(piece.offset));
    match bus.copy(from, to, piece.len) {
        Ok(()) => Ok(Flow::Continue),
        Err(fault) => {
            let base = if fault.access == Access::Read { from } else { to };
            Err(Interrupted { done: fault.addr.wrapping_sub(base).min(piece.len), fault })
        }
    }
}

/// A byte that could not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unwritten {
    /// Bytes written before it, whole units of what was to be written.
    pub(super) bytes: usize,
    pub(super) addr: u64,
}

/// Writes to a span that does not advance with the walk, whole units of `unit` bytes as far as they are present.
pub(super) fn write_apart<B: Bus>(bus: &B, addr: u64, bytes: &[u8], unit: usize) -> Result<(), Unwritten> {
    let present = index(bus.present(addr, bytes.len() as u64, Access::Write));
    let whole = present - present % unit;
    let missing = addr.wrapping_add(present as u64);
    match bus.write(addr, &bytes[..whole]) {
        Ok(()) if present == bytes.len() => Ok(()),
        Ok(()) => Err(Unwritten { bytes: whole, addr: missing }),
        Err(fault) => {
            let written = index(fault.addr.wrapping_sub(addr)).min(whole);
            Err(Unwritten { bytes: written - written % unit, addr: fault.addr })
        }
    }
}
