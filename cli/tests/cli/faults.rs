//! faults: what is measured, said and refused; a signal loses nothing. The results of operations the command checks
//! itself, and ends in trouble if one is not right; here are its counts, its forms and its refusals.

use std::io::Read;
use std::process::Command;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::Place;

const NOTE: &str = "emulated: no statement about hardware";
const MODELLED: &str = "modelled: no measurement of hardware";
/// As small as it makes sense.
const SHORT: [&str; 6] = ["faults", "--size", "1M", "--runs", "2", "--no-probe"];
const POLICIES: [&str; 8] =
    ["floor", "inline-touch", "one-page", "look-ahead", "block", "resolve", "prefetch", "auto"];

fn faults(place: &Place, args: &[&str]) -> Value {
    serde_json::from_slice(&place.run("emulated", [&SHORT, args, &["--json"]].concat())).unwrap()
}

fn rows(result: &Value) -> &Vec<Value> {
    result["rows"].as_array().unwrap()
}

#[test]
fn each_policy_has_its_row_for_each_workload() {
    let place = Place::new();
    let result = faults(&place, &["--workload", "random,sequential,zero-read"]);
    let names = |row: &Value| {
        (row["workload"].as_str().unwrap().to_owned(), row["policy"].as_str().unwrap().to_owned())
    };
    let found: Vec<_> = rows(&result).iter().map(names).collect();
    // In their own order, whatever the order they were asked for in.
    let expected: Vec<_> = ["sequential", "random", "zero-read"]
        .iter()
        .flat_map(|workload| POLICIES.map(|policy| ((*workload).to_owned(), policy.to_owned())))
        .collect();
    assert_eq!(found, expected);
    for row in rows(&result) {
        let number = |field: &str| row[field].as_f64().unwrap();
        assert_eq!(row["runs_seconds"].as_array().unwrap().len(), 2, "{row}");
        let rate = number("bytes") / number("seconds") / 1e9;
        assert!((number("gb_per_second") / rate - 1.0).abs() < 1e-6, "{row}");
        let page = number("seconds") / number("pages") * 1e9;
        assert!((number("ns_per_page") / page - 1.0).abs() < 1e-6, "{row}");
        assert!(row["probe"].is_null() && row["probe_alone"].is_null(), "{row}");
    }
}

#[test]
fn the_floor_meets_no_fault_and_others_as_many_as_they_say() {
    let place = Place::new();
    let result = faults(&place, &["--workload", "cold-destination"]);
    let pages = 256;
    for (row, policy) in rows(&result).iter().zip(POLICIES) {
        let number = |field: &str| row[field].as_u64().unwrap();
        let (faults, asked, again) = (number("faults"), number("page_requests"), number("resubmissions"));
        match policy {
            "one-page" => assert_eq!((faults, asked, again), (pages, 0, pages), "{row}"),
            "look-ahead" => assert_eq!((faults, asked, again), (8, 0, 8), "{row}"),
            // Each request may bring others' pages in as well.
            "block" => assert!(faults == 0 && (1..=pages).contains(&asked), "{row}"),
            // Seven windows that double from 16 KiB; and each of eight parts may be met before another's window is there.
            "resolve" => assert!((1..=15).contains(&faults) && asked == 0, "{row}"),
            // Whichever it took.
            "auto" => assert!(faults <= 15 && asked <= pages, "{row}"),
            _ => assert_eq!((faults, asked, again), (0, 0, 0), "{row}"),
        }
        assert_eq!((number("bytes"), number("pages")), (1 << 20, 2 * pages), "{row}");
    }
}

#[test]
fn every_workload_runs_or_says_why_not() {
    let place = Place::new();
    let result = faults(&place, &["--policy", "floor,resolve"]);
    let not_run = result["not_run"].as_array().unwrap();
    assert_eq!(rows(&result).len() + 2 * not_run.len(), 24, "{result}");
    for workload in not_run {
        let name = workload["workload"].as_str().unwrap();
        assert!(["swap-in", "cold-file"].contains(&name), "{workload}");
        assert!(!workload["why"].as_str().unwrap().is_empty());
    }
    let said =
        String::from_utf8(place.run("emulated", [&SHORT[..], &["--workload", "swap-in,churn"]].concat()))
            .unwrap();
    let has_swap = std::fs::read_to_string("/proc/swaps").unwrap().lines().count() > 1;
    assert_eq!(said.contains("NOT RUN: no swap: /proc/swaps lists none"), !has_swap, "{said}");
}

