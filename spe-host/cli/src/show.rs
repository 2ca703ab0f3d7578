//! Results for people: tables with intervals, drawn in a terminal.

use std::fmt::Write;

use spe_kernel::{
    conversion::EpsilonAt,
    disclosure::{Mechanism, Stage},
    federation::{NodeReport, Outcome},
    statistic::{Estimate, Statistic},
};

use crate::{chart::span, output::tame};

/// Width of an interval drawn in a terminal, in characters.
const BAR_WIDTH: usize = 32;
/// Estimates of one output that a terminal shows; `--json` has all.
const LINES_MAX: usize = 60;

/// Characters of a cell; `--json` has all. Others may have written it.
const CELL_CHARS_MAX: usize = 400;

/// Rows of text, aligned by column.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new<const N: usize>(header: [&str; N]) -> Self {
        Self { rows: vec![header.map(str::to_owned).to_vec()] }
    }

    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.map(cut).to_vec());
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

fn cut(cell: String) -> String {
    match cell.char_indices().nth(CELL_CHARS_MAX) {
        Some((end, _)) => format!("{}…", cell.get(..end).unwrap_or_default()),
        None => cell,
    }
}

fn is_number(text: &str) -> bool {
    text == "–" || text.starts_with(['[', '±']) || text.parse::<f64>().is_ok()
}

/// A number with as many digits as its error deserves.
pub(crate) fn number(value: f64, half_width: f64) -> String {
    let digits = if half_width > 0.0 { (1.0 - half_width.log10().floor()).clamp(0.0, 6.0) } else { 3.0 };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0..=6")]
    let digits = digits as usize;
    unsigned_zero(format!("{value:.digits$}"))
}

/// A small negative number rounds to 0, not to -0.
fn unsigned_zero(text: String) -> String {
    let zero = |digits: &str| digits.bytes().all(|b| matches!(b, b'0' | b'.'));
    match text.strip_prefix('-') {
        Some(digits) if zero(digits) => digits.to_owned(),
        _ => text,
    }
}

/// A number of unknown error, with six digits that count.
pub(crate) fn plain(value: f64) -> String {
    let size = if value == 0.0 { 0.0 } else { value.abs().log10().floor() };
    if !(-5.0..9.0).contains(&size) {
        return format!("{value:.5e}");
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 10")]
    let digits = (5.0 - size).max(0.0) as usize;
    unsigned_zero(format!("{value:.digits$}"))
}

/// The number of an exact answer, in the digits of its estimate.
fn exact_number(exact: Option<f64>, half: f64) -> String {
    exact.map_or_else(|| "–".into(), |x| number(x, half))
}

/// The distribution's name, as it stands beside a number.
pub(crate) const fn noise_name(mechanism: Mechanism) -> &'static str {
    match mechanism {
        Mechanism::DiscreteGaussian => "discrete Gaussian",
        Mechanism::DiscreteLaplace => "discrete Laplace",
        Mechanism::Exact => "no",
    }
}

/// What must be said of every exact table, wherever it is shown.
pub(crate) const EXACT: &str = "exact numbers of people, NOT differentially private: no ε covers them";

/// The same of what may have an ε.
pub(crate) fn epsilons_if(at: Option<&[EpsilonAt; 2]>) -> String {
    at.map_or_else(|| "NOT differentially private: exact tables have no ε".into(), epsilons)
}

/// `ε = 1.2 (δ = 1e-6), 1.6 (δ = 1e-9)`.
pub(crate) fn epsilons(at: &[EpsilonAt; 2]) -> String {
    let one = |EpsilonAt { delta, epsilon }: &EpsilonAt| {
        let epsilon = if *epsilon < f64::MAX { format!("{epsilon:.3}") } else { "unbounded".into() };
        format!("{epsilon} (δ = {delta:.1e})")
    };
    format!("ε = {}", at.iter().map(one).collect::<Vec<_>>().join(", "))
}

/// What a reader knows besides the statistic.
#[derive(Default, Clone, Copy)]
pub(crate) struct Reading<'a> {
    /// The true values, where somebody may know them.
    pub(crate) exact: Option<&'a [f64]>,
    /// Below how many people the plan allows no number, if the plan is known.
    pub(crate) least: Option<u32>,
    /// Whether the loss was paid in each of several rounds.
    pub(crate) rounds: bool,
}

