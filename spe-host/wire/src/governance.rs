//! What persons and the public see of applications, decisions and results.

use std::{fmt, num::NonZeroUsize};

use jiff::{Timestamp, civil::Date};
use serde::{Deserialize, Serialize};
use spe_kernel::{
    application::Status,
    category::Category,
    ids::{ApplicationId, DatasetName, JobId, NodeName, PermitNumber, PersonName},
    permit::Article,
    purpose::{ApplicantBody, Article53},
    statistic::Statistic,
};

/// From an instant, until before another; an open end is open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Period {
    /// The first instant.
    pub from: Option<Timestamp>,
    /// The first instant after it.
    pub until: Option<Timestamp>,
}

impl Period {
    /// Whether it has `instant` in it.
    pub fn has(&self, instant: Timestamp) -> bool {
        self.from.is_none_or(|from| from <= instant) && self.until.is_none_or(|until| instant < until)
    }
}

/// One line of a list of applications.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApplicationLine {
    /// The application: what the hub calls it.
    pub id: ApplicationId,
    /// What the applicant calls it: decisions, permits and notices name it so. Two applicants may use the same. None if it cannot be read.
    pub number: Option<PermitNumber>,
    /// The person who submitted it.
    pub person: PersonName,
    /// When the hub received it.
    pub submitted_at: Timestamp,
    /// Parts granted, of those that the caller may see.
    pub granted: u32,
    /// Parts with a permit that holds now, of these, as far as the hub was told.
    pub in_force: u32,
    /// Parts that the caller may see.
    pub parts: u32,
    /// Parts of which a term is over: for the decision, for what is missing, or for what was granted.
    pub overdue: u32,
    /// The first last day of those that run.
    pub due: Option<Date>,
    /// The entries of the hub's log that cannot be read, so that nobody can say how it stands, or its permits: the hub's operator was told.
    /// None, as a rule.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<i64>,
}

/// An application, with each node's part that the caller may see.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApplicationView {
    /// The application: what the hub calls it.
    pub id: ApplicationId,
    /// What the applicant calls it: decisions, permits and notices name it so. Two applicants may use the same.
    pub number: PermitNumber,
    /// The person who submitted it.
    pub person: PersonName,
    /// When the hub received it: Art. 68(4)'s periods begin.
    pub submitted_at: Timestamp,
    /// What was applied for, as the applicant signed it (a DSSE envelope).
    pub envelope: String,
    /// What the applicant added since, oldest first (DSSE envelopes).
    pub additions: Vec<String>,
    /// Whether the applicant took it back.
    pub withdrawn: bool,
    /// The parts together, in words: `granted at 2 of 3 nodes; refused at 1`.
    pub coverage: String,
    /// Each node's part.
    pub parts: Vec<PartView>,
}

/// How a node's part ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PartOutcome {
    /// A permit was given.
    Granted,
    /// None was, with reasons.
    Refused,
    /// What was missing was not added in time: no permit is given, Art. 68(4).
    Lapsed,
}

/// One node's part of an application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartView {
    /// The node.
    pub node: NodeName,
    /// The datasets that are applied for there.
    pub datasets: Vec<DatasetName>,
    /// How far it is.
    pub status: Status,
    /// How it ended, if it was decided.
    pub outcome: Option<PartOutcome>,
    /// The term that runs.
    pub due: Option<DueView>,
    /// What is missing, or why it was refused.
    pub reasons: Vec<String>,
    /// The permit, if one was given.
    pub permit: Option<PermitNumber>,
    /// How that stands now.
    pub standing: Option<PermitStanding>,
    /// The signed permit (a DSSE envelope), for jobs.
    pub permit_envelope: Option<String>,
    /// The data access body's acts, oldest first (DSSE envelopes).
    pub acts: Vec<String>,
}

/// How a permit that was given stands (TEHDAS2 D6.4, section 9.2), as far as the hub was told: a revocation that was handed in at a node
/// alone, that node knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PermitStanding {
    /// How it stands.
    pub state: PermitState,
    /// Since when; an instant to come, of a permit that begins later.
    pub since: Timestamp,
    /// The permit in whose favour it was replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced_by: Option<PermitNumber>,
    /// That it was taken back, or will be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revocation: Option<RevocationView>,
    /// If it is unknown: the entries of the hub's log that may take it back and cannot be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<i64>,
}

/// A permit's status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PermitState {
    /// As it was first given.
    Granted,
    /// It took the place of another, Art. 68(13).
    Amended,
    /// It prolonged another, Art. 68(12).
    Renewed,
    /// Another took its place, which does not hold for this part.
    Replaced,
    /// The data access body took it back, Art. 63(3).
    Revoked,
    /// Its time is over.
    Expired,
    /// Nobody can say: a revocation in the hub's log cannot be read. `since` is when the permit begins.
    Unknown,
}

