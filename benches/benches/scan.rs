//! Does a scan of the CPU engine run as fast as memory is read?
//!
//! Each width and predicate on a column that is in no cache, beside the floor: as many other bytes, added up as 64-bit words
//! by a loop the compiler vectorises. Everything is compared with a loop over single elements before it is timed. Rounds
//! of the one and of the other take turns, and the fastest of each counts: on a machine that others use as well, that is
//! the figure to look at.
//!
//! Run with `cargo bench -p svala-benches --bench scan`; prints GB/s of input and the ratio. With `-- --test` it only
//! checks.

use std::hint::black_box;
use std::time::Instant;

use svala_software::filter::{Column, Filter, Filtered, Output, OutputWidth, Packing, Second, filter};

/// Bytes of memory that rounds take turns on: more than caches hold.
const BYTES: usize = 256 << 20;
/// Bytes of a round: of a column of whole bytes, and of another, whose elements are unpacked one by one. Short, so that a
/// round is seldom interrupted.
const ROUND_BYTES: [usize; 2] = [4 << 20, 1 << 20];
/// Rounds of each.
const ROUNDS: usize = 64;
/// Bytes of the columns that are checked.
const CHECKED_BYTES: usize = 96 << 10;

const WIDTHS: [u8; 8] = [8, 16, 32, 1, 4, 12, 20, 24];

fn main() {
    let small = data(CHECKED_BYTES);
    for width in WIDTHS {
        for case in cases(width) {
            check(&small, width, &case);
        }
    }
    if std::env::args().any(|arg| arg == "--test") {
        return;
    }
    let all = data(BYTES);
    let mut room = vec![0; 32 * ROUND_BYTES[1].max(ROUND_BYTES[0] / 8)];
    println!("| operation | width | GB/s | memory read, GB/s | ratio |");
    println!("|---|---|---|---|---|");
    for width in WIDTHS {
        for case in cases(width) {
            let round = ROUND_BYTES[usize::from(!matches!(width, 8 | 16 | 32))];
            let (ours, floor) = fastest(&all, round, &mut room, width, &case);
            let rate = |seconds: f64| round as f64 / seconds / 1e9;
            println!(
                "| {} | {width} | {:.1} | {:.1} | {:.2} |",
                case.name,
                rate(ours),
                rate(floor),
                floor / ours
            );
        }
    }
}

/// A predicate, or another operation.
struct Case {
    name: &'static str,
    asked: Asked,
    output: Output,
    /// Whether anything is written.
    writes: bool,
}

#[derive(Clone, Copy)]
enum Asked {
    Scan(u32, u32),
    Extract,
    Select,
}

fn cases(width: u8) -> Vec<Case> {
    let max = u32::MAX >> (32 - width);
    let middle = max / 2;
    let bits = Output::default();
    let inverted = Output { invert: true, ..bits };
    let wide = Output { width: OutputWidth::Bits32, ..bits };
    let case = |name, asked, output| Case { name, asked, output, writes: true };
    let mut cases = vec![
        case("scan eq", Asked::Scan(middle, middle), bits),
        case("scan ne", Asked::Scan(middle, middle), inverted),
        case("scan lt", Asked::Scan(0, middle.saturating_sub(1)), bits),
        case("scan le", Asked::Scan(0, middle), bits),
        case("scan gt", Asked::Scan((middle + 1).min(max), max), bits),
        case("scan ge", Asked::Scan(middle, max), bits),
        case("scan range", Asked::Scan(middle / 2, middle), bits),
        case("scan not range", Asked::Scan(middle / 2, middle), inverted),
        Case { writes: false, ..case("scan range, count only", Asked::Scan(middle / 2, middle), bits) },
        Case { writes: false, ..case("aggregates", Asked::Extract, bits) },
    ];
    if width > 1 {
        cases.push(case("scan eq, indices", Asked::Scan(middle, middle), wide));
        cases.push(case("select half", Asked::Select, bits));
    }
    cases
}

fn data(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    std::iter::repeat_with(&mut next).flatten().take(bytes).collect()
}

fn run(bytes: &[u8], room: &mut [u8], width: u8, case: &Case) -> Filtered {
    let count = u32::try_from(bytes.len() as u64 * 8 / u64::from(width)).expect("fits");
    let column = Column { bytes, packing: Packing::Little, width, count };
    // Half of the bits of noise are ones.
    let mask = Second { bytes, big_endian: false };
    let asked = match case.asked {
        Asked::Scan(low, high) => Filter::Scan { low, high },
        Asked::Extract => Filter::Extract { first: 0, last: u32::MAX },
        Asked::Select => Filter::Select { mask },
    };
    filter(&column, &asked, &case.output, case.writes.then_some(room)).expect("a column")
}

/// Against a loop over single elements.
fn check(bytes: &[u8], width: u8, case: &Case) {
    let mut room = vec![0; 33 * bytes.len()];
    let done = run(bytes, &mut room, width, case);
    let bit = |at: usize| bytes[at / 8] >> (at % 8) & 1 == 1;
    let count = bytes.len() * 8 / usize::from(width);
    let element = |at: usize| {
        (0..usize::from(width))
            .fold(0, |sum, step| sum | u32::from(bit(at * usize::from(width) + step)) << step)
    };
    let elements: Vec<u32> = (0..count).map(element).collect();
    let kept: Vec<u32> = match case.asked {
        Asked::Scan(low, high) => {
            let is_in = |element: &u32| (low..=high).contains(element) != case.output.invert;
            let bits = elements.iter().map(is_in);
            match case.output.width.bits() {
                None => bits.map(u32::from).collect(),
                Some(_) => (0..).zip(bits).filter(|(_, bit)| *bit).map(|(index, _)| index).collect(),
            }
        }
        Asked::Extract => elements,
        Asked::Select => {
            elements.into_iter().enumerate().filter(|(at, _)| bit(*at)).map(|(_, e)| e).collect()
        }
    };
    assert_eq!(done.elements, kept.len() as u64, "{} of {width} bits", case.name);
    if !case.writes {
        return;
    }
    let out = match (case.asked, case.output.width.bits()) {
        (_, Some(bits)) => usize::from(bits),
        (Asked::Scan(..), None) => 1,
        _ => usize::from(width),
    };
    let written = |at: usize| {
        (0..out).fold(0, |sum, step| {
            let bit = at * out + step;
            sum | u32::from(room[bit / 8] >> (bit % 8) & 1) << step
        })
    };
    let differs = kept.iter().enumerate().find(|(at, element)| written(*at) != **element);
    assert!(differs.is_none(), "{} of {width} bits: {differs:?}", case.name);
}

/// Seconds of the fastest round of ours, and of reading the same bytes.
fn fastest(all: &[u8], round: usize, room: &mut [u8], width: u8, case: &Case) -> (f64, f64) {
    let mut best = (f64::INFINITY, f64::INFINITY);
    let mut windows = all.chunks_exact(round).cycle();
    for _ in 0..ROUNDS {
        let bytes = windows.next().expect("there are some");
        let begun = Instant::now();
        black_box(run(black_box(bytes), room, width, case));
        best.0 = best.0.min(begun.elapsed().as_secs_f64());
        let bytes = windows.next().expect("there are some");
        let begun = Instant::now();
        black_box(read(black_box(bytes)));
        best.1 = best.1.min(begun.elapsed().as_secs_f64());
    }
    best
}

/// Adds up all words: as little work as there can be on all of them.
fn read(bytes: &[u8]) -> u64 {
    let words = bytes.as_chunks::<8>().0;
    words.iter().fold(0, |sum, word| sum.wrapping_add(u64::from_ne_bytes(*word)))
}
