//! Charts with error bars, as SVG.

use std::fmt::Write;

use spe_kernel::statistic::{Estimate, Statistic};

use crate::show::{number, shares_unit};

/// The chart's width, right end of its scale, height of a row and width of a letter, in its own units.
const WIDTH: f64 = 720.0;
const RIGHT: f64 = 690.0;
const ROW: f64 = 30.0;
const LETTER: f64 = 7.2;
/// Letters of a label that are drawn.
const LABEL_LETTERS: usize = 36;
/// Rows that are drawn; the table has more.
const ROWS_MAX: usize = 60;
/// Height and left end of a curve, in the chart's units.
const CURVE_HEIGHT: f64 = 300.0;
const CURVE_LEFT: f64 = 52.0;

pub(crate) fn push(text: &mut String, args: std::fmt::Arguments<'_>) {
    // Writing to a String does not fail.
    text.write_fmt(args).ok();
}

pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The chart that suits the statistic: a curve for survival, else an error bar for each estimate.
pub(crate) fn chart(body: &mut String, statistic: &Statistic, exact: Option<&[f64]>) {
    if statistic.kind == "survival" {
        return curve(body, &statistic.estimates);
    }
    let clear = |(_, e): &(usize, &Estimate)| !e.indistinct && !e.suppressed && shares_unit(statistic, e);
    let shown: Vec<_> = statistic.estimates.iter().enumerate().filter(clear).take(ROWS_MAX).collect();
    if !shown.is_empty() {
        bars(body, &shown, exact);
    }
}

/// The range that a chart of these shows: their intervals, and 0.
///
/// A noisy number near 0 may be on its other side; an end that goes so little past 0 does not deserve a part of the scale.
pub(crate) fn span<'a>(estimates: impl Iterator<Item = &'a Estimate>) -> (f64, f64) {
    let (low, high) = estimates.fold((0.0_f64, 0.0_f64), |(low, high), e| (low.min(e.low), high.max(e.high)));
    if high - low <= 0.0 {
        return (0.0, 1.0);
    }
    let counts = |end: f64| end.abs() >= (high - low) / 20.0;
    (if counts(low) { low } else { 0.0 }, if counts(high) { high } else { 0.0 })
}

/// Round steps over a range.
struct Ticks {
    low: f64,
    high: f64,
    step: f64,
}

impl Ticks {
    fn over(low: f64, high: f64) -> Self {
        let step = round_step((high - low) / 5.0);
        Self { low: (low / step).floor() * step, high: (high / step).ceil() * step, step }
    }

    fn each(&self) -> impl Iterator<Item = f64> {
        let (low, high, step) = (self.low, self.high, self.step);
        (0..=100_u32).map(move |i| low + f64::from(i) * step).take_while(move |at| *at <= high + step / 2.0)
    }

    /// How far along the range `value` is, from 0 to 1.
    fn share(&self, value: f64) -> f64 {
        (value.clamp(self.low, self.high) - self.low) / (self.high - self.low)
    }
}

/// A round step of at least `raw`: 1, 2 or 5 times a power of ten.
fn round_step(raw: f64) -> f64 {
    let power = 10_f64.powf(raw.max(1e-9).log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * power).find(|s| *s >= raw).unwrap_or(power)
}

fn bars(body: &mut String, shown: &[(usize, &Estimate)], exact: Option<&[f64]>) {
    let (low, high) = span(shown.iter().map(|(_, e)| *e));
    let ticks = Ticks::over(low, high);
    let letters = shown.iter().map(|(_, e)| e.label.chars().count().min(LABEL_LETTERS)).max().unwrap_or(0);
    let left = 24.0 + LETTER * f64::from(u32::try_from(letters).unwrap_or(0));
    let x = |value: f64| left + ticks.share(value) * (RIGHT - left);
    let height = ROW * f64::from(u32::try_from(shown.len()).unwrap_or(0)) + 30.0;
    push(body, format_args!("<svg viewBox=\"0 0 {WIDTH} {height}\" xmlns=\"http://www.w3.org/2000/svg\">"));
    for at in ticks.each() {
        vertical(body, x(at), height, &number(at, ticks.step));
    }
    let mut y = ROW / 2.0 + 4.0;
    for (i, estimate) in shown {
        let known = exact.and_then(|e| e.get(*i)).filter(|e| e.is_finite()).map(|e| x(*e));
        bar(body, estimate, (left, y), x, known);
        y += ROW;
    }
    body.push_str("</svg>");
}

/// A line of the grid with its number below.
fn vertical(body: &mut String, x: f64, height: f64, label: &str) {
    let (base, below) = (height - 22.0, height - 6.0);
    push(
        body,
        format_args!(
            "<line class=grid x1={x:.1} x2={x:.1} y1=4 y2={base:.0} />\
             <text class=soft x={x:.1} y={below:.0} text-anchor=middle>{label}</text>"
        ),
    );
}

