//! Data at rest: without the key there is nothing to read, and with another one nothing either.

use std::{fs, path::Path};

use spe_kernel::{
    ids::DatasetName,
    keys::{DataKey, Identifiers, KeyError, KeySource, LocalKeys, Newest},
    optout::Subject,
};
use spe_vault::{Declaration, Ingest, Vault, reencrypt};

use super::support::{CLINIC, HEADER, Site, current, grep, keys, listing, plan, scan, subjects};

const NOTES: &str = r#"[{"table":"visits","columns":["note","ward"],"max_rows":9}]"#;
/// Texts, words of the public list of categories apart, that stand in the data only.
const CANARIES: [&str; 2] = ["NOTE-CANARY", "CANARY-NOTE"];

fn csv() -> String {
    let row = |i: usize| format!("p{},{},,,north,,,NOTE-CANARY-{i}\n", i % 700, i % 1000);
    format!("{HEADER}{}z,1,,,,,,CANARY-NOTE\n", (0..20_000).map(row).collect::<String>())
}

/// What would be a bug: a file, at any moment of an ingest or after it, in which a value of a record can be found.
#[test]
fn no_value_of_a_record_can_be_read_without_the_key() {
    let site = Site::new(CLINIC);
    let sources = [site.source("visits", "source.csv", csv())];
    let (keys, vault) = (keys(), site.vault());
    let mut looked = 0;
    let look = |looked: &mut u32| {
        *looked += 1;
        assert_eq!(grep(&vault, &CANARIES), Vec::<std::path::PathBuf>::new());
    };
    let ingest = Ingest { memory_bytes: 1 << 16, ..Ingest::new(&site.declaration, &sources, &keys, &vault) };
    ingest.run(|_| look(&mut looked)).unwrap();
    look(&mut looked);
    assert!(looked > 5, "nobody looked");
    let plain = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(
        fs::File::open(current(&site).join("tables/visits/0000.parquet")).unwrap(),
    );
    assert!(plain.is_err(), "a data file opens without a key");
    let found = subjects(&site.open(), &plan(site.declaration.schema(), NOTES));
    assert!(found.iter().flatten().flatten().any(|row| row[0].contains("CANARY")), "the search finds nothing at all");
}

/// What would be a bug: a count of people in the clear. The name says which file is looked at.
#[test]
fn no_count_is_in_the_clear() {
    let site = Site::new(CLINIC);
    let people: String = (0..777).map(|i| format!("p{i},1,,,,,,\n")).collect();
    assert_eq!(site.ingest_csv(format!("{HEADER}{people}")).unwrap().subjects, 777);
    // Three digits stand somewhere in encrypted bytes by chance.
    let plain = listing(&site.vault()).into_iter().filter(|(path, _)| path.extension().is_none_or(|e| e != "parquet"));
    let told = |content: &[u8]| content.windows(3).any(|digits| digits == b"777");
    let telling: Vec<_> = plain.filter(|(_, content)| content.as_deref().is_some_and(told)).collect();
    assert!(telling.is_empty(), "{:?}", telling.iter().map(|(path, _)| path).collect::<Vec<_>>());
    assert_eq!(site.ingest_csv(format!("{HEADER}{people}")).unwrap().subjects_before, Some(777));
}

/// A key source that has other keys for one dataset, or none.
struct Other(LocalKeys, Option<KeyError>);

impl KeySource for Other {
    fn newest(&self, dataset: &DatasetName) -> Result<Newest, KeyError> {
        self.0.newest(dataset)
    }
    fn data_key(&self, dataset: &DatasetName, version: u32) -> Result<DataKey, KeyError> {
        match &self.1 {
            _ if dataset.as_str() == "ward" => keys().data_key(dataset, version),
            Some(error) => Err(error.clone()),
            None => self.0.data_key(dataset, version),
        }
    }
    fn pseudonyms(&self, dataset: &DatasetName, version: u32, all: &Identifiers) -> Result<Vec<Subject>, KeyError> {
        self.0.pseudonyms(dataset, version, all)
    }
}

/// What would be a bug: a node that serves nothing because one key is gone, or that serves what it cannot read.
#[test]
fn a_dataset_without_its_key_is_not_there_and_the_others_are() {
    let site = Site::new(CLINIC);
    site.ingest_csv(format!("{HEADER}a,1,,,,,,\n")).unwrap();
    let ward = Site { declaration: Declaration::parse(&CLINIC.replace("\"clinic\"", "\"ward\"")).unwrap(), ..site };
    ward.ingest_csv(format!("{HEADER}a,2,,,,,,\n")).unwrap();
    let stranger = LocalKeys::from_seed([9; 32]);
    let gone = KeyError::Gone("destroyed".into());
    for (other, why) in [(Other(stranger, None), "another data key"), (Other(keys(), Some(gone)), "destroyed")] {
        let vault = Vault::open(&ward.vault(), &other).unwrap();
        assert_eq!(vault.datasets().map(|d| d.schema().name.as_str()).collect::<Vec<_>>(), ["ward"]);
        let sealed: Vec<_> = vault.sealed().map(|(name, why)| (name.to_string(), why.to_string())).collect();
        assert!(sealed.len() == 1 && sealed[0].0 == "clinic" && sealed[0].1.contains(why), "{sealed:?}");
        assert!(vault.dataset(&"clinic".parse().unwrap()).is_none());
        assert_eq!(subjects(&vault, &plan(ward.declaration.schema(), NOTES)).len(), 1);
    }
    assert_eq!(Vault::list(&ward.vault()).unwrap().len(), 2, "what is there can be listed without a key");
}