/// What stands in the place of a number: the noise hides it, or it is not to be shown.
pub(crate) fn hidden(statistic: &Statistic, estimate: &Estimate, least: Option<u32>) -> Option<String> {
    if statistic.mechanism == Mechanism::Exact {
        return estimate.suppressed.then(|| "suppressed".into());
    }
    let counts = matches!(statistic.kind.as_str(), "count" | "histogram" | "grouped_count" | "keys");
    match (estimate.suppressed, least) {
        (true, Some(least)) => Some(format!("fewer than {least} people")),
        // A suppressed count's interval is the rule itself.
        (true, None) if counts => Some(format!("fewer than {} people", estimate.high)),
        (true, None) => Some("too few people to be shown".into()),
        (false, _) => estimate.indistinct.then(|| "too few people to tell".into()),
    }
}

/// Whether an estimate is in the same unit as the others of its output: a variance is not.
pub(crate) fn shares_unit(statistic: &Statistic, estimate: &Estimate) -> bool {
    statistic.kind != "variance" || estimate.label != "variance"
}

/// What the number of people behind an estimate is called.
pub(crate) fn people_name(statistic: &Statistic) -> &'static str {
    if statistic.kind == "survival" { "at risk" } else { "people" }
}

/// An output's kind, unit and price, and its noise.
pub(crate) fn heading(statistic: &Statistic, rounds: bool) -> String {
    let Statistic { kind, unit, loss, mechanism, noise_sd, .. } = statistic;
    let unit = if unit.is_empty() { String::new() } else { format!(", {unit}") };
    let each = if rounds { "in each round at each node" } else { "at each node" };
    if *mechanism == Mechanism::Exact {
        return format!("{}{unit}; {EXACT}; {loss} of the ledger {each}", kind.replace('_', " "));
    }
    let sd = number(*noise_sd, *noise_sd);
    format!("{}{unit}; {loss} {each}; {} noise of sd {sd} on each sum", kind.replace('_', " "), noise_name(*mechanism))
}

/// One statistic as a table.
pub(crate) fn statistic(statistic: &Statistic, reading: Reading<'_>) -> String {
    let estimates = &statistic.estimates;
    let mut text = tame(&format!("{} ({})\n", statistic.name, heading(statistic, reading.rounds)));
    let clear = |e: &&Estimate| !e.indistinct && shares_unit(statistic, e);
    let (low, high) = span(estimates.iter().filter(clear));
    let people = estimates.iter().any(|e| e.people.is_some());
    let mut header = vec![if statistic.kind == "survival" { "until" } else { "" }, "estimate", "95 % interval"];
    header.extend(people.then(|| people_name(statistic)));
    header.extend(reading.exact.map(|_| "exact*"));
    let mut table = Table { rows: vec![header.into_iter().map(str::to_owned).collect()] };
    for (i, estimate) in estimates.iter().enumerate().take(LINES_MAX) {
        let half = (estimate.high - estimate.low) / 2.0;
        let why = hidden(statistic, estimate, reading.least);
        let mut row = vec![estimate.label.clone()];
        row.push(if why.is_some() { "–".into() } else { value(statistic, estimate) });
        row.push(if statistic.mechanism == Mechanism::Exact { "–".into() } else { interval(estimate, half) });
        row.extend(people.then(|| people_behind(estimate)));
        let known = || reading.exact.and_then(|x| x.get(i)).copied().filter(|x| x.is_finite());
        row.extend(reading.exact.map(|_| exact_number(known(), half)));
        row.push(why.unwrap_or_else(|| {
            if shares_unit(statistic, estimate) { bar(estimate, low, high) } else { String::new() }
        }));
        table.rows.push(row);
    }
    text.push_str(&table.render());
    if estimates.len() > LINES_MAX {
        text.push_str(&format!("  … and {} more; --json has all\n", estimates.len() - LINES_MAX));
    }
    text
}

/// An estimate, in the digits that its error deserves; an exact one is a whole number of people.
pub(crate) fn value(statistic: &Statistic, estimate: &Estimate) -> String {
    match statistic.mechanism {
        Mechanism::Exact => format!("{:.0}", estimate.value),
        _ => number(estimate.value, (estimate.high - estimate.low) / 2.0),
    }
}

/// Where a number is not to be shown, neither is its range.
pub(crate) fn interval(estimate: &Estimate, half: f64) -> String {
    if estimate.suppressed {
        return "–".into();
    }
    format!("[{}, {}]", number(estimate.low, half), number(estimate.high, half))
}

