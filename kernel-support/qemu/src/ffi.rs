//! The C interface, see `include/idxd-emu.h`.
//!
//! A panic cannot leave a function that C calls: an `extern "C"` function that would unwind ends the process instead.
//!
// UNSAFETY: pointers from C: the device itself, the callbacks and what they are given. The header says who may call
// what and when, and the shim beside it is the only caller.
#![expect(unsafe_code, reason = "a C interface")]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;

use idxd_emu::{Access, DeviceKind, Write};
use idxd_spec::Descriptor;

use crate::device::{Device, Pci};
use crate::machine::{Locked, Machine, Request, RequestRefused, Response, Translation};
use crate::options::{self, Options};

/// `IDXD_EMU_ABI`.
const ABI: u32 = 2;
/// `IDXD_EMU_ALL_PASIDS`.
const ALL_PASIDS: u32 = u32::MAX;
/// `IDXD_EMU_WRITE`.
const WRITE: u32 = 1;
/// `IDXD_EMU_PRIVILEGED`.
const PRIVILEGED: u32 = 2;

/// `IdxdEmuConfig`.
#[derive(Debug)]
#[repr(C)]
pub struct Config {
    abi: u32,
    kind: u32,
    version: u32,
    engines: u32,
    queues: u32,
    groups: u32,
    entries: u32,
    read_buffers: u32,
    msix_vectors: u32,
    interrupt_handles: u32,
    interrupt_storage: u32,
    event_log_overflow: u32,
    tlb_entries: u32,
    timing: u32,
    faults: *const c_char,
}

/// `IdxdEmuPci`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct PciState {
    bus_master: u32,
    pasid: u32,
    privileged: u32,
    ats: u32,
    pri: u32,
    page_requests: u32,
}

/// `IdxdEmuTranslation`.
#[derive(Debug)]
#[repr(C)]
pub struct Found {
    addr: u64,
    target: *mut c_void,
    shift: u32,
    writable: u32,
}

/// `IdxdEmuCallbacks`.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Callbacks {
    lock: unsafe extern "C" fn(*mut c_void) -> bool,
    unlock: unsafe extern "C" fn(*mut c_void),
    translate: unsafe extern "C" fn(*mut c_void, u32, u32, u64, *mut Found) -> bool,
    read: unsafe extern "C" fn(*mut c_void, *mut c_void, u64, *mut c_void, usize) -> bool,
    write: unsafe extern "C" fn(*mut c_void, *mut c_void, u64, *const c_void, usize) -> bool,
    page_request: unsafe extern "C" fn(*mut c_void, u32, u32, u64, u16) -> c_int,
    raise: unsafe extern "C" fn(*mut c_void, u16),
    send_message: unsafe extern "C" fn(*mut c_void, u64, u32),
}

