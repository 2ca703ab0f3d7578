//! The public register, and how results get into it.

use std::{collections::BTreeMap, mem, num::NonZeroUsize};

use jiff::{Timestamp, ToSpan, tz::TimeZone};
use rusqlite::Connection;
use serde::Serialize;
use spe_kernel::{ids::PersonName, permit::PermitBody, refusal::Refusal};
use spe_wire::{
    governance::{Entry, EntryPart, PermitStanding, PublishedResult, Register},
    limits::GOVERNANCE_BYTES_MAX,
    view::{State, View},
};

use crate::{
    applications::{Dossier, Files, Lost, Part},
    stop::Stop,
    store::governance::{self, Event, What},
};

/// Months in which results become public, Art. 61(4).
const RESULT_MONTHS: i32 = 18;

/// The register as of now.
pub(crate) fn read(db: &Connection, now: Timestamp) -> Result<Register, Stop> {
    let mut register = of(&Files::all(db)?, results(db)?, now);
    fit(&mut register);
    Ok(register)
}

/// The register of those applications and results, whole.
pub(crate) fn of(files: &Files, mut results: Vec<PublishedResult>, now: Timestamp) -> Register {
    let entries = files.dossiers.iter().map(|dossier| entry(dossier, &mut results, now)).collect();
    let unreadable = files.lost.iter().map(Lost::told).collect();
    Register { at: now, entries, other_results: results, left_out: None, unreadable }
}

/// Leaves out of it what does not go in one piece.
///
/// # Security
/// Texts that others wrote are shortened in it, and if all the same it has too much, the oldest are left out and counted: nobody makes it
/// unreadable. Watched by `a_register_is_read_whatever_is_in_it` and, beside this, `the_oldest_are_left_out_and_counted`.
fn fit(register: &mut Register) {
    let of_entries = |entry: &mut Entry| keep_newest(&mut entry.results, GOVERNANCE_BYTES_MAX / 8);
    let mut left_out: usize = register.entries.iter_mut().map(of_entries).sum();
    left_out += keep_newest(&mut register.entries, GOVERNANCE_BYTES_MAX / 2);
    left_out += keep_newest(&mut register.other_results, GOVERNANCE_BYTES_MAX / 4);
    register.left_out = NonZeroUsize::new(left_out);
}

/// Keeps the newest, which are last, as long as they have at most so many bytes as JSON together; what is too large for that is passed over.
/// Says how many are left out.
fn keep_newest<T: Serialize>(all: &mut Vec<T>, bytes: usize) -> usize {
    let (mut left, before) = (bytes, all.len());
    let mut fits = |one: &T| {
        let size = serde_json::to_vec(one).map_or(usize::MAX, |json| json.len());
        left.checked_sub(size).inspect(|rest| left = *rest).is_some()
    };
    let mut kept: Vec<T> = mem::take(all).into_iter().rev().filter(|one| fits(one)).collect();
    kept.reverse();
    *all = kept;
    before - all.len()
}

/// Characters of a text in the register that somebody wrote.
const TEXT_CHARS_MAX: usize = 1_000;
/// Of each list that somebody wrote, such as the reasons of a decision, so many are in it.
const LIST_MAX: usize = 100;