fn bar(body: &mut String, estimate: &Estimate, (left, y): (f64, f64), x: impl Fn(f64) -> f64, exact: Option<f64>) {
    let Estimate { label, value, low, high, .. } = estimate;
    let label = escape(&label.chars().take(LABEL_LETTERS).collect::<String>());
    push(body, format_args!("<text x={:.0} y={:.1} text-anchor=end>{label}</text>", left - 12.0, y + 4.0));
    push(body, format_args!("<line class=bar x1={:.1} x2={:.1} y1={y} y2={y} />", x(*low), x(*high)));
    for end in [low, high] {
        push(body, format_args!("<line class=bar x1={0:.1} x2={0:.1} y1={1} y2={2} />", x(*end), y - 5.0, y + 5.0));
    }
    push(body, format_args!("<circle class=dot cx={:.1} cy={y} r=4.5 />", x(*value)));
    if let Some(exact) = exact {
        push(body, format_args!("<circle class=exact cx={exact:.1} cy={y} r=7 />"));
    }
}

/// Survival: a curve that steps down at each interval's end, in the band that the noise leaves it. It ends where too few
/// people are left to be shown.
fn curve(body: &mut String, estimates: &[Estimate]) {
    let point = |e: &Estimate| Some((e.label.parse::<f64>().ok()?, [e.low, e.value, e.high]));
    let points: Vec<_> = estimates.iter().take_while(|e| !e.suppressed).map_while(point).collect();
    let Some((end, _)) = points.last() else { return };
    let ticks = Ticks::over(0.0, *end);
    let bottom = CURVE_HEIGHT - 30.0;
    let x = |time: f64| CURVE_LEFT + ticks.share(time) * (RIGHT - CURVE_LEFT);
    let y = |share: f64| 10.0 + (1.0 - share.clamp(0.0, 1.0)) * (bottom - 10.0);
    push(body, format_args!("<svg viewBox=\"0 0 {WIDTH} {CURVE_HEIGHT}\" xmlns=\"http://www.w3.org/2000/svg\">"));
    for at in ticks.each() {
        vertical(body, x(at), CURVE_HEIGHT, &number(at, ticks.step));
    }
    for percent in [0_u8, 25, 50, 75, 100] {
        let (at, below) = (y(f64::from(percent) / 100.0), y(f64::from(percent) / 100.0) + 4.0);
        push(
            body,
            format_args!(
                "<line class=grid x1={CURVE_LEFT} x2={RIGHT} y1={at:.1} y2={at:.1} />\
                 <text class=soft x={:.0} y={below:.1} text-anchor=end>{percent} %</text>",
                CURVE_LEFT - 8.0
            ),
        );
    }
    // Each edge of the band, and the curve between them, is a path of its own.
    let path = |which: fn(&[f64; 3]) -> f64| {
        let mut steps = vec![(x(0.0), y(1.0))];
        for (time, values) in &points {
            let before = steps.last().map_or(y(1.0), |(_, y)| *y);
            steps.extend([(x(*time), before), (x(*time), y(which(values)))]);
        }
        steps
    };
    let joined =
        |steps: &[(f64, f64)]| steps.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect::<Vec<_>>().join(" ");
    let mut band = path(|[low, ..]| *low);
    band.extend(path(|[.., high]| *high).into_iter().rev());
    push(body, format_args!("<polygon class=band points=\"{}\" />", joined(&band)));
    push(body, format_args!("<polyline class=curve points=\"{}\" />", joined(&path(|[_, value, _]| *value))));
    body.push_str("</svg>");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(label: &str, value: f64, suppressed: bool) -> Estimate {
        let (low, high) = (value - 0.1, value + 0.1);
        Estimate { label: label.into(), value, low, high, people: Some(9.0), indistinct: suppressed, suppressed }
    }

    #[test]
    fn a_survival_curve_steps_down_in_its_band_and_ends_where_nothing_may_be_shown() {
        let mut body = String::new();
        curve(&mut body, &[at("1", 0.9, false), at("2", 0.5, false), at("3", 0.0, true)]);
        let points = |class: &str| {
            let from = body.find(&format!("class={class} points=\"")).expect("a shape");
            body[from..].split('"').nth(1).expect("its points").split(' ').count()
        };
        assert_eq!(points("curve"), 5, "one step for each interval that may be shown, and the start");
        assert_eq!(points("band"), 10);
    }

    /// What would be a bug: an axis that starts below 0 because of a hair of noise, or one that leaves 0 out.
    #[test]
    fn a_scale_has_zero_and_no_part_for_a_hair_past_it() {
        let over = |ends: &[(f64, f64)]| {
            let one = |(low, high): &(f64, f64)| Estimate { low: *low, high: *high, ..at("a", 0.0, false) };
            let all: Vec<_> = ends.iter().map(one).collect();
            span(all.iter())
        };
        assert_eq!(over(&[(-2.0, 40.0), (10.0, 90.0)]), (0.0, 90.0));
        assert_eq!(over(&[(-8.0, -3.0), (-1.0, 0.2)]), (-8.0, 0.0));
        assert_eq!(over(&[(-5.0, -3.0)]), (-5.0, 0.0));
        assert_eq!(over(&[(-30.0, 60.0)]), (-30.0, 60.0));
        assert_eq!([over(&[]), over(&[(0.0, 0.0)])], [(0.0, 1.0); 2]);
    }

    #[test]
    fn steps_are_round() {
        assert_eq!([0.7, 1.5, 3.0, 60.0].map(round_step), [1.0, 2.0, 5.0, 100.0]);
    }
}
