//! The tables of the file, and how a file that an older version wrote becomes one of this version.

use rusqlite::{Connection, Transaction, TransactionBehavior};

/// What one version brought.
enum Step {
    /// Statements.
    Sql(&'static str),
    /// Statements that need the program: told to the rows that are there.
    Rewrite(fn(&Transaction<'_>) -> rusqlite::Result<()>),
}

/// What each version brought to the one before it, from an empty file on. A new table, column or trigger is a new step at the end;
/// a step that was released stays as it is. Step `n` makes version `n`, counted from 1.
const STEPS: &[Step] = &[
    Step::Sql(CHARGES_AND_RELEASES),
    Step::Sql(ROUNDS_AND_DELTA),
    Step::Sql(PAYER_AND_TIME),
    Step::Sql(super::officers::TABLES),
    Step::Sql(super::revocations::TABLES),
    Step::Sql(super::misses::TABLES),
    Step::Rewrite(super::log::carry_over),
    Step::Sql(super::permits::TABLES),
    Step::Sql(super::endings::TABLES),
    Step::Sql(super::incidents::TABLES),
    Step::Sql(super::rollback::TABLES),
    Step::Sql(super::log::STRANGERS),
    Step::Sql(super::officers::LAPSES),
    Step::Rewrite(super::misses::without_names),
    Step::Sql(super::revocations::MARKS),
    Step::Sql(super::endings::AGAIN),
    Step::Sql(super::exact::TABLES),
    Step::Sql(super::log::PAID_UNDER),
    Step::Sql(super::log::DAMAGED),
];

/// Version 1. Charges may be added, and be given their answer once; nothing else may ever happen to them.
const CHARGES_AND_RELEASES: &str = "
CREATE TABLE charge (
  id INTEGER PRIMARY KEY, plan BLOB NOT NULL, dataset TEXT NOT NULL, snapshot BLOB NOT NULL,
  permit TEXT NOT NULL, job BLOB NOT NULL, measure TEXT NOT NULL CHECK (measure IN ('rho', 'epsilon')),
  pico INTEGER NOT NULL CHECK (pico > 0), reserved_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ')),
  envelope BLOB, UNIQUE (plan, dataset, snapshot)
) STRICT;
CREATE INDEX charge_totals ON charge (dataset, permit, measure, pico);
CREATE INDEX charge_job ON charge (job);
CREATE TRIGGER charge_stays BEFORE DELETE ON charge BEGIN SELECT RAISE(ABORT, 'a charge stays'); END;
CREATE TRIGGER charge_is_final BEFORE UPDATE ON charge
  WHEN OLD.envelope IS NOT NULL OR NEW.id <> OLD.id OR NEW.plan <> OLD.plan OR NEW.dataset <> OLD.dataset
    OR NEW.snapshot <> OLD.snapshot OR NEW.permit <> OLD.permit OR NEW.job <> OLD.job OR NEW.measure <> OLD.measure OR NEW.pico <> OLD.pico
    OR NEW.reserved_at <> OLD.reserved_at
  BEGIN SELECT RAISE(ABORT, 'a charge is final'); END;
CREATE TABLE release (
  position INTEGER PRIMARY KEY, plan BLOB NOT NULL, dataset TEXT NOT NULL, snapshot BLOB NOT NULL,
  envelope BLOB NOT NULL, chain BLOB NOT NULL, released_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ')),
  UNIQUE (plan, dataset, snapshot)
) STRICT;
CREATE TRIGGER release_stays BEFORE DELETE ON release BEGIN SELECT RAISE(ABORT, 'a release stays'); END;
CREATE TRIGGER release_is_final BEFORE UPDATE ON release BEGIN SELECT RAISE(ABORT, 'a release is final'); END;
";

/// Version 2: later rounds, and δ.
const ROUNDS_AND_DELTA: &str = "
DROP TRIGGER charge_is_final;
DROP INDEX charge_totals;
ALTER TABLE charge ADD COLUMN delta INTEGER NOT NULL DEFAULT 0 CHECK (delta >= 0);
DROP TRIGGER release_stays;
DROP TRIGGER release_is_final;
ALTER TABLE release RENAME TO release_1;
CREATE TABLE release (
  position INTEGER PRIMARY KEY, plan BLOB NOT NULL, dataset TEXT NOT NULL, snapshot BLOB NOT NULL,
  envelope BLOB NOT NULL, chain BLOB NOT NULL, released_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ')),
  round INTEGER NOT NULL DEFAULT 0 CHECK (round >= 0), UNIQUE (plan, dataset, snapshot, round)
) STRICT;
INSERT INTO release (position, plan, dataset, snapshot, envelope, chain, released_at)
  SELECT position, plan, dataset, snapshot, envelope, chain, released_at FROM release_1;
DROP TABLE release_1;
CREATE INDEX charge_sums ON charge (dataset, permit, measure, pico, delta);
CREATE TRIGGER charge_is_final BEFORE UPDATE ON charge
  WHEN OLD.envelope IS NOT NULL OR NEW.id <> OLD.id OR NEW.plan <> OLD.plan OR NEW.dataset <> OLD.dataset
    OR NEW.snapshot <> OLD.snapshot OR NEW.permit <> OLD.permit OR NEW.job <> OLD.job OR NEW.measure <> OLD.measure OR NEW.pico <> OLD.pico
    OR NEW.delta <> OLD.delta OR NEW.reserved_at <> OLD.reserved_at
  BEGIN SELECT RAISE(ABORT, 'a charge is final'); END;
CREATE TABLE round (
  plan BLOB NOT NULL, dataset TEXT NOT NULL, snapshot BLOB NOT NULL, round INTEGER NOT NULL CHECK (round > 0),
  state BLOB NOT NULL, envelope BLOB, began_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ')),
  PRIMARY KEY (plan, dataset, snapshot, round)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER round_stays BEFORE DELETE ON round BEGIN SELECT RAISE(ABORT, 'a round stays'); END;
CREATE TRIGGER round_is_final BEFORE UPDATE ON round
  WHEN OLD.envelope IS NOT NULL OR NEW.plan <> OLD.plan OR NEW.dataset <> OLD.dataset OR NEW.snapshot <> OLD.snapshot
    OR NEW.round <> OLD.round OR NEW.state <> OLD.state OR NEW.began_at <> OLD.began_at
  BEGIN SELECT RAISE(ABORT, 'a round is final'); END;
CREATE TRIGGER release_stays BEFORE DELETE ON release BEGIN SELECT RAISE(ABORT, 'a release stays'); END;
CREATE TRIGGER release_is_final BEFORE UPDATE ON release BEGIN SELECT RAISE(ABORT, 'a release is final'); END;
";

/// Version 3: who paid, and when what comes of it leaves.
const PAYER_AND_TIME: &str = "
ALTER TABLE charge ADD COLUMN person TEXT;
ALTER TABLE charge ADD COLUMN leaves_at_ms INTEGER;
ALTER TABLE round ADD COLUMN leaves_at_ms INTEGER;
DROP TRIGGER charge_is_final;
CREATE TRIGGER charge_is_final BEFORE UPDATE ON charge
  WHEN OLD.envelope IS NOT NULL OR NEW.id <> OLD.id OR NEW.plan <> OLD.plan OR NEW.dataset <> OLD.dataset
    OR NEW.snapshot <> OLD.snapshot OR NEW.permit <> OLD.permit OR NEW.job <> OLD.job OR NEW.measure <> OLD.measure OR NEW.pico <> OLD.pico
    OR NEW.delta <> OLD.delta OR NEW.reserved_at <> OLD.reserved_at OR NEW.person IS NOT OLD.person
    OR NEW.leaves_at_ms IS NOT OLD.leaves_at_ms
  BEGIN SELECT RAISE(ABORT, 'a charge is final'); END;
DROP TRIGGER round_is_final;
CREATE TRIGGER round_is_final BEFORE UPDATE ON round
  WHEN OLD.envelope IS NOT NULL OR NEW.plan <> OLD.plan OR NEW.dataset <> OLD.dataset OR NEW.snapshot <> OLD.snapshot
    OR NEW.round <> OLD.round OR NEW.state <> OLD.state OR NEW.began_at <> OLD.began_at OR NEW.leaves_at_ms IS NOT OLD.leaves_at_ms
  BEGIN SELECT RAISE(ABORT, 'a round is final'); END;
";

/// The version that [`STEPS`] make.
pub(super) fn newest() -> i64 {
    i64::try_from(STEPS.len()).unwrap_or(i64::MAX)
}

/// Brings the tables to version [`newest`], all or nothing; the version that was found. A file that is up to date, or newer, is not
/// written to: a node on a full disk still shows what it has.
pub(super) fn lay_out(connection: &mut Connection) -> rusqlite::Result<i64> {
    lay_out_until(connection, STEPS.len())
}

/// As [`lay_out`], as far as the program of that version went.
pub(super) fn lay_out_until(connection: &mut Connection, version: usize) -> rusqlite::Result<i64> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found: i64 = transaction.query_row("PRAGMA user_version", [], |r| r.get(0))?;
    // Version 1 did not write its number down.
    let has_charges = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'charge')";
    let found = if found == 0 { transaction.query_row(has_charges, [], |r| r.get(0))? } else { found };
    let done = usize::try_from(found).unwrap_or(usize::MAX);
    if done >= version {
        return Ok(found);
    }
    for step in STEPS.iter().take(version).skip(done) {
        match step {
            Step::Sql(statements) => transaction.execute_batch(statements)?,
            Step::Rewrite(rewrite) => rewrite(&transaction)?,
        }
    }
    transaction.pragma_update(None, "user_version", i64::try_from(version).unwrap_or(i64::MAX))?;
    transaction.commit()?;
    Ok(found)
}
