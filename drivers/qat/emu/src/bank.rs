//! A ring pair: its registers and where it stands.

use crate::message::{Answer, Message};

/// One of the two rings of a pair.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ring {
    pub(crate) config: u32,
    pub(crate) low: u32,
    pub(crate) high: u32,
    pub(crate) head: u32,
    pub(crate) tail: u32,
}

impl Ring {
    /// Bytes of the ring.
    pub(crate) const fn bytes(&self) -> u32 {
        64 << (self.config & 0x1f)
    }

    /// Its address; none before it has one, and for one that is not aligned to the ring's size.
    pub(crate) fn base(&self) -> Option<u64> {
        let base = u64::from(self.low) | u64::from(self.high) << 32;
        let is_usable = base != 0 && self.config & 0x1f <= 0x10 && base.is_multiple_of(self.bytes().into());
        is_usable.then_some(base)
    }

    const fn after(&self, at: u32, bytes: u32) -> u32 {
        (at + bytes) & (self.bytes() - 1)
    }
}

/// A ring pair.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bank {
    /// Requests, responses.
    pub(crate) rings: [Ring; 2],
    pub(crate) arbiter: u32,
    pub(crate) source_select: u32,
    pub(crate) coalesce_enable: u32,
    pub(crate) coalesce_control: u32,
    pub(crate) flag_enable: u32,
    /// An interrupt may be raised.
    pub(crate) is_armed: bool,
}

impl Bank {
    /// Address of the next request, if there is one and it may be taken.
    pub(crate) fn next_request(&self) -> Option<u64> {
        let ring = &self.rings[0];
        (self.arbiter & 1 != 0 && ring.head != ring.tail)
            .then(|| ring.base())?
            .map(|base| base + u64::from(ring.head))
    }

    /// Goes on to the next request.
    pub(crate) fn take_request(&mut self) {
        self.rings[0].head = self.rings[0].after(self.rings[0].head, Message::BYTES);
    }

    /// Address of the next response; none if the ring is full.
    pub(crate) fn next_response(&self) -> Option<u64> {
        let ring = &self.rings[1];
        (ring.after(ring.tail, Answer::BYTES) != ring.head)
            .then(|| ring.base())?
            .map(|base| base + u64::from(ring.tail))
    }

    /// Goes on to the next response.
    pub(crate) fn put_response(&mut self) {
        self.rings[1].tail = self.rings[1].after(self.rings[1].tail, Answer::BYTES);
    }

    /// Whether there are responses nobody has said to have read.
    pub(crate) const fn has_responses(&self) -> bool {
        self.rings[1].head != self.rings[1].tail
    }

    /// Whether responses are to be announced.
    pub(crate) const fn interrupts(&self) -> bool {
        self.is_armed
            && self.source_select == 0x44
            && self.coalesce_enable & 2 != 0
            && self.coalesce_control & 1 << 31 != 0
    }

    /// The register at an offset.
    pub(crate) fn register(&mut self, offset: u64) -> Option<&mut u32> {
        let rings = &mut self.rings;
        Some(match offset {
            0x0c0 => &mut rings[0].head,
            0x0c4 => &mut rings[1].head,
            0x100 => &mut rings[0].tail,
            0x104 => &mut rings[1].tail,
            0x1000 => &mut rings[0].config,
            0x1004 => &mut rings[1].config,
            0x1040 => &mut rings[0].low,
            0x1044 => &mut rings[1].low,
            0x1080 => &mut rings[0].high,
            0x1084 => &mut rings[1].high,
            0x16c => &mut self.flag_enable,
            0x174 => &mut self.source_select,
            0x17c => &mut self.coalesce_enable,
            0x180 => &mut self.coalesce_control,
            0x19c => &mut self.arbiter,
            _ => return None,
        })
    }
}
