//! The IAA queue: deflate and inflate, filters over columns, zero compression and CRCs.
//!
//! A deflate job runs in parts of at most half the queue's `transfer_bytes_max`, so that a part's output fits a
//! descriptor even where nothing compresses; the CRC goes on from part to part through the AECS. An inflate job is as many
//! descriptors as input and output need, of any size: the decoder's state goes from one to the next in the AECS, which
//! lies in the flight. Windows beyond the device's 4 KiB are left to the CPU engine, and the result says so.
//!
//! Miniblocks are compressed like anything else, with a flag. Their index is what a decompression writes that stops at the end of
//! a block. To expand some, the header of their block is decoded first, and the codes in the AECS are where it goes on from.
//!
//! A message to encrypt or to decrypt is as many descriptors as transfers, with keys and counters in the AECS. What is decrypted
//! in front of an inflate or of a filter has them there as well; of a filter that comes in parts the driver makes them for each.
//!
//! An IAA keeps nothing of a partial run: a fault starts the part again once all of its memory is there.
//!
//! UNSAFETY: promises what [`svala::backend::Queue`] asks for: the device has a job's memory only while the job flies.
#![expect(unsafe_code, reason = "implements an unsafe trait, and relies on what it is promised")]

mod analytics;
mod cipher;
mod deflate;
mod index;
mod inflate;
mod lent;
mod message;
mod workspace;

use std::cell::Cell;

use idxd_spec::iaa::Descriptor as IaaDescriptor;
use idxd_spec::iaa::{Completion as IaaCompletion, CompressAecs, DecompressAecs, DictionaryStyle};
use idxd_spec::register::IaaCap;
use idxd_spec::{Descriptor, Opcode, Status};
use svala::backend::{
    AddressMode, Capabilities, Completion, Failure, LaneFault, Member, Notifier, Polled, Queue, Refused,
    Submission, Submitted, Verdict,
};
use svala::{
    Access, Check, Cipher, CipherMode, Done, Job, MiniblockSize, Operand, Operands, Operation, Operations,
    QueueName, Span, Value, VirtAddr,
};

use crate::portal::{Accepted, Credits, Portal};
use crate::record::{IaaRecord, Records, Trust};
use analytics::{Analytics, Decryption};
use cipher::Ciphering;
use deflate::{Deflating, Order};
use index::Indexing;
use inflate::{Inflating, Middle, Ranges};
use workspace::Workspace;

/// What the driver has to know of a work queue.
#[derive(Clone, Debug)]
pub struct IaaQueueConfig {
    /// Name in results and messages.
    pub name: String,
    /// Jobs in flight at most.
    pub depth: u32,
    /// Largest transfer of one descriptor, in bytes.
    pub transfer_bytes_max: u32,
    /// Whether descriptors may set block-on-fault.
    pub block_on_fault: bool,
    /// Entries of a dedicated queue; none for a shared one.
    pub dedicated_size: Option<u32>,
    /// Times a part may be refused.
    pub submit_tries_max: u32,
    /// What the device can do beyond the first ones.
    pub iaa_cap: IaaCap,
    /// Whether the device knows miniblocks (IAA §7.2.1, Indexing Support).
    pub indexing: bool,
}

impl Default for IaaQueueConfig {
    fn default() -> Self {
        Self {
            name: "wq".into(),
            depth: 64,
            transfer_bytes_max: 2 << 20,
            block_on_fault: false,
            dedicated_size: None,
            submit_tries_max: 20_000,
            iaa_cap: IaaCap(0),
            indexing: false,
        }
    }
}

/// An IAA work queue.
#[derive(Debug)]
pub struct IaaQueue<P> {
    portal: P,
    capabilities: Capabilities,
    transfer_bytes_max: u64,
    submit_tries_max: u32,
    iaa_cap: IaaCap,
    credits: Credits,
    trust: Trust,
}

/// What follows a descriptor.
enum Next {
    /// Another one.
    Descriptor,
    /// The job's end.
    End(Done),
}