impl fmt::Display for PermitState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Granted => "GRANTED",
            Self::Amended => "AMENDED",
            Self::Renewed => "RENEWED",
            Self::Replaced => "REPLACED",
            Self::Revoked => "REVOKED",
            Self::Expired => "EXPIRED",
            Self::Unknown => "UNKNOWN",
        })
    }
}

/// A revocation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevocationView {
    /// Since when, or from when on.
    pub effective_at: Timestamp,
    /// Why, as the data access body wrote it; in the register the provisions that it names, and nothing else.
    pub reason: String,
}

/// Entries of the hub's log that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unreadable {
    /// What they are about, an application as a rule.
    pub about: String,
    /// Their numbers.
    pub entries: Vec<i64>,
}

/// A term that runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DueView {
    /// Its last day, UTC.
    pub last_day: Date,
    /// The provision.
    pub article: String,
    /// Who is to act: the data access body, or the applicant.
    pub who: Actor,
    /// Whether the last day is over.
    pub overdue: bool,
}

/// Who is to act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Actor {
    /// The data access body decides, makes the data available, or gives the answer.
    AccessBody,
    /// The applicant adds what is missing.
    Applicant,
}

/// The public register: who got access to which data for which purpose, who did not and why, and what came of it
/// (Arts. 57(1)(e) and (j), 58(1)(f) and (g)).
///
/// # Privacy
/// A natural person is in it as an applicant only, as Art. 57(1)(e) has it; other persons of an application or permit are not.
/// Watched by `the_register_names_applicants_and_nobody_else`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Register {
    /// When it was written.
    pub at: Timestamp,
    /// One for each application, oldest first.
    pub entries: Vec<Entry>,
    /// Results under permits that were given on no application here.
    pub other_results: Vec<PublishedResult>,
    /// Applications and results, the oldest or the largest, that are not in it: a register goes in one piece. None, as a rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_out: Option<NonZeroUsize>,
    /// What the hub cannot read of its own log, so that it is missing above. Empty, as a rule.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<Unreadable>,
}

/// An application in the register.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The application: what the hub calls it.
    pub application: ApplicationId,
    /// 68: data permit; 69: health data request.
    pub article: Article,
    /// The applicant: an organisation, or a natural person who applies for themself.
    pub applicant: String,
    /// What kind of body that is.
    pub applicant_body: ApplicantBody,
    /// The purposes, points of Art. 53(1).
    pub purposes: Vec<Article53>,
    /// The categories of data, points of Art. 51(1).
    pub categories: Vec<Category>,
    /// What the data is to be used for, as the applicant described it.
    pub description: String,
    /// When it was received.
    pub submitted_at: Timestamp,
    /// Each node's part.
    pub parts: Vec<EntryPart>,
    /// The last day for the results to become public, Art. 61(4): 18 months after the end of the last permit. Work that is done
    /// earlier is due earlier.
    pub results_due: Option<Date>,
    /// What was published.
    pub results: Vec<PublishedResult>,
}

/// What became of a part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EntryPart {
    /// The node.
    pub node: NodeName,
    /// The datasets.
    pub datasets: Vec<DatasetName>,
    /// How far it is.
    pub status: Status,
    /// How it ended.
    pub outcome: Option<PartOutcome>,
    /// When it was decided; of a permit that was changed since, when it was first given.
    pub decided_at: Option<Timestamp>,
    /// Why it was refused.
    pub reasons: Vec<String>,
    /// The permit.
    pub permit: Option<PermitNumber>,
    /// The permit's validity.
    pub valid_from: Option<Timestamp>,
    /// Its end.
    pub valid_until: Option<Timestamp>,
    /// How it stands.
    pub standing: Option<PermitStanding>,
}

/// A published result: merged, noisy statistics.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishedResult {
    /// The job.
    pub job: JobId,
    /// Under which permit.
    pub permit: PermitNumber,
    /// The dataset.
    pub dataset: DatasetName,
    /// When it was published.
    pub published_at: Timestamp,
    /// `2 of 3 nodes`.
    pub coverage: String,
    /// The statistics.
    pub statistics: Vec<Statistic>,
}

/// The activity report of Art. 59 over a period.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Activity {
    /// The period.
    pub period: Period,
    /// The points of the article, in its order.
    pub indicators: Vec<Indicator>,
}

/// One number of the report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Indicator {
    /// The point of Art. 59(1), `a` to `k`.
    pub point: String,
    /// What is counted.
    pub name: String,
    /// Of which kind; empty for all of them.
    pub of: String,
    /// The number as text; none if this system does not record it.
    pub value: Option<String>,
}
