//! The rates as a drawing: a panel for each operation, a line for each queue, depth and batch.

use plotters::coord::Shift;
use plotters::prelude::*;
use svala_engine::Operation;

use super::result::{Results, Row};
use super::table;

/// Pixels of a panel.
const PANEL: (u32, u32) = (520, 340);
/// Pixels of the head.
const HEAD: u32 = 64;
const COLUMNS: usize = 2;

/// Points of a line: bytes and units of 10^9 bytes a second.
struct Line {
    name: String,
    points: Vec<(f64, f64)>,
    is_cpu: bool,
}

/// Draws what was measured; the document as text.
pub(super) fn draw(results: &Results) -> Result<String, String> {
    let mut operations: Vec<Operation> = Vec::new();
    for row in results.rows.iter().filter(|row| row.size_bytes != 0) {
        if !operations.contains(&row.operation) {
            operations.push(row.operation);
        }
    }
    let rows = operations.len().div_ceil(COLUMNS).max(1);
    let columns = u32::try_from(COLUMNS).unwrap_or(1);
    let height = HEAD + PANEL.1 * u32::try_from(rows).unwrap_or(1);
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, (PANEL.0 * columns, height)).into_drawing_area();
        draw_all(&area, results, &operations, rows).map_err(|error| error.to_string())?;
        area.present().map_err(|error| error.to_string())?;
    }
    Ok(text)
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), Box<dyn std::error::Error>>;

fn draw_all(area: &Area<'_>, results: &Results, operations: &[Operation], rows: usize) -> Drawn {
    area.fill(&WHITE)?;
    let (head, panels) = area.split_vertically(HEAD);
    let machine = &results.machine;
    let title = results.note().unwrap_or("svala bench");
    head.draw_text(title, &("sans-serif", 20).into_text_style(&head), (12, 10))?;
    let machine = format!("{}, {} CPUs, Linux {}", machine.cpu, machine.cpus, machine.kernel);
    head.draw_text(&machine, &("sans-serif", 13).into_text_style(&head), (12, 38))?;
    for (panel, operation) in panels.split_evenly((rows, COLUMNS)).iter().zip(operations) {
        draw_panel(panel, *operation, &lines(results, *operation))?;
    }
    Ok(())
}

/// The lines of an operation, the CPU's among them.
fn lines(results: &Results, operation: Operation) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    let mut put = |name: String, is_cpu, point| match lines.iter_mut().find(|line| line.name == name) {
        Some(line) => {
            if !line.points.contains(&point) {
                line.points.push(point);
            }
        }
        None => lines.push(Line { name, points: vec![point], is_cpu }),
    };
    for row in results.rows.iter().filter(|row| row.operation == operation) {
        #[expect(clippy::cast_precision_loss, reason = "a place in a drawing")]
        let size = row.size_bytes as f64;
        put(name(&row.queue, row), false, (size, row.figures.gb_per_second));
        if let Some(cpu) = &row.cpu {
            put(name("cpu", row), true, (size, cpu.gb_per_second));
        }
    }
    lines.iter_mut().for_each(|line| line.points.sort_by(|a, b| a.0.total_cmp(&b.0)));
    lines
}

fn name(queue: &str, row: &Row) -> String {
    let batch = if row.batch == 1 { String::new() } else { format!(" batch {}", row.batch) };
    format!("{queue} depth {}{batch}", row.depth)
}

fn draw_panel(area: &Area<'_>, operation: Operation, lines: &[Line]) -> Drawn {
    let points = || lines.iter().flat_map(|line| &line.points);
    let (low, high) =
        points().fold((f64::MAX, 1.0_f64), |(low, high), point| (low.min(point.0), high.max(point.0)));
    let top = points().fold(f64::MIN_POSITIVE, |top, point| top.max(point.1));
    // One size alone has no width.
    let sizes = low.min(high) / 1.2..high * 1.2;
    let mut chart = ChartBuilder::on(area)
        .caption(format!("{operation}, GB/s by bytes"), ("sans-serif", 15))
        .margin(10)
        .x_label_area_size(28)
        .y_label_area_size(56)
        .build_cartesian_2d(sizes.log_scale().base(2.0), 0.0..top * 1.1)?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .x_label_formatter(&|bytes| label(*bytes))
        .y_label_formatter(&|rate| format!("{rate:.2}"))
        .draw()?;
    for (index, line) in lines.iter().enumerate() {
        let color = if line.is_cpu { BLACK.mix(0.35) } else { Palette99::pick(index).to_rgba() };
        chart
            .draw_series(LineSeries::new(line.points.iter().copied(), color.stroke_width(2)).point_size(3))?
            .label(line.name.clone())
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 14, y)], color.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.7))
        .label_font(("sans-serif", 11))
        .draw()?;
    Ok(())
}

/// Bytes at an axis.
fn label(bytes: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a positive number for people"
    )]
    let bytes = bytes.round() as usize;
    table::size(bytes)
}
