//! A reused context allocates nothing. Alone in its file: the allocator counts for the whole process.
//
// UNSAFETY: an allocator that counts and passes everything on to the system's.
#![expect(unsafe_code, reason = "a counting allocator; see the UNSAFETY line")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use svala_software::{
    Deflater, Format, Inflater, Level, Segment, Window, check_readable, crc32c, deflate_bound, guarded,
};

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: as `System`, which does all the work.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: the caller's contract is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract is passed on.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(work: impl FnOnce()) -> usize {
    let before = COUNT.get();
    work();
    COUNT.get() - before
}

#[test]
fn contexts_in_use_allocate_nothing() {
    let data: Vec<u8> = (0..100_000_u32).flat_map(|i| (i / 7).to_le_bytes()).collect();
    let mut stream = vec![0; deflate_bound(data.len())];
    let mut out = vec![0; data.len()];
    let mut deflater = Deflater::new(Level::FAST, Window::DEFLATE);
    let mut inflater = Inflater::new();
    let range = data.as_ptr().addr()..data.as_ptr().addr() + data.len();
    // SAFETY: `data` is on the heap and does not vanish. The first call installs the handler.
    unsafe { guarded(std::slice::from_ref(&range), || ()) }.unwrap();

    let count = allocations(|| {
        for level in [Level::FAST, Level::BEST, Level::STORE, Level::DEFAULT] {
            deflater.configure(level, Window::DEFLATE);
            deflater.deflate(&data, &mut stream, Segment::NotLast).unwrap();
            let deflated = deflater.deflate(&data, &mut stream, Segment::Last).unwrap();
            let inflated = inflater.inflate(&stream[..deflated.written], &mut out).unwrap();
            assert_eq!(inflated.written, data.len());
            inflater.inflate(&stream[..10], &mut out).unwrap_err();
        }
        // SAFETY: as above.
        unsafe { guarded(std::slice::from_ref(&range), || crc32c(1, &data)) }.unwrap();
        check_readable(range.start, range.len()).unwrap();
        let header = Format::Gzip.header(Level::BEST, Window::IAA);
        Format::Gzip.parse_header(&header).unwrap();
    });
    assert_eq!(count, 0);
}