/// Where a flight stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    ToSubmit,
    Submitted,
    Faulted,
    Cancelled,
}

/// How far a job has come.
#[derive(Clone, Copy, Debug)]
struct Progress {
    state: State,
    block_on_fault: bool,
    /// Input bytes that are done with.
    read: u64,
    tries: u32,
}

/// The memory of one slot.
pub struct IaaFlight {
    record: Records<IaaRecord>,
    /// What a job keeps between descriptors.
    workspace: Box<Workspace>,
    inflating: Cell<Inflating>,
    deflating: Cell<Deflating>,
    indexing: Cell<Indexing>,
    analytics: Cell<Analytics>,
    ciphering: Cell<Ciphering>,
    descriptor: Cell<IaaDescriptor>,
    job: Cell<Job>,
    progress: Cell<Progress>,
}

/// Bytes of a group of 64 of the widest elements: what a filter needs to be cut.
const GROUP_BYTES_MAX: u64 = 256;
/// Bytes of two groups of 128: what an encrypted column needs.
const ENCRYPTED_GROUPS_BYTES_MAX: u64 = 1024;

/// What an IAA does beside compression, and the opcodes of it.
pub(crate) const ANALYTICS: [(Operation, Opcode); 23] = [
    (Operation::Scan, Opcode::SCAN),
    (Operation::SetMembership, Opcode::SET_MEMBERSHIP),
    (Operation::Extract, Opcode::EXTRACT),
    (Operation::Select, Opcode::SELECT),
    (Operation::Expand, Opcode::EXPAND),
    (Operation::RleBurst, Opcode::RLE_BURST),
    (Operation::FindUnique, Opcode::FIND_UNIQUE),
    (Operation::ZeroCompress8, Opcode::ZERO_COMPRESS_8),
    (Operation::ZeroCompress16, Opcode::ZERO_COMPRESS_16),
    (Operation::ZeroCompress32, Opcode::ZERO_COMPRESS_32),
    (Operation::ZeroDecompress8, Opcode::ZERO_DECOMPRESS_8),
    (Operation::ZeroDecompress16, Opcode::ZERO_DECOMPRESS_16),
    (Operation::ZeroDecompress32, Opcode::ZERO_DECOMPRESS_32),
    (Operation::CrcAny, Opcode::CRC64),
    (Operation::TranslationFetch, Opcode::TRANSLATION_FETCH),
    (Operation::EncryptGcm, Opcode::ENCRYPT),
    (Operation::DecryptGcm, Opcode::DECRYPT),
    (Operation::EncryptCfb, Opcode::ENCRYPT),
    (Operation::DecryptCfb, Opcode::DECRYPT),
    (Operation::EncryptXts, Opcode::ENCRYPT),
    (Operation::DecryptXts, Opcode::DECRYPT),
    (Operation::DecryptScan, Opcode::SCAN),
    (Operation::DecryptExtract, Opcode::EXTRACT),
];

/// What needs some mode of encryption in front.
const DECRYPTING: [Operation; 3] =
    [Operation::DecryptInflate, Operation::DecryptScan, Operation::DecryptExtract];

/// What needs to know miniblocks.
const MINIBLOCKS: [Operation; 3] =
    [Operation::DeflateMiniblocks, Operation::IndexMiniblocks, Operation::InflateMiniblocks];

/// Which modes of encryption a device has (IAA §7.2.2).
fn missing_modes(iaa_cap: IaaCap) -> impl Iterator<Item = Operation> {
    [
        (CipherMode::Gcm, iaa_cap.crypto_gcm()),
        (CipherMode::Cfb, iaa_cap.crypto_cfb()),
        (CipherMode::Xts, iaa_cap.crypto_xts()),
    ]
    .into_iter()
    .filter(|(_, is_there)| !is_there)
    .flat_map(|(mode, _)| [true, false].map(|encrypts| Operation::of_cipher(mode, encrypts)))
}

