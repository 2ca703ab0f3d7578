//! Row 3: what a node's file says of a question does not depend on who is there.
//!
//! Pairs of neighbours, drawn at random: people of whom one or some make a module trap, spin until their fuel is gone, exit, take all memory, or
//! write what is no number or too much; and the same without one of them, or with other records of one. Both nodes get the same signed
//! questions, one after the other, drawn at random too: any hostile guest, fuel, loss, measure and attempt, with all rounds; questions that were asked
//! before, and questions that the budget is not enough for. After each one the messages are compared, and the file, every table, row for row.
//!
//! What would be a bug: a row more or less, or a value in one, that is not a time or random; one that is random and longer.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    thread,
};

use rusqlite::{Connection, types::ValueRef};
use serde_json::Value;
use spe_kernel::{
    ids::Digest,
    plan::{Choices, Plan},
    refusal::Refusal,
    rounds::{Merged, NextRound},
    units::{Loss, Measure},
};
use spe_node::{
    run::Submitted,
    selftest::{
        attacks::{ALL, Attack},
        judge::unlike,
        people::{Person, Visit},
        watch::{Seen, watch},
        world::World,
    },
    site::Site,
};
use tempfile::TempDir;

use crate::{
    evil::{PEOPLE_MAX, SEED, compiler, copy, rules},
    evil_rows::HASTE,
    seeded::Random,
};

const PAIRS: u64 = 20;
const QUESTIONS: usize = 51;
/// What a dataset may cost: about half of all questions find less than they ask.
const BUDGET_PICO: u64 = 10_000_000_000_000;

impl Random {
    fn below(&mut self, most: u64) -> u64 {
        self.next() % most
    }

    fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len() as u64) as usize]
    }

    /// From 1 to 10⁵, evenly by its logarithm.
    fn scale(&mut self) -> f64 {
        10_f64.powf(self.below(5_000) as f64 / 1_000.0)
    }
}

/// Somebody, whom the guests may look for.
fn somebody(random: &mut Random, id: u32, target: bool) -> Person {
    let visit = |random: &mut Random| Visit {
        amount: random.below(1_000_000) as f64 / 1_000.0,
        note: random
            .one_of(&["NEIGHBOUR of a rare disease", "seen", "N", "zoster", "a note of 32 bytes, with a comma"])
            .replace(',', ";"),
    };
    let visits = (0..=random.below(5)).map(|_| visit(random)).collect();
    Person { id, target, visits }
}

/// People, and the same without one, or with other records of one. In one pair of three the guests look for many, and else for that one only.
fn neighbours(random: &mut Random) -> (Vec<Person>, Vec<Person>) {
    let count = 2 + random.below(u64::from(PEOPLE_MAX) - 1) as u32;
    let (one, many) = (random.below(count.into()) as usize, random.below(3) == 0);
    let person = |id: u32| {
        let target = if many { random.below(3) == 0 } else { id as usize == one + 1 };
        somebody(random, id, target)
    };
    let people: Vec<_> = (1..=count).map(person).collect();
    let mut others = people.clone();
    if random.below(4) == 0 {
        others[one] = somebody(random, people[one].id, !people[one].target);
    } else {
        others.remove(one);
    }
    (people, others)
}

/// What is signed once, and asked in both worlds.
struct Question {
    attack: &'static Attack,
    plan: Plan,
    job: Vec<u8>,
    permit: Vec<u8>,
}

/// Two nodes that differ in one person, and nothing else that they know.
struct Pair {
    random: Random,
    worlds: [World; 2],
    asked: Vec<Question>,
    /// How often what came of a question.
    tally: BTreeMap<String, usize>,
    dir: TempDir,
}

impl Pair {
    fn new(seed: u64, compiled: &Path) -> Self {
        let (dir, mut random) = (scratch(), Random(seed));
        let (people, others) = neighbours(&mut random);
        let world = |name: &str, people: &[Person]| {
            let folder = dir.path().join(name);
            let mut world = World::new(&folder, &SEED, people, &rules(PEOPLE_MAX), compiler()).unwrap();
            copy(compiled, &folder.join("data/compiled"));
            world.site.workers = 1;
            world.site.policy.release = HASTE;
            world.site.budgets[0].1 = Loss::from_pico(Measure::Zcdp, BUDGET_PICO).with_delta_atto(4_000_000_000_000);
            world
        };
        let worlds = [world("people", &people), world("others", &others)];
        Self { random, worlds, asked: Vec::new(), tally: BTreeMap::new(), dir }
    }

