//! Snapshots follow each other, and a running job keeps its own.

use std::{fs, path::Path};

use spe_vault::{Declaration, Vault};

use super::support::{CLINIC, HEADER, Site, as_of, current, keys, plan, scan, subjects};

const DAYS: &str = r#"[{"table":"visits","columns":["day"],"max_rows":9}]"#;

fn day(vault: &Vault, site: &Site) -> String {
    subjects(vault, &plan(site.declaration.schema(), DAYS))[0][0][0][0].clone()
}

#[test]
fn a_new_snapshot_replaces_the_old_one() {
    let site = Site::new(CLINIC);
    let ingest = |day: u32| site.ingest_csv(format!("{HEADER}a,{day},,,,,,\n")).unwrap().snapshot;
    let first = ingest(1);
    let before = site.open();
    let second = ingest(2);
    assert_ne!(first, second);
    assert_eq!((day(&before, &site), day(&site.open(), &site)), ("1".into(), "2".into()));
    assert_eq!(site.open().datasets().next().unwrap().snapshot(), second);
    drop(before);
    ingest(3);
    let kept = |digest: spe_kernel::ids::Digest| {
        let names = fs::read_dir(site.vault().join("clinic")).unwrap().map(|e| e.unwrap().file_name());
        names.into_iter().any(|name| name.to_string_lossy().starts_with(&digest.hex()))
    };
    assert!(kept(second) && !kept(first), "the one before is kept, older ones are not");
    assert_eq!(ingest(2), second, "the same records are the same snapshot");
    assert_eq!(day(&site.open(), &site), "2");
}

#[test]
fn a_snapshot_in_use_stays_whole() {
    let site = Site::new(CLINIC);
    let ingest = |day: u32| site.ingest_csv(format!("{HEADER}a,{day},,,,,,\n")).unwrap().snapshot;
    ingest(1);
    let running = site.open();
    ingest(2);
    ingest(3);
    assert_eq!(day(&running, &site), "1", "a running job would answer from nothing, and be charged");
}

/// Its digest says that it is the same snapshot: kept as it is, ingesting again would never help.
#[test]
fn ingesting_the_same_again_repairs_what_was_damaged() {
    let site = Site::new(CLINIC);
    let csv = format!("{HEADER}a,1,,,,,,x\nb,2,,,,,,\nc,3,,,,,,\n");
    let digest = site.ingest_csv(&csv).unwrap().snapshot;
    let damages: [fn(&Path); 6] = [
        |_| {},
        |dir| fs::write(dir.join("tables/visits/0001.parquet"), "PAR1").unwrap(),
        |dir| {
            fs::copy(dir.join("subjects/0000.parquet"), dir.join("subjects/0002.parquet")).unwrap();
        },
        |dir| fs::remove_dir_all(dir.join("tables")).unwrap(),
        |dir| fs::write(dir.join("snapshot.json"), "{}").unwrap(),
        |dir| fs::remove_dir_all(dir).unwrap(),
    ];
    let plan = plan(site.declaration.schema(), DAYS);
    for (number, damage) in damages.iter().enumerate() {
        damage(&current(&site));
        assert_eq!(site.ingest_csv(&csv).unwrap().snapshot, digest);
        assert_eq!(subjects(&site.open(), &plan).len(), 3, "damage {number} is still there");
    }
}

/// The lock of a running job is on the file, not on its name.
#[test]
fn a_snapshot_in_use_is_held_when_it_is_ingested_again() {
    let site = Site::new(CLINIC);
    let ingest = |day: u32| site.ingest_csv(format!("{HEADER}a,{day},,,,,,\n")).unwrap();
    ingest(1);
    let running = site.open();
    (1..4).for_each(|day| drop(ingest(day)));
    assert_eq!(day(&running, &site), "1", "a running job would answer from nothing, and be charged");
}

#[test]
fn the_operator_is_told_how_many_people_there_were() {
    let site = Site::new(CLINIC);
    let counts = |people: &str| {
        let done = site.ingest_csv(format!("{HEADER}{people}")).unwrap();
        (done.subjects_before, done.subjects)
    };
    assert_eq!(counts("a,1,,,,,,\nb,1,,,,,,\n"), (None, 2));
    assert_eq!(counts("a,1,,,,,,\n"), (Some(2), 1));
    assert_eq!(counts("a,1,,,,,,\n"), (Some(1), 1));
}

