//! Cohorts that a permit cuts to a time range.

use jiff::civil::Date;
use spe_kernel::{
    permit::{PermitBody, PermitData, TimeRange, Windows},
    units::{Loss, Measure},
};
use spe_vault::Vault;

use super::support::{CLINIC, HEADER, Site, Subject, as_of, partition, plan};

/// Two people with dates around the ends of a year, and a date that is missing.
const ROWS: &str = "a,1,1,1,north,2014-12-31,,\na,2,1,1,north,2015-01-01,,\na,3,1,1,south,2015-12-31,,\na,4,1,1,south,2016-01-01,,\n\
                    b,5,1,1,north,,,\nb,6,1,1,north,2013-01-01,,\n";
const DAYS: &str = r#"[{"table":"visits","columns":["day"],"max_rows":9}]"#;
const NORTHERN: &str = r#"[{"table":"visits","columns":["day"],"max_rows":9,"filter":"ward = 'north'"}]"#;

fn site(time: &str) -> Site {
    let site = Site::new(&CLINIC.replacen("order_by", &format!("time = \"{time}\"\norder_by"), 1));
    site.ingest_csv(format!("{HEADER}{ROWS}")).unwrap();
    site
}

fn windows(site: &Site, from: Option<Date>, until: Option<Date>) -> Windows {
    let period = ("2026-01-01T00:00:00Z".parse().unwrap(), "2027-01-01T00:00:00Z".parse().unwrap());
    let mut permit = PermitBody::granted("p".parse().unwrap(), period, Loss::zero(Measure::Zcdp));
    permit.data = vec![PermitData {
        dataset: "clinic".parse().unwrap(),
        nodes: vec![],
        category: "a".parse().unwrap(),
        columns: vec!["visits.day".into()],
        time_range: Some(TimeRange { from, until }),
        format: "table".into(),
        pseudonymised: true,
    }];
    permit.windows(site.declaration.schema(), &"north".parse().unwrap()).unwrap()
}

/// The days that each person has within the windows.
fn found(site: &Site, vault: &Vault, inputs: &str, windows: Windows) -> Vec<Subject> {
    let plan = plan(site.declaration.schema(), inputs);
    let cohort = vault.cohort(plan.dataset(), as_of()).unwrap().within(windows);
    let mut all: Vec<_> = vault.scan(&plan, &cohort).unwrap().into_iter().flat_map(|s| partition(s).unwrap()).collect();
    all.sort();
    all
}

fn days(days: &[&[&str]]) -> Vec<Subject> {
    let row = |day: &&str| vec![(*day).to_owned()];
    let mut all: Vec<Subject> = days.iter().map(|days| vec![days.iter().map(row).collect()]).collect();
    all.sort();
    all
}

/// What would be a bug: a row of another year that a module is given, or a person who is not counted for having none.
#[test]
fn rows_outside_of_a_time_range_are_not_read() {
    let site = site("born");
    let vault = site.open();
    let day = |day: &str| Some(day.parse().unwrap());
    let in_2015 = || windows(&site, day("2015-01-01"), day("2016-01-01"));
    assert_eq!(found(&site, &vault, DAYS, in_2015()), days(&[&["2", "3"], &[]]));
    assert_eq!(found(&site, &vault, NORTHERN, in_2015()), days(&[&["2"], &[]]), "on top of the plan's own filter");
    assert_eq!(found(&site, &vault, DAYS, windows(&site, None, day("2015-01-01"))), days(&[&["1"], &["6"]]));
    assert_eq!(found(&site, &vault, DAYS, windows(&site, day("2016-01-01"), None)), days(&[&["4"], &[]]));
    assert_eq!(found(&site, &vault, DAYS, Windows::default()).len(), 2);
}

/// What would be a bug: an answer about one time range that is looked up for another.
#[test]
fn a_cohort_within_a_time_range_has_a_digest_of_its_own() {
    let site = site("born");
    let vault = site.open();
    let cohort = || vault.cohort(&"clinic".parse().unwrap(), as_of()).unwrap();
    let within = |from: &str| cohort().within(windows(&site, Some(from.parse().unwrap()), None)).digest();
    assert_eq!(cohort().within(Windows::default()).digest(), cohort().digest());
    assert_ne!(within("2015-01-01"), cohort().digest());
    assert_ne!(within("2015-01-01"), within("2015-01-02"));
    assert_eq!(within("2015-01-01"), within("2015-01-01"));
}