/// The noisy number of people behind an estimate.
pub(crate) fn people_behind(estimate: &Estimate) -> String {
    let shown = estimate.people.filter(|_| !estimate.suppressed);
    shown.map_or_else(|| "–".into(), |n| unsigned_zero(format!("{:.0}", n.max(0.0))))
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
        Outcome::Answered { loss, answer } => {
            ("answered", format!("charged {loss} once, repeats are free, answer {}", answer.short()))
        }
        Outcome::Refused { why, .. } => ("refused", why.to_string()),
        Outcome::Working { stage: None } => ("asked", "has not said anything yet".into()),
        Outcome::Working { stage: Some(Stage::Admitted) } => ("admitted", "not charged yet".into()),
        Outcome::Working { stage: Some(Stage::Running) } => ("running", "charged".into()),
        Outcome::Working { stage: Some(Stage::AwaitsApproval) } => {
            ("waits", "not charged yet; an officer of the node has to approve it".into())
        }
        Outcome::Working { stage: Some(Stage::AwaitsRelease) } => {
            ("waits", "answered; an officer of the node checks the answer before it leaves".into())
        }
        Outcome::Working { stage: Some(Stage::AwaitsTwoSignatures) } => {
            ("waits", "answered; two officers of the node have to sign for the exact table".into())
        }
        Outcome::Working { stage: Some(Stage::AwaitsSecondSignature) } => {
            ("waits", "answered; a second officer of the node has to sign for the exact table".into())
        }
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
        // A bug would be a -0, which a reader takes for something other than 0.
        assert_eq!(
            [number(-0.004, 1.0), number(-0.0, 0.0), number(-0.06, 1.0), plain(-0.0)],
            ["0.0", "0.000", "-0.1", "0.00000"]
        );
        assert_eq!([0.0, -0.012_345_67, 5912.4, 1e12].map(plain), ["0.00000", "-0.0123457", "5912.40", "1.00000e12"]);
    }

    #[test]
    fn tables_align() {
        let mut table = Table::new(["node", "n"]);
        table.row(["north".into(), "7".into()]);
        table.row(["s".into(), "4711".into()]);
        assert_eq!(table.render(), "  node      n\n  north     7\n  s      4711\n");
    }

    /// What would be a bug: a name that an applicant made up, by which everybody's list of applications ends in a panic or is mostly blanks.
    #[test]
    fn nobody_makes_a_table_unreadable() {
        let mut table = Table::new(["applicant", "n"]);
        table.row(["x".repeat(70_000), "7".into()]);
        table.row(["é".repeat(70_000), "8".into()]);
        let text = table.render();
        assert!(text.lines().all(|line| line.chars().count() < 500) && text.contains("x…"), "{} bytes", text.len());
    }

    fn made_up(kind: &str, estimate: Estimate) -> Statistic {
        Statistic {
            name: "x".into(),
            kind: kind.into(),
            unit: String::new(),
            loss: "rho=1".parse().expect("a loss"),
            mechanism: Mechanism::DiscreteGaussian,
            noise_sd: 1.0,
            sensitivity: 1.0,
            estimates: vec![estimate],
        }
    }

    #[test]
    fn a_suppressed_estimate_shows_no_number_of_its_own() {
        for (kind, least) in [("mean", Some(7)), ("mean", None), ("histogram", Some(7)), ("histogram", None)] {
            // As the kernel leaves it: the range of the rule or of the bounds, and nothing of the data.
            let (low, high) = if kind == "mean" { (-3.0, 3.0) } else { (0.0, 7.0) };
            let people = (kind == "mean").then_some(0.0);
            let few = Estimate { label: "a".into(), value: low, low, high, people, indistinct: true, suppressed: true };
            let shown = statistic(&made_up(kind, few), Reading { least, ..Reading::default() });
            let line = shown.lines().last().unwrap_or_default();
            assert!(!line.contains('[') && !line.contains('●') && !line.contains('3'), "{line:?} shows a number");
            assert!(least.is_none() || line.contains("fewer than 7 people"), "{line:?} does not say why");
        }
    }

    #[test]
    fn the_noise_is_named() {
        let plain = Estimate {
            label: "a".into(),
            value: 2.0,
            low: 0.0,
            high: 4.0,
            people: None,
            indistinct: false,
            suppressed: false,
        };
        let shown = statistic(&made_up("count", plain), Reading::default());
        assert!(shown.contains("discrete Gaussian"), "{shown}");
    }
}
