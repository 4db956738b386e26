//! The operations of a DSA: from a descriptor that passed its checks to the record that says how it went.
//!
//! This file dispatches; each family of operations has a file of its own.

mod compare;
mod crc;
mod delta;
mod dif;
mod domain;
mod inter_domain;
mod memory;
mod numeric;
mod piece;
mod scatter_gather;

use idxd_spec::{Completion, Descriptor, Flags, Opcode, Operand, Status};

use crate::bus::Bus;
use crate::model::Model;
use crate::walk::Span;

/// Bytes an operation that looks at data holds at once, per operand: two of them stay in a second-level cache.
const BUFFER_BYTES: usize = 64 << 10;
/// The same as a length on the bus.
const BUFFER_LEN: u64 = BUFFER_BYTES as u64;
/// Bytes of a piece that goes from memory to memory without passing through a buffer.
const COPY_LEN: u64 = 2 << 20;

/// What an engine needs between memory and memory.
pub(crate) struct Buffers {
    first: Box<[u8]>,
    second: Box<[u8]>,
}

impl Buffers {
    pub(crate) fn new() -> Self {
        Self { first: vec![0; BUFFER_BYTES].into(), second: vec![0; BUFFER_BYTES].into() }
    }
}

/// Runs everything but batch and drain.
pub(crate) fn run<B: Bus>(model: &Model<B>, buffers: &mut Buffers, descriptor: &Descriptor) -> Completion {
    let mut operation = Operation { model, buffers, descriptor };
    match descriptor.opcode() {
        Opcode::MEMMOVE => operation.memmove(),
        Opcode::FILL => operation.fill(),
        Opcode::COMPARE => operation.compare(),
        Opcode::COMPARE_PATTERN => operation.compare_pattern(),
        Opcode::CREATE_DELTA => operation.create_delta(),
        Opcode::APPLY_DELTA => operation.apply_delta(),
        Opcode::DUALCAST => operation.dualcast(),
        Opcode::TRANSLATION_FETCH => operation.translation_fetch(),
        Opcode::CRC => operation.crc(),
        Opcode::COPY_CRC => operation.copy_crc(),
        Opcode::DIF_CHECK
        | Opcode::DIF_INSERT
        | Opcode::DIF_STRIP
        | Opcode::DIF_UPDATE
        | Opcode::DIX_GENERATE => operation.dif(),
        Opcode::CACHE_FLUSH => operation.cache_flush(),
        Opcode::TYPE_CONVERSION
        | Opcode::REDUCE
        | Opcode::REDUCE_DUALCAST
        | Opcode::GATHER_REDUCE
        | Opcode::GATHER_COPY
        | Opcode::SCATTER_COPY
        | Opcode::SCATTER_FILL => operation.numeric_or_list(),
        Opcode::UPDATE_WINDOW => operation.update_window(),
        Opcode::INTER_DOMAIN_COPY
        | Opcode::INTER_DOMAIN_FILL
        | Opcode::INTER_DOMAIN_COMPARE
        | Opcode::INTER_DOMAIN_COMPARE_PATTERN => operation.inter_domain(),
        // What the checks let through and is not above does nothing but complete.
        _ => Completion::new(Status::SUCCESS),
    }
}

struct Operation<'a, B> {
    model: &'a Model<B>,
    buffers: &'a mut Buffers,
    descriptor: &'a Descriptor,
}

impl<B: Bus> Operation<'_, B> {
    fn size(&self) -> u64 {
        self.descriptor.xfer_size().into()
    }

    fn blocks(&self) -> bool {
        self.descriptor.flags().contains(Flags::BLOCK_ON_FAULT)
    }

    fn src(&self) -> Span {
        Span::read(Operand::SRC, self.descriptor.src_addr())
    }

    fn dst(&self) -> Span {
        Span::write(Operand::DST, self.descriptor.dst_addr())
    }
}
