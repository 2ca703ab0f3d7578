//! Incidents at a node, and the reports on them that are due (TEHDAS2 M7.4, OPR-18 and OPR-19): an early warning after 24 hours, a
//! detailed report after 72 hours, a final report after a month.

use std::{fmt, str::FromStr};

use jiff::{SignedDuration, Timestamp, ToSpan, tz::TimeZone};
use serde::{Deserialize, Serialize};

use crate::refusal::Refusal;

/// Longest text of one step, in bytes.
pub const INCIDENT_TEXT_BYTES_MAX: usize = 4_000;

/// What was done about an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// It became known.
    Opened,
    /// Something to remember.
    Noted,
    /// A report was sent.
    EarlyWarning,
    /// A report was sent.
    DetailedReport,
    /// A report was sent.
    FinalReport,
    /// Nothing is left to do.
    Closed,
    /// It turned out to be none: what was not reported is not due any more.
    Dismissed,
}

impl Step {
    const ALL: [Self; 7] = [
        Self::Opened,
        Self::Noted,
        Self::EarlyWarning,
        Self::DetailedReport,
        Self::FinalReport,
        Self::Closed,
        Self::Dismissed,
    ];
    /// The reports, in the order in which they are due.
    pub const REPORTS: [Self; 3] = [Self::EarlyWarning, Self::DetailedReport, Self::FinalReport];

    const fn name(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Noted => "noted",
            Self::EarlyWarning => "early-warning",
            Self::DetailedReport => "detailed-report",
            Self::FinalReport => "final-report",
            Self::Closed => "closed",
            Self::Dismissed => "dismissed",
        }
    }

    /// Until when the report has to be sent on an incident that became known at `known_at`; none of what is no report. A month is one of
    /// the calendar in UTC, and ends with the month where that has no such day. All three count from the same instant, which is never
    /// later than counting from the report before.
    pub fn due(self, known_at: Timestamp) -> Option<Timestamp> {
        let hours = |hours| known_at.checked_add(SignedDuration::from_hours(hours)).ok();
        match self {
            Self::EarlyWarning => hours(24),
            Self::DetailedReport => hours(72),
            Self::FinalReport => Some(known_at.to_zoned(TimeZone::UTC).checked_add(1.month()).ok()?.timestamp()),
            _ => None,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Step {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let names = || Self::ALL.map(Self::name).join(", ");
        Self::ALL.into_iter().find(|step| step.name() == text).ok_or_else(|| format!("{text:?} is none of {}", names()))
    }
}

/// A step as it was recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Taken {
    /// Which.
    pub step: Step,
    /// When it was done: when the incident became known, when the report was sent.
    pub at: Timestamp,
    /// In words. Kept for as long as the node's records are, so it names no person.
    pub text: String,
}

impl Taken {
    fn check(&self, now: Timestamp) -> Result<(), Refusal> {
        let wrong = |why: String| Err(Refusal::Malformed { document: "the record of the incident".into(), why });
        if self.text.trim().is_empty() || self.text.len() > INCIDENT_TEXT_BYTES_MAX {
            return wrong(format!("its text has {} bytes; 1 to {INCIDENT_TEXT_BYTES_MAX} are meant", self.text.len()));
        }
        if self.at > now {
            return wrong(format!("{} is in the future", self.at));
        }
        Ok(())
    }
}

/// An incident with all that was done about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Incident {
    /// Its number at this node, from 1.
    pub number: u32,
    /// When it became known.
    pub known_at: Timestamp,
    /// Everything that was done, in order; the first is [`Step::Opened`].
    pub steps: Vec<Taken>,
}

/// How a report stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// Sent in time.
    Sent,
    /// Sent too late.
    SentLate,
    /// There is time left.
    Due,
    /// It should have been sent.
    Overdue,
    /// Not due any more: it was no incident.
    NotDue,
}

/// One report of an incident at some instant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deadline {
    /// Which.
    pub report: Step,
    /// Until when it has to be sent.
    pub due: Timestamp,
    /// How it stands.
    pub standing: Standing,
    /// Minutes between `due` and when it was sent, or now where it was not: below 0 where that is too late.
    pub minutes_left: i64,
}

impl Incident {
    /// A new one.
    ///
    /// # Errors
    /// No text or too long a one; a time in the future.
    pub fn open(number: u32, opened: Taken, now: Timestamp) -> Result<Self, Refusal> {
        opened.check(now)?;
        Ok(Self { number, known_at: opened.at, steps: vec![opened] })
    }

    fn at(&self, step: Step) -> Option<Timestamp> {
        self.steps.iter().find(|taken| taken.step == step).map(|taken| taken.at)
    }

    /// When nothing more was to be done.
    pub fn ended_at(&self) -> Option<Timestamp> {
        self.at(Step::Closed).or_else(|| self.at(Step::Dismissed))
    }

