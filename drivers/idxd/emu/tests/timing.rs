//! The timing model against published figures: those it was made from, and others.
//!
//! The table is in ARCHITECTURE.md, between two marks, and this test fails when the program says something else. To
//! write it: `SVALA_TIMING=write cargo test -p idxd-emu --test timing`.

use std::fmt::Write;

use idxd_emu::timing::{Schedule, Served, Timing};

const PAGE: u64 = 4096;
const BEGIN: &str = "<!-- timing: begin -->\n";
const END: &str = "<!-- timing: end -->\n";

/// A published figure, and the model's.
struct Figure {
    what: String,
    source: &'static str,
    unit: &'static str,
    published: f64,
    modelled: f64,
    /// The model has a constant from it.
    is_calibrated: bool,
}

impl Figure {
    fn error_percent(&self) -> f64 {
        (self.modelled / self.published - 1.0) * 100.0
    }
}

/// Descriptors submitted one after the other for a long time: nanoseconds for each.
fn stream(timing: &Timing, submit_ns: f64, served: &Served) -> f64 {
    const COUNT: u32 = 10_000;
    let mut schedule = Schedule::new(timing.engines);
    let mut last = 0.0_f64;
    for index in 0..COUNT {
        last = last.max(schedule.submit(f64::from(index) * submit_ns, served).engine_free);
    }
    last / f64::from(COUNT)
}

fn copy(timing: &Timing, bytes: u64) -> Served {
    Served::operation(timing, bytes)
}

fn batch(timing: &Timing, count: u32, bytes: u64) -> Served {
    Served::batch(timing, (0..count).map(|_| copy(timing, bytes)))
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{} KiB", bytes >> 10),
        _ => format!("{} MiB", bytes >> 20),
    }
}

fn float(count: u64) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}

fn figures(timing: &Timing) -> Vec<Figure> {
    [latencies(timing), rates(timing), batches(timing), faults(timing), analytics(timing), other_platform()]
        .into_iter()
        .flatten()
        .collect()
}

fn latencies(timing: &Timing) -> Vec<Figure> {
    let figure = |what: String, source, published, modelled, is_calibrated| Figure {
        what,
        source,
        unit: "us",
        published,
        modelled: modelled / 1e3,
        is_calibrated,
    };
    let noop = figure("no-op, warm".into(), "accel-datapath", 0.649, copy(timing, 0).alone_ns(), true);
    let curve = [
        (64, 0.75),
        (1 << 10, 0.96),
        (4 << 10, 1.14),
        (8 << 10, 1.36),
        (16 << 10, 1.83),
        (32 << 10, 2.39),
        (64 << 10, 3.51),
        (128 << 10, 5.71),
        (256 << 10, 9.91),
        (512 << 10, 18.3),
        (1 << 20, 35.1),
    ];
    let curve = curve.map(|(bytes, published)| {
        figure(
            format!("copy of {}, alone", size(bytes)),
            "LightDSA",
            published,
            copy(timing, bytes).alone_ns(),
            true,
        )
    });
    let cold = |bytes| copy(timing, bytes).with_translation_miss(timing).alone_ns();
    let others = [
        figure("copy of 64 B, cold".into(), "accel-datapath", 1.084, cold(64), false),
        figure("copy of 4 KiB, cold".into(), "accel-datapath", 1.737, cold(PAGE), false),
    ];
    [noop].into_iter().chain(curve).chain(others).collect()
}

