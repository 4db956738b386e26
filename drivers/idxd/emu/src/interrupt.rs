//! Interrupts: who may raise which, why interrupt 0 was raised, and where the messages go (DSA §3.7).
//!
//! The MSI-X table itself belongs to PCI and so to the embedder, who masks and delivers; the permissions beside it and
//! the interrupt message storage are the device's. Nothing is delivered under a lock: an embedder may come back with a
//! register access.

use std::sync::Arc;

use idxd_spec::register::{CmdError, ImsControl, IntCause, InterruptEntry, MsixPerm};
use parking_lot::{Mutex, RwLock};

/// Where interrupts go. Called on the thread that raises them: an engine's, or one that writes a register.
pub trait InterruptSink: Send + Sync {
    /// Entry `vector` of the MSI-X table was raised. Its mask bit is the sink's business.
    fn msix(&self, vector: u16);

    /// An entry of the interrupt message storage was raised: writes `data` to `address`.
    fn message(&self, address: u64, data: u32) {
        let _ = (address, data);
    }
}

/// The cause of an interrupt of entry 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    SoftwareError,
    Command,
    PerformanceOverflow,
    Halt,
    EventLog,
    HandlesRevoked,
}

impl Cause {
    fn bit(self) -> u32 {
        match self {
            Self::SoftwareError => IntCause(0).with_software_error(true),
            Self::Command => IntCause(0).with_command(true),
            Self::PerformanceOverflow => IntCause(0).with_performance_overflow(true),
            Self::Halt => IntCause(0).with_halt(true),
            Self::EventLog => IntCause(0).with_event_log(true),
            Self::HandlesRevoked => IntCause(0).with_interrupt_handles_revoked(true),
        }
        .0
    }
}

/// One entry of the interrupt message storage.
#[derive(Clone, Copy)]
struct Message {
    address: u64,
    data: u32,
    control: ImsControl,
}

impl Default for Message {
    fn default() -> Self {
        Self { address: ImsControl::ADDRESS, data: 0, control: ImsControl(0).with_mask(true) }
    }
}

struct State {
    cause: u32,
    permissions: Vec<MsixPerm>,
    storage: Vec<Message>,
    /// Handles given out: the handle, and what it stands for. Only where they have to be asked for.
    handles: Vec<(u16, InterruptEntry)>,
    handle_next: u16,
}

/// What a message is about to say.
#[derive(Clone, Copy)]
enum Delivery {
    Msix(u16),
    Message(u64, u32),
}

pub(crate) struct Interrupts {
    /// Handles that can be given out; `None` where the index is the handle.
    handles_max: Option<u16>,
    state: Mutex<State>,
    sink: RwLock<Option<Arc<dyn InterruptSink>>>,
}

/// Which table a raised entry was in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Raised {
    Msix,
    Storage,
}

/// The first handle given out: none is a table index, so that a driver that mixes the two up is found out.
const HANDLE_FIRST: u16 = 0x1000;

impl Interrupts {
    pub(crate) fn new(vectors: u16, messages: u16, handles_max: Option<u16>) -> Self {
        let state = State {
            cause: 0,
            permissions: vec![MsixPerm(0); vectors.into()],
            storage: vec![Message::default(); messages.into()],
            handles: Vec::new(),
            handle_next: HANDLE_FIRST,
        };
        Self { handles_max, state: Mutex::new(state), sink: RwLock::new(None) }
    }

    pub(crate) fn set_sink(&self, sink: Arc<dyn InterruptSink>) {
        *self.sink.write() = Some(sink);
    }

    /// Everything back to its first values.
    pub(crate) fn reset(&self) {
        let mut state = self.state.lock();
        state.cause = 0;
        state.permissions.fill(MsixPerm(0));
        state.storage.fill(Message::default());
        state.handles.clear();
    }

    /// Raises entry 0 for `cause`.
    pub(crate) fn raise(&self, cause: Cause) {
        self.state.lock().cause |= cause.bit();
        self.deliver(Delivery::Msix(0));
    }

