//! bench: what is measured, said and refused; a signal loses nothing.

use std::io::Read;
use std::process::Command;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::{DEVICES, Place};

const NOTE: &str = "emulated: no statement about hardware";
/// As short as it makes sense.
const SHORT: [&str; 5] = ["bench", "--time", "0.002", "--total", "20"];

fn bench(place: &Place, device: &str, args: &[&str]) -> Value {
    serde_json::from_slice(&place.run(device, [&SHORT, args, &["--json"]].concat())).unwrap()
}

fn rows(result: &Value) -> &Vec<Value> {
    result["rows"].as_array().unwrap()
}

#[test]
fn each_point_has_its_row() {
    let place = Place::new();
    let args = ["--operation", "copy,crc32c", "--size", "4K,64K", "--depth", "1,3", "--batch", "1,4"];
    for device in DEVICES {
        let result = bench(&place, device, &args);
        let mut points = Vec::new();
        for row in rows(&result) {
            let number = |field: &str| row[field].as_f64().unwrap();
            points.push((row["operation"].clone(), number("size_bytes"), number("depth"), number("batch")));
            assert_eq!((&row["queue"], &row["buffers"]), (&device.into(), &"warm".into()));
            assert!(row["paths"][0].as_str().unwrap().starts_with(device), "{row}");
            // Each lane at least once.
            assert!(number("operations") >= number("depth") * number("batch"), "{row}");
            let rate = number("operations") / number("seconds");
            assert!((number("ops_per_second") / rate - 1.0).abs() < 1e-6, "{row}");
            let gb = rate * number("size_bytes") / 1e9;
            assert!((number("gb_per_second") / gb - 1.0).abs() < 1e-6, "{row}");
            let latency = |name: &str| row["latency_ns"][name].as_u64().unwrap();
            let ordered = [latency("p50"), latency("p99"), latency("p99.9"), latency("max")];
            assert!(ordered.is_sorted() && ordered[0] > 0, "{row}");
        }
        assert_eq!(points.len(), 16, "{result}");
        points.dedup();
        assert_eq!(points.len(), 16, "the same point twice");
    }
}

#[test]
fn the_cpu_stands_beside_other_queues_and_not_beside_itself() {
    let place = Place::new();
    let args = ["--operation", "copy", "--size", "64K", "--depth", "2"];
    let row = rows(&bench(&place, "emulated", &args))[0].clone();
    let ratio = row["ops_per_second"].as_f64().unwrap() / row["cpu"]["ops_per_second"].as_f64().unwrap();
    assert!((row["ratio"].as_f64().unwrap() / ratio - 1.0).abs() < 1e-6, "{row}");
    assert!(row["cpu"]["paths"][0].as_str().unwrap().starts_with("software"), "{row}");
    for (device, against) in [("software", "cpu"), ("emulated", "none")] {
        let result = bench(&place, device, &[&args[..], &["--against", against]].concat());
        assert!(rows(&result)[0]["cpu"].is_null() && rows(&result)[0]["ratio"].is_null(), "{result}");
    }
}

/// Whatever there is of operations is measured, or says why not.
#[test]
fn every_operation_is_measured_on_the_cpu() {
    let place = Place::new();
    let result = bench(&place, "software", &["--operation", "all", "--size", "4K", "--depth", "2"]);
    assert_eq!(result["skipped"], Value::Array(Vec::new()));
    assert_eq!(rows(&result).len(), 60);
    let result = bench(
        &place,
        "emulated",
        &["--operation", "all", "--size", "4K", "--depth", "2", "--against", "none"],
    );
    assert_eq!(rows(&result).len() + result["skipped"].as_array().unwrap().len(), 60, "{result}");
    for operation in [
        "decrypt_inflate",
        "decrypt_scan",
        "decrypt_extract",
        "deflate_miniblocks",
        "index_miniblocks",
        "inflate_miniblocks",
    ] {
        let row = rows(&result).iter().find(|row| row["operation"] == operation);
        let paths =
            row.unwrap_or_else(|| panic!("{operation} is not measured: {result}"))["paths"].to_string();
        assert!(!paths.contains("software"), "{operation}: {paths}");
    }
}

#[test]
fn fresh_memory_faults_and_warm_memory_does_not() {
    let place = Place::new();
    let args = ["--operation", "copy", "--size", "64K", "--depth", "2", "--against", "none"];
    let warm = bench(&place, "emulated", &args);
    let cold = bench(&place, "emulated", &[&args[..], &["--cold"]].concat());
    let count = |result: &Value, field: &str| rows(result)[0][field].as_u64().unwrap();
    assert_eq!(count(&warm, "faults"), 0, "{warm}");
    assert!(count(&cold, "faults") >= count(&cold, "operations"), "{cold}");
    assert_eq!(rows(&cold)[0]["buffers"], "cold");
}

#[test]
fn a_model_of_a_device_says_so_in_every_format() {
    let place = Place::new();
    let args = ["--operation", "fill,noop", "--size", "4K", "--depth", "1", "--svg", "plot.svg", "--force"];
    for (queues, is_model) in [("software", false), ("emulated", true), ("software,emulated", true)] {
        let args = [&SHORT, &args[..], &["--queue", queues]].concat();
        let said = String::from_utf8(place.run("auto", &args)).unwrap();
        let result: Value =
            serde_json::from_slice(&place.run("auto", [&args[..], &["--json"]].concat())).unwrap();
        let plot = std::fs::read_to_string(place.at("plot.svg")).unwrap();
        assert_eq!((said.contains(NOTE), plot.contains(NOTE)), (is_model, is_model), "{said}");
        assert_eq!(result["note"], if is_model { NOTE.into() } else { Value::Null });
        assert_eq!(said.starts_with(NOTE), queues == "emulated", "{said}");
    }
}

