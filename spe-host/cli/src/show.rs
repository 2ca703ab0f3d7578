//! Results for people: tables with intervals, drawn in a terminal.

use std::fmt::Write;

use spe_kernel::{
    disclosure::Stage,
    federation::{NodeReport, Outcome},
    statistic::{Estimate, Statistic},
};

use crate::output::tame;

/// Width of an interval drawn in a terminal, in characters.
const BAR_WIDTH: usize = 32;

/// Rows of text, aligned by column.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new<const N: usize>(header: [&str; N]) -> Self {
        Self { rows: vec![header.map(str::to_owned).to_vec()] }
    }

    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.to_vec());
    }

    /// The table, each line indented by two blanks. Columns of numbers are aligned to the right.
    pub(crate) fn render(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let cells = |c: usize| self.rows.iter().filter_map(move |r| r.get(c));
        let width = |c: usize| cells(c).map(|t| t.chars().count()).max().unwrap_or(0);
        let layout: Vec<(usize, bool)> =
            (0..columns).map(|c| (width(c), cells(c).skip(1).all(|t| is_number(t)))).collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (cell, (width, right)) in row.iter().zip(&layout) {
                if *right {
                    write!(line, "  {cell:>width$}").ok()
                } else {
                    write!(line, "  {cell:<width$}").ok()
                };
            }
            text.push_str(tame(&line).trim_end());
            text.push('\n');
        }
        text
    }
}

fn is_number(text: &str) -> bool {
    text == "–" || text.starts_with('[') || text.parse::<f64>().is_ok()
}

/// A number with as many digits as its error deserves.
pub(crate) fn number(value: f64, half_width: f64) -> String {
    let digits = if half_width > 0.0 { (1.0 - half_width.log10().floor()).clamp(0.0, 6.0) } else { 3.0 };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0..=6")]
    let digits = digits as usize;
    format!("{value:.digits$}")
}

/// The number of an exact answer, in the digits of its estimate.
fn exact_number(exact: Option<f64>, half: f64) -> String {
    exact.map_or_else(|| "–".into(), |x| number(x, half))
}

/// One statistic as a table; `exact` gives the true values where somebody may know them.
pub(crate) fn statistic(statistic: &Statistic, exact: Option<&[f64]>) -> String {
    let Statistic { name, kind, unit, loss, estimates, .. } = statistic;
    let unit = if unit.is_empty() { String::new() } else { format!(", {unit}") };
    let mut text = tame(&format!("{name} ({}{unit}; {loss} at each node)\n", kind.replace('_', " ")));
    let clear = |e: &&Estimate| !e.indistinct;
    let low = estimates.iter().filter(clear).map(|e| e.low).fold(f64::INFINITY, f64::min).min(0.0);
    let high = estimates.iter().filter(clear).map(|e| e.high).fold(f64::NEG_INFINITY, f64::max);
    let people = estimates.iter().any(|e| e.people.is_some());
    let mut header = vec!["", "estimate", "95 % interval"];
    header.extend(people.then_some("people"));
    header.extend(exact.map(|_| "exact*"));
    let mut table = Table { rows: vec![header.into_iter().map(str::to_owned).collect()] };
    for (i, estimate) in estimates.iter().enumerate() {
        let half = (estimate.high - estimate.low) / 2.0;
        let value = if estimate.indistinct { "–".into() } else { number(estimate.value, half) };
        let interval = format!("[{}, {}]", number(estimate.low, half), number(estimate.high, half));
        let mut row = vec![estimate.label.clone(), value, interval];
        row.extend(estimate.people.map(|n| format!("{:.0}", n.max(0.0))));
        row.extend(exact.map(|x| exact_number(x.get(i).copied().filter(|x| x.is_finite()), half)));
        row.push(if estimate.indistinct { "too few people to tell".into() } else { bar(estimate, low, high) });
        table.rows.push(row);
    }
    text.push_str(&table.render());
    text
}

/// `├──●──┤` between `low` and `high`.
fn bar(estimate: &Estimate, low: f64, high: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "clamped to the bar's width"
    )]
    let place = |x: f64| {
        (((x - low) / (high - low).max(f64::MIN_POSITIVE)).clamp(0.0, 1.0) * (BAR_WIDTH - 1) as f64).round() as usize
    };
    let (from, at, to) = (place(estimate.low), place(estimate.value), place(estimate.high));
    let mark = |i| match i {
        i if i == at => '●',
        i if i == from => '├',
        i if i == to => '┤',
        i if i > from && i < to => '─',
        _ => ' ',
    };
    (0..BAR_WIDTH).map(mark).collect()
}

/// Which node answered, refused, is offline or late, and why.
pub(crate) fn nodes(reports: &[NodeReport]) -> String {
    let mut table = Table::new(["node", "outcome", ""]);
    for NodeReport { node, outcome } in reports {
        let (what, why) = outcome_text(outcome);
        table.row([node.to_string(), what.to_owned(), why]);
    }
    table.render()
}

pub(crate) fn outcome_text(outcome: &Outcome) -> (&'static str, String) {
    match outcome {
        Outcome::Answered { loss, answer } => ("answered", format!("charged {loss}, answer {}", answer.short())),
        Outcome::Refused { why } => ("refused", why.to_string()),
        Outcome::Working { stage: None } => ("asked", "has not said anything yet".into()),
        Outcome::Working { stage: Some(Stage::Admitted) } => ("admitted", "not charged yet".into()),
        Outcome::Working { stage: Some(Stage::Running) } => ("running", "charged".into()),
        Outcome::Offline => ("offline", "will be merged when it is back".into()),
        Outcome::Invalid { why } => ("left out", format!("its answer is not valid: {why}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_follow_the_error() {
        assert_eq!(number(2.86912, 0.08), "2.869");
        assert_eq!(number(3255.4, 12.0), "3255");
        assert_eq!(number(1.0, 0.0), "1.000");
    }

    #[test]
    fn tables_align() {
        let mut table = Table::new(["node", "n"]);
        table.row(["north".into(), "7".into()]);
        table.row(["s".into(), "4711".into()]);
        assert_eq!(table.render(), "  node      n\n  north     7\n  s      4711\n");
    }
}