    /// Raises the entry of an occupancy interrupt: neither PASID nor Ignore is looked at (§3.7).
    pub(crate) fn raise_occupancy(&self, handle: u16, storage: bool) -> Option<Raised> {
        let entry = self.entry(handle, storage)?;
        if entry == (InterruptEntry { index: 0, storage: false }) {
            self.state.lock().cause |= IntCause(0).with_occupancy(true).0;
        }
        self.raise_entry(entry, true)
    }

    /// The entry that a descriptor may raise: the handle is good, and the entry is for its PASID (§5.4, table 5-2).
    pub(crate) fn permitted(&self, handle: u16, storage: bool, pasid: Option<u32>) -> Option<InterruptEntry> {
        let entry = self.entry(handle, storage)?;
        let state = self.state.lock();
        let index = usize::from(entry.index);
        let wanted = match entry.storage {
            false => {
                let permission = state.permissions.get(index)?;
                permission.pasid_enable().then_some(permission.pasid())
            }
            true => {
                let control = state.storage.get(index)?.control;
                control.pasid_enable().then_some(control.pasid())
            }
        };
        (wanted == pasid).then_some(entry)
    }

    /// Raises the entry of a completed descriptor, unless it is ignored.
    pub(crate) fn raise_completion(&self, entry: InterruptEntry) -> Option<Raised> {
        self.raise_entry(entry, false)
    }

    /// Whether a handle stands for an entry.
    pub(crate) fn entry(&self, handle: u16, storage: bool) -> Option<InterruptEntry> {
        let state = self.state.lock();
        if self.handles_max.is_some() {
            let given =
                |(given, entry): &&(u16, InterruptEntry)| *given == handle && entry.storage == storage;
            return state.handles.iter().find(given).map(|(_, entry)| *entry);
        }
        let entry = InterruptEntry { index: handle, storage };
        state.has(entry).then_some(entry)
    }

    /// Whether handles have to be asked for.
    pub(crate) fn needs_handles(&self) -> bool {
        self.handles_max.is_some()
    }

    /// The Request Interrupt Handle command. An entry that has a handle keeps it.
    pub(crate) fn request(&self, entry: InterruptEntry) -> Result<u16, CmdError> {
        let mut state = self.state.lock();
        if !state.has(entry) {
            return Err(CmdError::INTERRUPT_INDEX);
        }
        if let Some((handle, _)) = state.handles.iter().find(|(_, of)| *of == entry) {
            return Ok(*handle);
        }
        if state.handles.len() >= usize::from(self.handles_max.unwrap_or(0)) {
            return Err(CmdError::NO_INTERRUPT_HANDLE);
        }
        let handle = state.handle_next;
        state.handle_next = handle.checked_add(1).unwrap_or(HANDLE_FIRST);
        state.handles.push((handle, entry));
        Ok(handle)
    }

    /// The Release Interrupt Handle command.
    pub(crate) fn release(&self, entry: InterruptEntry) -> Result<(), CmdError> {
        let mut state = self.state.lock();
        let at = state.handles.iter().position(|(_, of)| *of == entry).ok_or(CmdError::INTERRUPT_INDEX)?;
        state.handles.remove(at);
        Ok(())
    }

    /// Takes all handles back, as the host of a virtual device does (§3.7). Says whether there were any.
    pub(crate) fn revoke(&self) -> bool {
        let mut state = self.state.lock();
        let had_some = !state.handles.is_empty();
        state.handles.clear();
        drop(state);
        if had_some {
            self.raise(Cause::HandlesRevoked);
        }
        had_some
    }

    pub(crate) fn cause(&self) -> u32 {
        self.state.lock().cause
    }

    pub(crate) fn clear_cause(&self, bits: u32) {
        self.state.lock().cause &= !bits;
    }