/// What a queue does with transfers of at most so many bytes: the AECS is a transfer too (IAA §6.1.11).
fn operations(transfer_bytes_max: u64, iaa_cap: IaaCap, indexing: bool) -> Operations {
    let needs = [
        (Operation::Deflate, CompressAecs::SIZE as u64),
        (Operation::Inflate, DecompressAecs::SIZE as u64),
        (Operation::DeflateDictionary, DictionaryStyle::LongDeep.aecs_bytes() as u64),
        (Operation::InflateDictionary, DecompressAecs::SIZE as u64),
        (Operation::DecryptInflate, DecompressAecs::SIZE as u64),
        // A part is half a transfer, and at least a miniblock.
        (Operation::DeflateMiniblocks, 2 * MiniblockSize::Kib32.bytes()),
        (Operation::IndexMiniblocks, DecompressAecs::SIZE as u64),
        (Operation::InflateMiniblocks, DecompressAecs::SIZE as u64),
    ];
    let analytics = ANALYTICS.into_iter().map(|(operation, _)| match operation {
        Operation::DecryptScan | Operation::DecryptExtract => (operation, ENCRYPTED_GROUPS_BYTES_MAX),
        _ => (operation, GROUP_BYTES_MAX),
    });
    let offered = needs.into_iter().chain(analytics).filter(|(_, bytes)| *bytes <= transfer_bytes_max);
    let offered = offered.fold(Operations::NONE, |operations, (operation, _)| operations.with(operation));
    let offered = match iaa_cap.dictionary() {
        true => offered,
        false => offered.without(Operation::DeflateDictionary),
    };
    // A block, and a miniblock, begins at any bit.
    let offered = match (indexing, iaa_cap.drop_initial_bits()) {
        (true, true) => offered,
        (true, false) => offered.without_any_of(&[Operation::IndexMiniblocks, Operation::InflateMiniblocks]),
        (false, _) => offered.without_any_of(&MINIBLOCKS),
    };
    let offered = missing_modes(iaa_cap).fold(offered, Operations::without);
    match CipherMode::ALL.into_iter().any(|mode| offered.contains(Operation::of_cipher(mode, false))) {
        true => offered,
        false => offered.without_any_of(&DECRYPTING),
    }
}

impl<P: Portal> IaaQueue<P> {
    /// A queue that writes to `portal`.
    pub fn new(portal: P, config: &IaaQueueConfig) -> Self {
        let notified = portal.completion() == Completion::Notified;
        let transfer_bytes_max = u64::from(config.transfer_bytes_max).max(64);
        let capabilities = Capabilities {
            name: QueueName::new(&config.name),
            kind: portal.kind(),
            operations: operations(transfer_bytes_max, config.iaa_cap, config.indexing),
            address_mode: AddressMode::Sva,
            completion: portal.completion(),
            depth: config.depth.max(1),
            batch_max: 1,
            unsplit_bytes_max: transfer_bytes_max,
            block_on_fault: config.block_on_fault,
            adler32: false,
            spin_bytes_max: if notified { 0 } else { 4 << 10 },
            spin_polls: if notified { 0 } else { 200 },
            numa_node: None,
        };
        Self {
            portal,
            capabilities,
            transfer_bytes_max,
            submit_tries_max: config.submit_tries_max,
            iaa_cap: config.iaa_cap,
            credits: config.dedicated_size.map_or(Credits::shared(), Credits::dedicated),
            trust: Trust::default(),
        }
    }

    /// The portal.
    pub const fn portal(&self) -> &P {
        &self.portal
    }

    /// The same queue, of a device at this memory node.
    #[must_use]
    pub fn at_node(mut self, numa_node: Option<u16>) -> Self {
        self.capabilities.numa_node = numa_node;
        self
    }

    /// The same queue without `operation`, which its device or its configuration does not allow.
    #[must_use]
    pub fn without(mut self, operation: Operation) -> Self {
        self.capabilities.operations = self.capabilities.operations.without(operation);
        self
    }

