//! What a workload needs once, and its memory for each run.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use svala::{Access, Check as Checksum, Job, PAGE_BYTES, Span};

use crate::case::{Case, Check, Step};
use crate::memory::{Child, Region, memory_file, write_blocks};
use crate::{Error, Workload};

/// Smallest size of a workload.
pub(crate) const BYTES_MIN: u64 = 1 << 20;
/// Pages of a run of the half-cold workload: 64 KiB.
const HALF_COLD_RUN: u64 = 16 * PAGE_BYTES;
/// Bytes of one compression.
const COMPRESS_BYTES: u64 = 1 << 20;
/// Parts of a size the random workload takes one of, and the churn workload goes through.
const PARTS: u64 = 8;
/// Every how many-th page the strided workload takes.
const STRIDE: u64 = 4;
/// The compressor is a slow model: what it gets is this part of the size, and at most so much.
const COMPRESS_PART: u64 = 8;
const COMPRESS_MAX: u64 = 32 << 20;

/// A workload of a size, ready to be laid out.
pub struct Setup {
    workload: Workload,
    bytes: u64,
    /// Where the source's contents are, if it is a file.
    source: Option<File>,
}

/// A [`Setup`], or why this machine cannot run the workload.
pub type SetUp = Result<Setup, String>;

impl Setup {
    /// Makes what runs of `workload` share. `directory` is where a file is made that is to be on a disk. The answer
    /// inside is why the workload cannot run here, if it cannot.
    ///
    /// # Errors
    ///
    /// What the system refuses.
    pub fn new(workload: Workload, bytes: u64, directory: &Path) -> Result<SetUp, Error> {
        let whole = bytes.max(BYTES_MIN).next_multiple_of(BYTES_MIN);
        let bytes = match workload {
            Workload::Compress => (whole / COMPRESS_PART).clamp(COMPRESS_BYTES, COMPRESS_MAX),
            Workload::Churn => (whole / PARTS).max(PAGE_BYTES),
            _ => whole,
        };
        let source = match workload {
            Workload::ZeroRead | Workload::SwapIn => None,
            Workload::ColdFile => match file_on_disk(bytes, directory)? {
                Ok(file) => Some(file),
                Err(why) => return Ok(Err(why)),
            },
            _ => Some(memory_file(bytes, &contents()).map_err(Error::system("a file in memory"))?),
        };
        if workload == Workload::SwapIn
            && let Some(why) = no_swap(&fs::read_to_string("/proc/swaps").unwrap_or_default())
        {
            return Ok(Err(why));
        }
        Ok(Ok(Self { workload, bytes, source }))
    }

    /// The workload.
    pub const fn workload(&self) -> Workload {
        self.workload
    }

    /// Lays the workload out in memory that is absent where it is to be.
    pub(crate) fn case(&self) -> Result<Case, Error> {
        let failed = Error::system("memory of a workload");
        let src = self.source_region().map_err(&failed)?;
        let dst = Region::anonymous(self.bytes).map_err(&failed)?;
        let mut case = Case {
            steps: self.steps(&src, &dst),
            check: match self.workload {
                Workload::ZeroRead => Check::Equal,
                Workload::Compress => Check::Deflated,
                _ => Check::Copied,
            },
            regions: vec![src, dst],
            child: None,
            beside: None,
        };
        self.prepare(&mut case).map_err(failed)?;
        Ok(case)
    }

    fn source_region(&self) -> io::Result<Region> {
        match (self.workload, &self.source) {
            (Workload::ColdFile, Some(file)) => {
                drop_from_cache(file)?;
                Region::of_file(file, self.bytes)
            }
            (_, Some(file)) => Region::of_file(file, self.bytes),
            (Workload::SwapIn, None) => {
                let mut region = Region::anonymous(self.bytes)?;
                region.fill(&contents());
                region.page_out()?;
                Ok(region)
            }
            (_, None) => Region::anonymous(self.bytes),
        }
    }

    fn steps(&self, src: &Region, dst: &Region) -> Vec<Step> {
        let copy = |at: u64, len: u64| Step {
            job: Job::Copy { src: src.addr().add(at), dst: dst.addr().add(at), len },
            forget: None,
        };
        let pages = self.bytes / PAGE_BYTES;
        match self.workload {
            Workload::Random => {
                let mut order = shuffled(pages);
                order.truncate(usize::try_from(pages / PARTS).unwrap_or(usize::MAX));
                order.into_iter().map(|page| copy(page * PAGE_BYTES, PAGE_BYTES)).collect()
            }
            Workload::Strided => {
                (0..pages / STRIDE).map(|at| copy(at * STRIDE * PAGE_BYTES, PAGE_BYTES)).collect()
            }
            Workload::Churn => (0..PARTS).map(|_| Step { forget: Some(1), ..copy(0, self.bytes) }).collect(),
            Workload::ZeroRead => {
                let job = Job::Compare { a: src.addr(), b: dst.addr(), len: self.bytes };
                vec![Step { job, forget: None }]
            }
            Workload::Compress => (0..self.bytes / COMPRESS_BYTES)
                .map(|at| {
                    let part =
                        |region: &Region| Span::new(region.addr().add(at * COMPRESS_BYTES), COMPRESS_BYTES);
                    let (src, dst) = (part(src), part(dst));
                    let job = Job::Deflate { src, dst, level: 1, last: true, check: Checksum::None };
                    Step { job, forget: None }
                })
                .collect(),
            _ => vec![copy(0, self.bytes)],
        }
    }

