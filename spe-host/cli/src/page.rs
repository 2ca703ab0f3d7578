//! A result as one self-contained HTML page: charts with error bars, tables, provenance. No script, no outside resource.

use std::fmt::Write;

use spe_kernel::{
    federation::NodeReport,
    statistic::{Estimate, Statistic},
};

use crate::show::{number, outcome_text};

const STYLE: &str = "
:root { color-scheme: light dark; --ink: #1b2a33; --paper: #fff; --line: #d5dde2; --mark: #0b6e8f; --soft: #5c6f7a }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eef1; --paper: #12191d; --line: #33414a; --mark: #58b9d8; --soft: #9db0ba } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 52rem; margin: 2rem auto; padding: 0 1rem; color: var(--ink); background: var(--paper) }
h1 { font-size: 1.6rem; line-height: 1.25 } h2 { font-size: 1.15rem; margin: 2.2rem 0 .3rem }
h3 { font-size: 1rem; margin: 1.8rem 0 .2rem } h3 span { font-weight: 400; color: var(--soft) }
p.note, figcaption { color: var(--soft); font-size: .9rem } figure { margin: 0 }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums } th { text-align: left; font-weight: 600 }
td, th { padding: .3rem .6rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top } td.n, th.n { text-align: right }
svg { width: 100%; height: auto; font: 13px system-ui, sans-serif } svg text { fill: var(--ink) } svg .soft { fill: var(--soft) }
svg .grid { stroke: var(--line) } svg .bar { stroke: var(--mark); stroke-width: 2.5 } svg .dot { fill: var(--mark) }
svg .exact { fill: none; stroke: var(--ink); stroke-width: 1.5 } code { font-size: .85em; overflow-wrap: anywhere }
";

