//! Snapshots of before, encrypted anew.

use std::fs;

use spe_kernel::{
    ids::Digest,
    keys::{Identifiers, KeyError, KeySource, Newest, Scheme},
    optout::Subject,
};

use super::*;
use crate::{Declaration, Ingest, Source, Vault};

/// Keys of made-up people, whom their numbers tell apart; all versions of a data key up to this one.
struct Keys(u32);

impl KeySource for Keys {
    fn newest(&self, dataset: &DatasetName) -> Result<Newest, KeyError> {
        let data = self.data_key(dataset, self.0)?;
        Ok(Newest { data, pseudonyms: Scheme { version: 1, check: Digest::of(b"numbers") } })
    }

    fn data_key(&self, _: &DatasetName, version: u32) -> Result<DataKey, KeyError> {
        let key = *Digest::of(&version.to_le_bytes()).as_bytes();
        Ok(DataKey::from_bytes(version, key, [7; 32]))
    }

    fn pseudonyms(&self, _: &DatasetName, _: u32, people: &Identifiers) -> Result<Vec<Subject>, KeyError> {
        let subject = |person: &[u8]| Digest::of(person).as_bytes().first_chunk().copied().expect("16 bytes");
        Ok(people.iter().map(subject).collect())
    }
}

/// Two tables, and the points of Art. 51(1) that are declared of them afterwards.
const TABLES: [(&str, &str); 2] = [("visits", "a"), ("genes", "f")];

fn ingested(dir: &Path, keys: &Keys) {
    let table = |(name, _): &(&str, &str)| {
        let column = "columns = [{ name = \"person\", type = \"integer\", min = 0, max = 99 }]";
        format!("[[tables]]\nname = \"{name}\"\nkey = [\"id\"]\n{column}\n")
    };
    let tables: String = TABLES.iter().map(table).collect();
    let text = format!("name = \"choices\"\ntitle = \"Choices\"\nsubjects_max = 100\npartitions = 3\n{tables}");
    let source = |(name, _): &(&str, &str)| {
        let file = dir.join(format!("{name}.csv"));
        let rows: String = (0..40).map(|person| format!("p{person},{person}\n")).collect();
        fs::write(&file, format!("id,person\n{rows}")).expect("a file");
        Source { table: name.parse().expect("a name"), file, rows: None }
    };
    let (declaration, vault) = (Declaration::parse(&text).expect("a declaration"), dir.join("vault"));
    let sources: Vec<_> = TABLES.iter().map(source).collect();
    fs::create_dir(&vault).expect("a folder");
    Ingest::new(&declaration, &sources, keys, &vault).run(|_| {}).expect("ingested");
}

/// Makes of the current snapshot one as a version wrote it that knew categories, and did not note who has rows of which.
fn as_of_before(vault: &Path, name: &DatasetName, key: &DataKey) {
    let home = vault.join(name.as_str());
    let Current { mut file, dir, held } = snapshot::current(&home).expect("readable").expect("a snapshot");
    for (table, (_, point)) in file.schema.tables.iter_mut().zip(TABLES) {
        table.category = Some(point.parse().expect("a category"));
    }
    assert!(file.schema.is_of_several_categories());
    let (aside, mut digests) = (tempfile::tempdir().expect("a folder"), Vec::new());
    let seal = || Seal::of(key, name);
    let same = Resealing { from: (&dir, seal()), to: (aside.path(), seal()), key, schema: &file.schema };
    for partition in 0..file.partitions {
        same.partition(partition, &mut digests).expect("copied");
    }
    file.digest = digest_of(&file.schema, key, &digests);
    fs::write(dir.join("snapshot.json"), serde_json::to_vec(&file).expect("JSON")).expect("a file");
    drop(held);
    let renamed = format!("{}.1", file.digest.hex());
    fs::rename(&dir, home.join(&renamed)).expect("renamed");
    fs::write(home.join("CURRENT"), renamed).expect("a file");
}

/// Columns and number of rows of each list of subjects.
fn subjects(vault: &Path, name: &DatasetName, key: &DataKey) -> (Vec<String>, usize) {
    let Current { file, dir, .. } = snapshot::current(&vault.join(name.as_str())).expect("readable").expect("there");
    let (mut columns, mut rows) = (Vec::new(), 0);
    for partition in 0..file.partitions {
        let list = layout::subjects_file(partition);
        let seal = Seal::of(key, name).reading(&list).expect("a seal");
        let options = ArrowReaderOptions::new().with_file_decryption_properties(seal);
        let file = File::open(dir.join(&list)).expect("a file");
        let read = ParquetRecordBatchReaderBuilder::try_new_with_options(file, options).expect("readable");
        columns.extend(read.schema().fields().iter().map(|field| field.name().clone()));
        rows += read.build().expect("readable").map(|batch| batch.expect("readable").num_rows()).sum::<usize>();
    }
    columns.dedup();
    (columns, rows)
}

/// What would be a bug: an old snapshot that cannot be encrypted anew, or of which that makes another one: with a note of who has rows of what
/// that nobody made, with other people, or with another digest, so that what was answered is charged again.
#[test]
fn a_snapshot_that_does_not_say_who_has_rows_where_stays_as_it_is() {
    let (dir, before) = (tempfile::tempdir().expect("a folder"), Keys(1));
    let (vault, name) = (dir.path().join("vault"), "choices".parse::<DatasetName>().expect("a name"));
    ingested(dir.path(), &before);
    let old = before.data_key(&name, 1).expect("a key");
    as_of_before(&vault, &name, &old);
    let digest = |keys: &Keys| {
        let vault = Vault::open(&vault, keys).expect("opens");
        vault.dataset(&name).map(crate::Dataset::snapshot).expect("it is served")
    };
    let (was, people) = (digest(&before), subjects(&vault, &name, &old));
    assert_eq!(people, (vec![layout::SUBJECT.to_owned()], 40), "it is not as it was before");
    let now = Keys(2);
    assert_eq!(reencrypt(&vault, &name, &now).expect("encrypted anew"), (1, 2));
    assert_eq!(subjects(&vault, &name, &now.data_key(&name, 2).expect("a key")), people);
    assert_eq!(digest(&now), was);
}
