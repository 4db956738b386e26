//! The facts of a machine: files under a root, and what was tried.
//!
//! The root is `/`, or a directory with a captured tree of another machine: then nothing is tried here, and what was
//! tried there may be told by files in the directory `probe` ([`Answer`]).

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use svala_idxd::{Device, Discovery, WorkQueue};

use super::cpu;
use super::finding::Evidence;
use super::kernel_config::KernelConfig;
use super::pci::{self, Function};
use super::probe::{self, Answer};
use super::process::{self, Identity};
use super::queue;

/// Bytes of a file that are read at most; `/proc/cpuinfo` of 512 CPUs is a quarter of it.
const READ_BYTES_MAX: u64 = 4 << 20;
/// Entries of a directory that are looked at most.
const ENTRIES_MAX: usize = 4096;

/// Where facts come from.
#[derive(Debug)]
pub(crate) struct Machine {
    root: PathBuf,
    /// None if there is no bus of the idxd driver.
    discovery: Option<Discovery>,
    functions: OnceCell<Vec<Function>>,
    kernel_config: OnceCell<KernelConfig>,
    identity: OnceCell<Identity>,
    /// A large file on a large machine: read once.
    cpu_flags: OnceCell<Option<String>>,
    /// What opening each queue came to: each is opened once.
    opened: RefCell<BTreeMap<String, Answer>>,
}

/// What a file said, or why it says nothing.
#[derive(Debug)]
pub(crate) struct Fact {
    /// The file's path on the machine.
    pub(crate) place: String,
    pub(crate) value: io::Result<String>,
}

impl Fact {
    /// The whole value, trimmed, as evidence.
    pub(crate) fn evidence(&self) -> Evidence {
        match &self.value {
            Ok(value) => Evidence::new(&self.place, value),
            Err(error) => Evidence::refused(&self.place, error),
        }
    }

    /// A part of the value as evidence; why there is none, if the file could not be read.
    pub(crate) fn showing(&self, part: impl AsRef<str>) -> Evidence {
        match &self.value {
            Ok(_) => Evidence::new(&self.place, part),
            Err(error) => Evidence::refused(&self.place, error),
        }
    }

    /// The trimmed value.
    pub(crate) fn text(&self) -> Option<&str> {
        self.value.as_ref().ok().map(|value| value.trim())
    }

    /// Whether there is no such file (and not one that must not be read).
    pub(crate) fn is_missing(&self) -> bool {
        self.value.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
    }
}

