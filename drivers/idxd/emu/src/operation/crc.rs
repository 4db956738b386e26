//! CRC generation, and copy with CRC generation.

use idxd_spec::{Completion, Flags, Operand, Status};
use svala_software::{crc32c, crc64};

use super::piece::{part, read, write};
use super::{BUFFER_LEN, Operation};
use crate::bus::{Access, Bus, BusFault};
use crate::index::{index, low_half};
use crate::walk::{Flow, Interrupted, Span, Walk};

impl<B: Bus> Operation<'_, B> {
    pub(super) fn crc(&mut self) -> Completion {
        let src = self.src();
        let spans = [src];
        let mut crc = match self.crc_state() {
            Ok(crc) => crc,
            Err(completion) => return completion,
        };
        let mut walk = Walk::new(self.model, &spans, self.size(), self.blocks()).over_data();
        let (bus, buffer) = (&self.model.bus, &mut self.buffers.first);
        let end = walk.run(BUFFER_LEN, |piece| {
            let bytes = part(buffer, piece);
            read(bus, src, piece, bytes)?;
            crc.update(bytes);
            Ok(Flow::Continue)
        });
        let done = walk.done();
        let completion = end.map_or_else(|stop| stop.completion(done), |_| Completion::new(Status::SUCCESS));
        completion.with_crc_val(crc.value())
    }

    pub(super) fn copy_crc(&mut self) -> Completion {
        let (src, dst) = (self.src(), self.dst());
        let spans = [src, dst];
        let mut crc = match self.crc_state() {
            Ok(crc) => crc,
            Err(completion) => return completion,
        };
        let mut walk = Walk::new(self.model, &spans, self.size(), self.blocks()).over_data();
        let (bus, buffer) = (&self.model.bus, &mut self.buffers.first);
        let end = walk.run(BUFFER_LEN, |piece| {
            let bytes = part(buffer, piece);
            read(bus, src, piece, bytes)?;
            let written = match write(bus, dst, piece, bytes) {
                Ok(_) => bytes.len(),
                Err(interrupted) => index(interrupted.done),
            };
            let flow = if written == bytes.len() {
                Ok(Flow::Continue)
            } else {
                let addr = dst.addr.wrapping_add(piece.offset + written as u64);
                Err(Interrupted { done: written as u64, fault: BusFault { addr, access: Access::Write } })
            };
            // Exactly what has been copied is in the sum: whoever resumes goes on from both.
            crc.update(&mut bytes[..written]);
            flow
        });
        let done = walk.done();
        let completion = end.map_or_else(|stop| stop.completion(done), |_| Completion::new(Status::SUCCESS));
        completion.with_crc_val(crc.value())
    }

    fn crc_state(&mut self) -> Result<Crc, Completion> {
        let flags = self.descriptor.flags();
        let is_64 = flags.contains(Flags::CRC64);
        let seed = if flags.contains(Flags::READ_CRC_SEED) {
            self.read_crc_seed(if is_64 { 8 } else { 4 })?
        } else if is_64 {
            self.descriptor.crc64_seed()
        } else {
            self.descriptor.crc_seed().into()
        };
        Ok(Crc::new(seed, is_64, flags))
    }

    fn read_crc_seed(&mut self, len: u64) -> Result<u64, Completion> {
        let span = Span::read(Operand::SRC2, self.descriptor.crc_seed_addr());
        let mut bytes = [0; 8];
        let spans = [span];
        let mut walk = Walk::new(self.model, &spans, len, self.blocks());
        walk.run(len, |piece| {
            let start = index(piece.offset);
            read(&self.model.bus, span, piece, &mut bytes[start..start + index(piece.len)])?;
            Ok(Flow::Continue)
        })
        .map_err(|stop| stop.completion(0))?;
        Ok(u64::from_le_bytes(bytes))
    }
}

/// A CRC so far, as a finished value: the form in which seeds and results travel (DSA appendix A).
struct Crc {
    value: u64,
    is_64: bool,
    /// Seed and result are not inverted, and have their bits in reverse.
    bypasses_inversion: bool,
    /// Bit 7 of a byte comes first.
    bypasses_reflection: bool,
}

impl Crc {
    fn new(seed: u64, is_64: bool, flags: Flags) -> Self {
        let mut this = Self {
            value: 0,
            is_64,
            bypasses_inversion: flags.contains(Flags::BYPASS_CRC_INVERSION),
            bypasses_reflection: flags.contains(Flags::BYPASS_DATA_REFLECTION),
        };
        this.value = if this.bypasses_inversion { this.bypassed(seed) } else { seed };
        this
    }

    /// The one form from the other; twice is nothing.
    fn bypassed(&self, value: u64) -> u64 {
        if self.is_64 { !value.reverse_bits() } else { u64::from(!low_half(value).reverse_bits()) }
    }

    /// May leave `bytes` changed.
    fn update(&mut self, bytes: &mut [u8]) {
        if self.bypasses_reflection {
            for byte in bytes.iter_mut() {
                *byte = byte.reverse_bits();
            }
        }
        self.value = if self.is_64 {
            crc64(self.value, bytes)
        } else {
            u64::from(crc32c(low_half(self.value), bytes))
        };
    }

    fn value(&self) -> u64 {
        if self.bypasses_inversion { self.bypassed(self.value) } else { self.value }
    }
}