fn rates(timing: &Timing) -> Vec<Figure> {
    let rate = |what: String, source, published, bytes: u64, ns: f64, is_calibrated| Figure {
        what,
        source,
        unit: "GB/s",
        published,
        modelled: float(bytes) / ns,
        is_calibrated,
    };
    // Batches so close behind each other that no engine waits.
    let of_batches = |bytes| stream(timing, 0.0, &batch(timing, 32, bytes)) / 32.0;
    let batched = [(64, 1.45), (512, 17.5), (1 << 10, 24.0), (4 << 10, 28.5), (32 << 10, 29.8)];
    let batched = batched.map(|(bytes, published)| {
        rate(
            format!("batches of 32, {}", size(bytes)),
            "LightDSA",
            published,
            bytes,
            of_batches(bytes),
            false,
        )
    });
    let messages = |what: &str, published, ns: f64, is_calibrated| Figure {
        what: what.into(),
        source: "accel-datapath",
        unit: "Mops",
        published,
        modelled: 1e3 / ns,
        is_calibrated,
    };
    let tiny = copy(timing, 8);
    let messages = [
        messages(
            "copies of 8 B in batches of 128",
            53.9,
            stream(timing, 0.0, &batch(timing, 128, 8)) / 128.0,
            true,
        ),
        messages("one by one, dedicated", 9.4, stream(timing, timing.submit_dedicated_ns, &tiny), true),
        messages("one by one, shared", 5.3, stream(timing, timing.submit_shared_ns, &tiny), true),
    ];
    let ceiling = stream(timing, timing.submit_dedicated_ns, &copy(timing, 64 << 10));
    let ceiling = rate(
        "copies of 64 KiB, one device".into(),
        "LightDSA, accel-datapath",
        30.0,
        64 << 10,
        ceiling,
        true,
    );
    let four = stream(timing, timing.submit_dedicated_ns, &copy(timing, 64 << 10)) / 4.0;
    let four = rate("the same, four devices".into(), "DSA-2LM", 106.0, 64 << 10, four, false);
    // DSA-2LM: from which size on, of powers of two, a copy that is waited for beats a core that copies 9.35 GB/s.
    let wins = |bytes: &u64| copy(timing, *bytes).alone_ns() < float(*bytes) / 9.35;
    let even = (6..21).map(|shift| 1_u64 << shift).find(wins).unwrap_or(0);
    let even = Figure {
        what: "smallest power of two that beats a core".into(),
        source: "DSA-2LM",
        unit: "KiB",
        published: 32.0,
        modelled: float(even >> 10),
        is_calibrated: false,
    };
    batched.into_iter().chain(messages).chain([ceiling, four, even]).collect()
}

fn batches(timing: &Timing) -> Vec<Figure> {
    let published = [(2, 1.47), (8, 2.50), (32, 5.99), (64, 10.8), (256, 37.7), (1024, 149.0)];
    published
        .map(|(count, published)| Figure {
            what: format!("batch of {count} copies of 4 KiB"),
            source: "accel-datapath",
            unit: "us",
            published,
            modelled: batch(timing, count, PAGE).alone_ns() / 1e3,
            // The first gave what a batch costs, the last what another member costs.
            is_calibrated: matches!(count, 2 | 1024),
        })
        .into()
}

fn faults(timing: &Timing) -> Vec<Figure> {
    let pages = 262_144.0;
    let figure = |what: &str, published, page_ns: f64, is_calibrated| Figure {
        what: what.into(),
        source: "LightDSA",
        unit: "s/GB",
        published,
        modelled: page_ns * pages / 1e9,
        is_calibrated,
    };
    let page = copy(timing, PAGE);
    let blocked = page.with_page_requests(timing, 1);
    let touched = timing.touch_write_ns + page.with_translation_miss(timing).with_fault(timing).alone_ns();
    // A window of 128 KiB touched, then copied.
    let window = 32.0 * timing.touch_write_ns + copy(timing, 32 * PAGE).alone_ns();
    let zeros = timing.touch_read_ns + float(PAGE) / timing.bytes_per_ns;
    vec![
        figure("first touch by the CPU", 0.317, timing.touch_write_ns, true),
        figure("block-on-fault", 3.611, blocked.stall_ns + float(PAGE) / timing.bytes_per_ns, true),
        figure("one page touched for each fault", 1.08, touched, true),
        figure("comparison of zeros", 0.187, zeros, true),
        figure("128 KiB touched, then copied", 0.352, window / 32.0, false),
    ]
}