fn first<T: Clone>(all: &[T]) -> Vec<T> {
    all.iter().take(LIST_MAX).cloned().collect()
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(TEXT_CHARS_MAX) {
        Some((end, _)) => format!("{}… (shortened)", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// Everything that was published and can be read, oldest first.
pub(crate) fn results(db: &Connection) -> Result<Vec<PublishedResult>, Stop> {
    let published = governance::readable(db, What::Published)?;
    Ok(published.iter().filter_map(|event| serde_json::from_slice(&event.body).ok()).collect())
}

fn entry(dossier: &Dossier, results: &mut Vec<PublishedResult>, now: Timestamp) -> Entry {
    let body = dossier.application.body();
    let permits: Vec<&PermitBody> = dossier.parts.iter().filter_map(Part::permit).collect();
    // Also under one that another has taken the place of since.
    let under = |result: &PublishedResult| {
        dossier.parts.iter().flat_map(|part| &part.history).any(|(.., version)| version.number == result.permit)
    };
    let categories: BTreeMap<_, _> = body.data.iter().map(|data| (data.category.point(), data.category)).collect();
    Entry {
        application: dossier.id.clone(),
        article: body.article,
        applicant: shortened(&body.applicant.name),
        applicant_body: body.applicant_body,
        purposes: first(&body.purpose.article53),
        categories: categories.into_values().collect(),
        description: shortened(&body.intended_use.text),
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
    EntryPart {
        node: part.node.clone(),
        datasets: first(&part.datasets),
        status: part.status(now),
        outcome: part.outcome(now),
        decided_at: part.decided_at(now),
        reasons: part.public_reasons(now).iter().take(LIST_MAX).map(|reason| shortened(reason)).collect(),
        permit: permit.map(|permit| permit.number.clone()),
        valid_from: permit.map(|permit| permit.valid_from),
        valid_until: permit.map(|permit| permit.valid_until),
        standing: part.standing(now).map(in_public),
    }
}

/// What everybody may know of a permit's end: the measure, and on which provision (Art. 57(1)(j)).
///
/// # Privacy
/// The words that a data access body gives are for those whom it stops, and may name persons: only references to provisions are taken from
/// them. Watched by `the_register_names_applicants_and_nobody_else`.
fn in_public(mut standing: PermitStanding) -> PermitStanding {
    if let Some(revocation) = &mut standing.revocation {
        revocation.reason = provisions(&revocation.reason);
    }
    standing
}

/// The provisions that a text refers to, such as `Art. 61(4)`; nothing else of it.
fn provisions(text: &str) -> String {
    let references = text.match_indices("Art. ").filter_map(|(at, mark)| reference(text.get(at + mark.len()..)?));
    let mut found: Vec<String> = Vec::new();
    for article in references.map(|number| format!("Art. {number}")) {
        if !found.contains(&article) {
            found.push(article);
        }
    }
    found.join(", ")
}

/// The number of an article that `text` begins with, and paragraphs and points after it: `68(10)(a)`.
fn reference(text: &str) -> Option<&str> {
    let is_point = |point: &str| {
        let digits = point.len() <= 3 && point.bytes().all(|byte| byte.is_ascii_digit());
        let letters = point.len() == 1 && point.bytes().all(|byte| byte.is_ascii_lowercase());
        !point.is_empty() && (digits || letters || point.bytes().all(|byte| b"ivx".contains(&byte)))
    };
    let mut end = text.bytes().take_while(u8::is_ascii_digit).count();
    if !(1..=3).contains(&end) {
        return None;
    }
    while let Some((point, _)) = text.get(end..)?.strip_prefix('(').and_then(|rest| rest.split_once(')')) {
        if !is_point(point) {
            break;
        }
        end += point.len() + 2;
    }
    text.get(..end)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What would be a bug: a register that has more than goes in one piece, that loses the latest for the oldest, or does not say that some are
    /// missing.
    #[test]
    fn the_oldest_are_left_out_and_counted() {
        let all = || ["one", "two", "three", "four"].map(str::to_owned).to_vec();
        let kept = |bytes: usize| {
            let mut kept = all();
            let left_out = keep_newest(&mut kept, bytes);
            assert_eq!(left_out + kept.len(), 4, "{bytes} bytes");
            kept.join(" ")
        };
        for (bytes, expected) in [
            (100, "one two three four"),
            (23, "one two three four"),
            (22, "two three four"),
            (13, "three four"),
            (5, "two"),
            (0, ""),
        ] {
            assert_eq!(kept(bytes), expected, "{bytes} bytes");
        }
        assert_eq!(kept(11), "two four", "one that is too large takes all older ones with it");
        let long = shortened(&"é".repeat(5_000));
        assert!(long.chars().count() < 1_100 && long.ends_with("(shortened)"), "{long}");
        assert_eq!(shortened("é"), "é");
    }

    /// What would be a bug: a name, or a word beside a provision, that becomes public.
    #[test]
    fn of_reasons_only_provisions_are_public() {
        let told = "anna did not publish (Art. 61(4)) after two reminders; Art. anna, Art. 5(anna), Art. 68(10)(a) and (b), Art. 61(4)";
        assert_eq!(provisions(told), "Art. 61(4), Art. 5, Art. 68(10)(a)");
        assert_eq!(provisions("Art. 0123456789, anna's number"), "");
        assert_eq!(provisions("Art. 57(1)(j)(iv)anna"), "Art. 57(1)(j)(iv)");
        assert_eq!(provisions("the conditions were not kept"), "");
    }
}
