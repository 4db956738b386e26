//! What a descriptor costs.

use super::{Timing, float};

/// What a descriptor was, and what it costs by a [`Timing`]: modelled, and no measurement of hardware.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Served {
    /// Nanoseconds it takes of an engine, transfers included and page requests not.
    pub engine_ns: f64,
    /// Of them, those in which bytes move: the part that takes longer when other engines move bytes too.
    pub transfer_ns: f64,
    /// Nanoseconds an engine waits for answers to page requests.
    pub stall_ns: f64,
    /// Nanoseconds more until its submitter sees the record.
    pub tail_ns: f64,
    /// Bytes moved.
    pub bytes: u64,
    /// Members, if it was a batch.
    pub members: u32,
    /// Translations that were kept.
    pub translation_hits: u64,
    /// Translations that were asked for.
    pub translation_misses: u64,
    /// Page requests.
    pub page_requests: u64,
    /// Descriptors, members included, that ended at an absent page.
    pub faults: u32,
}

impl Served {
    /// An operation on `bytes` bytes of data, with all translations kept.
    pub fn operation(timing: &Timing, bytes: u64) -> Self {
        let transfer_ns = if bytes == 0 { 0.0 } else { float(bytes) / timing.bytes_per_ns + timing.gap_ns };
        let engine_ns = transfer_ns.max(timing.issue_ns);
        // What an engine is taken for is part of the latency of an operation that is alone.
        let tail_ns = (timing.latency_of(bytes) - (engine_ns - float(bytes) / timing.bytes_per_ns)).max(0.0);
        Self { engine_ns, transfer_ns, tail_ns, bytes, ..Self::default() }
    }

    /// A compression of `bytes` on an IAA.
    pub fn compression(timing: &Timing, bytes: u64) -> Self {
        Self::analytics(timing, bytes, timing.compress_page_ns)
    }

    /// A decompression to `bytes` on an IAA.
    pub fn decompression(timing: &Timing, bytes: u64) -> Self {
        Self::analytics(timing, bytes, timing.decompress_page_ns)
    }

    fn analytics(timing: &Timing, bytes: u64, page_ns: f64) -> Self {
        let engine_ns = float(bytes) / 4096.0 * page_ns;
        Self { engine_ns, tail_ns: timing.analytics_ns, bytes, ..Self::default() }
    }

    /// Operations one after the other in one batch.
    pub fn batch(timing: &Timing, members: impl IntoIterator<Item = Self>) -> Self {
        let members = members.into_iter().fold(Self::default(), |so_far, member| so_far.followed_by(&member));
        Self::of_members(timing, &members)
    }

    /// A batch of members that were put one behind the other.
    pub(super) fn of_members(timing: &Timing, members: &Self) -> Self {
        Self { tail_ns: members.tail_ns.max(timing.latency_ns) + timing.batch_ns, ..*members }
    }

    /// With another member of the same batch behind it. A batch is seen to end when its slowest member is.
    pub(super) fn followed_by(&self, member: &Self) -> Self {
        Self {
            engine_ns: self.engine_ns + member.engine_ns,
            transfer_ns: self.transfer_ns + member.transfer_ns,
            stall_ns: self.stall_ns + member.stall_ns,
            tail_ns: self.tail_ns.max(member.tail_ns),
            bytes: self.bytes + member.bytes,
            members: self.members + 1,
            translation_hits: self.translation_hits + member.translation_hits,
            translation_misses: self.translation_misses + member.translation_misses,
            page_requests: self.page_requests + member.page_requests,
            faults: self.faults + member.faults,
        }
    }

    /// With what translations, page requests and an absent page cost.
    #[must_use]
    pub(super) fn with(mut self, timing: &Timing, met: &Met) -> Self {
        self.translation_hits += met.hits;
        self.translation_misses += met.misses;
        self.page_requests += met.page_requests;
        self.faults += u32::from(met.is_stopped);
        if met.misses > 0 {
            self.tail_ns += timing.translation_miss_ns;
        }
        if met.is_stopped {
            self.tail_ns += timing.fault_ns;
        }
        self.stall_ns += float(met.page_requests) * timing.page_request_ns();
        self
    }

    /// With one absent page, at which it ended.
    #[must_use]
    pub fn with_fault(self, timing: &Timing) -> Self {
        self.with(timing, &Met { is_stopped: true, ..Met::default() })
    }

    /// With its first translation not kept.
    #[must_use]
    pub fn with_translation_miss(self, timing: &Timing) -> Self {
        self.with(timing, &Met { misses: 1, ..Met::default() })
    }

    /// With so many page requests.
    #[must_use]
    pub fn with_page_requests(self, timing: &Timing, page_requests: u64) -> Self {
        self.with(timing, &Met { page_requests, ..Met::default() })
    }

    /// Nanoseconds from submission to record on a device that does nothing else.
    pub fn alone_ns(&self) -> f64 {
        self.engine_ns + self.stall_ns + self.tail_ns
    }
}

/// What a descriptor met on its way.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Met {
    pub(super) bytes: u64,
    pub(super) hits: u64,
    pub(super) misses: u64,
    pub(super) page_requests: u64,
    pub(super) is_stopped: bool,
}
