//! Who refused some categories of data and has rows in no others is in nothing, also where other tables are read.

use std::fs;

use spe_kernel::{
    category::{Categories, Category},
    job::Purpose,
    keys::LocalKeys,
    optout::{AsOf, Choice, Clock, Decision, Scope},
};
use spe_vault::{Register, Vault, reencrypt};

use super::support::{Site, block_plan, current, keys, partition, plan};

/// The tables, each with its category.
const TABLES: [(&str, Option<&str>); 3] = [("visits", Some("a")), ("genes", Some("f")), ("notes", None)];
/// What the people of each group refuse.
const REFUSED: [&str; 6] = ["", "a", "f", "a,f", "q", "a,b,f"];

/// 48 people: the number modulo 8 says in which tables somebody has rows, and the rest of it what is refused.
#[derive(Clone, Copy)]
struct Person(usize);

impl Person {
    fn all() -> impl Iterator<Item = Self> {
        (0..8 * REFUSED.len()).filter(|number| number % 8 != 0).map(Self)
    }

    const fn has_rows_in(self, table: usize) -> bool {
        self.0 & (1 << table) != 0
    }

    /// Whether the person refused the data of `table` by that day, on each of which one group makes its choice.
    fn refuses(self, table: usize, day: usize) -> bool {
        let group = self.0 / 8;
        let refused = if group <= day { REFUSED[group] } else { "" };
        TABLES[table].1.map_or(!refused.is_empty(), |category| refused.contains(category))
    }
}

fn declaration(declared: bool) -> String {
    let table = |(name, category): &(&str, Option<&str>)| {
        let category = category.filter(|_| declared).map(|point| format!("category = \"{point}\"\n"));
        let column = "columns = [{ name = \"person\", type = \"integer\", min = 0, max = 99 }]";
        format!("[[tables]]\nname = \"{name}\"\n{}key = [\"id\"]\n{column}\n", category.unwrap_or_default())
    };
    let tables: String = TABLES.iter().map(table).collect();
    format!("name = \"choices\"\ntitle = \"Choices\"\nsubjects_max = 100\npartitions = 3\n{tables}")
}

/// Everybody's rows, with nobody's choice yet.
fn ingested(declared: bool) -> Site {
    let site = Site::new(&declaration(declared));
    let rows = |table: usize| {
        let people = Person::all().filter(|person| person.has_rows_in(table));
        people.map(|Person(number)| format!("p{number},{number}\np{number},{number}\n")).collect::<String>()
    };
    let source = |(at, (name, _)): (usize, &(&str, _))| {
        site.source(name, &format!("{name}.csv"), format!("id,person\n{}", rows(at)))
    };
    site.ingest(&TABLES.iter().enumerate().map(source).collect::<Vec<_>>()).unwrap();
    site
}

/// Each group makes its choice on the day of its number.
fn choose(site: &Site) {
    let register = Register::of(&site.vault(), &"choices".parse().unwrap()).unwrap();
    for (day, refused) in REFUSED.iter().enumerate().skip(1) {
        let ids: Vec<_> = Person::all().filter(|p| p.0 / 8 == day).map(|p| vec![format!("p{}", p.0)]).collect();
        let subjects = register.subjects(&keys(), &ids).unwrap();
        let categories: Vec<Category> = refused.split(',').map(|point| point.parse().unwrap()).collect();
        let (scope, channel) = (Scope::of(&[], &categories), "test".parse().unwrap());
        let decision = Decision { choice: Choice::OptsOut, scope, effective_at: None, channel };
        register.record(&subjects, &decision, || Clock::Says(time(day))).unwrap();
    }
}

fn time(day: usize) -> jiff::Timestamp {
    format!("2030-01-{:02}T00:00:00Z", day + 1).parse().unwrap()
}

/// How many people a job on these tables counts on each day, and whose rows it is given, against what the choices say; `known`: whether the
/// snapshot says in which tables people have rows.
fn check(vault: &Vault, tables: &[usize], known: bool) {
    let dataset = vault.datasets().next().unwrap();
    let schema = dataset.schema();
    let input = |table: &usize| format!(r#"{{"table":"{}","columns":["person"],"max_rows":99}}"#, TABLES[*table].0);
    let inputs = format!("[{}]", tables.iter().map(input).collect::<Vec<_>>().join(","));
    for day in 0..REFUSED.len() {
        let left_out = |person: Person| {
            let of_all = (0..TABLES.len()).filter(|t| person.has_rows_in(*t)).all(|t| person.refuses(t, day));
            tables.iter().any(|table| person.refuses(*table, day)) || (known && of_all)
        };
        let present: Vec<_> = Person::all().filter(|person| !left_out(*person)).collect();
        let rows = |table: usize| present.iter().filter(move |p| p.has_rows_in(table)).flat_map(|p| [p.0; 2]);
        let mut expected: Vec<_> = tables.iter().flat_map(|table| rows(*table)).collect();
        expected.sort_unstable();
        let reads = tables.iter().map(|table| schema.tables[*table].name.clone()).collect::<Vec<_>>();
        let reads: Categories = schema.categories(reads.iter());
        let cohort =
            vault.cohort(&schema.name, AsOf { at: time(day), purpose: Purpose::ScientificResearch, reads }).unwrap();
        for (plan, count) in
            [(plan(schema, &inputs), present.len()), (block_plan(schema, &inputs.replace("99", "9999"), 2), 2)]
        {
            let parts = vault.scan(&plan, &cohort).unwrap().into_iter();
            let seen: Vec<_> = parts.flat_map(|part| partition(part).unwrap()).collect();
            assert_eq!(seen.len(), count, "tables {tables:?} on day {day}");
            let mut owners: Vec<usize> = seen.iter().flatten().flatten().map(|row| row[0].parse().unwrap()).collect();
            owners.sort_unstable();
            assert_eq!(owners, expected, "whose rows are read of tables {tables:?} on day {day}");
        }
    }
}

/// What would be a bug: somebody who refused all data that there is of them and is counted where other data is read; somebody who has other data
/// and is lost to it; a snapshot that forgets it when it is encrypted anew.
#[test]
fn who_refused_all_that_there_is_of_them_is_not_counted() {
    let site = ingested(true);
    choose(&site);
    for tables in [&[0][..], &[1], &[2], &[0, 1], &[0, 1, 2]] {
        check(&site.open(), tables, true);
    }
    let keys = LocalKeys::rotated([7; 32], 1, 2);
    reencrypt(&site.vault(), &"choices".parse().unwrap(), &keys).unwrap();
    check(&Vault::open(&site.vault(), &keys).unwrap(), &[0], true);
}

/// What would be a bug: a snapshot of before that cannot be read any more, or people who are left out of it, or are in it, by chance.
#[test]
fn a_snapshot_that_does_not_say_who_has_rows_where_is_read_as_before() {
    let site = ingested(false);
    let file = current(&site).join("snapshot.json");
    let mut json: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    for (at, (_, category)) in TABLES.iter().enumerate() {
        json["schema"]["tables"][at]["category"] = (*category).into();
    }
    fs::write(&file, json.to_string()).unwrap();
    choose(&site);
    let vault = site.open();
    assert!(vault.datasets().next().unwrap().schema().is_of_several_categories());
    for tables in [&[0][..], &[1], &[2], &[0, 1, 2]] {
        check(&vault, tables, false);
    }
}
