//! The public register, and how results get into it.

use std::collections::BTreeMap;

use jiff::{Timestamp, ToSpan, tz::TimeZone};
use rusqlite::Connection;
use spe_kernel::{ids::PersonName, permit::PermitBody, refusal::Refusal};
use spe_wire::{
    governance::{Entry, EntryPart, PublishedResult, Register},
    view::{State, View},
};

use crate::{
    applications::{Dossier, Part},
    stop::Stop,
    store::governance::{self, Event, What},
};

/// Months in which results become public, Art. 61(4).
const RESULT_MONTHS: i32 = 18;

/// The register as of now.
pub(crate) fn read(db: &Connection, now: Timestamp) -> Result<Register, Stop> {
    let mut results = results(db)?;
    let entries = Dossier::all(db)?.iter().map(|dossier| entry(dossier, &mut results, now)).collect();
    Ok(Register { at: now, entries, other_results: results })
}

/// Everything that was published, oldest first.
pub(crate) fn results(db: &Connection) -> Result<Vec<PublishedResult>, Stop> {
    let published = governance::every(db, What::Published)?.into_iter();
    published.map(|event| Ok(serde_json::from_slice(&event.body)?)).collect()
}

fn entry(dossier: &Dossier, results: &mut Vec<PublishedResult>, now: Timestamp) -> Entry {
    let body = dossier.application.body();
    let permits: Vec<&PermitBody> = dossier.parts.iter().filter_map(Part::permit).collect();
    let under = |result: &PublishedResult| permits.iter().any(|permit| permit.number == result.permit);
    let categories: BTreeMap<_, _> = body.data.iter().map(|data| (data.category.point(), data.category)).collect();
    Entry {
        application: dossier.id.clone(),
        article: body.article,
        applicant: body.applicant.name.clone(),
        applicant_body: body.applicant_body,
        purposes: body.purpose.article53.clone(),
        categories: categories.into_values().collect(),
        description: body.intended_use.text.clone(),
        submitted_at: dossier.submitted_at,
        parts: dossier.parts.iter().map(|part| entry_part(part, now)).collect(),
        results_due: permits.iter().map(|permit| permit.valid_until).max().and_then(|end| {
            let end = end.to_zoned(TimeZone::UTC).checked_add(RESULT_MONTHS.months()).ok()?;
            Some(end.date())
        }),
        results: results.extract_if(.., |result| under(result)).collect(),
    }
}

fn entry_part(part: &Part, now: Timestamp) -> EntryPart {
    let permit = part.permit();
    // What is missing is between applicant and data access body; why something was refused is public.
    let reasons = if part.outcome(now).is_some() { part.reasons(now) } else { Vec::new() };
    EntryPart {
        node: part.node.clone(),
        datasets: part.datasets.clone(),
        status: part.status(now),
        outcome: part.outcome(now),
        decided_at: part.decided_at(now),
        reasons,
        permit: permit.map(|permit| permit.number.clone()),
        valid_from: permit.map(|permit| permit.valid_from),
        valid_until: permit.map(|permit| permit.valid_until),
    }
}

/// Publishes the merged statistics of a job of `person`. The same job again changes nothing.
///
/// Refuses a job that is not complete, or that nobody answered.
pub(crate) fn publish(db: &Connection, person: PersonName, view: View, now: Timestamp) -> Result<(), Stop> {
    let subject = view.job.to_string();
    if !governance::of(db, &subject)?.is_empty() {
        return Ok(());
    }
    let refuse = |why: &str| {
        let what = format!("publish {}: {why}", view.job);
        Err(Refusal::NotAllowed { who: person.to_string(), what }.into())
    };
    if view.state != State::Complete {
        return refuse("it is not complete");
    }
    if view.statistics.is_empty() {
        return refuse("no node answered");
    }
    let result = PublishedResult {
        job: view.job,
        permit: view.permit,
        dataset: view.dataset,
        published_at: now,
        coverage: view.coverage,
        statistics: view.statistics,
    };
    let body = serde_json::to_vec(&result)?;
    governance::append(db, &Event { at: now, what: What::Published, subject, node: None, person, body })
}