#[test]
fn a_probe_has_quantiles_and_stands_beside_itself_alone() {
    let place = Place::new();
    let args = [
        "faults",
        "--size",
        "1M",
        "--runs",
        "1",
        "--workload",
        "sequential",
        "--policy",
        "resolve",
        "--json",
    ];
    let result: Value = serde_json::from_slice(&place.run("emulated", args)).unwrap();
    for probe in ["probe", "probe_alone"] {
        let quantile = |name: &str| rows(&result)[0][probe][name].as_u64().unwrap();
        let ordered = [quantile("p50_ns"), quantile("p99_ns"), quantile("p999_ns"), quantile("max_ns")];
        assert!(ordered.is_sorted() && ordered[0] > 0 && quantile("samples") > 0, "{result}");
    }
}

/// Without --device too: the CPU has no such faults.
#[test]
fn a_model_of_a_device_says_so_in_every_format() {
    let place = Place::new();
    for (modelled, note) in [(&[][..], NOTE), (&["--modelled"], MODELLED)] {
        let files = ["--svg", "plot.svg", "--json=result.json", "--force", "--workload", "cold-destination"];
        let said = String::from_utf8(place.run("auto", [&SHORT, &files[..], modelled].concat())).unwrap();
        assert!(said.starts_with(note), "{said}");
        let result: Value = serde_json::from_slice(&std::fs::read(place.at("result.json")).unwrap()).unwrap();
        assert_eq!((&result["note"], &result["exit"]), (&note.into(), &0.into()));
        assert!(std::fs::read_to_string(place.at("plot.svg")).unwrap().contains(note));
    }
}

/// The virtual clock: the same run costs the same, and policies stand as their counts have it.
#[test]
fn modelled_times_do_not_depend_on_the_clock() {
    let place = Place::new();
    let times = || {
        let result = faults(&place, &["--modelled", "--workload", "cold-destination,half-cold"]);
        rows(&result).iter().map(|row| row["seconds"].as_f64().unwrap()).collect::<Vec<_>>()
    };
    let (first, second) = (times(), times());
    // Without auto, which learns from the clock. How often resolve faults depends on how far its threads are.
    let policies = POLICIES.iter().filter(|policy| **policy != "auto").cycle();
    assert_eq!(first.len(), 2 * (POLICIES.len() - 1));
    for ((first, second), policy) in first.iter().zip(&second).zip(policies) {
        let is_same = (first / second - 1.0).abs() < 1e-9;
        assert!(is_same || *policy == "resolve", "{policy}: {first} and {second}");
    }
    // Of both workloads. A floor in calls costs the calls, and there are few pages here.
    for times in first.chunks_exact(POLICIES.len() - 1) {
        let [_, _, one_page, look_ahead, block, resolve, prefetch] = times[..] else { panic!("policies") };
        let ours = [resolve, prefetch];
        assert!(look_ahead < one_page && one_page < block, "{times:?}");
        assert!(ours.iter().all(|ours| *ours < one_page), "{times:?}");
    }
    let not = faults(&place, &["--modelled", "--workload", "cold-file,mixed,copy-on-write,swap-in"]);
    assert_eq!(not["not_run"].as_array().unwrap().len(), 4, "{not}");
}

