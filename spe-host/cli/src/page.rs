//! A result as one self-contained HTML page: charts with error bars, tables, provenance. No script, no outside resource.

use spe_kernel::{disclosure::Mechanism, statistic::Statistic};
use spe_wire::view::View;

use crate::{
    charged,
    chart::{chart, escape, push},
    fitted,
    show::{self, Reading, heading, hidden, number, outcome_text, people_behind},
};

const STYLE: &str = "
:root { color-scheme: light dark; --ink: #1b2a33; --paper: #fff; --line: #d5dde2; --mark: #0b6e8f; --soft: #5c6f7a }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eef1; --paper: #12191d; --line: #33414a; --mark: #58b9d8; --soft: #9db0ba } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 52rem; margin: 2rem auto; padding: 0 1rem; color: var(--ink); background: var(--paper) }
h1 { font-size: 1.6rem; line-height: 1.25 } h2 { font-size: 1.15rem; margin: 2.2rem 0 .3rem }
h3 { font-size: 1rem; margin: 1.8rem 0 .2rem } h3 span { font-weight: 400; color: var(--soft) }
p.note, figcaption, td.why { color: var(--soft); font-size: .9rem } figure { margin: 0 }
.wide { overflow-x: auto } .wide svg { min-width: 34rem } summary { margin: 1.8rem 0 .2rem; cursor: pointer }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums } th { text-align: left; font-weight: 600 }
td, th { padding: .3rem .6rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top } td.n, th.n { text-align: right } td.n { white-space: nowrap }
svg { width: 100%; height: auto; font: 13px system-ui, sans-serif } svg text { fill: var(--ink) } svg .soft { fill: var(--soft) }
svg .grid { stroke: var(--line) } svg .bar { stroke: var(--mark); stroke-width: 2.5 } svg .dot { fill: var(--mark) }
svg .exact { fill: none; stroke: var(--ink); stroke-width: 1.5 } svg .curve { fill: none; stroke: var(--mark); stroke-width: 2.5 }
svg .band { fill: var(--mark); opacity: .18 } code { font-size: .85em; overflow-wrap: anywhere }
";

/// Estimates of one output that a table shows.
const ROWS_MAX: usize = 500;

/// What a reader must know first, of every page.
pub(crate) const NOTICE: &str = "Every estimate carries differentially private noise that each node adds. The intervals cover that \
                                 noise, not sampling error or the bounds put on one person's number.";

/// The same of an exact table.
pub(crate) const NOTICE_EXACT: &str = "These are exact numbers of people, NOT differentially private, and no ε covers them. Small cells are \
                                       suppressed by rule, and two officers of each node signed for the release.";

/// One question and its answer.
pub(crate) struct Section<'a> {
    /// The question, in words.
    pub(crate) question: &'a str,
    /// The answer.
    pub(crate) view: &'a View,
    /// For each statistic the exact values, where the reader may know them.
    pub(crate) exact: Vec<Option<Vec<f64>>>,
    /// Below how many people the plan allows no number, if it is known.
    pub(crate) least: Option<u32>,
}

/// The page. `notice` says what a reader must know first.
pub(crate) fn render(title: &str, notice: &str, sections: &[Section<'_>]) -> String {
    let mut body = format!("<h1>{}</h1><p class=note>{}</p>", escape(title), escape(notice));
    for section in sections {
        push(&mut body, format_args!("<section><h2>{}</h2>", escape(section.question)));
        if let Some(parameters) = &section.view.parameters {
            fitted::html(&mut body, parameters, section.view.rounds);
            body.push_str(
                "<details><summary>Noisy sums of the last round, which the module made the parameters of</summary>",
            );
        }
        for (i, statistic) in section.view.statistics.iter().enumerate() {
            let exact = section.exact.get(i).and_then(|e| e.as_deref());
            figure(
                &mut body,
                statistic,
                Reading { exact, least: section.least, rounds: section.view.rounds.is_some() },
            );
        }
        if section.view.parameters.is_some() {
            body.push_str("</details>");
        }
        nodes(&mut body, section.view);
        provenance(&mut body, section.view);
        body.push_str("</section>");
    }
    format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width,initial-scale=1\">\
         <title>{}</title><style>{STYLE}</style><body>{body}</body></html>",
        escape(title)
    )
}