/// One question and its answer.
pub(crate) struct Section<'a> {
    /// The question, in words.
    pub(crate) question: &'a str,
    /// The statistics, each with the exact values where the reader may know them.
    pub(crate) statistics: Vec<(&'a Statistic, Option<Vec<f64>>)>,
    /// The nodes.
    pub(crate) nodes: &'a [NodeReport],
    /// Names and digests for provenance.
    pub(crate) provenance: Vec<(&'static str, String)>,
}

/// The page. `notice` says what a reader must know first.
pub(crate) fn render(title: &str, notice: &str, sections: &[Section<'_>]) -> String {
    let mut body = format!("<h1>{}</h1><p class=note>{}</p>", escape(title), escape(notice));
    for section in sections {
        push(&mut body, format_args!("<section><h2>{}</h2>", escape(section.question)));
        for (statistic, exact) in &section.statistics {
            figure(&mut body, statistic, exact.as_deref());
        }
        nodes(&mut body, section.nodes);
        body.push_str("<table>");
        for (name, value) in &section.provenance {
            push(&mut body, format_args!("<tr><th>{}</th><td><code>{}</code></td></tr>", escape(name), escape(value)));
        }
        body.push_str("</table></section>");
    }
    format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
         <title>{}</title><style>{STYLE}</style><body>{body}</body></html>",
        escape(title)
    )
}

fn push(text: &mut String, args: std::fmt::Arguments<'_>) {
    // Writing to a String does not fail.
    text.write_fmt(args).ok();
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn figure(body: &mut String, statistic: &Statistic, exact: Option<&[f64]>) {
    let Statistic { name, kind, unit, loss, .. } = statistic;
    let (name, kind, unit) = (escape(name), kind.replace('_', " "), escape(unit));
    let unit = if unit.is_empty() { unit } else { format!(", {unit}") };
    let hollow = if exact.is_some() {
        " Hollow: the exact value, which only this demonstration's operator may know."
    } else {
        ""
    };
    push(body, format_args!("<h3>{name} <span>{kind}{unit}</span></h3><figure role=img aria-label=\"{name}\">"));
    chart(body, statistic, exact);
    let caption = format_args!(
        "<figcaption>Dots: noisy estimates. Bars: 95 % noise intervals.{hollow} Privacy loss {loss} at each node.</figcaption></figure>"
    );
    push(body, caption);
    table(body, statistic, exact);
}

/// The chart's width, right end of its scale, height of a row and width of a letter, in its own units.
const WIDTH: f64 = 720.0;
const RIGHT: f64 = 690.0;
const ROW: f64 = 30.0;
const LETTER: f64 = 7.2;
/// Letters of a label that are drawn.
const LABEL_LETTERS: usize = 36;

fn chart(body: &mut String, statistic: &Statistic, exact: Option<&[f64]>) {
    let shown: Vec<(usize, &Estimate)> =
        statistic.estimates.iter().enumerate().filter(|(_, e)| !e.indistinct).collect();
    let low = shown.iter().map(|(_, e)| e.low).fold(0.0, f64::min);
    let high = shown.iter().map(|(_, e)| e.high).fold(f64::MIN_POSITIVE, f64::max);
    // A noisy count near 0 may be negative; that alone does not deserve a part of the scale.
    let low = if low > -0.05 * high { 0.0 } else { low };
    let step = tick((high - low) / 5.0);
    let (low, high) = ((low / step).floor() * step, (high / step).ceil() * step);
    let letters = shown.iter().map(|(_, e)| e.label.chars().count().min(LABEL_LETTERS)).max().unwrap_or(0);
    let left = 24.0 + LETTER * f64::from(u32::try_from(letters).unwrap_or(0));
    let x = |value: f64| left + (value.clamp(low, high) - low) / (high - low) * (RIGHT - left);
    let height = ROW * f64::from(u32::try_from(shown.len()).unwrap_or(0)) + 30.0;
    push(body, format_args!("<svg viewBox=\"0 0 {WIDTH} {height}\" xmlns=\"http://www.w3.org/2000/svg\">"));
    let mut at = low;
    while at <= high + step / 2.0 {
        let (px, base) = (x(at), height - 22.0);
        push(
            body,
            format_args!(
                "<line class=grid x1={px:.1} x2={px:.1} y1=4 y2={base:.0} /><text class=soft x={px:.1} y={:.0} text-anchor=middle>{}</text>",
                height - 6.0,
                number(at, step)
            ),
        );
        at += step;
    }
    let mut y = ROW / 2.0 + 4.0;
    for (i, estimate) in shown {
        let Estimate { label, value, low, high, .. } = estimate;
        push(
            body,
            format_args!(
                "<text x={:.0} y={:.1} text-anchor=end>{}</text>",
                left - 12.0,
                y + 4.0,
                escape(&label.chars().take(LABEL_LETTERS).collect::<String>())
            ),
        );
        push(body, format_args!("<line class=bar x1={:.1} x2={:.1} y1={y} y2={y} />", x(*low), x(*high)));
        for end in [low, high] {
            push(body, format_args!("<line class=bar x1={0:.1} x2={0:.1} y1={1} y2={2} />", x(*end), y - 5.0, y + 5.0));
        }
        push(body, format_args!("<circle class=dot cx={:.1} cy={y} r=4.5 />", x(*value)));
        if let Some(exact) = exact.and_then(|e| e.get(i)).filter(|e| e.is_finite()) {
            push(body, format_args!("<circle class=exact cx={:.1} cy={y} r=7 />", x(*exact)));
        }
        y += ROW;
    }
    body.push_str("</svg>");
}

/// A round step of at least `raw`: 1, 2 or 5 times a power of ten.
fn tick(raw: f64) -> f64 {
    let power = 10_f64.powf(raw.max(1e-9).log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * power).find(|s| *s >= raw).unwrap_or(power)
}

fn table(body: &mut String, statistic: &Statistic, exact: Option<&[f64]>) {
    let people = statistic.estimates.iter().any(|e| e.people.is_some());
    let optional = |on: bool, cell: String| if on { cell } else { String::new() };
    push(
        body,
        format_args!(
            "<table><tr><th></th><th class=n>estimate</th><th class=n>95 % interval</th>{}{}</tr>",
            optional(people, "<th class=n>people</th>".into()),
            optional(exact.is_some(), "<th class=n>exact (operator only)</th>".into())
        ),
    );
    for (i, estimate) in statistic.estimates.iter().enumerate() {
        let half = (estimate.high - estimate.low) / 2.0;
        let value = if estimate.indistinct { "too few people to tell".into() } else { number(estimate.value, half) };
        let known =
            exact.and_then(|e| e.get(i)).filter(|e| e.is_finite()).map_or_else(|| "–".into(), |e| number(*e, half));
        push(
            body,
            format_args!(
                "<tr><th>{}</th><td class=n>{value}</td><td class=n>{} to {}</td>{}{}</tr>",
                escape(&estimate.label),
                number(estimate.low, half),
                number(estimate.high, half),
                optional(people, format!("<td class=n>{:.0}</td>", estimate.people.unwrap_or(0.0).max(0.0))),
                optional(exact.is_some(), format!("<td class=n>{known}</td>"))
            ),
        );
    }
    body.push_str("</table>");
}

fn nodes(body: &mut String, reports: &[NodeReport]) {
    body.push_str("<table><tr><th>node</th><th>outcome</th><th></th></tr>");
    for report in reports {
        let (what, why) = outcome_text(&report.outcome);
        push(body, format_args!("<tr><td>{}</td><td>{what}</td><td>{}</td></tr>", report.node, escape(&why)));
    }
    body.push_str("</table>");
}
