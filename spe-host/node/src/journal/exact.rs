//! Which charges were for exact tables, and what those asked.

use rusqlite::params;
use spe_kernel::{
    fault::Fault,
    ids::{DatasetName, Digest},
    ledger::Charge,
    officer::Matter,
    plan::Plan,
};

use super::{Records, ledger::bought, officers::verdicts};

/// A charge says what it was for, and stays so; what an exact table asked is kept, to compare others
/// with it; a matter says how many officers have to sign, each of whom signs once.
pub(super) const TABLES: &str = "
ALTER TABLE charge ADD COLUMN exact INTEGER NOT NULL DEFAULT 0 CHECK (exact IN (0, 1));
CREATE TRIGGER charge_stays_exact BEFORE UPDATE OF exact ON charge BEGIN SELECT RAISE(ABORT, 'a charge is final'); END;
CREATE TABLE exact_plan (digest BLOB PRIMARY KEY, plan TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TRIGGER exact_plan_stays BEFORE DELETE ON exact_plan BEGIN SELECT RAISE(ABORT, 'what was asked stays'); END;
CREATE TRIGGER exact_plan_is_final BEFORE UPDATE ON exact_plan BEGIN SELECT RAISE(ABORT, 'what was asked is final'); END;
ALTER TABLE matter ADD COLUMN wanted INTEGER NOT NULL DEFAULT 1 CHECK (wanted IN (1, 2));
DROP TRIGGER verdict_stays;
DROP TRIGGER verdict_is_final;
ALTER TABLE verdict RENAME TO only_verdict;
CREATE TABLE verdict (
  kind TEXT NOT NULL CHECK (kind IN ('run', 'release')), digest BLOB NOT NULL, envelope BLOB NOT NULL,
  refused INTEGER NOT NULL CHECK (refused IN (0, 1)), recorded_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ')),
  PRIMARY KEY (kind, digest, envelope)
) STRICT, WITHOUT ROWID;
INSERT INTO verdict (kind, digest, envelope, refused, recorded_at) SELECT kind, digest, envelope, 0, recorded_at FROM only_verdict;
DROP TABLE only_verdict;
CREATE TRIGGER verdict_stays BEFORE DELETE ON verdict BEGIN SELECT RAISE(ABORT, 'a verdict stays'); END;
CREATE TRIGGER verdict_is_final BEFORE UPDATE ON verdict BEGIN SELECT RAISE(ABORT, 'a verdict is final'); END;
";

/// As many of the exact tables that were bought before are told to officers.
const TOLD_MAX: u32 = 100;

/// The exact tables that were bought before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Earlier {
    /// How many there are.
    pub(crate) in_all: u64,
    /// The last [`TOLD_MAX`] of them, the newest first.
    pub(crate) newest: Vec<BoughtTable>,
}

/// An exact table that was bought before, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BoughtTable {
    /// When, RFC 3339.
    pub(crate) at: String,
    /// Under which line of permits.
    pub(crate) permit: String,
    /// Digest of the plan.
    pub(crate) question: Digest,
    /// About whom.
    pub(crate) cohort: Digest,
    /// The plan, in JSON.
    pub(crate) plan: Option<String>,
    /// The signed answer, if there is one.
    pub(crate) envelope: Option<Vec<u8>>,
}