/// A snapshot from before there was a declared bound; without it no deadline can be computed.
#[test]
fn an_older_format_is_told_apart_from_damage_and_can_be_ingested_again() {
    let site = Site::new(CLINIC);
    let ingest = || site.ingest_csv(format!("{HEADER}a,1,,,,,,\n")).unwrap();
    ingest();
    let file = current(&site).join("snapshot.json");
    let old = fs::read_to_string(&file).unwrap().replace("spe.snapshot/3", "spe.snapshot/2");
    let old = old.replace("    \"subjects_max\": 900,\n", "");
    assert!(!old.contains("subjects_max"));
    fs::write(&file, old).unwrap();
    let fault = Vault::open(&site.vault(), &keys()).err().unwrap().to_string();
    let why = "snapshot.json is of format \"spe.snapshot/2\", this version reads \"spe.snapshot/3\": ingest the dataset again";
    assert!(fault.ends_with(why), "{fault}");
    assert_eq!(ingest().subjects_before, None, "its count could be read without its key");
    assert_eq!(day(&site.open(), &site), "1");
}

#[test]
fn a_missing_file_is_a_fault_and_not_an_empty_table() {
    for lost in ["subjects", "tables/visits"] {
        let site = Site::new(CLINIC);
        site.ingest_csv(format!("{HEADER}a,1,,,,,,\n")).unwrap();
        let vault = site.open();
        std::fs::remove_dir_all(current(&site).join(lost)).unwrap();
        let plan = plan(site.declaration.schema(), DAYS);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let faults = scan(&vault, &plan).into_iter().filter_map(|mut part| runtime.block_on(part.next())?.err());
        assert!(faults.count() > 0, "without {lost} everybody would count as absent");
    }
}

#[test]
fn datasets_live_side_by_side() {
    let site = Site::new(CLINIC);
    site.ingest_csv(format!("{HEADER}a,1,,,,,,\n")).unwrap();
    let other = Site { declaration: Declaration::parse(&CLINIC.replace("\"clinic\"", "\"ward\"")).unwrap(), ..site };
    other.ingest_csv(format!("{HEADER}a,2,,,,,,\n")).unwrap();
    let vault = other.open();
    let names: Vec<_> = vault.datasets().map(|d| d.schema().name.to_string()).collect();
    assert_eq!(names, ["clinic", "ward"]);
    assert_eq!(day(&vault, &other), "2");
}

#[test]
fn broken_vaults_are_not_opened() {
    let site = Site::new(CLINIC);
    assert_eq!(site.open().datasets().count(), 0);
    let fault = |dir: &std::path::Path| Vault::open(dir, &keys()).err().unwrap().to_string();
    assert!(fault(&site.dir.path().join("none")).starts_with("opening the vault: "));
    std::fs::create_dir(site.vault().join("clinic")).unwrap();
    assert_eq!(site.open().datasets().count(), 0, "a directory without snapshot is no dataset");
    std::fs::write(site.vault().join("clinic/CURRENT"), "../../etc").unwrap();
    assert!(fault(&site.vault()).ends_with("CURRENT holds no digest"));
}

#[test]
fn a_plan_for_another_dataset_is_a_fault() {
    let site = Site::new(CLINIC);
    let plan = plan(site.declaration.schema(), DAYS);
    let nowhere = site.open().cohort(plan.dataset(), as_of()).err().unwrap();
    assert_eq!(nowhere.to_string(), "choosing a cohort: no dataset clinic");
    site.ingest_csv(format!("{HEADER}a,1,,,,,,\n")).unwrap();
    let other = Declaration::parse(&CLINIC.replace("\"clinic\"", "\"ward\"")).unwrap();
    let other = Site { declaration: other, ..site };
    other.ingest_csv(format!("{HEADER}a,1,,,,,,\n")).unwrap();
    let (vault, ward) = (other.open(), other.declaration.schema().name.clone());
    let fault = vault.scan(&plan, &vault.cohort(&ward, as_of()).unwrap()).err().unwrap();
    assert_eq!(
        fault.to_string(),
        "scanning: the cohort is one of dataset ward",
        "another dataset's opt-outs would count"
    );
}
