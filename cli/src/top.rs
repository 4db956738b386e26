//! `svala top`: the page faults of devices, as the kernel counts them, again and again.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::args::{Common, Top};
use crate::bonds::{self, Bond};
use crate::doctor::Machine;
use crate::error::Trouble;
use crate::exit::Exit;
use crate::run::{Answer, say};
use crate::stop::Stop;

/// Cursor to the top left corner, and everything behind it gone.
const CLEAR: &str = "\x1b[H\x1b[J";

pub(crate) fn run(common: &Common, args: &Top) -> Result<Answer, Trouble> {
    let machine = Machine::new(&common.root);
    let once = args.once || common.json_on_stdout();
    let stop = Stop::install()?;
    let mut before: Option<Sample> = None;
    loop {
        let now = Sample::take(&machine)?;
        let table = table(&now, before.as_ref());
        let text = match (once, io::stdout().is_terminal()) {
            (true, _) => table.trim_end().to_owned(),
            (false, true) => format!("{CLEAR}{}", table.trim_end()),
            // An empty line between two tables.
            (false, false) => table,
        };
        say(common, text.as_bytes())?;
        if once {
            return Ok(Answer { exit: Exit::Success, fields: fields(&now) });
        }
        match stop.pause(Duration::from_millis(args.interval)) {
            // That is how it ends.
            Err(Trouble::Stopped(signal)) => {
                return Ok(Answer { exit: Exit::Signal(signal), fields: fields(&now) });
            }
            paused => paused?,
        }
        before = Some(now);
    }
}

/// All bonds at one time.
struct Sample {
    at: Instant,
    bonds: Vec<Bond>,
}

impl Sample {
    fn take(machine: &Machine) -> Result<Self, Trouble> {
        let fact = machine.read(bonds::PLACE);
        let at = Instant::now();
        let path = machine.at(bonds::PLACE);
        let text = match fact.value {
            Ok(text) => text,
            Err(source) => {
                let why = why(&source);
                return Err(Trouble::NoCounts { path, source, why });
            }
        };
        match bonds::read(&text) {
            Some(bonds) => Ok(Self { at, bonds }),
            None => Err(Trouble::Counts { path }),
        }
    }

    /// Groups a second of a bond since `before`. `None` if it was not there, or was another one's: counts never go back.
    fn rate(&self, bond: &Bond, before: &Self) -> Option<f64> {
        let is_it = |other: &&Bond| other.device == bond.device && other.pasid == bond.pasid;
        let groups = bond.groups.checked_sub(before.bonds.iter().find(is_it)?.groups)?;
        let seconds = self.at.duration_since(before.at).as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let rate = groups as f64 / seconds;
        (seconds > 0.0).then_some(rate)
    }
}

/// What to do about a file that cannot be read.
fn why(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "only root may read debugfs (sudo svala top)",
        io::ErrorKind::NotFound => {
            "this kernel does not count the page faults of devices (one with kernel-support/linux does), or debugfs is not \
             mounted there"
        }
        _ => "the kernel's counts of page faults",
    }
}

fn fields(sample: &Sample) -> Value {
    let bonds = sample.bonds.iter().map(|bond| {
        let mut fields = json!(bond);
        fields["median_ns"] = json!(bond.latency.below_ns(500));
        fields["p99_ns"] = json!(bond.latency.below_ns(990));
        fields
    });
    json!({ "bonds": bonds.collect::<Vec<_>>() })
}

/// A line of the table; numbers are to the right.
fn line(device: &str, columns: &[String]) -> String {
    const WIDTHS: [usize; 16] = [7, 5, 9, 8, 9, 6, 9, 7, 7, 5, 9, 9, 6, 5, 8, 8];
    let columns = columns.iter().zip(WIDTHS).map(|(text, width)| format!(" {text:>width$}"));
    format!("{device:<16}{}\n", columns.collect::<String>())
}