fn figure(body: &mut String, statistic: &Statistic, reading: Reading<'_>) {
    let (name, said) = (escape(&statistic.name), escape(&heading(statistic, reading.rounds)));
    push(
        body,
        format_args!("<h3>{name} <span>{said}</span></h3><figure role=img aria-label=\"{name}\"><div class=wide>"),
    );
    chart(body, statistic, reading.exact);
    body.push_str("</div>");
    let marks = match statistic.kind.as_str() {
        _ if statistic.mechanism == Mechanism::Exact => "Dots: exact numbers of people; suppressed cells have none.",
        "survival" => "Line: noisy estimate of the share without event. Band: 95 % noise interval at each time.",
        _ => "Dots: noisy estimates. Bars: 95 % noise intervals.",
    };
    let hollow = match reading.exact {
        Some(_) => " Hollow: the exact value, which only this demonstration's operator may know.",
        None => "",
    };
    push(body, format_args!("<figcaption>{marks}{hollow}</figcaption></figure>"));
    table(body, statistic, reading);
}

fn table(body: &mut String, statistic: &Statistic, reading: Reading<'_>) {
    let people = statistic.estimates.iter().any(|e| e.people.is_some());
    let head = |on: bool, name: &str| if on { format!("<th class=n>{name}</th>") } else { String::new() };
    let (behind, known) = (head(people, show::people_name(statistic)), reading.exact.is_some());
    let first = if statistic.kind == "survival" { "until" } else { "" };
    let exactly = head(known, "exact (operator only)");
    push(
        body,
        format_args!(
            "<div class=wide><table><tr><th>{first}</th><th class=n>estimate</th><th class=n>95 % interval</th>{behind}{exactly}</tr>"
        ),
    );
    for (i, estimate) in statistic.estimates.iter().enumerate().take(ROWS_MAX) {
        let half = (estimate.high - estimate.low) / 2.0;
        let (value, interval) = match hidden(statistic, estimate, reading.least) {
            Some(why) if estimate.suppressed => (why, "–".to_owned()),
            Some(why) => (why, ends(estimate.low, estimate.high, half)),
            None if statistic.mechanism == Mechanism::Exact => (show::value(statistic, estimate), "–".to_owned()),
            None => (number(estimate.value, half), ends(estimate.low, estimate.high, half)),
        };
        let cell = |on: bool, text: String| if on { format!("<td class=n>{text}</td>") } else { String::new() };
        let exact = reading.exact.and_then(|e| e.get(i)).filter(|e| e.is_finite());
        let exact = exact.map_or_else(|| "–".into(), |e| number(*e, half));
        push(
            body,
            format_args!(
                "<tr><th>{}</th><td class=n>{value}</td><td class=n>{interval}</td>{}{}</tr>",
                escape(&estimate.label),
                cell(people, people_behind(estimate)),
                cell(known, exact)
            ),
        );
    }
    body.push_str("</table></div>");
    let more = statistic.estimates.len().saturating_sub(ROWS_MAX);
    if more > 0 {
        push(body, format_args!("<p class=note>… and {more} more.</p>"));
    }
}

fn ends(low: f64, high: f64, half: f64) -> String {
    format!("{} to {}", number(low, half), number(high, half))
}

fn nodes(body: &mut String, view: &View) {
    body.push_str("<h3>nodes</h3><div class=wide><table><tr><th>node</th><th>outcome</th><th></th></tr>");
    for report in &view.nodes {
        let (what, why) = outcome_text(&report.outcome);
        push(body, format_args!("<tr><td>{}</td><td>{what}</td><td class=why>{}</td></tr>", report.node, escape(&why)));
    }
    body.push_str("</table></div>");
    for line in charged::text(view).lines() {
        push(body, format_args!("<p class=note>{}</p>", escape(line.trim())));
    }
}

fn provenance(body: &mut String, view: &View) {
    body.push_str("<h3>provenance</h3><div class=wide><table>");
    let overlap =
        if view.overlap > 1 { format!(", one person may be at {} nodes", view.overlap) } else { String::new() };
    for (name, value) in [
        ("charged at each node", format!("{}{overlap}", view.charge)),
        ("plan", view.plan.to_string()),
        ("module", view.module.to_string()),
        ("dataset", view.dataset.to_string()),
        ("permit", format!("{}, for {}", view.permit, view.purpose)),
    ] {
        push(body, format_args!("<tr><th>{name}</th><td><code>{}</code></td></tr>", escape(&value)));
    }
    body.push_str("</table></div>");
}
