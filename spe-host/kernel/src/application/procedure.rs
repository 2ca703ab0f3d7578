//! The way of an application through a data access body: statuses, and the terms that the Regulation sets.
//!
//! Statuses are those of HealthData@EU (TEHDAS2 D6.4). Terms are counted in days of the calendar, UTC: a term of months ends with the day
//! of the same number, or the month's last (Regulation (EEC, Euratom) No 1182/71, Art. 3). That a term which would end on a holiday or at a
//! weekend ends later is left out: what is shown is never later than the law's.

use jiff::{Span, Timestamp, ToSpan, civil::Date, tz::TimeZone};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::permit::Article;

/// Where an application is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    /// It has arrived.
    Submitted,
    /// It is looked through for completeness.
    PreScreening,
    /// It is complete, and assessed.
    Processing,
    /// The applicant was asked to complete it.
    AwaitingAdditionalInformation,
    /// It was decided. Final.
    DecisionIssued,
    /// The applicant took it back. Final.
    Withdrawn,
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Submitted,
        Self::PreScreening,
        Self::Processing,
        Self::AwaitingAdditionalInformation,
        Self::DecisionIssued,
        Self::Withdrawn,
    ];

    /// Whether `next` may follow.
    pub const fn may_become(self, next: Self) -> bool {
        use Status::{AwaitingAdditionalInformation, DecisionIssued, PreScreening, Processing, Submitted, Withdrawn};
        match self {
            Submitted => matches!(next, PreScreening | Withdrawn),
            PreScreening => matches!(next, Processing | AwaitingAdditionalInformation | Withdrawn),
            Processing => matches!(next, AwaitingAdditionalInformation | DecisionIssued | Withdrawn),
            // A decision straight from here refuses what was not completed in time.
            AwaitingAdditionalInformation => matches!(next, PreScreening | Processing | DecisionIssued | Withdrawn),
            DecisionIssued | Withdrawn => false,
        }
    }

    /// Whether nothing follows.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::DecisionIssued | Self::Withdrawn)
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Submitted => "SUBMITTED",
            Self::PreScreening => "PRE_SCREENING",
            Self::Processing => "PROCESSING",
            Self::AwaitingAdditionalInformation => "AWAITING_ADDITIONAL_INFORMATION",
            Self::DecisionIssued => "DECISION_ISSUED",
            Self::Withdrawn => "WITHDRAWN",
        })
    }
}

/// Which terms an application is under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Track {
    /// A data permit, Art. 68(4).
    Permit,
    /// A data permit for a public body in public health, Art. 68(6).
    Accelerated,
    /// A data request, Art. 69.
    Request,
}

impl From<Article> for Track {
    fn from(article: Article) -> Self {
        match article {
            Article::Permit => Self::Permit,
            Article::Request => Self::Request,
        }
    }
}

/// A term that the Regulation sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Term {
    /// For the decision, from the complete application: 3 months; 2 if accelerated.
    Decision(Track),
    /// The same when it was prolonged: by 3 months; by 1 if accelerated. A data request's assessment is not prolonged: it has 3 months
    /// more for the answer.
    ProlongedDecision(Track),
    /// For the applicant to complete the application, from being asked: 4 weeks.
    Completion,
    /// For the data to be there, from the permit: 2 months. Art. 68(7) counts from when the data access body has the data, which here stays
    /// with its holder: what is shown is never later.
    Data,
    /// For the answer to a data request, from its approval: 3 months.
    Answer,
}

impl Term {
    /// How long it is.
    pub fn length(self) -> Span {
        match self {
            Self::Decision(Track::Permit | Track::Request)
            | Self::ProlongedDecision(Track::Accelerated)
            | Self::Answer => 3.months(),
            Self::Decision(Track::Accelerated) | Self::Data => 2.months(),
            Self::ProlongedDecision(Track::Permit | Track::Request) => 6.months(),
            Self::Completion => 4.weeks(),
        }
    }

    /// Its last day, when it began at `start`.
    pub fn last_day(self, start: Timestamp) -> Date {
        day(start).checked_add(self.length()).unwrap_or(Date::MAX)
    }

    /// The provision.
    pub const fn article(self) -> &'static str {
        match self {
            Self::Decision(Track::Request) | Self::ProlongedDecision(Track::Request) | Self::Answer => "Art. 69",
            Self::Decision(Track::Accelerated) | Self::ProlongedDecision(Track::Accelerated) => "Art. 68(6)",
            Self::Data => "Art. 68(7)",
            Self::Decision(Track::Permit) | Self::ProlongedDecision(Track::Permit) | Self::Completion => "Art. 68(4)",
        }
    }
}

fn day(at: Timestamp) -> Date {
    at.to_zoned(TimeZone::UTC).date()
}

/// Until when somebody has to act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// Which term.
    pub term: Term,
    /// Its last day.
    pub last_day: Date,
}

