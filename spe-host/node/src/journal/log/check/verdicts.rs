//! What the log says that officers and rules decided, against the signed verdicts.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension};
use spe_kernel::{
    audit::{Event, JobTag},
    fault::Fault,
    ids::Digest,
    officer::{Matter, Verdict},
};

use super::{
    super::{READING, releases},
    Checked, Entries,
};
use crate::journal::officers;

/// What an entry says that an officer decided.
struct Decided {
    index: u64,
    about: About,
    allowed: bool,
}

enum About {
    Answer(Digest),
    Job(JobTag),
}

impl Decided {
    /// Whether that is what `verdict` says; of a job whose person was forgotten, nobody can tell which it is.
    fn is(&self, verdict: &Verdict, db: &Connection) -> Result<bool, Fault> {
        const TAG: &str = "SELECT tag FROM log_job WHERE job = ?1";
        let same = match (&self.about, verdict.body().matter) {
            (About::Answer(envelope), Matter::Release(answer)) => *envelope == answer,
            (About::Job(tag), Matter::Run(job)) => {
                let known = db.query_row(TAG, [job.as_bytes()], |r| r.get::<_, String>(0)).optional();
                known.map_err(Fault::while_(READING))?.is_none_or(|known| known == tag.as_str())
            }
            _ => false,
        };
        Ok(same && self.allowed == verdict.body().allowed)
    }
}

/// Each verdict has its entry, each entry its verdict; and what the rules let leave left, and was no officer's.
pub(super) fn check(db: &Connection, entries: &Entries, checked: &mut Checked) -> Result<(), Fault> {
    let (mut told, by_rules) = told(entries, checked);
    let released: BTreeSet<Digest> = releases(db)?.into_iter().map(|release| release.answer).collect();
    let mut decided = BTreeSet::new();
    for (matter, envelope, recorded_at) in officers::all_verdicts(db)? {
        let document = Digest::of(&envelope);
        let (entry, short) = (told.remove(&document), document.short());
        let verdict = match Verdict::recorded(&envelope) {
            Ok(verdict) if verdict.body().matter == matter => verdict,
            Ok(_) => {
                checked.find(format!("the verdict {short} in the ledger was signed about something else"));
                continue;
            }
            Err(why) => {
                checked.find(format!("the verdict {short} in the ledger is not as an officer signed it: {why}"));
                continue;
            }
        };
        decided.insert(matter.digest());
        if !verdict.body().allowed && released.contains(&matter.digest()) {
            checked.find(format!("the answer {} was released, and an officer refused it", matter.digest().short()));
        }
        match entry {
            Some(entry) if !entry.is(&verdict, db)? => {
                checked.find(format!("entry {} tells of another decision than the verdict {short}", entry.index));
            }
            Some(_) => checked.rows += 1,
            None if recorded_at > told_since(entries) => {
                checked.find(format!("the verdict {short} is not in the log"));
            }
            None => {}
        }
    }
    for (document, Decided { index, .. }) in told {
        checked.find(format!("entry {index} tells of a verdict that is not in the ledger: {}", document.short()));
    }
    for (index, answer) in by_rules {
        if !released.contains(&answer) || decided.contains(&answer) {
            checked.find(format!("entry {index} says that the rules let an answer leave, and they did not"));
        }
    }
    Ok(())
}

/// Verdicts that were recorded before need no entry: the log began later, or bodies have been pruned until then.
fn told_since(entries: &Entries) -> Timestamp {
    let began = entries.told.get(&0).map(|first| first.at);
    let pruned = entries.pruned_until.and_then(|at_ms| Timestamp::from_millisecond(at_ms).ok());
    began.max(pruned).unwrap_or(Timestamp::MIN)
}

/// What officers decided, by the digest of the signed verdict; and answers that the rules let leave, by the entry's place.
fn told(entries: &Entries, checked: &mut Checked) -> (BTreeMap<Digest, Decided>, BTreeMap<u64, Digest>) {
    let (mut told, mut by_rules) = (BTreeMap::new(), BTreeMap::new());
    for (&index, entry) in &entries.told {
        let (about, allowed, document) = match &entry.event {
            Event::RunDecided { job, allowed, document } => (About::Job(job.clone()), *allowed, *document),
            Event::GateDecided { envelope, released, document: Some(document), .. } => {
                (About::Answer(*envelope), *released, *document)
            }
            Event::GateDecided { envelope, document: None, .. } => {
                by_rules.insert(index, *envelope);
                continue;
            }
            _ => continue,
        };
        if told.insert(document, Decided { index, about, allowed }).is_some() {
            checked.find(format!("entry {index} tells something for the second time"));
        }
    }
    (told, by_rules)
}