    pub(crate) fn permission(&self, index: usize) -> u32 {
        self.state.lock().permissions.get(index).map_or(0, |permission| permission.0)
    }

    pub(crate) fn set_permission(&self, index: usize, value: u32, mask: u32) {
        if let Some(permission) = self.state.lock().permissions.get_mut(index) {
            let mask = mask & MsixPerm::MASK;
            permission.0 = permission.0 & !mask | value & mask;
        }
    }

    /// The word at `offset`, a multiple of 8, of the interrupt message storage.
    pub(crate) fn storage_word(&self, offset: u64) -> u64 {
        let state = self.state.lock();
        let Some(message) = state.message(offset) else { return 0 };
        if offset.is_multiple_of(ImsControl::ENTRY_SIZE) {
            message.address
        } else {
            u64::from(message.data) | u64::from(message.control.0) << 32
        }
    }

    /// Writes the bits of `mask`. Unmasking an entry that is pending raises it.
    pub(crate) fn set_storage_word(&self, offset: u64, value: u64, mask: u64) {
        let mut state = self.state.lock();
        let Some(message) = state.message_mut(offset) else { return };
        if offset.is_multiple_of(ImsControl::ENTRY_SIZE) {
            let address = (message.address & !mask | value & mask) & !3;
            if address >> 20 == ImsControl::ADDRESS >> 20 {
                message.address = address;
            }
            return;
        }
        let high = |word: u64| u32::try_from(word >> 32).unwrap_or(0);
        let merged = u64::from(message.data) & !mask | value & mask;
        message.data = crate::index::low_half(merged);
        let control_mask = high(mask) & ImsControl::MASK;
        message.control.0 = message.control.0 & !control_mask | high(value) & control_mask;
        if message.control.pending() && !message.control.mask() {
            message.control = message.control.with_pending(false);
            let delivery = Delivery::Message(message.address, message.data);
            drop(state);
            self.deliver(delivery);
        }
    }

    fn raise_entry(&self, entry: InterruptEntry, even_if_ignored: bool) -> Option<Raised> {
        let mut state = self.state.lock();
        let index = usize::from(entry.index);
        if !entry.storage {
            let is_ignored = state.permissions.get(index)?.ignore() && !even_if_ignored;
            drop(state);
            return (!is_ignored).then(|| {
                self.deliver(Delivery::Msix(entry.index));
                Raised::Msix
            });
        }
        let message = state.storage.get_mut(index)?;
        if message.control.ignore() && !even_if_ignored {
            return None;
        }
        if message.control.mask() {
            message.control = message.control.with_pending(true);
            return None;
        }
        let delivery = Delivery::Message(message.address, message.data);
        drop(state);
        self.deliver(delivery);
        Some(Raised::Storage)
    }

    fn deliver(&self, delivery: Delivery) {
        // Cloned out, so that the sink may come back.
        let sink = self.sink.read().clone();
        let Some(sink) = sink else { return };
        match delivery {
            Delivery::Msix(vector) => sink.msix(vector),
            Delivery::Message(address, data) => sink.message(address, data),
        }
    }
}

impl State {
    fn has(&self, entry: InterruptEntry) -> bool {
        let len = if entry.storage { self.storage.len() } else { self.permissions.len() };
        usize::from(entry.index) < len
    }

    fn message(&self, offset: u64) -> Option<&Message> {
        self.storage.get(usize::try_from(offset / ImsControl::ENTRY_SIZE).ok()?)
    }