fn analytics(timing: &Timing) -> Vec<Figure> {
    // The members of such a batch are queued at once and run one behind the other.
    let each = |served: &Served, count: u32| {
        let mut schedule = Schedule::new(1);
        let end = (0..count).map(|_| schedule.submit(0.0, served).end).fold(0.0, f64::max);
        end / f64::from(count)
    };
    let figure = |what: &str, count: u32, published, served: &Served, is_calibrated| Figure {
        what: format!("{what} of 4 KiB, {count} at once"),
        source: "memory-usage-analyzer",
        unit: "ns each",
        published,
        modelled: each(served, count),
        is_calibrated,
    };
    let expand = Served::decompression(timing, PAGE);
    let compress = Served::compression(timing, PAGE);
    let expanded = [(1, 2999.0), (2, 1719.0), (4, 1103.0), (8, 773.0)];
    let expanded = expanded
        .map(|(count, published)| figure("decompression", count, published, &expand, matches!(count, 1 | 8)));
    let compressed = [(1, 3571.0), (2, 1971.0), (4, 1568.0), (8, 1378.0), (16, 1373.0)];
    let compressed =
        compressed.map(|(count, published)| figure("compression", count, published, &compress, count == 1));
    expanded.into_iter().chain(compressed).collect()
}

/// That faults add up, on another platform with its own constants: messages of 1 MiB over an Arm SMMU, with the cost of
/// a fault from the first of its runs.
fn other_platform() -> Vec<Figure> {
    let seconds = |kib: f64, rate: f64| kib / rate;
    let fault = (seconds(1024.0, 163_866.0) - seconds(1024.0, 951_672.0)) / 512.0;
    let figure = |messages: f64, without, published| Figure {
        what: format!("{messages} MiB with 1024 faults, SMMU stall"),
        source: "VFIO IOPF RFC v2",
        unit: "KB/s",
        published,
        modelled: 1024.0 * messages / (seconds(1024.0 * messages, without) + 1024.0 * fault),
        is_calibrated: false,
    };
    vec![figure(100.0, 8_691_961.0, 4_529_971.0), figure(1000.0, 9_158_721.0, 8_376_346.0)]
}

/// A number with as many digits as a figure has.
fn number(value: f64) -> String {
    match value {
        ..10.0 => format!("{value:.3}"),
        ..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

fn table(figures: &[Figure]) -> String {
    let mut table =
        String::from("| figure | source | published | modelled | error | |\n|---|---|---|---|---|---|\n");
    for figure in figures {
        let Figure { what, source, unit, published, modelled, is_calibrated } = figure;
        let kind = if *is_calibrated { "calibrated" } else { "predicted" };
        let error = figure.error_percent();
        writeln!(
            table,
            "| {what} | {source} | {} {unit} | {} | {error:+.1}% | {kind} |",
            number(*published),
            number(*modelled)
        )
        .unwrap();
    }
    table
}

#[test]
fn the_table_in_the_architecture_document_is_what_the_model_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../ARCHITECTURE.md");
    let document = std::fs::read_to_string(path).unwrap();
    let (before, rest) = document.split_once(BEGIN).expect("where the table begins");
    let (found, after) = rest.split_once(END).expect("where the table ends");
    let table = table(&figures(&Timing::SAPPHIRE_RAPIDS));
    if std::env::var_os("SVALA_TIMING").is_some_and(|wanted| wanted == "write") {
        std::fs::write(path, format!("{before}{BEGIN}{table}{END}{after}")).unwrap();
        return;
    }
    assert!(found == table, "the table is not what the model says; it would be:\n{table}");
}

/// What the model is made from it has to give back, and it has to be good for something else: of what it was not made
/// from, all but a few stay within a tenth. The document says which do not, and why.
#[test]
fn figures_are_reproduced() {
    let figures = figures(&Timing::SAPPHIRE_RAPIDS);
    for figure in figures.iter().filter(|figure| figure.is_calibrated) {
        let error = figure.error_percent();
        assert!(error.abs() < 11.0, "{}: {error:+.1}%", figure.what);
    }
    let predicted: Vec<_> = figures.iter().filter(|figure| !figure.is_calibrated).collect();
    let close = predicted.iter().filter(|figure| figure.error_percent().abs() < 10.0).count();
    assert!(close >= 15, "{close} of {} within 10%", predicted.len());
}

/// The room for translations is an assumption: no figure depends on it.
#[test]
fn no_figure_depends_on_the_size_of_the_cache() {
    let table_with = |translations| {
        let mut timing = Timing::SAPPHIRE_RAPIDS;
        timing.translations = translations;
        timing.populate_call_ns = 1.0;
        table(&figures(&timing))
    };
    assert_eq!(table_with(1), table_with(1 << 20));
}