fn table(now: &Sample, before: Option<&Sample>) -> String {
    let sum = |of: fn(&Bond) -> u64| now.bonds.iter().map(of).fold(0, u64::saturating_add);
    let mut text = format!(
        "{} bonds, {} groups of {} page requests, {} in flight\n",
        now.bonds.len(),
        sum(|bond| bond.groups),
        sum(|bond| bond.pages),
        sum(|bond| bond.in_flight),
    );
    let names = [
        "pasid", "users", "groups", "/s", "pages", "flight", "success", "invalid", "failure", "lost",
        "ahead", "hits", "waits", "over", "median", "p99",
    ];
    text += &line("device", &names.map(str::to_owned));
    for bond in &now.bonds {
        let rate = before.and_then(|before| now.rate(bond, before));
        let latency = |permille| bond.latency.below_ns(permille).map_or_else(|| "-".to_owned(), time);
        let columns = [
            bond.pasid.to_string(),
            bond.users.to_string(),
            bond.groups.to_string(),
            rate.map_or_else(|| "-".to_owned(), |rate| format!("{rate:.0}")),
            bond.pages.to_string(),
            bond.in_flight.to_string(),
            bond.success.to_string(),
            bond.invalid.to_string(),
            bond.failure.to_string(),
            bond.overflows.to_string(),
            bond.ahead.to_string(),
            bond.hits.to_string(),
            bond.waits.to_string(),
            bond.waits_over.to_string(),
            latency(500),
            latency(990),
        ];
        text += &line(&bond.device, &columns);
    }
    text
}

/// In a unit that leaves at most four digits.
fn time(ns: u64) -> String {
    match ns {
        0..10_000 => format!("{ns} ns"),
        10_000..10_000_000 => format!("{} us", ns / 1000),
        10_000_000..10_000_000_000 => format!("{} ms", ns / 1_000_000),
        _ => format!("{} s", ns / 1_000_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bonds::tests::PRINTED;

    fn sample(at: Instant, text: &str) -> Sample {
        Sample { at, bonds: bonds::read(text).unwrap() }
    }

    #[test]
    fn a_rate_is_of_one_bond_in_one_time() {
        let start = Instant::now();
        let before = sample(start, PRINTED);
        let now = sample(start + Duration::from_secs(2), &PRINTED.replace(" 1028 0 1028 ", " 1128 0 1128 "));
        let rates: Vec<_> = now.bonds.iter().map(|bond| now.rate(bond, &before)).collect();
        assert_eq!(rates, [Some(50.0), Some(0.0), Some(0.0)]);
        // One that counts less is another; one that was not there has no rate yet.
        let again = sample(start + Duration::from_secs(3), &PRINTED.replace("mock1 3", "mock1 4"));
        let rates: Vec<_> = again.bonds.iter().map(|bond| again.rate(bond, &now)).collect();
        assert_eq!(rates, [None, Some(0.0), None]);
    }

    #[test]
    fn a_table_has_a_line_for_each_bond() {
        let text = table(&sample(Instant::now(), PRINTED), None);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 5, "{text}");
        assert_eq!(lines[0], "3 bonds, 1035 groups of 1036 page requests, 1 in flight");
        let words: Vec<_> = lines[2].split_whitespace().collect();
        let expected = "iommufd_mock0 1 1 1028 - 1028 0 1028 0 0 0 15356 15296 0 0 65 us 131 us";
        assert_eq!(words.join(" "), expected);
        assert!(lines.iter().skip(1).all(|line| line.len() == lines[1].len()), "{text}");
    }

    #[test]
    fn who_may_not_is_told_apart_from_what_is_not_there() {
        assert!(why(&io::ErrorKind::PermissionDenied.into()).contains("root"));
        assert!(why(&io::ErrorKind::NotFound.into()).contains("does not count"));
    }

    #[test]
    fn times_have_four_digits_at_most() {
        assert_eq!([1 << 10, 1 << 16, 1 << 30, 1 << 39].map(time), ["1024 ns", "65 us", "1073 ms", "549 s"]);
    }
}