/// Name, offset or value of everything the header lays down, for the test that asks a C compiler.
#[doc(hidden)]
pub const LAYOUT: &[(&str, usize)] = &[
    ("sizeof(IdxdEmuConfig)", size_of::<Config>()),
    ("offsetof(IdxdEmuConfig, kind)", std::mem::offset_of!(Config, kind)),
    ("offsetof(IdxdEmuConfig, version)", std::mem::offset_of!(Config, version)),
    ("offsetof(IdxdEmuConfig, engines)", std::mem::offset_of!(Config, engines)),
    ("offsetof(IdxdEmuConfig, queues)", std::mem::offset_of!(Config, queues)),
    ("offsetof(IdxdEmuConfig, groups)", std::mem::offset_of!(Config, groups)),
    ("offsetof(IdxdEmuConfig, entries)", std::mem::offset_of!(Config, entries)),
    ("offsetof(IdxdEmuConfig, read_buffers)", std::mem::offset_of!(Config, read_buffers)),
    ("offsetof(IdxdEmuConfig, msix_vectors)", std::mem::offset_of!(Config, msix_vectors)),
    ("offsetof(IdxdEmuConfig, interrupt_handles)", std::mem::offset_of!(Config, interrupt_handles)),
    ("offsetof(IdxdEmuConfig, interrupt_storage)", std::mem::offset_of!(Config, interrupt_storage)),
    ("offsetof(IdxdEmuConfig, event_log_overflow)", std::mem::offset_of!(Config, event_log_overflow)),
    ("offsetof(IdxdEmuConfig, tlb_entries)", std::mem::offset_of!(Config, tlb_entries)),
    ("offsetof(IdxdEmuConfig, timing)", std::mem::offset_of!(Config, timing)),
    ("offsetof(IdxdEmuConfig, faults)", std::mem::offset_of!(Config, faults)),
    ("sizeof(IdxdEmuPci)", size_of::<PciState>()),
    ("offsetof(IdxdEmuPci, pasid)", std::mem::offset_of!(PciState, pasid)),
    ("offsetof(IdxdEmuPci, privileged)", std::mem::offset_of!(PciState, privileged)),
    ("offsetof(IdxdEmuPci, ats)", std::mem::offset_of!(PciState, ats)),
    ("offsetof(IdxdEmuPci, pri)", std::mem::offset_of!(PciState, pri)),
    ("offsetof(IdxdEmuPci, page_requests)", std::mem::offset_of!(PciState, page_requests)),
    ("sizeof(IdxdEmuTranslation)", size_of::<Found>()),
    ("offsetof(IdxdEmuTranslation, target)", std::mem::offset_of!(Found, target)),
    ("offsetof(IdxdEmuTranslation, shift)", std::mem::offset_of!(Found, shift)),
    ("offsetof(IdxdEmuTranslation, writable)", std::mem::offset_of!(Found, writable)),
    ("sizeof(IdxdEmuCallbacks)", size_of::<Callbacks>()),
    ("offsetof(IdxdEmuCallbacks, unlock)", std::mem::offset_of!(Callbacks, unlock)),
    ("offsetof(IdxdEmuCallbacks, translate)", std::mem::offset_of!(Callbacks, translate)),
    ("offsetof(IdxdEmuCallbacks, read)", std::mem::offset_of!(Callbacks, read)),
    ("offsetof(IdxdEmuCallbacks, write)", std::mem::offset_of!(Callbacks, write)),
    ("offsetof(IdxdEmuCallbacks, page_request)", std::mem::offset_of!(Callbacks, page_request)),
    ("offsetof(IdxdEmuCallbacks, raise)", std::mem::offset_of!(Callbacks, raise)),
    ("offsetof(IdxdEmuCallbacks, send_message)", std::mem::offset_of!(Callbacks, send_message)),
    ("IDXD_EMU_ABI", ABI as usize),
    ("IDXD_EMU_WRITE", WRITE as usize),
    ("IDXD_EMU_PRIVILEGED", PRIVILEGED as usize),
    ("IDXD_EMU_ALL_PASIDS", ALL_PASIDS as usize),
];

/// The machine behind the callbacks.
///
/// # Invariants
///
/// The callbacks may be called from any thread with `opaque`, for as long as the device lives: `idxd_emu_new` asks for
/// it.
struct Shim {
    callbacks: Callbacks,
    opaque: *mut c_void,
}

// SAFETY: by the type's invariant the callbacks may be called from any thread with `opaque`; it is used for nothing
// else.
unsafe impl Send for Shim {}
// SAFETY: as above; they do their own locking.
unsafe impl Sync for Shim {}

impl Machine for Shim {
    type Locked<'a> = Held<'a>;

    fn lock(&self) -> Held<'_> {
        // SAFETY: the type's invariant.
        let is_taken = unsafe { (self.callbacks.lock)(self.opaque) };
        Held { shim: self, is_taken }
    }
}

/// The machine's lock is held.
struct Held<'a> {
    shim: &'a Shim,
    is_taken: bool,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if self.is_taken {
            // SAFETY: the type's invariant, and `lock` has said that it took the lock.
            unsafe { (self.shim.callbacks.unlock)(self.shim.opaque) }
        }
    }
}

fn flags(request: &Request) -> u32 {
    let write = if request.access == Access::Write { WRITE } else { 0 };
    write | if request.privileged { PRIVILEGED } else { 0 }
}

