//! The activity report of Art. 59(1): what the log of governance knows, and what it does not, said as such.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{Timestamp, tz::TimeZone};
use rusqlite::Connection;
use spe_kernel::{
    agreement::{Act, AgreementBody},
    document,
    permit::{Article, PermitId, Status},
    refusal::Refusal,
    revocation::{RevocationBody, Target},
};
use spe_wire::governance::{Activity, Entry, Indicator, PartOutcome, Period, PermitState, Register};

use crate::{
    applications::{Dossier, Files, Part, lines_given},
    records::{self, Point, Record},
    register,
    stop::Stop,
    store::{
        governance::{self, Event, What},
        witness::{self, Evidence},
    },
};

/// The report over a period, which has a beginning before its end.
pub(crate) fn read(db: &Connection, period: Period, now: Timestamp) -> Result<Activity, Stop> {
    if let (Some(from), Some(until)) = (period.from, period.until)
        && from >= until
    {
        let why = format!("it is from {from} until before {until}, and between them is no time: name a later end");
        return Err(Refusal::Malformed { document: "the report's period".into(), why }.into());
    }
    let files = Files::all(db)?;
    let dossiers = &files.dossiers;
    let mut counts = Counts::default();
    if !files.lost.is_empty() {
        counts.add(
            "a",
            "applications and other entries of the hub's log that cannot be read: not counted here",
            "",
            files.lost.len(),
        );
    }
    for name in ENDS_AND_CHANGES {
        counts.add("a", name, "", 0);
    }
    for dossier in dossiers.iter().filter(|dossier| period.has(dossier.submitted_at)) {
        submitted(&mut counts, dossier);
    }
    let mut days = BTreeMap::from([("", Days::default())]);
    for dossier in dossiers {
        for part in &dossier.parts {
            changed(&mut counts, part, &period, now);
            if part.decided_at(now).is_some_and(|at| period.has(at)) {
                decided(&mut counts, &mut days, dossier, part, now);
            }
        }
    }
    let results = register::results(db)?;
    counts.add("a", "results published", "", results.iter().filter(|one| period.has(one.published_at)).count());
    let register = register::of(&files, results, now);
    commitments(db, &mut counts, &register, &period)?;
    let mut indicators = counts.indicators();
    indicators.extend(days.iter().map(|(of, days)| days.indicator(of)));
    indicators.extend(recorded(db, &period)?);
    indicators.sort_by(|a, b| a.point.cmp(&b.point));
    Ok(Activity { period, indicators })
}

/// What the hub itself saw of commitments that were not kept, Art. 59(1)(b) and (d). Why is not in it: reasons may name persons.
fn commitments(db: &Connection, counts: &mut Counts, register: &Register, period: &Period) -> Result<(), Stop> {
    let (mut lines, mut strange, mut persons) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let (mut suspended, mut ended) = (0, 0);
    let given = lines_given(db)?;
    for event in every(db, What::Revoked, period)? {
        let Ok(opened) = document::open::<RevocationBody>(&event.body) else { continue };
        let (body, issuer, _) = opened.into_parts();
        // One that is signed twice is one, and so are those that name several permits of a line.
        match body.target {
            Target::Permit(number) => {
                let permit = PermitId { number, issuer };
                match given.get(&permit) {
                    Some(line) => lines.insert(line.clone()),
                    // A number that was mistyped, or one of a permit that never came here: it is no permit that is known to have been revoked.
                    None => strange.insert(permit),
                }
            }
            Target::Person(person) => persons.insert((person.name, issuer)),
        };
    }
    for event in every(db, What::Agreement, period)? {
        match document::open::<AgreementBody>(&event.body).map(|opened| opened.body().act.clone()) {
            Ok(Act::Suspend { .. }) => suspended += 1,
            Ok(Act::Terminate { .. }) => ended += 1,
            _ => {}
        }
    }
    counts.add("b", "permits revoked, Art. 63(3)", "", lines.len());
    counts.add("b", "numbers revoked that no decision here gave to a permit", "", strange.len());
    counts.add("b", "persons excluded, Art. 63(3)", "", persons.len());
    counts.add("b", "participation of a node suspended", "", suspended);
    counts.add("b", "participation of a node ended", "", ended);
    let late = |entry: &&Entry| {
        let due = entry.results_due.and_then(|day| day.tomorrow().ok()?.to_zoned(TimeZone::UTC).ok());
        due.is_some_and(|due| due.timestamp() <= register.at && period.has(due.timestamp())) && entry.results.is_empty()
    };
    let late = register.entries.iter().filter(late).count();
    counts.add("b", "permits whose results were not public in time, Art. 61(4)", "", late);
    let seen = |one: &&Evidence| one.kind == "forked" && one.at.parse().is_ok_and(|at| period.has(at));
    // One node that is found out again and again is one log.
    let evidence = witness::evidence(db)?;
    let contradicting: BTreeSet<_> = evidence.iter().filter(seen).map(|one| &one.node).collect();
    counts.add("d", "audit logs of nodes that the hub found with two histories", "", contradicting.len());
    Ok(())
}

