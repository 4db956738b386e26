//! Copies, fills and comparisons between address spaces, and the change of a window.
//!
//! Granted what they want, they are what the operations of one space are, with the addresses that their windows give.

use idxd_spec::{Completion, Descriptor, Flags, Opcode, Operand, Status, Window, WindowFlags, WindowRange};

use super::domain::Domains;
use super::piece::{part, read, write};
use super::{BUFFER_LEN, Operation};
use crate::bus::Bus;
use crate::walk::Walk;

impl<B: Bus> Operation<'_, B> {
    pub(super) fn inter_domain(&mut self) -> Completion {
        let domains = match Domains::of(self) {
            Ok(domains) => domains,
            Err(completion) => return completion,
        };
        match self.in_one_space(&domains) {
            Ok(descriptor) => {
                let model = self.model;
                let mut there = Operation { model, buffers: &mut *self.buffers, descriptor: &descriptor };
                domains.cover(there.run_in_one_space())
            }
            Err(completion) => completion,
        }
    }

    /// The same descriptor with the addresses where its operands really are.
    fn in_one_space(&self, domains: &Domains<'_>) -> Result<Descriptor, Completion> {
        let size = self.size();
        let mut bytes = *self.descriptor.as_bytes();
        let at_24 = match self.descriptor.opcode() {
            Opcode::INTER_DOMAIN_COMPARE => Operand::SRC2,
            _ => Operand::DST,
        };
        let fields = match self.descriptor.opcode() {
            Opcode::INTER_DOMAIN_FILL => [None, Some(at_24)],
            Opcode::INTER_DOMAIN_COMPARE_PATTERN => [Some(Operand::SRC), None],
            _ => [Some(Operand::SRC), Some(at_24)],
        };
        let addresses = [self.descriptor.src_addr(), self.descriptor.dst_addr()];
        for ((field, addr), at) in fields.into_iter().zip(addresses).zip([16, 24]) {
            if let Some(operand) = field {
                let resolved = domains.resolve(operand, addr, size, 1)?;
                bytes[at..at + 8].copy_from_slice(&resolved.to_le_bytes());
            }
        }
        Ok(Descriptor::from_bytes(bytes))
    }

    fn run_in_one_space(&mut self) -> Completion {
        match self.descriptor.opcode() {
            Opcode::INTER_DOMAIN_FILL => self.fill(),
            Opcode::INTER_DOMAIN_COMPARE => self.compare(),
            Opcode::INTER_DOMAIN_COMPARE_PATTERN => self.compare_pattern(),
            _ => self.copy_forward(),
        }
    }

    /// Never backwards: ranges that overlap are the submitter's mistake (§8.3.28), and its record has no direction.
    fn copy_forward(&mut self) -> Completion {
        let (src, dst) = (self.src(), self.dst());
        let spans = [src, dst];
        let mut walk = Walk::new(self.model, &spans, self.size(), self.blocks()).over_data();
        let (bus, buffer) = (&self.model.bus, &mut self.buffers.first);
        let end = walk.run(BUFFER_LEN, |piece| {
            let bytes = part(buffer, piece);
            read(bus, src, piece, bytes)?;
            write(bus, dst, piece, bytes)
        });
        let done = walk.done();
        end.map_or_else(|stop| stop.completion(done), |_| Completion::new(Status::SUCCESS))
    }

    pub(super) fn update_window(&mut self) -> Completion {
        let descriptor = self.descriptor;
        let flags = descriptor.window_flags();
        let window = match WindowRange::new(descriptor.window_base(), descriptor.window_size()) {
            Some(range) if flags.contains(WindowFlags::OFFSET_MODE) => Window::Offsets(range),
            Some(range) if flags.contains(WindowFlags::ENABLE) => Window::Addresses(range),
            _ => Window::Everything,
        };
        let drains = !descriptor.flags().contains(Flags::SUPPRESS_DRAIN);
        let changed = (flags.permissions(), window);
        let updated =
            self.model.permissions.update(descriptor.dst_handle(), descriptor.pasid(), changed, drains);
        Completion::new(updated.err().unwrap_or(Status::SUCCESS))
    }
}