#[test]
fn the_plot_is_well_formed_and_names_its_bars() {
    const SCRIPT: &str = "
import sys, xml.etree.ElementTree as tree
root = tree.parse(sys.argv[1]).getroot()
assert root.tag == '{http://www.w3.org/2000/svg}svg', root.tag
texts = [''.join(part.itertext()).strip() for part in root.iter('{http://www.w3.org/2000/svg}text')]
for word in sys.argv[2:]:
    assert texts.count(word) == 2, (word, texts)
bars = len(list(root.iter('{http://www.w3.org/2000/svg}rect')))
assert bars >= 14, bars
";
    let place = Place::new();
    place.run("emulated", [&SHORT[..], &["--workload", "sequential,churn", "--svg", "plot.svg"]].concat());
    let mut python = Command::new("python3");
    python.args(["-c", SCRIPT]).arg(place.at("plot.svg")).args(POLICIES);
    let output = python.output().unwrap();
    assert!(output.status.success(), "python: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn what_cannot_be_measured_is_refused_at_once() {
    let place = Place::new();
    place.file("there", b"");
    for (device, args, needle) in [
        ("emulated", &["--size", "4K"][..], "size 4096: 1048576 at least"),
        ("emulated", &["--size", "1000T"], "bytes of memory there are"),
        ("software", &[], "the CPU meets no page faults of a device"),
        ("wq7.7", &[], "wq7.7"),
        ("wq7.7", &["--modelled"], "--modelled takes no other"),
        ("emulated", &["--modelled", "--policy", "auto"], "auto learns from the clock"),
        ("emulated", &["--svg", "there"], "there: exists (--force"),
        ("emulated", &["--json=there"], "there: exists (--force"),
        ("emulated", &["--workload", "cold-file", "--directory", "missing"], "No such file"),
    ] {
        let quiet = [&["faults", "--quiet"], args].concat();
        place.trouble(device, &quiet, needle);
    }
    for args in
        [["--workload", "warm"], ["--policy", "pin"], ["--runs", "0"], ["--runs", "100"], ["--size", "x"]]
    {
        let output = place.svala("emulated").arg("faults").args(args).output().unwrap();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{args:?}");
    }
}

#[test]
fn a_signal_shows_what_there_is() {
    let place = Place::new();
    let args = ["faults", "--size", "1M", "--runs", "99", "--json=result.json", "--svg", "plot.svg"];
    let mut running = place.start("emulated", args);
    let mut stdout = running.child().stdout.take().unwrap();
    // The last row of a workload.
    let (mut said, mut byte) = (Vec::new(), [0]);
    while !String::from_utf8_lossy(&said).contains("\n  auto ") {
        assert_eq!(stdout.read(&mut byte).unwrap(), 1, "ended before there was a workload");
        said.push(byte[0]);
    }
    running.signal(Signal::SIGINT);
    let reader = std::thread::spawn(move || {
        let mut rest = String::new();
        stdout.read_to_string(&mut rest).unwrap();
        rest
    });
    let (status, complaint) = running.end();
    assert_eq!((status.code(), complaint.as_str()), (Some(130), ""));
    assert!(reader.join().unwrap().contains("interrupted: this is what there is"));
    let result: Value = serde_json::from_slice(&std::fs::read(place.at("result.json")).unwrap()).unwrap();
    assert_eq!((&result["exit"], &result["interrupted"]), (&130.into(), &true.into()));
    assert!(rows(&result).len() >= POLICIES.len());
    assert_eq!(place.names(), ["plot.svg", "result.json"]);
}

/// What is shown is what the runtime says of itself, and its policy is the one that its costs come to: `resolve`, unless what
/// another costs beside the work is less by a margin.
#[test]
fn the_cost_model_explains_itself() {
    let place = Place::new();
    let result: Value =
        serde_json::from_slice(&place.run("auto", ["faults", "--explain", "--json"])).unwrap();
    assert_eq!((&result["note"], &result["auto"]["measured"]), (&NOTE.into(), &true.into()));
    for cost in ["submit_ns", "fault_ns", "populate_call_ns", "populate_page_ns", "work_page_ns", "sample_ns"]
    {
        assert!(result["auto"]["costs"][cost].as_f64().unwrap() > 0.0, "{cost} in {result}");
    }
    let estimates = result["estimates"].as_array().unwrap();
    assert_eq!(estimates.len(), 11, "{result}");
    for one in estimates {
        let cost = |name: &str| one["estimate"][name].as_f64().unwrap();
        let work = one["situation"]["pages"].as_f64().unwrap()
            * result["auto"]["costs"]["work_page_ns"].as_f64().unwrap();
        let [resolve, prefetch, block] =
            ["resolve_ns", "prefetch_ns", "block_ns"].map(|name| (cost(name) - work).max(0.0));
        let cheapest = if block < 0.75 * resolve.min(prefetch) {
            "blockonfault"
        } else if prefetch < 0.95 * resolve {
            "prefetch"
        } else {
            "resolve"
        };
        assert_eq!(one["estimate"]["policy"], cheapest, "{one}");
    }
    let said = String::from_utf8(place.run("emulated", ["faults", "--explain"])).unwrap();
    for words in ["measured on this machine", "populate page", "auto takes"] {
        assert!(said.contains(words), "{words} in {said}");
    }
}