impl Locked for Held<'_> {
    fn translate(&mut self, request: &Request) -> Option<Translation> {
        let Shim { callbacks, opaque } = self.shim;
        let mut found = Found { addr: 0, target: ptr::null_mut(), shift: 0, writable: 0 };
        // SAFETY: `Shim`'s invariant, the lock is held as long as `self`, and `found` outlives the call.
        let is_found = unsafe {
            (callbacks.translate)(*opaque, request.pasid, flags(request), request.addr, &raw mut found)
        };
        is_found.then_some(Translation {
            addr: found.addr,
            shift: u8::try_from(found.shift).unwrap_or(u8::MAX),
            writable: found.writable != 0,
            target: found.target.expose_provenance(),
        })
    }

    fn read(&mut self, target: usize, addr: u64, bytes: &mut [u8]) -> bool {
        let Shim { callbacks, opaque } = self.shim;
        let target = ptr::with_exposed_provenance_mut(target);
        // SAFETY: `Shim`'s invariant, the lock is held as long as `self`; `target` came from `translate` and is the
        // machine's to interpret; pointer and length are those of `bytes`.
        unsafe { (callbacks.read)(*opaque, target, addr, bytes.as_mut_ptr().cast(), bytes.len()) }
    }

    fn write(&mut self, target: usize, addr: u64, bytes: &[u8]) -> bool {
        let Shim { callbacks, opaque } = self.shim;
        let target = ptr::with_exposed_provenance_mut(target);
        // SAFETY: as in `read`; the callback does not write to `bytes`.
        unsafe { (callbacks.write)(*opaque, target, addr, bytes.as_ptr().cast(), bytes.len()) }
    }

    fn request_page(&mut self, request: &Request, group: u16) -> Result<(), RequestRefused> {
        let Shim { callbacks, opaque } = self.shim;
        // SAFETY: `Shim`'s invariant, and the lock is held as long as `self`.
        match unsafe { (callbacks.page_request)(*opaque, request.pasid, flags(request), request.addr, group) }
        {
            0 => Ok(()),
            1 => Err(RequestRefused::Full),
            _ => Err(RequestRefused::Off),
        }
    }

    fn raise(&mut self, vector: u16) {
        // SAFETY: `Shim`'s invariant, and the lock is held as long as `self`.
        unsafe { (self.shim.callbacks.raise)(self.shim.opaque, vector) }
    }

    fn send_message(&mut self, addr: u64, data: u32) {
        // SAFETY: `Shim`'s invariant, and the lock is held as long as `self`.
        unsafe { (self.shim.callbacks.send_message)(self.shim.opaque, addr, data) }
    }
}

/// `IdxdEmu`.
pub struct Emu(Device<Shim>);

fn options(config: &Config, faults: &str) -> Result<Options, String> {
    let kind = match (config.abi, config.kind) {
        (ABI, 0) => DeviceKind::Dsa,
        (ABI, 1) => DeviceKind::Iaa,
        (ABI, kind) => return Err(format!("kind {kind}: there is none")),
        (abi, _) => return Err(format!("interface {abi}, this is {ABI}")),
    };
    let mut options = Options::new(kind, config.version).map_err(|error| error.to_string())?;
    let hardware = &mut options.hardware;
    let byte =
        |value: u32, first: u8| if value == 0 { first } else { u8::try_from(value).unwrap_or(u8::MAX) };
    let word =
        |value: u32, first: u16| if value == 0 { first } else { u16::try_from(value).unwrap_or(u16::MAX) };
    hardware.engines = byte(config.engines, hardware.engines);
    hardware.queues = byte(config.queues, hardware.queues);
    hardware.groups = byte(config.groups, hardware.groups);
    hardware.entries = word(config.entries, hardware.entries);
    hardware.read_buffers = byte(config.read_buffers, hardware.read_buffers);
    hardware.msix_vectors = word(config.msix_vectors, u16::from(hardware.queues) + 1);
    hardware.interrupt_handles = (config.interrupt_handles != 0).then(|| word(config.interrupt_handles, 0));
    hardware.interrupt_storage_units = u8::from(config.interrupt_storage != 0);
    hardware.event_log_overflow = config.event_log_overflow != 0;
    if config.tlb_entries != 0 {
        options.tlb_entries = usize::try_from(config.tlb_entries).unwrap_or(usize::MAX);
    }
    options.timing = config.timing != 0;
    options.plan = options::fault_plan(faults).map_err(|error| error.to_string())?;
    Ok(options)
}

/// `idxd_emu_new`.
///
/// # Safety
///
/// `config` and `callbacks` are valid; `config.faults` is null or a C string; `error` has room for `error_len` bytes. The
/// callbacks may be called from any thread with `opaque` until the device is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn idxd_emu_new(
    config: &Config,
    callbacks: &Callbacks,
    opaque: *mut c_void,
    error: *mut c_char,
    error_len: usize,
) -> *mut Emu {
    let faults = if config.faults.is_null() {
        ""
    } else {
        // SAFETY: the caller's contract: not null, so a C string.
        unsafe { CStr::from_ptr(config.faults) }.to_str().unwrap_or("not UTF-8")
    };
    // INVARIANT: the caller's contract.
    let shim = Shim { callbacks: *callbacks, opaque };
    let device = options(config, faults)
        .and_then(|options| Device::new(&options, shim).map_err(|error| error.to_string()));
    match device {
        Ok(device) => Box::into_raw(Box::new(Emu(device))),
        Err(text) => {
            // SAFETY: the caller's contract.
            unsafe { put(&text, error, error_len) };
            ptr::null_mut()
        }
    }
}