impl Machine {
    pub(crate) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            discovery: crate::run::sysfs(root).discover().ok(),
            functions: OnceCell::new(),
            kernel_config: OnceCell::new(),
            identity: OnceCell::new(),
            cpu_flags: OnceCell::new(),
            opened: RefCell::default(),
        }
    }

    /// Whether the machine is the one this runs on.
    pub(crate) fn is_this(&self) -> bool {
        self.root == Path::new("/")
    }

    /// Where `path`, absolute on the machine, is here.
    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// A file's text, up to a bound; what is no UTF-8 is replaced.
    pub(crate) fn read(&self, path: &str) -> Fact {
        let value = self.bytes(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        Fact { place: path.to_owned(), value }
    }

    /// A file's bytes, up to a bound. Only of regular files, as all of /proc and /sys are: nothing else is waited for.
    pub(crate) fn bytes(&self, path: &str) -> io::Result<Vec<u8>> {
        let path = self.at(path);
        if !fs::metadata(&path)?.is_file() {
            return Err(io::Error::other("not a file"));
        }
        let mut bytes = Vec::new();
        File::open(path)?.take(READ_BYTES_MAX).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// A directory's names, sorted, up to a bound.
    pub(crate) fn names(&self, path: &str) -> io::Result<Vec<String>> {
        let entries = fs::read_dir(self.at(path))?.flatten().take(ENTRIES_MAX);
        let mut names: Vec<_> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        Ok(names)
    }

    /// The names of a directory as evidence.
    pub(crate) fn listing(&self, path: &str) -> Evidence {
        match self.names(path) {
            Ok(names) if names.is_empty() => Evidence::new(path, "empty"),
            Ok(names) => Evidence::new(path, names.join(" ")),
            Err(error) => Evidence::refused(path, &error),
        }
    }

    /// Whether there is something at `path`.
    pub(crate) fn exists(&self, path: &str) -> bool {
        fs::symlink_metadata(self.at(path)).is_ok()
    }

    /// Whether there is something at `path`, as evidence.
    pub(crate) fn presence(&self, path: &str) -> Evidence {
        match fs::symlink_metadata(self.at(path)) {
            Ok(_) => Evidence::new(path, "exists"),
            Err(error) => Evidence::refused(path, &error),
        }
    }

    /// The last part of what a symbolic link names.
    pub(crate) fn link(&self, path: &str) -> io::Result<String> {
        let target = fs::read_link(self.at(path))?;
        let name = target.file_name().ok_or(io::ErrorKind::InvalidData)?;
        Ok(name.to_string_lossy().into_owned())
    }

    /// What a link names, as evidence.
    pub(crate) fn link_evidence(&self, path: &str) -> Evidence {
        match self.link(path) {
            Ok(name) => Evidence::new(path, name),
            Err(error) => Evidence::refused(path, &error),
        }
    }

    /// What the idxd driver shows; none if it is not there.
    pub(crate) const fn discovery(&self) -> Option<&Discovery> {
        self.discovery.as_ref()
    }

    /// DSA and IAA devices, as the idxd driver shows them.
    pub(crate) fn devices(&self) -> &[Device] {
        self.discovery.as_ref().map_or(&[], |discovery| &discovery.devices)
    }

    /// All work queues, with their devices.
    pub(crate) fn work_queues(&self) -> impl Iterator<Item = (&Device, &WorkQueue)> {
        self.devices().iter().flat_map(|device| device.work_queues.iter().map(move |queue| (device, queue)))
    }

    /// Those that are meant for processes.
    pub(crate) fn user_queues(&self) -> impl Iterator<Item = (&Device, &WorkQueue)> {
        self.work_queues().filter(|(_, queue)| queue.is_user())
    }

    /// Accelerators on the PCI bus.
    pub(crate) fn functions(&self) -> &[Function] {
        self.functions.get_or_init(|| pci::functions(self))
    }

    /// What the kernel was built with.
    pub(crate) fn kernel_config(&self) -> &KernelConfig {
        self.kernel_config
            .get_or_init(|| KernelConfig::read(self, self.read("/proc/sys/kernel/osrelease").text()))
    }

    /// The flags of the first CPU, as the kernel lists them.
    pub(crate) fn cpu_flags(&self) -> Option<&str> {
        self.cpu_flags.get_or_init(|| cpu::read_flags(self)).as_deref()
    }

    /// Who this process is.
    pub(crate) fn identity(&self) -> &Identity {
        self.identity.get_or_init(|| Identity::read(self))
    }

    /// What opening the queue comes to. Not tried if it cannot work.
    pub(crate) fn open_answer(&self, queue: &WorkQueue) -> Answer {
        if let Some(answer) = self.opened.borrow().get(&queue.name) {
            return *answer;
        }
        let answer = match &queue.node {
            Some(node) if process::may_try(self, queue) => {
                self.tried(&format!("open_{}", queue.name), || probe::open(&node.path))
            }
            _ => Answer::NotTried,
        };
        self.opened.borrow_mut().insert(queue.name.clone(), answer);
        answer
    }

    /// The node of a queue that could be opened.
    pub(crate) fn opened_queue(&self) -> Option<String> {
        let mut queues = self.user_queues().map(|(_, queue)| queue);
        queues.find(|queue| self.open_answer(queue) == Answer::Worked).map(queue::node_path)
    }

    /// ECX of CPUID leaf 7: here by the instruction, elsewhere by the file `probe/cpuid_7_ecx`.
    pub(crate) fn cpuid_7_ecx(&self) -> Option<u32> {
        if self.is_this() {
            return probe::cpuid_7_ecx();
        }
        self.read("/probe/cpuid_7_ecx")
            .text()
            .and_then(|text| u32::from_str_radix(text.trim_start_matches("0x"), 16).ok())
    }

    /// What trying it gave: here by `attempt`, elsewhere by the file `probe/NAME`.
    pub(crate) fn tried(&self, name: &str, attempt: impl FnOnce() -> Answer) -> Answer {
        if self.is_this() { attempt() } else { Answer::parse(self.read(&format!("/probe/{name}")).text()) }
    }
}
