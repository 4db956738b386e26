//! CRC generation, and copy with CRC generation.

use idxd_spec::{Completion, Flags, Operand, Status};
use svala_software::Bypass;

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
            crc.update(&bytes[..written]);
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

/// A CRC so far, in the form in which seeds and results travel.
struct Crc {
    value: u64,
    is_64: bool,
    bypass: Bypass,
}

impl Crc {
    fn new(seed: u64, is_64: bool, flags: Flags) -> Self {
        let bypass = Bypass {
            inversion: flags.contains(Flags::BYPASS_CRC_INVERSION),
            reflection: flags.contains(Flags::BYPASS_DATA_REFLECTION),
        };
        Self { value: seed, is_64, bypass }
    }

    fn update(&mut self, bytes: &[u8]) {
        self.value = if self.is_64 {
            self.bypass.crc64(self.value, bytes)
        } else {
            self.bypass.crc32c(low_half(self.value), bytes).into()
        };
    }

    fn value(&self) -> u64 {
        self.value
    }
}