    /// A question as drawn, or one that was asked before.
    fn draw(&mut self) -> usize {
        let random = &mut self.random;
        if !self.asked.is_empty() && random.below(4) == 0 {
            return random.below(self.asked.len() as u64) as usize;
        }
        let attack = random.one_of(ALL);
        let measure = if random.below(16) == 0 { Measure::Pure } else { Measure::Zcdp };
        let loss = Loss::from_pico(measure, (random.scale() * 1e8) as u64);
        let fuel = *random.one_of(&[1, 700, attack.fuel / 5, attack.fuel, attack.fuel + 1]);
        let attempt = random.below(3) as u32;
        let choices = Choices { fuel_per_subject: fuel, ..attack.choices(loss, attempt) };
        let [world, _] = &self.worlds;
        let (Submitted { job, permit, .. }, plan) =
            world.ground.question(&world.site, attack.module, &choices).unwrap();
        self.asked.push(Question { attack, plan, job, permit });
        self.asked.len() - 1
    }

    /// Asks in both worlds, round by round; whoever goes on from the sums of the first world does so in both.
    fn ask(&mut self, index: usize) {
        let Question { attack, plan, job, permit } = &self.asked[index];
        let mut next = None;
        loop {
            let submitted = Submitted { job: job.clone(), permit: permit.clone(), next };
            let seen =
                self.worlds.each_ref().map(|world| world.block_on(watch(&world.site, &submitted, plan, attack.module)));
            let what = format!("{} at {:?}", attack.name, submitted.next.map(|next| next.round));
            assert_eq!(unlike(&seen[..1], &seen[1..]), None, "{what}");
            let [here, there] = self.worlds.each_ref().map(|world| rows(&copied(&world.site, self.dir.path())));
            let unequal = here.iter().zip(&there).find(|(a, b)| a != b);
            assert!(
                unequal.is_none() && here.len() == there.len(),
                "{what}: {} and {} rows\n{unequal:#?}",
                here.len(),
                there.len()
            );
            *self.tally.entry(came_to(&seen[0])).or_default() += 1;
            next = seen[0].answer.as_ref().filter(|_| !plan.state().is_empty()).map(|answer| NextRound {
                round: answer.round + 1,
                merged: Merged::of(plan, std::slice::from_ref(answer)),
            });
            if next.is_none() {
                return;
            }
        }
    }
}

fn came_to(seen: &Seen) -> String {
    match (&seen.refusal, seen.times) {
        (Some(Refusal::DatasetLossExhausted { .. }), _) => "over the budget".into(),
        (Some(other), _) => serde_json::to_value(other).unwrap()["refusal"].as_str().unwrap().to_owned(),
        (None, Some(_)) => "charged and answered".into(),
        (None, None) => "answered again".into(),
    }
}

/// A folder in memory, where there is one: thousands of small transactions are waited for.
fn scratch() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}

/// A copy of a node's file, which the node has for itself.
pub fn copied(site: &Site, dir: &Path) -> Connection {
    let copy = dir.join("copy");
    std::fs::remove_file(&copy).ok();
    site.audit().copy_to(&copy).unwrap();
    Connection::open(&copy).unwrap()
}

/// Every row of every table, but for times and what is random.
fn rows(db: &Connection) -> Vec<String> {
    let mut tables =
        db.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'").unwrap();
    let tables: Vec<String> = tables.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let (mut aliases, mut all) = (Aliases::default(), Vec::new());
    for table in tables {
        let mut statement = db.prepare(&format!("SELECT * FROM {table}")).unwrap();
        let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
        let mut found = statement.query([]).unwrap();
        while let Some(row) = found.next().unwrap() {
            let value = |(i, column): (usize, &String)| aliases.value(column, row.get_ref(i).unwrap());
            all.push(format!("{table}: {}", columns.iter().enumerate().map(value).collect::<Vec<_>>().join(" | ")));
        }
    }
    all
}

/// Numbers for what is another value in each world and stands for the same: as they come.
#[derive(Default)]
struct Aliases(HashMap<String, usize>);

impl Aliases {
    fn of(&mut self, what: &str, value: &str) -> String {
        let next = self.0.len();
        format!("{what} {}", self.0.entry(format!("{what} {value}")).or_insert(next))
    }

    fn value(&mut self, column: &str, value: ValueRef<'_>) -> String {
        match value {
            ValueRef::Null => "none".into(),
            ValueRef::Integer(_) if is_time(column) => "a time".into(),
            ValueRef::Integer(number) => number.to_string(),
            ValueRef::Real(number) => number.to_string(),
            ValueRef::Text(text) => self.text(column, std::str::from_utf8(text).unwrap()),
            ValueRef::Blob(bytes) => self.bytes(column, bytes),
        }
    }

    fn bytes(&mut self, column: &str, bytes: &[u8]) -> String {
        let length = bytes.len();
        match column {
            "body" => self.json("", serde_json::from_slice(bytes).unwrap()).to_string(),
            // A signed answer, which the messages are compared by, or its digest.
            "envelope" if length > 32 => format!("{} of {length} bytes", self.of(column, &Digest::of(bytes).hex())),
            "envelope" | "snapshot" => self.of(column, &hex(bytes)),
            // Hashes of the log's entries, with their times.
            "salt" | "hash" => format!("{length} bytes"),
            _ => hex(bytes),
        }
    }