/// Writes what there is room for of a text, and a zero behind it.
///
/// # Safety
///
/// `to` has room for `len` bytes.
unsafe fn put(text: &str, to: *mut c_char, len: usize) {
    let text: Vec<u8> = text.bytes().take(len.saturating_sub(1)).chain([0]).collect();
    if len > 0 {
        // SAFETY: `text` has at most `len` bytes, for which `to` has room, and is ours and elsewhere.
        unsafe { ptr::copy_nonoverlapping(text.as_ptr(), to.cast(), text.len()) };
    }
}

/// `idxd_emu_free`.
///
/// # Safety
///
/// `device` is from `idxd_emu_new`, and nobody uses it any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn idxd_emu_free(device: *mut Emu) {
    if !device.is_null() {
        // SAFETY: the caller's contract: it is a box of `idxd_emu_new`, given back once.
        drop(unsafe { Box::from_raw(device) });
    }
}

/// `idxd_emu_engines`.
#[unsafe(no_mangle)]
pub extern "C" fn idxd_emu_engines(device: &Emu) -> u32 {
    u32::try_from(device.0.engines()).unwrap_or(0)
}

/// `idxd_emu_serve`.
#[unsafe(no_mangle)]
pub extern "C" fn idxd_emu_serve(device: &Emu, engine: u32) {
    device.0.serve(usize::try_from(engine).unwrap_or(usize::MAX));
}

/// `idxd_emu_finish`.
#[unsafe(no_mangle)]
pub extern "C" fn idxd_emu_finish(device: &Emu) {
    device.0.finish();
}

/// `idxd_emu_read`.
#[unsafe(no_mangle)]
pub extern "C" fn idxd_emu_read(device: &Emu, offset: u64, size: u32) -> u64 {
    device.0.read(offset, size)
}

/// `idxd_emu_write`.
#[unsafe(no_mangle)]
pub extern "C" fn idxd_emu_write(device: &Emu, offset: u64, size: u32, value: u64) {
    device.0.write(offset, size, value);
}

/// `idxd_emu_write_portal`.
#[unsafe(no_mangle)]
pub extern "C" fn idxd_emu_write_portal(
    device: &Emu,
    offset: u64,
    descriptor: &[u8; Descriptor::SIZE],
    posted: bool,
) -> bool {
    let write = if posted { Write::Posted } else { Write::Deferrable };
    device.0.write_portal(offset, write, descriptor)
}

/// `idxd_emu_set_pci`.
#[unsafe(no_mangle)]
pub extern "C" fn idxd_emu_set_pci(device: &Emu, pci: &PciState) {
    device.0.set_pci(Pci {
        bus_master: pci.bus_master != 0,
        pasid: pci.pasid != 0,
        privileged: pci.privileged != 0,
        ats: pci.ats != 0,
        pri: pci.pri != 0,
        page_requests: pci.page_requests,
    });
}

/// `idxd_emu_invalidate`.
#[unsafe(no_mangle)]
pub extern "C" fn idxd_emu_invalidate(device: &Emu, pasid: u32, first: u64, last: u64) {
    device.0.invalidate((pasid != ALL_PASIDS).then_some(pasid), first, last);
}

/// `idxd_emu_page_response`.
#[unsafe(no_mangle)]
pub extern "C" fn idxd_emu_page_response(device: &Emu, group: u16, code: u32) -> bool {
    let response = match code {
        0 => Response::Success,
        1 => Response::Invalid,
        _ => Response::Failure,
    };
    device.0.respond(group, response).is_ok()
}

/// `idxd_emu_modelled`.
///
/// # Safety
///
/// `text` has room for `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn idxd_emu_modelled(device: &Emu, text: *mut c_char, len: usize) -> bool {
    let Some(modelled) = device.0.modelled() else { return false };
    // SAFETY: the caller's contract.
    unsafe { put(&modelled.to_string(), text, len) };
    true
}

/// `idxd_emu_reset`.
#[unsafe(no_mangle)]
pub extern "C" fn idxd_emu_reset(device: &Emu) {
    device.0.reset();
}
