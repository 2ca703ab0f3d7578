//! Snapshots follow each other, and a running job keeps its own.

use spe_vault::Vault;

use super::support::{CLINIC, HEADER, Site, plan, subjects};

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
    let kept = |digest: spe_kernel::ids::Digest| site.vault().join("clinic").join(digest.hex()).exists();
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

#[test]
fn a_missing_file_is_a_fault_and_not_an_empty_table() {
    for lost in ["subjects", "tables/visits"] {
        let site = Site::new(CLINIC);
        let digest = site.ingest_csv(format!("{HEADER}a,1,,,,,,\n")).unwrap().snapshot;
        let vault = site.open();
        std::fs::remove_dir_all(site.vault().join("clinic").join(digest.hex()).join(lost)).unwrap();
        let plan = plan(site.declaration.schema(), DAYS);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let faults = vault.scan(&plan).unwrap().into_iter().filter_map(|mut part| runtime.block_on(part.next())?.err());
        assert!(faults.count() > 0, "without {lost} everybody would count as absent");
    }
}

#[test]
fn datasets_live_side_by_side() {
    let site = Site::new(CLINIC);
    site.ingest_csv(format!("{HEADER}a,1,,,,,,\n")).unwrap();
    let other =
        Site { declaration: spe_vault::Declaration::parse(&CLINIC.replace("\"clinic\"", "\"ward\"")).unwrap(), ..site };
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
    let fault = |dir: &std::path::Path| Vault::open(dir).err().unwrap().to_string();
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
    assert_eq!(site.open().scan(&plan).err().unwrap().to_string(), "scanning: no dataset clinic");
}