    fn message_mut(&mut self, offset: u64) -> Option<&mut Message> {
        self.storage.get_mut(usize::try_from(offset / ImsControl::ENTRY_SIZE).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Log(Mutex<Vec<(u64, u32)>>);

    impl InterruptSink for Log {
        fn msix(&self, vector: u16) {
            self.0.lock().push((0, vector.into()));
        }

        fn message(&self, address: u64, data: u32) {
            self.0.lock().push((address, data));
        }
    }

    fn logged(interrupts: &Interrupts) -> Arc<Log> {
        let log = Arc::new(Log::default());
        interrupts.set_sink(Arc::<Log>::clone(&log));
        log
    }

    #[test]
    fn masked_message_waits_until_it_is_unmasked() {
        let interrupts = Interrupts::new(1, 4, None);
        let log = logged(&interrupts);
        interrupts.set_storage_word(16, 0xfee0_1004, u64::MAX);
        interrupts.set_storage_word(24, 0x1_0000_0055, u64::MAX);
        let entry = interrupts.permitted(1, true, None).unwrap();
        assert_eq!(interrupts.raise_completion(entry), None);
        assert_eq!((interrupts.storage_word(24), log.0.lock().len()), (0x3_0000_0055, 0));
        interrupts.set_storage_word(24, 0, 0xffff_ffff_0000_0000);
        assert_eq!(*log.0.lock(), [(0xfee0_1004, 0x55)]);
        assert_eq!(interrupts.storage_word(24), 0x55);
    }

    #[test]
    fn message_address_outside_the_window_is_not_taken() {
        let interrupts = Interrupts::new(1, 1, None);
        interrupts.set_storage_word(0, 0x1234_5678_9abc, u64::MAX);
        assert_eq!(interrupts.storage_word(0), 0xfee0_0000);
        interrupts.set_storage_word(0, 0xfeef_ffff, u64::MAX);
        assert_eq!(interrupts.storage_word(0), 0xfeef_fffc);
    }

    #[test]
    fn entry_is_for_its_pasid_alone() {
        let interrupts = Interrupts::new(2, 0, None);
        interrupts.set_permission(1, MsixPerm(0).with_pasid(7).with_pasid_enable(true).0, u32::MAX);
        assert!(interrupts.permitted(1, false, Some(7)).is_some());
        for pasid in [Some(8), None] {
            assert_eq!(interrupts.permitted(1, false, pasid), None);
        }
        assert!(interrupts.permitted(0, false, None).is_some());
        assert_eq!(
            (interrupts.permitted(0, false, Some(7)), interrupts.permitted(2, false, None)),
            (None, None)
        );
    }

    #[test]
    fn ignored_entry_raises_nothing_for_a_descriptor() {
        let interrupts = Interrupts::new(2, 0, None);
        let log = logged(&interrupts);
        interrupts.set_permission(1, MsixPerm(0).with_ignore(true).0, u32::MAX);
        let entry = interrupts.permitted(1, false, None).unwrap();
        assert_eq!(interrupts.raise_completion(entry), None);
        assert_eq!(interrupts.raise_occupancy(1, false), Some(Raised::Msix));
        assert_eq!(*log.0.lock(), [(0, 1)]);
    }

    #[test]
    fn handles_are_given_once_and_end_with_their_release() {
        let interrupts = Interrupts::new(3, 0, Some(1));
        let entry = |index| InterruptEntry { index, storage: false };
        assert_eq!(interrupts.request(entry(3)), Err(CmdError::INTERRUPT_INDEX));
        let handle = interrupts.request(entry(1)).unwrap();
        assert_eq!(interrupts.request(entry(1)), Ok(handle));
        assert_eq!(interrupts.request(entry(2)), Err(CmdError::NO_INTERRUPT_HANDLE));
        assert_eq!(interrupts.permitted(handle, false, None), Some(entry(1)));
        assert_eq!(
            (interrupts.permitted(1, false, None), interrupts.permitted(handle, true, None)),
            (None, None)
        );
        assert_eq!(interrupts.release(entry(2)), Err(CmdError::INTERRUPT_INDEX));
        assert_eq!(interrupts.release(entry(1)), Ok(()));
        assert_eq!(interrupts.permitted(handle, false, None), None);
        assert_ne!(interrupts.request(entry(1)), Ok(handle));
        assert!(interrupts.revoke() && !interrupts.revoke());
        assert!(IntCause(interrupts.cause()).interrupt_handles_revoked());
    }
}