    /// Makes the descriptor of the next part.
    fn load(&self, flight: &IaaFlight) -> Result<(), Failure> {
        flight.record.turn().map_err(|record| self.trust.end(record))?;
        let mut progress = flight.progress.get();
        let descriptor = match flight.job.get() {
            Job::Deflate { .. } | Job::DeflateDictionary { .. } | Job::DeflateMiniblocks { .. } => {
                let mut deflating = flight.deflating.get();
                let (order, _) = self.order(flight).ok_or(Failure::Unsupported)?;
                let descriptor = deflating.load(order, &flight.workspace)?;
                flight.deflating.set(deflating);
                descriptor
            }
            Job::Inflate { .. }
            | Job::InflateDictionary { .. }
            | Job::DecryptInflate { .. }
            | Job::InflateMiniblocks { .. } => {
                let mut inflating = flight.inflating.get();
                let (ranges, _) = self.ranges(flight).ok_or(Failure::Unsupported)?;
                let descriptor = inflating.load(ranges, &flight.workspace)?;
                flight.inflating.set(inflating);
                descriptor
            }
            Job::IndexMiniblocks { .. } => {
                let mut indexing = flight.indexing.get();
                let order = self.index_order(flight).ok_or(Failure::Unsupported)?;
                let descriptor = indexing.load(order, &flight.workspace)?;
                flight.indexing.set(indexing);
                descriptor
            }
            job if analytics::is_analytics(&job) => {
                let mut analytics = flight.analytics.get();
                let format_2 = self.iaa_cap.generation_2();
                let decryption = flight.cipher_in_front().map(|cipher| Decryption { cipher, format_2 });
                let descriptor =
                    analytics.load(&job, decryption, self.transfer_bytes_max, &flight.workspace)?;
                flight.analytics.set(analytics);
                descriptor
            }
            Job::Cipher { .. } => {
                let mut ciphering = flight.ciphering.get();
                let order = self.cipher_order(flight).ok_or(Failure::Unsupported)?;
                let descriptor = ciphering.load(order, &flight.workspace)?;
                flight.ciphering.set(ciphering);
                descriptor
            }
            _ => return Err(Failure::Unsupported),
        };
        let mut descriptor = descriptor.with_completion(flight.record.addr());
        if progress.block_on_fault {
            descriptor = descriptor.with_block_on_fault();
        }
        flight.descriptor.set(descriptor);
        progress.state = State::ToSubmit;
        flight.progress.set(progress);
        Ok(())
    }