    /// Whether `next` may follow what was done.
    ///
    /// # Errors
    /// No text or too long a one; a time in the future or before the incident; a step after its end, a second report of a kind, an end
    /// with a report missing.
    pub fn check(&self, next: &Taken, now: Timestamp) -> Result<(), Refusal> {
        next.check(now)?;
        let may_not = |what: String| Err(Refusal::NotAllowed { who: format!("incident {}", self.number), what });
        let missing = || Step::REPORTS.into_iter().find(|report| self.at(*report).is_none());
        match next.step {
            _ if self.ended_at().is_some() => may_not("be changed: it ended; open another".into()),
            _ if next.at < self.known_at => may_not(format!("have had a step at {}: it was not known yet", next.at)),
            Step::Opened => may_not("be opened again".into()),
            step if Step::REPORTS.contains(&step) && self.at(step).is_some() => {
                may_not(format!("have a second {step}: add what is new as a note"))
            }
            Step::Closed if let Some(report) = missing() => may_not(format!(
                "be closed before its {report} was sent; what turned out to be none is closed with `--no-incident`"
            )),
            _ => Ok(()),
        }
    }

    /// How each report stands at `now`.
    pub fn deadlines(&self, now: Timestamp) -> Vec<Deadline> {
        let deadline = |report: Step| {
            let (due, sent) = (report.due(self.known_at)?, self.at(report));
            let minutes_left = sent.unwrap_or(now).duration_until(due).as_secs().div_euclid(60);
            let standing = match (sent, minutes_left < 0) {
                (Some(_), false) => Standing::Sent,
                (Some(_), true) => Standing::SentLate,
                (None, _) if self.ended_at().is_some() => Standing::NotDue,
                (None, false) => Standing::Due,
                (None, true) => Standing::Overdue,
            };
            Some(Deadline { report, due, standing, minutes_left })
        };
        Step::REPORTS.into_iter().filter_map(deadline).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn taken(step: Step, when: &str) -> Taken {
        Taken { step, at: at(when), text: "a disk was lost".into() }
    }

    fn standings(incident: &Incident, now: &str) -> Vec<(Standing, i64)> {
        incident.deadlines(at(now)).iter().map(|d| (d.standing, d.minutes_left)).collect()
    }

    /// OPR-18, OPR-19. What would be a bug: a report that is due later than 24 hours, 72 hours or a month after the incident became known;
    /// one that is overdue and shown as in time, or the other way round; the end of a short month passed over.
    #[test]
    fn reports_are_due_after_a_day_three_days_and_a_month() {
        let known = at("2030-01-31T10:00:00Z");
        let due: Vec<_> = Step::REPORTS.iter().map(|report| report.due(known).unwrap().to_string()).collect();
        assert_eq!(due, ["2030-02-01T10:00:00Z", "2030-02-03T10:00:00Z", "2030-02-28T10:00:00Z"]);
        assert_eq!(Step::Noted.due(known), None);
        let mut incident = Incident::open(1, taken(Step::Opened, "2030-01-31T10:00:00Z"), known).unwrap();
        assert_eq!(standings(&incident, "2030-02-01T10:00:00Z")[0], (Standing::Due, 0));
        assert_eq!(standings(&incident, "2030-02-01T10:00:01Z")[0], (Standing::Overdue, -1));
        incident.steps.push(taken(Step::EarlyWarning, "2030-02-01T09:00:00Z"));
        incident.steps.push(taken(Step::DetailedReport, "2030-02-03T12:00:00Z"));
        let later = standings(&incident, "2030-03-01T00:00:00Z");
        assert_eq!(
            later.iter().map(|(s, _)| *s).collect::<Vec<_>>(),
            [Standing::Sent, Standing::SentLate, Standing::Overdue]
        );
        assert_eq!((later[0].1, later[1].1), (60, -120));
        incident.steps.push(taken(Step::Dismissed, "2030-03-01T00:00:00Z"));
        assert_eq!(standings(&incident, "2031-01-01T00:00:00Z")[2].0, Standing::NotDue);
    }

    /// What would be a bug: an incident that is closed with a report missing, changed after its end, reported before it was known, in the
    /// future, twice, or in no words.
    #[test]
    fn steps_follow_in_order_only() {
        let now = at("2030-03-01T00:00:00Z");
        let mut incident = Incident::open(1, taken(Step::Opened, "2030-02-01T00:00:00Z"), now).unwrap();
        let refused =
            |incident: &Incident, step, when| incident.check(&taken(step, when), now).unwrap_err().to_string();
        assert!(refused(&incident, Step::Closed, "2030-02-02T00:00:00Z").contains("early-warning"));
        assert!(refused(&incident, Step::EarlyWarning, "2030-01-31T00:00:00Z").contains("not known yet"));
        assert!(refused(&incident, Step::EarlyWarning, "2030-03-02T00:00:00Z").contains("future"));
        for step in Step::REPORTS {
            let next = taken(step, "2030-02-02T00:00:00Z");
            assert_eq!(incident.check(&next, now), Ok(()));
            incident.steps.push(next);
            assert!(refused(&incident, step, "2030-02-02T00:00:00Z").contains("second"));
        }
        assert_eq!(incident.check(&taken(Step::Closed, "2030-02-03T00:00:00Z"), now), Ok(()));
        incident.steps.push(taken(Step::Closed, "2030-02-03T00:00:00Z"));
        assert!(refused(&incident, Step::Noted, "2030-02-04T00:00:00Z").contains("ended"));
        let silent = Taken { text: " ".into(), ..taken(Step::Opened, "2030-02-01T00:00:00Z") };
        assert!(Incident::open(2, silent, now).is_err());
        assert!(Step::ALL.iter().all(|step| step.to_string().parse() == Ok(*step)));
        assert!(Step::ALL.iter().all(|step| serde_json::to_value(step).unwrap() == step.to_string()));
    }
}