fn every(db: &Connection, what: What, period: &Period) -> Result<impl Iterator<Item = Event>, Stop> {
    let period = *period;
    Ok(governance::readable(db, what)?.into_iter().filter(move |event| period.has(event.at)))
}

/// What becomes of permits after they were given, in the order that [`changed`] knows.
const ENDS_AND_CHANGES: [&str; 4] = [
    "parts whose permit was amended",
    "parts whose permit was renewed",
    "parts whose permit was revoked",
    "parts whose permit expired",
];

/// What became of the permit that was given for a part, as far as the hub was told: how often it was changed in the period, and whether it
/// ended in it.
fn changed(counts: &mut Counts, part: &Part, period: &Period, now: Timestamp) {
    let [amended, renewed, revoked, expired] = ENDS_AND_CHANGES;
    for (.., version) in part.history.iter().filter(|(at, ..)| period.has(*at)) {
        match version.status {
            Status::Granted => {}
            Status::Amended => counts.add("a", amended, "", 1),
            Status::Renewed => counts.add("a", renewed, "", 1),
        }
    }
    let ended = part.standing(now).filter(|standing| period.has(standing.since));
    match ended.map(|standing| standing.state) {
        Some(PermitState::Revoked) => counts.add("a", revoked, "", 1),
        Some(PermitState::Expired) => counts.add("a", expired, "", 1),
        _ => {}
    }
}

/// What the operator recorded, added up; a point of which nothing is recorded is there without a number.
fn recorded(db: &Connection, period: &Period) -> Result<Vec<Indicator>, Stop> {
    let mut sums: BTreeMap<(Point, String), i64> = Point::ALL.map(|point| ((point, String::new()), 0)).into();
    for Record { point, of, count, at, .. } in records::all(db)? {
        if period.has(at) {
            sums.remove(&(point, String::new()));
            let sum = sums.entry((point, of)).or_default();
            *sum = sum.saturating_add(count);
        }
    }
    let one = |((point, of), sum): ((Point, String), i64)| {
        let value = (!of.is_empty()).then(|| sum.to_string());
        indicator(point.letter(), point.asks(), &of, value)
    };
    Ok(sums.into_iter().map(one).collect())
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

fn decided(counts: &mut Counts, days: &mut BTreeMap<&str, Days>, dossier: &Dossier, part: &Part, now: Timestamp) {
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
        let article = dossier.application.body().article;
        let kind = if article == Article::Permit { "data permits" } else { "health data requests" };
        for of in ["", kind] {
            days.entry(of).or_default().add(dossier.submitted_at, at);
        }
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

    fn indicator(&self, of: &str) -> Indicator {
        // In tenths of a day, rounded.
        let tenths = self.count.checked_mul(24).filter(|n| *n > 0).map(|n| (self.hours.saturating_mul(10) + n / 2) / n);
        let value = tenths.map(|tenths| format!("{}.{}", tenths / 10, tenths % 10));
        let name = "average number of days between application and permit";
        indicator("h", name, of, Some(value.unwrap_or_else(|| "none was given".into())))
    }
}