    /// The ranges of an inflate job, and its checksum.
    fn ranges<'f>(&self, flight: &'f IaaFlight) -> Option<(Ranges<'f>, Check)> {
        let mut middle = None;
        let (src, dst, dictionary, check) = match flight.job.get() {
            Job::Inflate { src, dst, check } => (src, dst, None, check),
            Job::InflateDictionary { src, dst, dictionary, check } => (src, dst, Some(dictionary), check),
            Job::DecryptInflate { src, dst, check, .. } => (src, dst, None, check),
            Job::InflateMiniblocks { src, dst, miniblocks } => {
                middle = Some(Middle { header: miniblocks.header_span(src), miniblocks });
                (miniblocks.span(src), dst, None, Check::Crc32)
            }
            _ => return None,
        };
        let cipher = flight.cipher_in_front();
        let (transfer_bytes_max, format_2) = (self.transfer_bytes_max, self.iaa_cap.generation_2());
        Some((Ranges { src, dst, transfer_bytes_max, dictionary, cipher, format_2, middle }, check))
    }

    /// What a deflate job asks, and its checksum.
    fn order(&self, flight: &IaaFlight) -> Option<(Order, Check)> {
        let mut miniblocks = None;
        let (src, dst, level, last, check, dictionary) = match flight.job.get() {
            Job::DeflateMiniblocks { src, dst, size, level, last, check } => {
                miniblocks = Some(size);
                (src, dst, level, last, check, None)
            }
            Job::Deflate { src, dst, level, last, check } => (src, dst, level, last, check, None),
            Job::DeflateDictionary { src, dst, dictionary, level, last, check } => {
                (src, dst, level, last, check, Some(dictionary))
            }
            _ => return None,
        };
        let (transfer_bytes_max, generates) = (self.transfer_bytes_max, self.iaa_cap.header_generation());
        Some((Order { src, dst, level, last, transfer_bytes_max, generates, dictionary, miniblocks }, check))
    }

    /// What a flight's job asks, if it is to make an index.
    fn index_order(&self, flight: &IaaFlight) -> Option<index::Order> {
        let Job::IndexMiniblocks { src, dst, size, start } = flight.job.get() else { return None };
        let (transfer_bytes_max, format_2) = (self.transfer_bytes_max, self.iaa_cap.generation_2());
        Some(index::Order { src, dst, size, start, transfer_bytes_max, format_2 })
    }

    /// What a flight's job asks, if it is to encrypt or to decrypt.
    fn cipher_order<'f>(&self, flight: &'f IaaFlight) -> Option<cipher::Order<'f>> {
        let job = flight.job.get();
        // SAFETY: called between `submit` and the end of the job only.
        unsafe { cipher::Order::of(&job, self.transfer_bytes_max, self.iaa_cap.generation_2()) }
    }

    fn write(&self, flight: &IaaFlight) -> bool {
        if !self.credits.take() {
            return false;
        }
        let bytes = *flight.descriptor.get().as_bytes();
        let accepted = self.portal.submit(&Descriptor::from_bytes(bytes)) == Accepted::Yes;
        if accepted {
            flight.set_state(State::Submitted);
        } else {
            self.credits.give();
        }
        accepted
    }

    fn completed(&self, flight: &IaaFlight, record: &[u8; 64]) -> Polled {
        let done = IaaCompletion::from_bytes(record);
        let status = done.status();
        match status.without_write() {
            Status::SUCCESS | Status::OUTPUT_OVERFLOW | Status::ANALYTICS_ERROR if flight.inflates() => {
                self.inflated(flight, &done)
            }
            Status::SUCCESS | Status::ANALYTICS_ERROR if flight.deflates() => {
                self.deflated(flight, &done, record)
            }
            Status::SUCCESS | Status::ANALYTICS_ERROR if flight.indexes() => self.indexed(flight, &done),
            Status::SUCCESS if analytics::is_analytics(&flight.job.get()) => self.analysed(flight, &done),
            Status::SUCCESS if matches!(flight.job.get(), Job::Cipher { .. }) => self.ciphered(flight, &done),
            Status::PAGE_FAULT | Status::PAGE_REQUEST_INVALID => {
                flight.set_state(State::Faulted);
                Polled::Fault(flight.fault(&done))
            }
            _ => {
                flight.set_state(State::Idle);
                Polled::Done(Err(failure(flight, &done, record)))
            }
        }
    }

    /// A descriptor of an inflate job is over.
    fn inflated(&self, flight: &IaaFlight, done: &IaaCompletion) -> Polled {
        flight.set_state(State::Idle);
        let Some((ranges, check)) = self.ranges(flight) else { return Polled::Pending };
        let mut inflating = flight.inflating.get();
        let room = flight.descriptor.get().dst_size_max().into();
        let next = match done.status().without_write() {
            Status::ANALYTICS_ERROR => inflating.failed(done.error_code(), ranges),
            _ => inflating.done(done, room, ranges, &flight.workspace),
        };
        flight.inflating.set(inflating);
        let mut progress = flight.progress.get();
        progress.read = inflating.taken();
        flight.progress.set(progress);
        match next {
            inflate::Next::Descriptor => self.go_on(flight),
            inflate::Next::End(read) => {
                let check = if check == Check::None { 0 } else { inflating.crc };
                let value = Value::Inflate { read, written: inflating.written, check };
                Polled::Done(Ok(Done { bytes: read, value }))
            }
            inflate::Next::Failed(failure) => Polled::Done(Err(failure)),
        }
    }

    /// The next descriptor of the same job.
    fn go_on(&self, flight: &IaaFlight) -> Polled {
        match self.load(flight) {
            Ok(()) => self.advance(flight),
            Err(failure) => Polled::Done(Err(failure)),
        }
    }

    fn follow(&self, flight: &IaaFlight, next: Result<Next, Failure>) -> Polled {
        match next {
            Ok(Next::Descriptor) => self.go_on(flight),
            Ok(Next::End(done)) => Polled::Done(Ok(done)),
            Err(failure) => Polled::Done(Err(failure)),
        }
    }

    /// A descriptor of an index is over.
    fn indexed(&self, flight: &IaaFlight, done: &IaaCompletion) -> Polled {
        flight.set_state(State::Idle);
        let Some(order) = self.index_order(flight) else { return Polled::Pending };
        let mut indexing = flight.indexing.get();
        let room = flight.descriptor.get().dst_size_max().into();
        let next = match done.status().without_write() {
            Status::ANALYTICS_ERROR => indexing.failed(done.error_code(), room, order),
            _ => indexing.done(done, room, order, &flight.workspace),
        };
        flight.indexing.set(indexing);
        flight.progress.set(Progress { read: indexing.taken(), ..flight.progress.get() });
        self.follow(flight, next)
    }

    /// A descriptor of a filter, of zero compression or of a CRC has ended well.
    fn analysed(&self, flight: &IaaFlight, done: &IaaCompletion) -> Polled {
        flight.set_state(State::Idle);
        let job = flight.job.get();
        let mut analytics = flight.analytics.get();
        let next = analytics.done(&job, flight.cipher_in_front(), done, &flight.workspace);
        flight.analytics.set(analytics);
        let mut progress = flight.progress.get();
        progress.read = analytics.done_bytes(&job);
        flight.progress.set(progress);
        self.follow(flight, next)
    }

    /// A descriptor of a cipher job has ended well.
    fn ciphered(&self, flight: &IaaFlight, done: &IaaCompletion) -> Polled {
        flight.set_state(State::Idle);
        let Some(order) = self.cipher_order(flight) else { return Polled::Pending };
        let mut ciphering = flight.ciphering.get();
        let next = ciphering.done(order, done);
        flight.ciphering.set(ciphering);
        flight.progress.set(Progress { read: ciphering.read, ..flight.progress.get() });
        self.follow(flight, next)
    }

    /// A descriptor of a deflate job is over.
    fn deflated(&self, flight: &IaaFlight, done: &IaaCompletion, record: &[u8; 64]) -> Polled {
        flight.set_state(State::Idle);
        let Some((order, check)) = self.order(flight) else { return Polled::Pending };
        let mut deflating = flight.deflating.get();
        let next = match done.status().without_write() {
            Status::ANALYTICS_ERROR => deflating.failed(done.error_code(), order),
            _ => {
                deflating.done(done, flight.descriptor.get().dst_size_max().into(), order, &flight.workspace)
            }
        };
        flight.deflating.set(deflating);
        flight.progress.set(Progress { read: deflating.read, ..flight.progress.get() });
        match next {
            deflate::Next::Descriptor => self.go_on(flight),
            deflate::Next::End => {
                let check = if check == Check::None { 0 } else { deflating.crc };
                let value = Value::Deflate { written: deflating.written, check };
                Polled::Done(Ok(Done { bytes: deflating.read, value }))
            }
            deflate::Next::Failed(failure) => Polled::Done(Err(failure)),
            deflate::Next::Status => Polled::Done(Err(failure(flight, done, record))),
        }
    }

    fn look(&self, flight: &IaaFlight) -> Polled {
        match flight.progress.get().state {
            State::Idle | State::Cancelled => {
                flight.set_state(State::Idle);
                Polled::Done(Err(Failure::Cancelled))
            }
            State::Faulted => Polled::Pending,
            State::ToSubmit => self.advance(flight),
            State::Submitted => {
                let Some(record) = flight.record.iaa() else { return Polled::Pending };
                flight.record.clear();
                self.credits.give();
                self.completed(flight, &record)
            }
        }
    }

    fn advance(&self, flight: &IaaFlight) -> Polled {
        if self.write(flight) {
            return Polled::Pending;
        }
        let mut progress = flight.progress.get();
        progress.tries += 1;
        if progress.tries < self.submit_tries_max {
            flight.progress.set(progress);
            return Polled::Stalled;
        }
        flight.set_state(State::Idle);
        Polled::Done(Err(Failure::Refused { tries: progress.tries }))
    }
}