    /// Makes present what is to be, and whatever else comes before a run.
    fn prepare(&self, case: &mut Case) -> io::Result<()> {
        let [src, dst] = &mut case.regions[..] else { unreachable!("a source and a destination") };
        match self.workload {
            Workload::ColdDestination => src.populate(Access::Read)?,
            Workload::HalfCold => {
                src.populate(Access::Read)?;
                for at in (0..self.bytes).step_by(2 * 16 * 4096) {
                    dst.populate_part(at, HALF_COLD_RUN, Access::Write)?;
                }
            }
            Workload::CopyOnWrite => {
                src.populate(Access::Read)?;
                dst.fill(&[0x5a; 4096]);
                case.child = Some(Child::start()?);
            }
            // The destination alone is given back before each copy.
            Workload::Churn => src.populate(Access::Read)?,
            Workload::Mixed => {
                let small = (Region::anonymous(PAGE_BYTES)?, Region::anonymous(PAGE_BYTES)?);
                small.0.populate(Access::Write)?;
                small.1.populate(Access::Write)?;
                case.beside = Some(Job::Copy { src: small.0.addr(), dst: small.1.addr(), len: PAGE_BYTES });
                case.regions.extend([small.0, small.1]);
            }
            _ => {}
        }
        Ok(())
    }
}

/// Contents that no other page repeats at the same place: the length is no multiple of a page. They compress as text
/// does.
fn contents() -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut contents = Vec::with_capacity((1 << 20) + 4_093);
    while contents.len() < (1 << 20) + 4_093 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let word = WORDS[usize::from(state.to_le_bytes()[3]) % WORDS.len()];
        contents.extend_from_slice(word.as_bytes());
        // Now and then a number, so that it does not compress to nothing.
        if state.to_le_bytes()[4] < 64 {
            contents.extend_from_slice(format!("{:x}", state >> 40).as_bytes());
        }
        contents.push(b' ');
    }
    contents.truncate((1 << 20) + 4_093);
    contents
}

const WORDS: [&str; 16] = [
    "page",
    "fault",
    "device",
    "queue",
    "engine",
    "memory",
    "window",
    "answer",
    "record",
    "present",
    "absent",
    "submit",
    "resume",
    "populate",
    "descriptor",
    "completion",
];

/// The numbers from 0, in an order that is always the same and has no pattern.
fn shuffled(count: u64) -> Vec<u64> {
    let mut order: Vec<u64> = (0..count).collect();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for at in (1..order.len()).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let other = usize::try_from(state % (at as u64 + 1)).unwrap_or(0);
        order.swap(at, other);
    }
    order
}

/// A file whose pages can be dropped from the page cache; or why there is none.
fn file_on_disk(bytes: u64, directory: &Path) -> Result<Result<File, String>, Error> {
    let failed = Error::system("a file for the cold-file workload");
    let mut file = tempfile::tempfile_in(directory).map_err(&failed)?;
    write_blocks(&mut file, bytes, &contents()).map_err(&failed)?;
    file.sync_all().map_err(&failed)?;
    drop_from_cache(&file).map_err(&failed)?;
    let region = Region::of_file(&file, bytes).map_err(&failed)?;
    let resident = region.resident_pages().map_err(&failed)?;
    if resident * 20 > bytes / PAGE_BYTES {
        return Ok(Err(format!(
            "the file system of {} keeps {resident} of {} pages after POSIX_FADV_DONTNEED (--directory names another)",
            directory.display(),
            bytes / PAGE_BYTES
        )));
    }
    Ok(Ok(file))
}

fn drop_from_cache(file: &File) -> io::Result<()> {
    posix_fadvise(file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)?;
    Ok(())
}

/// Why nothing can be swapped out, by the contents of `/proc/swaps`.
fn no_swap(swaps: &str) -> Option<String> {
    (swaps.lines().count() < 2).then(|| "no swap: /proc/swaps lists none".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_has_every_number_once() {
        let mut order = shuffled(1000);
        let is_sorted = order.is_sorted();
        order.sort_unstable();
        assert!(!is_sorted && order.into_iter().eq(0..1000));
    }

    #[test]
    fn swap_is_what_the_kernel_lists() {
        let head = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n";
        assert!(no_swap(head).is_some() && no_swap("").is_some());
        assert!(no_swap(&format!("{head}/dev/zram0 partition 1048572 0 100\n")).is_none());
    }

    /// What is to be absent is; what is not, is not.
    #[test]
    fn memory_is_absent_where_it_is_to_be() {
        let pages = |workload| {
            let setup = Setup::new(workload, 1 << 20, Path::new("/tmp")).unwrap().unwrap();
            let case = setup.case().unwrap();
            (case.regions[1].resident_pages().unwrap(), case.bytes(), case.steps.len())
        };
        assert_eq!(pages(Workload::Sequential), (0, 1 << 20, 1));
        assert_eq!(pages(Workload::ColdDestination), (0, 1 << 20, 1));
        assert_eq!(pages(Workload::HalfCold), (128, 1 << 20, 1));
        assert_eq!(pages(Workload::Random), (0, 1 << 17, 32));
        assert_eq!(pages(Workload::Strided), (0, 1 << 18, 64));
        assert_eq!(pages(Workload::CopyOnWrite), (256, 1 << 20, 1));
        assert_eq!(pages(Workload::Churn), (0, 1 << 20, 8));
        assert_eq!(pages(Workload::Compress), (0, 1 << 20, 1));
    }
}
