//! A hub that finds an earlier version's store goes on with it.

use std::{fs, path::Path};

use rusqlite::Connection;
use spe_hub::{Config, Hub};
use spe_kernel::{ids::JobId, job::Purpose};
use spe_wire::{Assignment, encode, view::State};

use crate::{
    answers::Claim,
    federation::{Federation, MODULE, assigned, job_of, plan, plan_in},
};

/// Puts a store of version 2 in the place of the one in `dir`, with the same content as far as that version had it.
fn downgrade(dir: &Path) {
    let (store, newer) = (dir.join("hub.sqlite"), dir.join("newer.sqlite"));
    fs::rename(&store, &newer).unwrap();
    let db = Connection::open(&store).unwrap();
    db.execute_batch(include_str!("version2.sql")).unwrap();
    db.execute("ATTACH ?1 AS newer", [newer.to_str().unwrap()]).unwrap();
    for (table, columns) in [
        ("member", "*"),
        ("node", "*"),
        ("module", "*"),
        ("held", "*"),
        ("job", "id, person, content, dataset, module, submitted_at, cancelled, envelope, permit"),
        ("asked", "*"),
        ("event", "number, job, what"),
    ] {
        db.execute_batch(&format!("INSERT INTO {table} SELECT {columns} FROM newer.{table}")).unwrap();
    }
    // A dataset of that version did not say how many people it has at most.
    db.execute_batch("UPDATE node SET catalogue = CAST('{\"datasets\":[{}]}' AS BLOB)").unwrap();
    let unreadable = "INSERT INTO job SELECT 'job-old', person, 'x', dataset, module, submitted_at, 0, x'00', permit FROM job LIMIT 1";
    db.execute_batch(unreadable).unwrap();
    db.execute_batch("INSERT INTO asked (job, node) VALUES ('job-old', 'north')").unwrap();
}

/// Names, types and keys of all columns.
fn columns(dir: &Path) -> Vec<(String, String, String, bool, u32)> {
    let db = Connection::open(dir.join("hub.sqlite")).unwrap();
    let sql = "SELECT m.name, c.name, c.type, c.\"notnull\", c.pk FROM sqlite_schema m JOIN pragma_table_info(m.name) c ORDER BY 1, 2";
    let mut query = db.prepare(sql).unwrap();
    let column = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?));
    query.query_map([], column).unwrap().collect::<Result<_, _>>().unwrap()
}

#[tokio::test]
async fn a_store_of_version_2_goes_on_and_forgets_nothing_that_can_be_read() {
    let mut federation = Federation::found().await;
    let (anna, north) = (federation.person("anna").await, federation.node("north").await);
    drop(north.attend().await);
    let mut jobs: Vec<JobId> = Vec::new();
    for attempt in 0..3 {
        jobs.push(anna.ask(attempt).await.unwrap());
    }
    north.hub.report(&jobs[0], encode(&Claim::honest(&north, &plan(0), 42).release())).await.unwrap();
    anna.hub.cancel(&jobs[1]).await.unwrap();
    federation.stop().await;
    downgrade(federation.dir.path());
    federation.start(|_| {}).await;
    let lines = anna.hub.jobs().await.expect("the store was not upgraded");
    let seen: Vec<_> =
        lines.iter().rev().map(|line| (line.id.clone(), line.state, line.purpose, line.rounds)).collect();
    let expected = [State::Complete, State::Cancelled, State::Waiting].into_iter().zip(jobs.iter().cloned());
    let expected: Vec<_> = expected.map(|(state, id)| (id, state, Purpose::PublicHealth, None)).collect();
    assert_eq!(seen, expected, "a job was forgotten, or one was kept that nobody can read");
    assert_eq!(
        anna.hub.view(&jobs[0]).await.unwrap().statistics[0].estimates[0].value,
        42.0,
        "an answer was forgotten"
    );
    assert!(anna.hub.browse().await.unwrap().collect().await.unwrap().is_empty(), "an old catalogue is in the way");
    // That version knew of no agreements: a node agrees when it connects.
    north.join().await;
    let mut work = north.attend().await;
    assert_eq!(job_of(&mut work).await, jobs[2], "work was forgotten");
    assert_eq!(assigned(&mut work).await, Assignment::Cancel { job: jobs[1].clone() });
    assert_eq!(north.hub.fetch_module(plan(0).module()).await.unwrap(), MODULE);
    north.hub.report(&jobs[2], encode(&Claim::honest(&north, &plan(2), 1).release())).await.unwrap();
    assert_eq!(anna.hub.view(&jobs[2]).await.unwrap().state, State::Complete);
    let fit = anna.ask_in(2).await;
    assert_eq!(job_of(&mut work).await, fit);
    let plan = plan_in(2, 0);
    let answer = Claim { state: &[0.0], ..Claim::honest(&north, &plan, 1) };
    north.hub.report(&fit, encode(&answer.release())).await.unwrap();
    assert!(matches!(assigned(&mut work).await, Assignment::Round { .. }), "an upgraded store has no rounds");
    let fresh = Federation::found().await;
    assert_eq!(columns(federation.dir.path()), columns(fresh.dir.path()), "an upgraded store differs from a new one");
}

/// What would be a bug: a history that a node's operator acknowledged by its number, and that has no name, or another one, after the upgrade: the
/// node would be stopped by it again.
#[tokio::test]
async fn histories_that_version_7_numbered_keep_their_number_as_their_name() {
    let mut federation = Federation::found().await;
    federation.stop().await;
    let dir = federation.dir.path();
    let db = Connection::open(dir.join("hub.sqlite")).unwrap();
    db.execute_batch(
        "DROP TABLE besides;
         CREATE TABLE besides (
             node TEXT PRIMARY KEY, number INTEGER NOT NULL, size INTEGER NOT NULL, root TEXT NOT NULL, shown TEXT NOT NULL
         ) STRICT;
         INSERT INTO besides VALUES ('north', 3, 41, 'a root', 'a checkpoint'), ('south', 12, 7, 'another', 'and shown');
         PRAGMA user_version = 7;",
    )
    .unwrap();
    drop(db);
    Hub::open(Config::read(dir).unwrap()).expect("the store was not upgraded");
    let db = Connection::open(dir.join("hub.sqlite")).unwrap();
    let mut query = db.prepare("SELECT node, name, size, root, shown FROM besides ORDER BY node").unwrap();
    let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?));
    let found: Vec<(String, String, u32, String, String)> =
        query.query_map([], row).unwrap().collect::<Result<_, _>>().unwrap();
    let kept = |node: &str, name: &str, size, root: &str, shown: &str| {
        (node.to_owned(), name.to_owned(), size, root.to_owned(), shown.to_owned())
    };
    assert_eq!(
        found,
        [kept("north", "3", 41, "a root", "a checkpoint"), kept("south", "12", 7, "another", "and shown")]
    );
    let fresh = Federation::found().await;
    assert_eq!(columns(dir), columns(fresh.dir.path()), "an upgraded store differs from a new one");
}

#[tokio::test]
async fn a_store_of_a_later_version_is_left_alone() {
    let mut federation = Federation::found().await;
    federation.stop().await;
    let db = Connection::open(federation.dir.path().join("hub.sqlite")).unwrap();
    db.pragma_update(None, "user_version", 99).unwrap();
    let Err(error) = Hub::open(Config::read(federation.dir.path()).unwrap()) else {
        panic!("a later store was opened")
    };
    assert!(error.to_string().contains("version 99"), "{error}");
    let version: i64 = db.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    assert_eq!(version, 99, "a later store was changed");
}