    /// Persons and jobs have tags, which are random.
    fn text(&mut self, column: &str, text: &str) -> String {
        match column {
            "envelope" | "snapshot" => self.of(column, text),
            "salt" | "paid_under" => format!("{} bytes", text.len()),
            _ if is_time(column) => format!("a time of {} bytes", text.len()),
            _ if text.starts_with("person-") || text.starts_with("job-") => self.of("tag", text),
            _ => text.to_owned(),
        }
    }

    fn json(&mut self, name: &str, value: Value) -> Value {
        match value {
            Value::String(text) => self.text(name, &text).into(),
            Value::Array(all) => all.into_iter().map(|one| self.json(name, one)).collect(),
            Value::Object(all) => all.into_iter().map(|(name, one)| (name.clone(), self.json(&name, one))).collect(),
            other => other,
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    let digit = |four: u8| char::from(b"0123456789abcdef"[usize::from(four)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

fn is_time(column: &str) -> bool {
    ["at", "at_ms"].contains(&column) || column.ends_with("_at") || column.ends_with("_at_ms")
}

#[test]
fn the_ledger_says_the_same_whoever_is_there() {
    let kitchen = scratch();
    let world = World::new(kitchen.path(), &SEED, &[somebody(&mut Random(1), 1, true)], &rules(PEOPLE_MAX), compiler())
        .unwrap();
    for attack in ALL {
        // Compiled once for all nodes, which have one key. What does not start has nothing to be kept.
        world.ask(attack.module, &attack.choices(Loss::from_pico(Measure::Zcdp, 1_000), 0)).unwrap();
    }
    let compiled = kitchen.path().join("data/compiled");
    let tallies: Vec<_> = thread::scope(|scope| {
        let pair = |seed| {
            let compiled = &compiled;
            scope.spawn(move || {
                let mut pair = Pair::new(seed, compiled);
                for _ in 0..QUESTIONS {
                    let index = pair.draw();
                    pair.ask(index);
                }
                pair.tally
            })
        };
        let pairs: Vec<_> = (0..PAIRS).map(pair).collect();
        pairs.into_iter().map(|pair| pair.join().unwrap()).collect()
    });
    let mut tally = BTreeMap::<String, usize>::new();
    tallies.into_iter().flatten().for_each(|(what, count)| *tally.entry(what).or_default() += count);
    println!("{tally:?}");
    for what in ["charged and answered", "answered again", "over the budget"] {
        assert!(tally[what] >= 100, "too few of these to show anything: {tally:?}");
    }
    assert!(tally.values().sum::<usize>() >= 1_000, "{tally:?}");
}

/// Power. A bug of the test would be: a row, a number, a length or a link between two rows that it does not see.
#[test]
fn any_other_row_is_seen() {
    let dir = scratch();
    let world =
        World::new(dir.path(), &SEED, &[somebody(&mut Random(1), 1, true)], &rules(PEOPLE_MAX), compiler()).unwrap();
    let attack = Attack::named("trap-if-target").unwrap();
    for attempt in 0..2 {
        world.ask(attack.module, &attack.choices(Loss::from_pico(Measure::Zcdp, 1_000), attempt)).unwrap();
    }
    let whole = rows(&copied(&world.site, dir.path()));
    assert_eq!(whole, rows(&copied(&world.site, dir.path())));
    let other = "(SELECT envelope FROM charge WHERE id = 2)";
    for change in [
        "UPDATE charge SET pico = pico - 1 WHERE id = 2",
        "UPDATE charge SET delta = 1 WHERE id = 1",
        "UPDATE charge SET envelope = NULL WHERE id = 2",
        "UPDATE charge SET envelope = CAST(envelope || x'20' AS BLOB) WHERE id = 1",
        &format!("UPDATE charge SET envelope = {other}"),
        "UPDATE charge SET snapshot = plan WHERE id = 1",
        "UPDATE charge SET person = 'person-0' WHERE id = 2",
        "DELETE FROM charge WHERE id = 2",
        "DELETE FROM log WHERE idx = 3",
        "UPDATE log SET body = CAST(replace(body, 'charged', 'began') AS BLOB)",
        "DELETE FROM log_hash WHERE level = 1 AND idx = 0",
        "DELETE FROM release WHERE position = 2",
        "UPDATE log_job SET refused = 1",
        "INSERT INTO miss (dataset, plan, snapshot, round, permit, person) VALUES ('evil', x'00', x'00', 0, 'p', 'q')",
    ] {
        let db = copied(&world.site, dir.path());
        let triggers = "SELECT 'DROP TRIGGER ' || name FROM sqlite_schema WHERE type = 'trigger'";
        let drops: Vec<String> =
            db.prepare(triggers).unwrap().query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        drops.iter().for_each(|drop| db.execute_batch(drop).unwrap());
        assert!(db.execute(change, []).unwrap() > 0, "{change}");
        assert_ne!(rows(&db), whole, "{change}");
    }
}