impl Records {
    /// The exact tables that were bought of `dataset`, but not that of `plan` over `snapshot`.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn earlier_exact(
        &self,
        dataset: &DatasetName,
        (plan, snapshot): (Digest, Digest),
    ) -> Result<Earlier, Fault> {
        const EARLIER: &str = "FROM charge WHERE dataset = ?1 AND exact = 1 AND NOT (plan = ?2 AND snapshot = ?3)";
        let newest = format!(
            "SELECT reserved_at, permit, plan, snapshot, (SELECT p.plan FROM exact_plan AS p WHERE p.digest = charge.plan), envelope
             {EARLIER} ORDER BY id DESC LIMIT {TOLD_MAX}"
        );
        let in_all = format!("SELECT COUNT(*) {EARLIER}");
        let reading = "reading which exact tables there were";
        let connection = self.connection();
        let which = params![dataset.as_str(), plan.as_bytes(), snapshot.as_bytes()];
        let in_all: i64 = connection.query_row(&in_all, which, |r| r.get(0)).map_err(Fault::while_(reading))?;
        let mut statement = connection.prepare_cached(&newest).map_err(Fault::while_(reading))?;
        let row = |r: &rusqlite::Row<'_>| {
            let [question, cohort] = [r.get(2)?, r.get(3)?].map(Digest::from_bytes);
            Ok(BoughtTable { at: r.get(0)?, permit: r.get(1)?, question, cohort, plan: r.get(4)?, envelope: r.get(5)? })
        };
        let newest = statement.query_map(which, row).and_then(Iterator::collect).map_err(Fault::while_(reading))?;
        Ok(Earlier { in_all: u64::try_from(in_all).map_err(Fault::while_(reading))?, newest })
    }

    /// Keeps what is asked, which officers compare later tables with: before it is charged.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn keep_plan(&self, plan: &Plan) -> Result<(), Fault> {
        const KEEP: &str = "INSERT INTO exact_plan (digest, plan) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
        let writing = "keeping what an exact table asks";
        let json = serde_json::to_string(plan).map_err(Fault::while_(writing))?;
        let digest = plan.digest();
        let values = params![digest.as_bytes(), json];
        self.connection().execute(KEEP, values).map(drop).map_err(Fault::while_(writing))
    }

    /// The signed verdicts on the run of `charge`: of the job that paid, where it was charged before.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn run_verdicts(&self, charge: &Charge) -> Result<Vec<Vec<u8>>, Fault> {
        let db = self.connection();
        let job = bought(&db, &charge.key)?.map_or(charge.job, |bought| bought.job);
        verdicts(&db, Matter::Run(job))
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;
    use spe_kernel::{
        dsse::SecretKey,
        ledger::{Event, Journal, Ledger, Reserving},
        officer::{Duty, Matter, Officer, VERDICT_FORMAT, Verdict, VerdictBody},
        plan::Release,
        refusal::{Refusal, Stop},
    };

    use super::super::{
        layout,
        tests::{File, charge, key},
    };
    use super::*;

    /// The last version without these tables.
    fn version_before() -> usize {
        let has_exact = |version: &usize| {
            let mut db = Connection::open_in_memory().expect("a database");
            layout::lay_out_until(&mut db, *version).expect("tables");
            let sql = "SELECT EXISTS (SELECT 1 FROM pragma_table_info('charge') WHERE name = 'exact')";
            db.query_row(sql, [], |r| r.get::<_, bool>(0)).expect("an answer")
        };
        (1..).find(has_exact).expect("a version") - 1
    }

    fn envelope(officer: &str, seed: u8, allowed: bool) -> (Verdict, Vec<u8>) {
        let (key, node) = (SecretKey::from_seed(&[seed; 32]), "north".parse().expect("a name"));
        let body = VerdictBody {
            format: VERDICT_FORMAT.into(),
            node,
            matter: Matter::Release(Digest::of(b"answer")),
            allowed,
            reason: "as the board decided".into(),
            officer: officer.parse().expect("a name"),
            decided_at: "2030-01-01T00:00:00Z".parse().expect("a time"),
        };
        let known = Officer { name: body.officer.clone(), key: key.public(), duties: vec![Duty::CheckOutputs] };
        let envelope = body.sign(&key);
        (Verdict::verify(&envelope, &body.node, &[known]).expect("a verdict"), envelope)
    }

    fn waiting(name: &str, wanted: u32) -> (File, Records) {
        let file = File::new(name);
        let records = Records::open(&file.0).expect("records");
        let matter = Matter::Release(Digest::of(b"answer"));
        let line = charge(b"plan", "rho=0.1").permit;
        records.wait_for_officer((matter, wanted), &line, &serde_json::json!({ "n": 1 })).expect("it waits");
        (file, records)
    }

    fn decide(records: &Records, officer: &str, seed: u8, allowed: bool) -> Result<(), Stop> {
        let (verdict, envelope) = envelope(officer, seed, allowed);
        records.decide(&verdict, &envelope)
    }

    fn refused(decided: Result<(), Stop>, why: &str) {
        match decided {
            Err(Stop::Refused(Refusal::NotAllowed { what, .. })) => assert!(what.contains(why), "{what}"),
            other => panic!("{why}: {other:?}"),
        }
    }

    /// What would be a bug: a verdict of an earlier version that is lost, or that another can follow.
    #[test]
    fn verdicts_of_earlier_versions_stay_and_are_final() {
        let file = File::new("verdicts");
        let mut db = Connection::open(&file.0).expect("a file");
        layout::lay_out_until(&mut db, version_before()).expect("tables");
        let (digest, (_, before)) = (Digest::of(b"answer"), envelope("ola", 1, true));
        db.execute(
            "INSERT INTO matter (kind, digest, line, about) VALUES ('release', ?1, 'p', '{}')",
            [digest.as_bytes()],
        )
        .expect("a matter");
        db.execute(
            "INSERT INTO verdict (kind, digest, envelope) VALUES ('release', ?1, ?2)",
            params![digest.as_bytes(), before],
        )
        .expect("a verdict");
        drop(db);
        let records = Records::open(&file.0).expect("records");
        assert_eq!(records.verdicts(Matter::Release(digest)).expect("verdicts"), [before]);
        assert!(records.pending().expect("a list").is_empty(), "what was decided waits again");
        refused(decide(&records, "max", 2, false), "final");
    }

    /// What would be a bug: a second verdict of one person, a third one, or anything after a refusal.
    #[test]
    fn two_persons_decide_and_one_refusal_ends_it() {
        let (_file, records) = waiting("two", 2);
        decide(&records, "ola", 1, true).expect("a first signature");
        decide(&records, "ola", 1, true).expect("the same again");
        assert_eq!(records.pending().expect("a list").first().map(|pending| pending.wanted), Some(1));
        refused(decide(&records, "ola", 2, true), "sign twice");
        refused(decide(&records, "max", 1, true), "sign twice");
        decide(&records, "max", 2, true).expect("a second signature");
        assert!(records.pending().expect("a list").is_empty());
        refused(decide(&records, "kim", 3, false), "final");
        let (_file, records) = waiting("refused", 2);
        decide(&records, "ola", 1, false).expect("a refusal");
        assert!(records.pending().expect("a list").is_empty(), "what was refused waits for a second word");
        refused(decide(&records, "max", 2, true), "final");
    }

    /// What would be a bug: exact tables that are forgotten by a restart, counted for another dataset, or that stop being exact.
    #[test]
    fn exact_tables_are_remembered() {
        let file = File::new("exact");
        let buy = |plan: &[u8], release| {
            let mut ledger = Ledger::open(Records::open(&file.0).expect("records")).expect("a ledger");
            let charge = spe_kernel::ledger::Charge { release, ..charge(plan, "rho=0.1") };
            let Ok(Reserving::Paid(paid)) = ledger.reserve(&charge, &[]) else { panic!("refused") };
            paid.certificate().exact_tables
        };
        assert_eq!(buy(b"noisy", Release::Noisy), 0);
        assert_eq!(buy(b"table", Release::ExactTables), 1);
        assert_eq!(buy(b"noisy again", Release::Noisy), 1);
        let records = Records::open(&file.0).expect("records");
        let earlier = |plan: &[u8], dataset: &str| {
            let dataset = dataset.parse().expect("a name");
            records.earlier_exact(&dataset, (Digest::of(plan), key(plan).snapshot)).expect("a list").newest
        };
        assert_eq!(earlier(b"other", "d").iter().map(|e| e.question).collect::<Vec<_>>(), [Digest::of(b"table")]);
        assert!(earlier(b"table", "d").is_empty() && earlier(b"other", "e").is_empty());
        let forget = records.connection().execute("UPDATE charge SET exact = 0", []);
        assert!(forget.is_err(), "an exact table was made a noisy one");
    }

    /// What would be a bug: officers to whom the oldest tables are told and the newest are not; more than anybody reads, without how many
    /// there are.
    #[test]
    fn officers_are_told_of_the_newest_tables() {
        let file = File::new("many-exact");
        let mut records = Records::open(&file.0).expect("records");
        for number in 0..=TOLD_MAX {
            let charge = charge(&number.to_le_bytes(), "rho=0.001");
            let charge = spe_kernel::ledger::Charge { release: Release::ExactTables, ..charge };
            records.append(&Event::Reserved(&charge)).expect("a charge");
        }
        let question = key(b"other");
        let told = records.earlier_exact(&question.dataset, (question.plan, question.snapshot)).expect("a list");
        assert_eq!((told.in_all, told.newest.len()), (101, 100));
        let plans: Vec<_> = (1..=TOLD_MAX).rev().map(|number| Digest::of(&number.to_le_bytes())).collect();
        assert_eq!(told.newest.iter().map(|table| table.question).collect::<Vec<_>>(), plans);
    }
}