/// What a status is that no step of a job expects.
fn failure(flight: &IaaFlight, done: &IaaCompletion, record: &[u8; 64]) -> Failure {
    let status = done.status();
    if status.without_write() == Status::ANALYTICS_ERROR
        && let Some(failure) = analytics::failure(&flight.job.get(), done.error_code())
    {
        return failure;
    }
    match status.name() {
        Some(name) => Failure::Status { status: status.0, name, done_bytes: flight.progress.get().read },
        None => {
            let mut head = [0; 8];
            head.copy_from_slice(&record[..8]);
            let record = u64::from_le_bytes(head);
            Failure::Nonsense { what: "status the specification does not have", record }
        }
    }
}

impl IaaFlight {
    fn set_state(&self, state: State) {
        self.progress.set(Progress { state, ..self.progress.get() });
    }

    fn inflates(&self) -> bool {
        matches!(
            self.job.get(),
            Job::Inflate { .. }
                | Job::InflateDictionary { .. }
                | Job::DecryptInflate { .. }
                | Job::InflateMiniblocks { .. }
        )
    }

    fn deflates(&self) -> bool {
        matches!(
            self.job.get(),
            Job::Deflate { .. } | Job::DeflateDictionary { .. } | Job::DeflateMiniblocks { .. }
        )
    }