#[test]
fn the_plot_is_well_formed_and_names_its_lines() {
    const SCRIPT: &str = "
import sys, xml.etree.ElementTree as tree
root = tree.parse(sys.argv[1]).getroot()
assert root.tag == '{http://www.w3.org/2000/svg}svg', root.tag
text = ' '.join(''.join(part.itertext()) for part in root.iter('{http://www.w3.org/2000/svg}text'))
for word in sys.argv[2:]:
    assert word in text, word
lines = len(list(root.iter('{http://www.w3.org/2000/svg}polyline')))
assert lines >= 4, lines
";
    let place = Place::new();
    let args = ["--operation", "copy,crc32c", "--size", "4K,64K", "--depth", "1,2", "--svg", "plot.svg"];
    place.run("emulated", [&SHORT, &args[..]].concat());
    let mut python = Command::new("python3");
    python.args(["-c", SCRIPT]).arg(place.at("plot.svg"));
    python.args(["copy", "crc32c", "emulated depth 1", "emulated depth 2", "cpu depth 2", NOTE]);
    let output = python.output().unwrap();
    assert!(output.status.success(), "python: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn what_cannot_be_measured_is_refused_at_once() {
    let place = Place::new();
    place.file("there", b"");
    for (args, needle) in [
        (&["--depth", "0"][..], "depth 0: 1 to"),
        (&["--depth", "1,100000"], "depth 100000: 1 to"),
        (&["--batch", "0"], "batch 0: 1 to"),
        (&["--size", "0"], "size 0: 1 to"),
        (&["--size", "1T"], "size 1099511627776: 1 to"),
        (&["--size", "2G", "--depth", "1024", "--batch", "1024"], "bytes of memory there are"),
        (&["--quick", "--svg", "there"], "there: exists (--force"),
        (&["--quick", "--json=there"], "there: exists (--force"),
        (&["--quick", "--svg", "missing/plot.svg"], "missing/plot.svg: creating it: No such file"),
    ] {
        place.trouble("software", [&["bench"], args].concat(), needle);
    }
    for args in [["--operation", "memmove"], ["--time", "0"], ["--total", "-1"], ["--against", "gpu"]] {
        let output = place.svala("software").arg("bench").args(args).output().unwrap();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{args:?}");
    }
}

#[test]
fn points_that_no_queue_does_say_why() {
    let place = Place::new();
    let args =
        ["--operation", "create_delta,dif_insert,noop", "--size", "100,1M", "--depth", "1", "--batch", "1,2"];
    let result = bench(&place, "software", &args);
    let why = result["skipped"].to_string();
    for words in ["whole words of 8", "at most 524288 bytes", "whole blocks of 512", "not in batches"] {
        assert!(why.contains(words), "{words} in {why}");
    }
}

#[test]
fn the_time_for_everything_is_kept() {
    let place = Place::new();
    let args =
        ["bench", "--operation", "copy", "--depth", "1,2,3,4", "--time", "0.2", "--total", "0.3", "--json"];
    let start = std::time::Instant::now();
    let result: Value = serde_json::from_slice(&place.run("software", args)).unwrap();
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
    let skipped = result["skipped"].as_array().unwrap();
    assert!(!rows(&result).is_empty() && skipped.len() + rows(&result).len() == 16, "{result}");
    assert!(skipped[0]["why"].as_str().unwrap().contains("time for everything"), "{result}");
}

#[test]
fn a_signal_shows_what_there_is() {
    let place = Place::new();
    for device in DEVICES {
        let args = ["bench", "--operation", "copy", "--time", "0.05", "--total", "600"];
        let depths: Vec<String> = (1..500).map(|depth| depth.to_string()).collect();
        let depths = depths.join(",");
        let files = ["--depth", &depths, "--json=result.json", "--svg", "plot.svg", "--force"];
        let mut running = place.start(device, [&args[..], &files].concat());
        let mut stdout = running.child().stdout.take().unwrap();
        // A row has a path in it.
        let (mut said, mut byte) = (Vec::new(), [0]);
        while !String::from_utf8_lossy(&said).contains(&format!("{device} (")) {
            assert_eq!(stdout.read(&mut byte).unwrap(), 1, "ended before there was a row");
            said.push(byte[0]);
        }
        running.signal(Signal::SIGINT);
        let reader = std::thread::spawn(move || {
            let mut rest = String::new();
            stdout.read_to_string(&mut rest).unwrap();
            rest
        });
        let (status, complaint) = running.end();
        assert_eq!((status.code(), complaint.as_str()), (Some(130), ""), "on {device}");
        assert!(reader.join().unwrap().contains("interrupted: this is what there is"), "on {device}");
        let result = std::fs::read(place.at("result.json")).unwrap();
        let result: Value = serde_json::from_slice(&result).unwrap();
        assert_eq!((&result["exit"], &result["interrupted"]), (&130.into(), &true.into()));
        assert!(!rows(&result).is_empty());
        assert_eq!(place.names(), ["plot.svg", "result.json"]);
    }
}
