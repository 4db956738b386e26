//! Settings of a queue. What waits, retries or holds memory has its bound here.

use std::time::Duration;

use svala::backend::Completion;

/// Settings of a [`QatQueue`](crate::QatQueue).
#[derive(Clone, Debug)]
pub struct QatQueueConfig {
    /// Name in results and messages.
    pub name: String,
    /// Jobs in flight at most.
    pub depth: u32,
    /// Most members of a batch.
    pub batch_max: u32,
    /// Places of each ring; a power of two. One less is in flight at most.
    pub ring_messages: u32,
    /// Whether the function announces its answers by interrupts, or is looked at. Looking has more throughput, at the price
    /// of a thread that looks.
    pub completion: Completion,
    /// Bytes of the arena: rings, bounce buffers, what callers allocate. All of it is pinned.
    pub arena_bytes: u64,
    /// Largest part of a compression between memory the function reaches.
    pub part_bytes_max: u64,
    /// The same through bounce buffers.
    pub bounce_part_bytes_max: u64,
    /// Largest stream, and largest output of one, that an expansion copies through bounce buffers. An expansion is one
    /// request: beyond this the CPU does it, as the result says.
    pub bounce_bytes_max: u64,
    /// Whether to compress with the fixed codes: faster for small pieces, larger output.
    pub fixed_codes: bool,
    /// How long a request may take until its ring pair is reset.
    pub answer_within: Duration,
    /// How long the physical function may take to take a message.
    pub pf_ack_within: Duration,
    /// How long it may take to answer one.
    pub pf_answer_within: Duration,
    /// How long a reset may take.
    pub reset_within: Duration,
    /// How often it is asked.
    pub pf_tries_max: u32,
    /// How long requests in flight are waited for before a restart goes on.
    pub quiesce_within: Duration,
    /// How long a restart may take.
    pub restart_within: Duration,
    /// Times a request is sent again, after resets it had no part in.
    pub resends_max: u32,
    /// Times a part of a job may find no room.
    pub submit_tries_max: u32,
}

impl Default for QatQueueConfig {
    fn default() -> Self {
        Self {
            name: "qat".into(),
            depth: 64,
            batch_max: 32,
            ring_messages: 128,
            completion: Completion::Notified,
            arena_bytes: 16 << 20,
            part_bytes_max: 1 << 20,
            bounce_part_bytes_max: 64 << 10,
            bounce_bytes_max: 2 << 20,
            fixed_codes: false,
            answer_within: Duration::from_secs(2),
            pf_ack_within: Duration::from_millis(100),
            pf_answer_within: Duration::from_millis(100),
            reset_within: Duration::from_secs(1),
            pf_tries_max: 3,
            quiesce_within: Duration::from_millis(200),
            restart_within: Duration::from_secs(10),
            resends_max: 3,
            submit_tries_max: 20_000,
        }
    }
}