    fn indexes(&self) -> bool {
        matches!(self.job.get(), Job::IndexMiniblocks { .. })
    }

    /// Overwrites what a cipher job has put into the AECS.
    fn forget_keys(&self) {
        let job = self.job.get();
        if matches!(job, Job::Cipher { .. }) || job.decryption().is_some() {
            self.workspace.wipe_crypto();
        }
    }

    /// The cipher of a job that decrypts in front of something else.
    fn cipher_in_front(&self) -> Option<&Cipher> {
        // SAFETY: called between `submit` and the end of the job only.
        unsafe { cipher::in_front(&self.job.get()) }
    }

    /// All the part needs, the AECS in the flight too: nothing of it is kept.
    fn fault(&self, done: &IaaCompletion) -> LaneFault {
        let descriptor = self.descriptor.get();
        let status = done.status();
        let operand = |addr: u64, bytes: u64, access| {
            let span = Span::new(VirtAddr::new(addr), bytes);
            (bytes != 0).then_some(Operand { span, access })
        };
        // Source 2 is two areas of its size, of which a descriptor may write one.
        let aecs = match self.job.get() {
            _ if self.inflates() || self.indexes() => Some(self.workspace.aecs()),
            Job::Cipher { .. } => Some(self.workspace.crypto_area()),
            Job::Filter { .. } if descriptor.opcode() == Opcode::DECRYPT => {
                Some(self.workspace.crypto_area())
            }
            _ => Deflating::area(&descriptor, &self.workspace),
        };
        let aecs = aecs.map(|span| Operand { span, access: Access::Write });
        // Parameters of a filter, or its second input: only read.
        let second = operand(descriptor.src2_addr(), descriptor.src2_size().into(), Access::Read);
        let reads = analytics::is_analytics(&self.job.get()) && descriptor.opcode() != Opcode::DECRYPT;
        let aecs = if reads { second } else { aecs };
        let rest: Operands = [
            operand(descriptor.src1_addr(), descriptor.src1_size().into(), Access::Read),
            operand(descriptor.dst_addr(), descriptor.dst_size_max().into(), Access::Write),
            aecs,
            None,
        ];
        LaneFault {
            lane: 0,
            access: if status.is_write_fault() { Access::Write } else { Access::Read },
            addr: VirtAddr::new(done.fault_addr()),
            done_bytes: self.progress.get().read,
            unbroken_bytes: self.progress.get().read,
            status: status.0,
            rest,
            restarts: true,
        }
    }
}

