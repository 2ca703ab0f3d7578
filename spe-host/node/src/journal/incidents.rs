//! Incidents, and what was done about them.

use jiff::Timestamp;
use rusqlite::{Connection, params};
use spe_kernel::{
    audit::{Event, Who},
    fault::Fault,
    incident::{Incident, Step, Taken},
    refusal::{Refusal, Stop},
};

use super::{Records, log};

/// Steps may be added, each but a note once, and nothing else may ever happen to them.
pub(super) const TABLES: &str = "
CREATE TABLE incident (
  id INTEGER PRIMARY KEY, incident INTEGER NOT NULL CHECK (incident > 0), step TEXT NOT NULL, at TEXT NOT NULL,
  text TEXT NOT NULL CHECK (length(text) > 0), recorded_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ'))
) STRICT;
CREATE UNIQUE INDEX incident_step ON incident (incident, step) WHERE step <> 'noted';
CREATE TRIGGER incident_stays BEFORE DELETE ON incident BEGIN SELECT RAISE(ABORT, 'an incident stays'); END;
CREATE TRIGGER incident_is_final BEFORE UPDATE ON incident BEGIN SELECT RAISE(ABORT, 'an incident is final'); END;
";

const WRITING: &str = "recording an incident";
const READING: &str = "reading the incidents";

impl Records {
    /// Records that `who` did something about the incident of that number, or opens one, and logs it. The incident as it is then.
    ///
    /// # Privacy
    /// The log's entry has number, step and time, and none of the words. Watched by the test below.
    ///
    /// # Errors
    /// No such incident; a step that may not follow; the file cannot be written.
    pub fn record_incident(&self, who: &Who, number: Option<u32>, taken: Taken) -> Result<Incident, Stop> {
        const STEP: &str = "INSERT INTO incident (incident, step, at, text) VALUES (?1, ?2, ?3, ?4)";
        // Two at the desk are one after the other: the look and the entry are one transaction.
        let recorded = self.in_one(|db| {
            let incident = match with(all(db)?, number, &taken) {
                Ok(incident) => incident,
                Err(why) => return Ok(Err(why)),
            };
            let Taken { step, at, text } = &taken;
            let values = params![incident.number, step.to_string(), at.to_string(), text];
            db.execute(STEP, values).map_err(Fault::while_(WRITING))?;
            let event = Event::IncidentRecorded { incident: incident.number, step: *step, done_at: *at };
            log::append(db, log::actor(db, who)?, event)?;
            Ok(Ok(incident))
        })?;
        Ok(recorded?)
    }

    /// All incidents, the oldest first.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn incidents(&self) -> Result<Vec<Incident>, Fault> {
        all(&self.connection())
    }
}

/// The incident of that number with one more step, or a new one behind `all`.
fn with(mut all: Vec<Incident>, number: Option<u32>, taken: &Taken) -> Result<Incident, Refusal> {
    let now = Timestamp::now();
    let Some(number) = number else {
        let last = all.last().map_or(0, |last| last.number);
        return Incident::open(last.saturating_add(1), taken.clone(), now);
    };
    let unknown = || Refusal::NotFound { what: format!("incident {number}") };
    let mut incident = all.extract_if(.., |one| one.number == number).next().ok_or_else(unknown)?;
    incident.check(taken, now)?;
    incident.steps.push(taken.clone());
    Ok(incident)
}

fn all(db: &Connection) -> Result<Vec<Incident>, Fault> {
    let sql = "SELECT incident, step, at, text FROM incident ORDER BY incident, id";
    let mut statement = db.prepare(sql).map_err(Fault::while_(READING))?;
    let row = |r: &rusqlite::Row<'_>| {
        Ok((r.get::<_, u32>(0)?, r.get::<_, String>(1)?, r.get::<_, String>(2)?, r.get::<_, String>(3)?))
    };
    let mut all: Vec<Incident> = Vec::new();
    for row in statement.query_map([], row).map_err(Fault::while_(READING))? {
        let (number, step, at, text) = row.map_err(Fault::while_(READING))?;
        let step: Step = step.parse().map_err(Fault::while_(READING))?;
        let at = at.parse().map_err(Fault::while_(READING))?;
        let taken = Taken { step, at, text };
        match all.last_mut() {
            Some(last) if last.number == number => last.steps.push(taken),
            _ => all.push(Incident { number, known_at: at, steps: vec![taken] }),
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::super::tests::File;
    use super::*;

    /// What would be a bug: an incident that is lost with the process, a second report of a kind, or words of an incident, which may name
    /// somebody, in the audit log.
    #[test]
    fn an_incident_outlives_the_process_and_its_words_stay_out_of_the_log() {
        let file = File::new("incidents");
        let who = Who::account("root");
        let taken = |step, text: &str| Taken { step, at: Timestamp::now(), text: text.into() };
        let opened = {
            let records = Records::open(&file.0).unwrap();
            let opened =
                records.record_incident(&who, None, taken(Step::Opened, "Erika Mustermann lost a disk")).unwrap();
            records.record_incident(&who, Some(1), taken(Step::EarlyWarning, "sent by mail")).unwrap();
            assert!(records.record_incident(&who, Some(1), taken(Step::EarlyWarning, "again")).is_err());
            assert!(records.record_incident(&who, Some(2), taken(Step::Noted, "which?")).is_err());
            opened
        };
        let records = Records::open(&file.0).unwrap();
        let found = records.incidents().unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].number, found[0].known_at), (opened.number, opened.known_at));
        assert_eq!(found[0].steps.iter().map(|t| t.step).collect::<Vec<_>>(), [Step::Opened, Step::EarlyWarning]);
        let entries = records.entries(0, 100).unwrap();
        let text: Vec<_> = entries.into_iter().map(|(_, body)| String::from_utf8(body.unwrap()).unwrap()).collect();
        let told = text.iter().filter(|entry| entry.contains("incident-recorded")).count();
        assert_eq!(told, 2, "{text:?}");
        assert!(text.iter().all(|entry| !entry.contains("Mustermann") && !entry.contains("mail")), "{text:?}");
    }

    /// What would be a bug: two persons at the desk whose incidents have one number, one of whom is turned away by the storage, or whose
    /// note is kept after the incident's end.
    #[test]
    fn two_who_record_at_once_are_one_after_the_other() {
        let file = File::new("incidents-at-once");
        let records = Records::open(&file.0).unwrap();
        let who = Who::account("root");
        let taken = |step| Taken { step, at: Timestamp::now(), text: "a disk was lost".into() };
        let record = |number, step| records.record_incident(&who, number, taken(step));
        let open = || -> Vec<u32> { (0..20).map(|_| record(None, Step::Opened).unwrap().number).collect() };
        let mut numbers: Vec<u32> = std::thread::scope(|scope| {
            let desks: Vec<_> = (0..4).map(|_| scope.spawn(open)).collect();
            desks.into_iter().flat_map(|desk| desk.join().unwrap()).collect()
        });
        numbers.sort_unstable();
        assert_eq!(numbers, (1..=80).collect::<Vec<_>>());
        for number in 1..=20 {
            std::thread::scope(|scope| {
                scope.spawn(|| (0..20).take_while(|_| record(Some(number), Step::Noted).is_ok()).count());
                record(Some(number), Step::Dismissed).unwrap();
            });
        }
        for incident in records.incidents().unwrap().iter().take(20) {
            let last = incident.steps.last().unwrap().step;
            assert_eq!(last, Step::Dismissed, "something was noted after the end of incident {}", incident.number);
        }
    }
}