/// What would be a bug: a dataset that a running node goes on reading after its keys were destroyed; or one that it drops because
/// the key holder is away.
#[test]
fn a_key_that_is_no_longer_given_is_dropped() {
    let site = Site::new(CLINIC);
    site.ingest_csv(csv()).unwrap();
    let vault = site.open();
    let plan = plan(site.declaration.schema(), NOTES);
    let away = Other(keys(), Some(KeyError::Away("nobody answers".into())));
    assert!(vault.recheck(&away).is_empty() && vault.recheck(&keys()).is_empty());
    assert_eq!(vault.datasets().count(), 1);
    let under_way = scan(&vault, &plan);
    let gone = Other(keys(), Some(KeyError::Gone("destroyed".into())));
    assert_eq!(vault.recheck(&gone).len(), 1);
    assert!(vault.datasets().next().is_none() && vault.dataset(plan.dataset()).is_none());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let faults: Vec<_> = under_way.into_iter().filter_map(|mut part| runtime.block_on(part.next())?.err()).collect();
    assert!(!faults.is_empty() && faults[0].to_string().contains("taken away"), "{faults:?}");
}

/// What would be a bug: one partition that is read in the place of another, so that its people count twice and others not at all. List of
/// subjects and rows fit each other.
#[test]
fn a_file_cannot_stand_in_for_another() {
    let site = Site::new(CLINIC);
    site.ingest_csv(csv()).unwrap();
    for folder in ["subjects", "tables/visits"] {
        let dir = current(&site).join(folder);
        fs::copy(dir.join("0000.parquet"), dir.join("0001.parquet")).unwrap();
    }
    let vault = site.open();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let faults = scan(&vault, &plan(site.declaration.schema(), NOTES))
        .into_iter()
        .filter_map(|mut part| runtime.block_on(part.next())?.err());
    assert_eq!(faults.count(), 1);
}

fn bytes(dir: &Path) -> Vec<u8> {
    fs::read(dir.join("tables/visits/0000.parquet")).unwrap()
}

/// What would be a bug: a rotation that changes the snapshot, so that its answers are paid for twice; or that leaves the old key needed.
#[test]
fn files_are_sealed_anew_and_stay_the_same_snapshot() {
    let site = Site::new(CLINIC);
    let before = site.ingest_csv(csv()).unwrap().snapshot;
    let plan = plan(site.declaration.schema(), NOTES);
    let records = subjects(&site.open(), &plan);
    let (old_dir, running) = (current(&site), site.open());
    let rotated = LocalKeys::rotated([7; 32], 1, 2);
    assert_eq!(reencrypt(&site.vault(), &"clinic".parse().unwrap(), &rotated).unwrap(), (1, 2));
    assert_ne!(bytes(&old_dir), bytes(&current(&site)));
    let vault = Vault::open(&site.vault(), &rotated).unwrap();
    assert_eq!(vault.datasets().next().unwrap().snapshot(), before);
    assert_eq!(subjects(&vault, &plan), records);
    assert_eq!(subjects(&running, &plan), records, "a running node lost its files");
    let only_old = Vault::open(&site.vault(), &keys()).unwrap();
    assert_eq!((only_old.datasets().count(), only_old.sealed().count()), (0, 1), "the old key still opens it");
    // Bent, it is not sealed anew: nobody would notice afterwards.
    let file = current(&site).join("subjects/0001.parquet");
    let mut bent = fs::read(&file).unwrap();
    let middle = bent.len() / 2;
    bent[middle] ^= 1;
    fs::write(&file, bent).unwrap();
    let whole = listing(&site.vault());
    let newer = LocalKeys::rotated([7; 32], 1, 3);
    assert!(reencrypt(&site.vault(), &"clinic".parse().unwrap(), &newer).is_err());
    assert_eq!(listing(&site.vault()), whole, "something was published");
}

/// What would be a bug: files of an older snapshot, of the same key and names, that are sealed anew as if they were the current one's.
#[test]
fn only_the_records_of_the_digest_are_sealed_anew() {
    let site = Site::new(CLINIC);
    site.ingest_csv(format!("{HEADER}a,1,,,,,,\n")).unwrap();
    let older = current(&site);
    site.ingest_csv(format!("{HEADER}a,2,,,,,,\n")).unwrap();
    for partition in 0..3 {
        let name = format!("tables/visits/{partition:04}.parquet");
        fs::copy(older.join(&name), current(&site).join(&name)).unwrap();
    }
    let refused = reencrypt(&site.vault(), &"clinic".parse().unwrap(), &LocalKeys::rotated([7; 32], 1, 2)).unwrap_err();
    assert!(refused.to_string().contains("not those of the snapshot's digest"), "{refused}");
}
