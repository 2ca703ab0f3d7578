//! The activity report of Art. 59(1): what the log of governance knows, and what it does not, said as such.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::Connection;
use spe_kernel::permit::Article;
use spe_wire::governance::{Activity, Indicator, PartOutcome, Period};

use crate::{
    applications::{Dossier, Part},
    register,
    stop::Stop,
};

/// The points of which this system records nothing.
const NOT_RECORDED: [(&str, &str); 8] = [
    ("b", "fulfilment of commitments by users and holders; administrative fines"),
    ("c", "audits of health data users"),
    ("d", "audits of secure processing environments"),
    ("e", "requests of natural persons on their rights"),
    ("f", "engagement with stakeholders"),
    ("i", "data quality labels"),
    ("j", "publications, policy documents and regulatory procedures"),
    ("k", "digital health products and services"),
];

/// The report over a period.
pub(crate) fn read(db: &Connection, period: Period, now: Timestamp) -> Result<Activity, Stop> {
    let dossiers = Dossier::all(db)?;
    let mut counts = Counts::default();
    for dossier in dossiers.iter().filter(|dossier| period.has(dossier.submitted_at)) {
        submitted(&mut counts, dossier);
    }
    let mut days = Days::default();
    for dossier in &dossiers {
        for part in &dossier.parts {
            if part.decided_at(now).is_some_and(|at| period.has(at)) {
                decided(&mut counts, &mut days, dossier, part, now);
            }
        }
    }
    let results = register::results(db)?.into_iter().filter(|result| period.has(result.published_at));
    counts.add("a", "results published", "", results.count());
    let mut indicators = counts.indicators();
    indicators.push(days.indicator());
    indicators.extend(NOT_RECORDED.map(|(point, name)| indicator(point, name, "", None)));
    indicators.sort_by(|a, b| a.point.cmp(&b.point));
    Ok(Activity { period, indicators })
}

fn submitted(counts: &mut Counts, dossier: &Dossier) {
    let body = dossier.application.body();
    let (permits, requests) = ("applications for a data permit", "health data requests");
    let name = if body.article == Article::Permit { permits } else { requests };
    counts.add("a", permits, "", 0);
    counts.add("a", requests, "", 0);
    counts.add("a", name, "", 1);
    counts.add("a", "applications by kind of applicant", kebab(&body.applicant_body), 1);
    for purpose in &body.purpose.article53 {
        counts.add("a", "applications by purpose", format!("Art. 53(1)({})", purpose.0.point()), 1);
    }
    let mut points: Vec<_> = body.data.iter().map(|data| data.category.point()).collect();
    points.sort_unstable();
    points.dedup();
    for point in points {
        counts.add("a", "applications by category of data", format!("Art. 51(1)({point})"), 1);
    }
}

fn decided(counts: &mut Counts, days: &mut Days, dossier: &Dossier, part: &Part, now: Timestamp) {
    let Some(outcome) = part.outcome(now) else { return };
    let name = match outcome {
        PartOutcome::Granted => "parts granted",
        PartOutcome::Refused => "parts refused",
        PartOutcome::Lapsed => "parts not completed in time",
    };
    counts.add("a", name, "", 1);
    counts.add("a", &format!("{name}, by node"), part.node.as_str(), 1);
    let Some(permit) = part.permit() else { return };
    for purpose in permit.purposes() {
        counts.add("a", "permits by purpose", format!("Art. 53(1)({})", purpose.point()), 1);
    }
    for fee in &permit.fees {
        counts.fee(&fee.currency.to_string(), &fee.amount.to_string());
    }
    if let Some(at) = part.decided_at(now) {
        days.add(dossier.submitted_at, at);
    }
}

/// The name that a kind has in documents.
fn kebab(kind: &impl serde::Serialize) -> String {
    let name = serde_json::to_value(kind).ok();
    name.and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
}

fn indicator(point: &str, name: &str, of: &str, value: Option<String>) -> Indicator {
    Indicator { point: point.into(), name: name.into(), of: of.into(), value }
}

/// What is counted, by point, name and kind; fees in hundredths, by currency.
#[derive(Default)]
struct Counts {
    counts: BTreeMap<(String, String, String), u64>,
    fees: BTreeMap<String, u64>,
}

impl Counts {
    fn add(&mut self, point: &str, name: &str, of: impl AsRef<str>, more: usize) {
        let key = (point.to_owned(), name.to_owned(), of.as_ref().to_owned());
        let count = self.counts.entry(key).or_default();
        *count = count.saturating_add(u64::try_from(more).unwrap_or(u64::MAX));
    }

    /// Adds an amount, which has at most two places after the point.
    fn fee(&mut self, currency: &str, amount: &str) {
        let (whole, cents) = amount.split_once('.').unwrap_or((amount, ""));
        let hundredths = format!("{whole}{cents:0<2}").parse::<u64>().unwrap_or(0);
        let sum = self.fees.entry(currency.to_owned()).or_default();
        *sum = sum.saturating_add(hundredths);
    }

    fn indicators(self) -> Vec<Indicator> {
        let counted = self.counts.into_iter();
        let mut all: Vec<_> =
            counted.map(|((point, name, of), count)| indicator(&point, &name, &of, Some(count.to_string()))).collect();
        let name = "fees of the permits given";
        all.extend(
            self.fees.into_iter().map(|(currency, sum)| {
                indicator("g", name, &currency, Some(format!("{}.{:02}", sum / 100, sum % 100)))
            }),
        );
        if all.iter().all(|one| one.point != "g") {
            all.push(indicator("g", name, "", Some("0.00".into())));
        }
        all
    }
}

/// Days from application to permit.
#[derive(Default)]
struct Days {
    hours: u64,
    count: u64,
}

impl Days {
    fn add(&mut self, from: Timestamp, to: Timestamp) {
        let hours = to.duration_since(from).as_hours();
        self.hours = self.hours.saturating_add(u64::try_from(hours).unwrap_or(0));
        self.count = self.count.saturating_add(1);
    }

    fn indicator(&self) -> Indicator {
        // In tenths of a day, rounded.
        let tenths = self.count.checked_mul(24).filter(|n| *n > 0).map(|n| (self.hours.saturating_mul(10) + n / 2) / n);
        let value = tenths.map(|tenths| format!("{}.{}", tenths / 10, tenths % 10));
        let name = "average number of days between application and permit";
        indicator("h", name, "", Some(value.unwrap_or_else(|| "none was given".into())))
    }
}