impl Due {
    /// Whether the last day is over at `now`.
    pub fn is_over(&self, now: Timestamp) -> bool {
        day(now) > self.last_day
    }
}

/// One status, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// The status.
    pub status: Status,
    /// Since when.
    pub since: Timestamp,
}

/// The way of one application through one data access body so far. Only moves that the state machine allows are in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Procedure {
    track: Track,
    stages: Vec<Stage>,
    prolonged: bool,
    /// Since when what was granted is owed: the data, or the answer.
    owed_since: Option<Timestamp>,
}

/// A move that is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProcedureError {
    /// It does not follow.
    #[error("an application that is {from} cannot become {to}")]
    NotNext {
        /// What it is.
        from: Status,
        /// What it should become.
        to: Status,
    },
    /// Back in time.
    #[error("the clock is behind: the last step was made at {last}")]
    ClockBehind {
        /// The last step.
        last: Timestamp,
    },
    /// A term that cannot be prolonged, or was.
    #[error("the term for the decision is prolonged once, and not for data requests (Art. 68(4), (6))")]
    NotProlongable,
    /// No term for the decision runs that could be prolonged.
    #[error(
        "the term for the decision is prolonged while an application is assessed, and this one is {status}: accept it first as complete, also \
         after the applicant has completed it (`spe application accept`)"
    )]
    NotAssessed {
        /// What it is.
        status: Status,
    },
}

impl Procedure {
    /// An application that arrived at `at`.
    pub fn submitted(track: Track, at: Timestamp) -> Self {
        let stages = vec![Stage { status: Status::Submitted, since: at }];
        Self { track, stages, prolonged: false, owed_since: None }
    }

    /// Its statuses, the first first.
    pub fn stages(&self) -> &[Stage] {
        &self.stages
    }

    /// What it is now.
    pub fn now(&self) -> Stage {
        // There is a first stage from the beginning.
        self.stages.last().copied().unwrap_or(Stage { status: Status::Submitted, since: Timestamp::UNIX_EPOCH })
    }

    /// Goes on to `next` at `at`.
    ///
    /// # Errors
    /// [`ProcedureError`]; nothing has changed then.
    pub fn advance(&mut self, next: Status, at: Timestamp) -> Result<(), ProcedureError> {
        let Stage { status: from, since } = self.now();
        if at < since {
            return Err(ProcedureError::ClockBehind { last: since });
        }
        if !from.may_become(next) {
            return Err(ProcedureError::NotNext { from, to: next });
        }
        self.stages.push(Stage { status: next, since: at });
        Ok(())
    }

    /// Decides positively at `at`: from now on the data is owed (Art. 68(7)), or the answer (Art. 69).
    ///
    /// # Errors
    /// As [`Procedure::advance`].
    pub fn grant(&mut self, at: Timestamp) -> Result<(), ProcedureError> {
        self.advance(Status::DecisionIssued, at)?;
        self.owed_since = Some(at);
        Ok(())
    }

    /// What was granted is there. Where nothing was, nothing changes.
    pub const fn provide(&mut self) {
        self.owed_since = None;
    }

    /// Prolongs the term for the decision, once.
    ///
    /// # Errors
    /// [`ProcedureError::NotProlongable`], [`ProcedureError::NotAssessed`].
    pub fn prolong(&mut self) -> Result<(), ProcedureError> {
        if self.prolonged || self.track == Track::Request {
            return Err(ProcedureError::NotProlongable);
        }
        let status = self.now().status;
        if status != Status::Processing {
            return Err(ProcedureError::NotAssessed { status });
        }
        self.prolonged = true;
        Ok(())
    }

    /// Since when it is complete: its arrival, or the last time that information which was asked for came.
    fn complete_since(&self) -> Timestamp {
        let asked =
            |pair: &&[Stage]| matches!(pair, [before, _] if before.status == Status::AwaitingAdditionalInformation);
        let last = self.stages.windows(2).filter(asked).filter_map(|pair| pair.last()).next_back();
        last.or(self.stages.first()).map_or(Timestamp::UNIX_EPOCH, |stage| stage.since)
    }

    /// What is due next, and when: the decision; what the applicant was asked for; what was granted, until it is there.
    pub fn due(&self) -> Option<Due> {
        let Stage { status, since } = self.now();
        let (term, start) = match status {
            Status::DecisionIssued => match self.track {
                Track::Permit | Track::Accelerated => (Term::Data, self.owed_since?),
                Track::Request => (Term::Answer, self.owed_since?),
            },
            Status::Withdrawn => return None,
            Status::AwaitingAdditionalInformation => (Term::Completion, since),
            _ if self.prolonged => (Term::ProlongedDecision(self.track), self.complete_since()),
            _ => (Term::Decision(self.track), self.complete_since()),
        };
        Some(Due { term, last_day: term.last_day(start) })
    }
}
