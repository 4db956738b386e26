//! The results as a drawing: a panel for each workload, a bar for each policy with its name and its number beside it.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use svala_faults::{Policy, Workload};

use super::result::{Results, Row};

/// Pixels.
const PANEL_WIDTH: u32 = 470;
const PANEL_HEAD: u32 = 44;
const BAR: u32 = 22;
const PANEL_FOOT: u32 = 14;
const HEAD: u32 = 94;
const COLUMNS: usize = 2;
/// Of a panel: where bars begin, and how long the longest is.
const BARS_AT: i32 = 118;
const BARS_WIDTH: f64 = 220.0;

const OURS: RGBColor = RGBColor(0x1b, 0x6c, 0xa8);
const RIVALS: RGBColor = RGBColor(0xa9, 0xb0, 0xb7);
const FLOOR: RGBColor = RGBColor(0x3a, 0x3f, 0x44);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), Box<dyn std::error::Error>>;

/// Three digits at most, and two at least.
fn rate(number: f64) -> String {
    match number {
        ..0.1 => format!("{number:.3}"),
        ..10.0 => format!("{number:.2}"),
        ..100.0 => format!("{number:.1}"),
        _ => format!("{number:.0}"),
    }
}

/// Draws what was measured; the document as text.
pub(super) fn draw(results: &Results) -> Result<String, String> {
    let mut workloads: Vec<Workload> = results.rows.iter().map(|row| row.workload).collect();
    workloads.dedup();
    let bars = workloads.iter().map(|workload| rows(results, *workload).count()).max().unwrap_or(0);
    let bars = u32::try_from(bars).unwrap_or(0);
    let panel = PANEL_HEAD + BAR * bars + PANEL_FOOT;
    let lines = u32::try_from(workloads.len().div_ceil(COLUMNS).max(1)).unwrap_or(1);
    let columns = u32::try_from(COLUMNS.min(workloads.len().max(1))).unwrap_or(1);
    // A single column still has room for the head.
    let width = (PANEL_WIDTH * columns).max(640);
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, (width, HEAD + panel * lines)).into_drawing_area();
        draw_all(&area, results, &workloads, panel).map_err(|error| error.to_string())?;
        area.present().map_err(|error| error.to_string())?;
    }
    Ok(text)
}

fn rows(results: &Results, workload: Workload) -> impl Iterator<Item = &Row> {
    results.rows.iter().filter(move |row| row.workload == workload)
}

fn draw_all(area: &Area<'_>, results: &Results, workloads: &[Workload], panel: u32) -> Drawn {
    area.fill(&WHITE)?;
    let machine = &results.machine;
    write(area, (14, 12), "svala faults: GB/s, longer is better", 19, BLACK, HPos::Left)?;
    let note = results.note().unwrap_or("hardware");
    let size = crate::bench::size(usize::try_from(results.size_bytes).unwrap_or(usize::MAX));
    let about = match results.is_modelled() {
        true => format!("{note} · {size}, by published figures for Sapphire Rapids, one engine"),
        false => format!(
            "{note} · {size}, median of {} · {} CPUs, Linux {}",
            results.runs, machine.cpus, machine.kernel
        ),
    };
    write(area, (14, 38), &about, 12, BLACK, HPos::Left)?;
    let about =
        "beside a bar: GB/s · how many times the floor's time (black: the CPU populates everything first)";
    write(area, (14, 55), about, 12, BLACK, HPos::Left)?;
    write(area, (14, 72), "blue: svala · grey: what others do", 12, OURS, HPos::Left)?;
    for (at, workload) in workloads.iter().enumerate() {
        let (line, column) = (pixels(at / COLUMNS), pixels(at % COLUMNS));
        let corner =
            (column * i32::try_from(PANEL_WIDTH)?, i32::try_from(HEAD)? + line * i32::try_from(panel)?);
        draw_panel(area, corner, *workload, &rows(results, *workload).collect::<Vec<_>>())?;
    }
    Ok(())
}

fn draw_panel(area: &Area<'_>, (x, y): (i32, i32), workload: Workload, rows: &[&Row]) -> Drawn {
    write(area, (x + 14, y + 4), workload.name(), 15, BLACK, HPos::Left)?;
    write(area, (x + 14, y + 22), workload.about(), 11, FLOOR, HPos::Left)?;
    let longest = rows.iter().fold(f64::MIN_POSITIVE, |longest, row| longest.max(row.gb_per_second));
    let floor = rows.iter().find(|row| row.policy == Policy::Floor).map(|row| row.gb_per_second);
    let width = |rate: f64| length(BARS_WIDTH * rate / longest);
    if let Some(floor) = floor {
        let (at, top) = (x + BARS_AT + width(floor), y + i32::try_from(PANEL_HEAD)? - 3);
        let bottom = top + pixels(rows.len()) * i32::try_from(BAR)?;
        area.draw(&PathElement::new([(at, top), (at, bottom)], FLOOR.mix(0.3).stroke_width(1)))?;
    }
    for (at, row) in rows.iter().enumerate() {
        let top = y + i32::try_from(PANEL_HEAD)? + pixels(at) * i32::try_from(BAR)?;
        let color = match row.policy {
            Policy::Floor => FLOOR,
            policy if policy.is_ours() => OURS,
            _ => RIVALS,
        };
        let middle = top + i32::try_from(BAR / 2)? - 2;
        write_beside(area, (x + BARS_AT - 8, middle), row.policy.name(), HPos::Right)?;
        let bar = [(x + BARS_AT, top), (x + BARS_AT + width(row.gb_per_second).max(1), top + 17)];
        area.draw(&Rectangle::new(bar, color.filled()))?;
        let number = match row.times_floor {
            Some(times) if row.policy != Policy::Floor => {
                format!("{} · {}x", rate(row.gb_per_second), rate(times))
            }
            _ => rate(row.gb_per_second),
        };
        write_beside(area, (x + BARS_AT + width(row.gb_per_second) + 6, middle), &number, HPos::Left)?;
    }
    Ok(())
}

fn write(area: &Area<'_>, at: (i32, i32), text: &str, size: i32, color: RGBColor, from: HPos) -> Drawn {
    let style = ("sans-serif", size).into_font().color(&color).pos(Pos::new(from, VPos::Top));
    Ok(area.draw_text(text, &style, at)?)
}

fn write_beside(area: &Area<'_>, at: (i32, i32), text: &str, from: HPos) -> Drawn {
    let style = ("sans-serif", 12).into_font().color(&BLACK).pos(Pos::new(from, VPos::Center));
    Ok(area.draw_text(text, &style, at)?)
}

fn pixels(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

#[expect(clippy::cast_possible_truncation, reason = "a length in a drawing")]
fn length(pixels: f64) -> i32 {
    pixels.round() as i32
}
