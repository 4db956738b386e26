//! Is every operation of the CPU engine at least as fast as the best public crate that does the same?
//!
//! Each operation has a rival, named in [`PAIRS`], that works on the same warm buffers in the same run. Where no crate
//! does the job the rival is a straight loop (`svala_benches::rivals`), or a floor: what has to be read, read by `memcmp`.
//! Before anything is timed, both sides are run and their answers and outputs compared. [`NOISE`] are rivals against
//! themselves.
//!
//! Run with `cargo bench -p svala-benches --bench operations`. With `-- --table` it measures in turns instead, one round
//! of the one and one of the other, takes the fastest round of each, and prints the ratios: on a machine that others use
//! as well that is the figure to look at. It does so five times for each row, and prints the median of the ratios and
//! their range. Words behind `--table` are parts of the names of the rows wanted.

#[path = "operations/pairs.rs"]
mod pairs;

use std::fmt;
use std::sync::{LazyLock, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use pairs::{NOISE, PAIRS, Pair, Room, THROUGH_THE_QUEUE};

const SIZES: [usize; 3] = [4 << 10, 64 << 10, 16 << 20];

/// How long a pair is measured at one size, each time.
const MEASURED: Duration = Duration::from_millis(250);
/// How often.
const TIMES: usize = 5;
/// How long a round should last: longer than the clock is coarse, shorter than others let it run.
const ROUND: Duration = Duration::from_micros(100);

fn main() {
    check();
    if std::env::args().any(|arg| arg == "--table") {
        let mut args = std::env::args().skip_while(|arg| arg != "--table");
        args.next();
        table(&args.collect::<Vec<_>>());
    } else {
        divan::main();
    }
}

/// Both sides give the same answer and write the same bytes.
fn check() {
    let mut room = room();
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for case in cases() {
        let answer = run_once(&mut room, &case, case.pair.ours);
        first.clone_from(&room.first);
        second.clone_from(&room.second);
        let is_same = answer == run_once(&mut room, &case, case.pair.rival)
            && first == room.first
            && second == room.second;
        assert!(is_same, "{case}: the two do not agree");
    }
}

fn run_once(room: &mut Room, case: &Case, side: fn(&mut Room, usize) -> u64) -> u64 {
    room.wipe();
    side(room, case.len)
}

/// The buffers of all cases: to make them takes longer than most.
fn room() -> MutexGuard<'static, Room> {
    static ROOM: LazyLock<Mutex<Room>> = LazyLock::new(|| Mutex::new(Room::new()));
    ROOM.lock().expect("who panics with it ends the bench")
}

/// A pair at a size.
#[derive(Clone, Copy)]
struct Case {
    pair: &'static Pair,
    len: usize,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} against {}, {} KiB", self.pair.name, self.pair.rival_name, self.len >> 10)
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn cases() -> impl Iterator<Item = Case> {
    let pairs = NOISE.iter().chain(&PAIRS).chain(&THROUGH_THE_QUEUE);
    pairs.flat_map(|pair| SIZES.map(|len| Case { pair, len: len.min(pair.bytes_max) }))
}

#[divan::bench(args = cases())]
fn ours(bencher: Bencher, case: Case) {
    run(bencher, case, case.pair.ours);
}

#[divan::bench(args = cases())]
fn rival(bencher: Bencher, case: Case) {
    run(bencher, case, case.pair.rival);
}

fn run(bencher: Bencher, case: Case, side: fn(&mut Room, usize) -> u64) {
    let mut room = room();
    bencher
        .counter(BytesCount::new(case.len))
        .bench_local(|| side(black_box(&mut room), black_box(case.len)));
}

/// One line a case: the fastest round of each side, the median ratio and the range of ratios.
fn table(wanted: &[String]) {
    let mut room = room();
    println!("| operation | rival | size | rival, GB/s | ours, GB/s | ratio | of {TIMES} times |");
    println!("|---|---|---|---|---|---|---|");
    let is_wanted =
        |case: &Case| wanted.is_empty() || wanted.iter().any(|part| case.pair.name.contains(part));
    for case in cases().filter(is_wanted) {
        let mut measured: Vec<(f64, f64)> = (0..TIMES).map(|_| fastest(&mut room, &case)).collect();
        measured.sort_by(|a, b| (a.1 / a.0).total_cmp(&(b.1 / b.0)));
        let ratio = |index: usize| measured[index].1 / measured[index].0;
        let (ours, rival) = measured[TIMES / 2];
        let rate = |seconds: f64| case.len as f64 / seconds / 1e9;
        println!(
            "| {} | {} | {} KiB | {:.1} | {:.1} | {:.2} | {:.2} to {:.2} |",
            case.pair.name,
            case.pair.rival_name,
            case.len >> 10,
            rate(rival),
            rate(ours),
            ratio(TIMES / 2),
            ratio(0),
            ratio(TIMES - 1),
        );
    }
}

/// Seconds of the fastest round of each side, for one call.
fn fastest(room: &mut Room, case: &Case) -> (f64, f64) {
    let calls = calls_in_a_round(room, case);
    let mut best = (f64::INFINITY, f64::INFINITY);
    let begun = Instant::now();
    let mut rounds = 0;
    while begun.elapsed() < MEASURED || rounds < 20 {
        best.0 = best.0.min(round(room, case, case.pair.ours, calls));
        best.1 = best.1.min(round(room, case, case.pair.rival, calls));
        rounds += 1;
    }
    best
}

fn calls_in_a_round(room: &mut Room, case: &Case) -> u32 {
    let once = round(room, case, case.pair.rival, 10);
    #[expect(clippy::cast_possible_truncation, reason = "between 1 and a million")]
    let calls = (ROUND.as_secs_f64() / once).clamp(1.0, 1e6).round() as u32;
    calls
}

fn round(room: &mut Room, case: &Case, side: fn(&mut Room, usize) -> u64, calls: u32) -> f64 {
    let begun = Instant::now();
    for _ in 0..calls {
        black_box(side(black_box(room), black_box(case.len)));
    }
    begun.elapsed().as_secs_f64() / f64::from(calls)
}