// SAFETY: descriptors name only parts of their job's operands and the flight's own record and tables; one is under
// way exactly in `Submitted`, and neither `Polled::Done` nor a refusal is answered there.
unsafe impl<P: Portal> Queue for IaaQueue<P> {
    type Flight = IaaFlight;

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn flight(&self) -> IaaFlight {
        let nothing = Span::default();
        IaaFlight {
            record: Records::default(),
            workspace: Workspace::new(),
            inflating: Cell::new(Inflating::default()),
            deflating: Cell::new(Deflating::default()),
            indexing: Cell::new(Indexing::default()),
            analytics: Cell::new(Analytics::START),
            ciphering: Cell::new(Ciphering::default()),
            descriptor: Cell::new(IaaDescriptor::noop()),
            job: Cell::new(Job::Inflate { src: nothing, dst: nothing, check: Check::None }),
            progress: Cell::new(Progress { state: State::Idle, block_on_fault: false, read: 0, tries: 0 }),
        }
    }

    fn attach(&self, notifier: Notifier) {
        self.portal.attach(notifier);
    }

    unsafe fn submit(
        &self,
        flight: &IaaFlight,
        job: &Job,
        submission: Submission,
    ) -> Result<Submitted, Refused> {
        self.trust.check()?;
        if submission.block_on_fault && !self.capabilities.block_on_fault {
            return Err(Refused::Failed(Failure::Unsupported));
        }
        flight.job.set(*job);
        flight.inflating.set(Inflating::default());
        flight.deflating.set(Deflating::default());
        flight.indexing.set(Indexing::default());
        flight.analytics.set(Analytics::START);
        flight.ciphering.set(Ciphering::default());
        flight.progress.set(Progress {
            state: State::Idle,
            block_on_fault: submission.block_on_fault,
            read: 0,
            tries: 0,
        });
        let refused = match self.load(flight) {
            Ok(()) if self.write(flight) => return Ok(Submitted::Flying),
            Ok(()) => Refused::Busy,
            Err(failure) => Refused::Failed(failure),
        };
        flight.set_state(State::Idle);
        flight.forget_keys();
        Err(refused)
    }

    unsafe fn submit_batch(
        &self,
        _flight: &IaaFlight,
        _members: &mut [Member],
        _submission: Submission,
    ) -> Result<Submitted, Refused> {
        // An IAA has no batch descriptor (IAA §7).
        Err(Refused::Failed(Failure::Unsupported))
    }

    fn poll(&self, flight: &IaaFlight, _members: &mut [Member]) -> Polled {
        let polled = self.look(flight);
        if matches!(polled, Polled::Done(_)) {
            flight.forget_keys();
        }
        polled
    }

    fn watch(&self, flight: &IaaFlight) -> Option<*const u8> {
        Some(flight.record.line())
    }

    fn resume(&self, flight: &IaaFlight, _members: &mut [Member], _lane: u16, verdict: Verdict) {
        if flight.progress.get().state == State::Faulted {
            let mut progress = flight.progress.get();
            progress.state = match verdict {
                Verdict::Resubmit => match flight.record.turn() {
                    Ok(()) => State::ToSubmit,
                    Err(record) => {
                        let _ = self.trust.end(record);
                        State::Cancelled
                    }
                },
                Verdict::Cancel => State::Cancelled,
            };
            let addr = flight.record.addr();
            flight.descriptor.set(flight.descriptor.get().with_completion(addr));
            flight.progress.set(progress);
        }
    }

    fn held_max(&self) -> u32 {
        self.portal.held_max()
    }

    fn close(&self) {
        self.portal.close();
    }
}
