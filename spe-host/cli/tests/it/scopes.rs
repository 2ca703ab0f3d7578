//! Each clause of a permit, violated in turn at a real node: refused by the clause's name, nothing charged, nothing read.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde_json::Value;
use spe_kernel::refusal::Refusal;

use crate::place::{DECLARATION, Place, example, module, outcome};

/// A change to the permit's draft.
type Change<'a> = &'a dyn Fn(&mut toml::Table);

fn list(items: &[&str]) -> toml::Value {
    items.iter().map(|item| toml::Value::from(*item)).collect::<Vec<_>>().into()
}

fn toml(text: &str) -> toml::Value {
    text.parse::<toml::Table>().unwrap().remove("x").unwrap()
}

/// Signs the place's permit, changed, under that file name and a number of its own.
fn permit(place: &Place, name: &str, change: Change<'_>) {
    let text = std::fs::read_to_string(place.path("permit.toml")).unwrap();
    let mut draft: toml::Table = toml::from_str(&text).unwrap();
    (draft["number"], draft["original"]) = (format!("dap-{name}").into(), format!("dap-{name}").into());
    change(&mut draft);
    let file = format!("{name}.draft.toml");
    std::fs::write(place.path(&file), toml::to_string(&draft).unwrap()).unwrap();
    place.ok(&["permit", "sign", &file, "--key", "access-body.key", "--out", &format!("{name}.json")]);
}

fn ask(place: &Place, permit: &str, more: &[&str]) -> Value {
    let (visits, permit) = (module("visits-by-coinsurance"), format!("{permit}.json"));
    let fixed = ["job", "submit", &visits, "--as", "researcher", "--permit", &permit, "--dataset", "rand-hie"];
    let price: &[&str] = if more.contains(&"--loss") { &[] } else { &["--loss", "rho=0.1"] };
    place.view(&[&fixed[..], &["--purpose", "policymaking"], price, more].concat()).0
}

fn refused(place: &Place, permit: &str, more: &[&str]) -> Refusal {
    let outcome = outcome(&ask(place, permit, more), "north");
    serde_json::from_value(outcome["why"].clone())
        .unwrap_or_else(|e| panic!("{permit} was not refused: {e}: {outcome}"))
}

/// What the node's log says of refused jobs: the permit's number, and its clause that did not hold; where none is at fault, the refusal's name.
fn logged(place: &Place) -> Vec<(String, String)> {
    let entries = place.ok(&["audit", "show", "north", "--event", "job-refused"]);
    let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("no text in {entries}")).to_owned();
    let events = entries.as_array().unwrap().iter().map(|entry| &entry["event"]);
    events
        .map(|event| (text(&event["permit"]["number"]), text(event.get("article").unwrap_or(&event["clause"]))))
        .collect()
}

/// How many strangers' jobs the node has counted that no entry tells of yet.
fn strangers(place: &Place) -> i64 {
    let ledger = rusqlite::Connection::open(place.path("north/data/ledger.sqlite")).unwrap();
    ledger.query_row("SELECT jobs FROM log_stranger", [], |row| row.get(0)).unwrap()
}

/// The examples' declaration in `dir`, with that line more about its table.
fn declared(dir: &Path, line: &str) -> PathBuf {
    let text = std::fs::read_to_string(example(DECLARATION)).unwrap();
    let with = text.replacen("name = \"years\"\n", &format!("name = \"years\"\n{line}\n"), 1);
    assert!(with != text, "the declaration has another shape");
    let file = dir.join("declared.toml");
    std::fs::write(&file, with).unwrap();
    file
}

fn running(declaration: &Path) -> Place {
    let mut place = Place::new("rho=1");
    place.node_of("north", declaration, "site = \"1\"", "rho=2");
    place.start_all(&["north"]);
    place
}

/// What would be a bug: a scope that no node checks, that is charged for all the same, or whose refusal does not say which it was, to who
/// asked or in the node's log; a stranger who can write into that log.
#[test]
fn each_scope_of_a_permit_is_kept_by_the_node() {
    let dir = tempfile::tempdir().unwrap();
    let mut place = running(&declared(dir.path(), "category = \"c\""));
    let stranger = place.access_body.clone();
    let digest = format!("blake3:{}", "0".repeat(64));
    let all = "years.coins years.mdvis years.year".split(' ').collect::<Vec<_>>();
    let cases: &[(&str, Change<'_>, &str)] = &[
        ("person", &|p| p["persons"][0]["key"] = stranger.clone().into(), "Art. 68(10)(d)"),
        ("purpose", &|p| p["purpose"]["article53"] = list(&["c", "e"]), "Art. 68(10)(b)"),
        ("dataset", &|p| p["data"][0]["dataset"] = "other".into(), "Art. 68(10)(a)"),
        (
            "node",
            &|p| drop(p["data"][0].as_table_mut().unwrap().insert("nodes".into(), list(&["south"]))),
            "Art. 68(10)(a)",
        ),
        ("category", &|p| p["data"][0]["category"] = "a".into(), "Art. 68(10)(a)"),
        ("column", &|p| p["data"][0]["columns"] = list(&["years.coins"]), "Art. 68(10)(a)"),
        ("access", &|p| p["data"][0]["pseudonymised"] = false.into(), "Art. 68(10)(a)"),
        (
            "time",
            &|p| {
                drop(
                    p["data"][0]
                        .as_table_mut()
                        .unwrap()
                        .insert("time_range".into(), toml("x = { from = \"2015-01-01\" }")),
                )
            },
            "Art. 68(10)(a)",
        ),
        (
            "module",
            &|p| p["environment"]["modules"] = toml(&format!("x = {{ only = [\"{digest}\"] }}")),
            "Art. 68(10)(f)",
        ),
        (
            "class",
            &|p| {
                p["environment"]["modules"] =
                    toml("x = { class = { kinds = [\"count\"], rounds_max = 1, outputs_max = 9 } }")
            },
            "Art. 68(10)(f)",
        ),
        ("cap", &|p| p["environment"]["loss_cap"] = "rho=0.09".into(), "Art. 68(10)(f)"),
        (
            "each",
            &|p| drop(p["environment"].as_table_mut().unwrap().insert("loss_per_job_max".into(), "rho=0.09".into())),
            "Art. 68(10)(f)",
        ),
        ("fuel", &|p| p["environment"]["limits"]["fuel_per_subject_max"] = 10.into(), "Art. 68(10)(f)"),
        ("memory", &|p| p["environment"]["limits"]["memory_bytes_max"] = 65_536.into(), "Art. 68(10)(f)"),
        (
            "small",
            &|p| drop(p.insert("conditions".into(), toml("x = [{ text = \"\", suppress_below_min = 5 }]"))),
            "Art. 68(10)(h)",
        ),
        (
            "there",
            &|p| drop(p.insert("conditions".into(), toml("x = [{ text = \"\", nodes = [\"south\"] }]"))),
            "Art. 68(10)(h)",
        ),
        (
            "request",
            &|p| {
                (p["article"], p["data"][0]["pseudonymised"]) = (69.into(), false.into());
                p.insert("plans".into(), list(&[&digest]));
            },
            "Art. 69",
        ),
    ];
    for (name, change, clause) in cases {
        permit(&place, name, *change);
        let why = refused(&place, name, &[]);
        assert!(why.to_string().contains(&format!("(clause: {clause})")), "{name}: {why}");
        assert_eq!(why.clause().unwrap().to_string(), *clause, "{name}");
    }
    permit(&place, "exception", &|p| {
        p.insert("opt_out_exception".into(), toml("x = { national_law = \"§ 1\", reason = \"r\" }"));
    });
    let why = refused(&place, "exception", &[]).to_string();
    assert!(why.contains("Art. 68(10)(c)") && why.contains("policy"), "{why}");
    assert_eq!(place.spent("north"), "rho=0", "a refusal was charged for");

    // The very plan that a data request approves is answered, by who may not ask anything else.
    let plan = ask(&place, "permit", &["--dry-run"])["plan"].as_str().unwrap().to_owned();
    permit(&place, "approved", &|p| {
        (p["article"], p["data"][0]["pseudonymised"]) = (69.into(), false.into());
        p.insert("plans".into(), list(&[&plan]));
        p["data"][0]["columns"] = list(&all);
    });
    assert_eq!(outcome(&ask(&place, "approved", &[]), "north")["outcome"], "answered");
    assert!(matches!(refused(&place, "approved", &["--attempt", "1"]), Refusal::PlanNotInPermit { .. }));
    assert_eq!(place.spent("north"), "rho=0.1");

    // The log has each of them with its clause, and only counts who is not named by a permit.
    place.stop("north");
    let mut expected: BTreeMap<_, _> =
        cases.iter().map(|(name, _, clause)| (format!("dap-{name}"), (*clause).to_owned())).collect();
    assert!(expected.remove("dap-person").is_some());
    expected.insert("dap-exception".into(), "policy-forbids".into());
    expected.insert("dap-approved".into(), "Art. 69".into());
    let logged = logged(&place);
    assert_eq!(logged.len(), expected.len(), "one entry a job: {logged:?}");
    assert_eq!(logged.into_iter().collect::<BTreeMap<_, _>>(), expected);
    assert_eq!(strangers(&place), 1);
}

/// What would be a bug: a permit that is used after another took its place, a cap that begins anew with an amendment, a version that is
/// forgotten.
#[test]
fn an_amended_permit_takes_the_place_of_the_one_before_and_shares_its_cap() {
    let mut place = running(&example(DECLARATION));
    assert_eq!(outcome(&ask(&place, "permit", &["--loss", "rho=0.4"]), "north")["outcome"], "answered");
    let amended = |number: &'static str, status: &'static str, issued: &'static str, until: &'static str| {
        move |p: &mut toml::Table| {
            (p["number"], p["original"]) = (number.into(), "dap-2026-0001".into());
            p.insert("replaces".into(), "dap-2026-0001".into());
            (p["status"], p["issued_at"], p["valid_until"]) = (status.into(), issued.into(), until.into());
        }
    };
    permit(&place, "second", &amended("dap-2026-0002", "amended", "2026-01-02T00:00:00Z", "2035-01-01T00:00:00Z"));
    assert_eq!(
        outcome(&ask(&place, "second", &["--attempt", "1", "--loss", "rho=0.4"]), "north")["outcome"],
        "answered"
    );
    assert!(matches!(refused(&place, "permit", &["--attempt", "2"]), Refusal::PermitReplaced { .. }));
    let why = refused(&place, "second", &["--attempt", "2", "--loss", "rho=0.3"]);
    assert!(matches!(why, Refusal::PermitLossExhausted { .. }), "the line's cap is 1, and 0.8 is spent: {why}");
    permit(&place, "renewed", &amended("dap-2026-0004", "renewed", "2026-01-04T00:00:00Z", "2036-01-01T00:00:00Z"));
    permit(&place, "again", &amended("dap-2026-0005", "renewed", "2026-01-05T00:00:00Z", "2036-01-01T00:00:00Z"));
    assert_eq!(outcome(&ask(&place, "renewed", &["--attempt", "3"]), "north")["outcome"], "answered");
    let why = refused(&place, "again", &["--attempt", "4"]);
    assert!(why.to_string().contains("Art. 68(12)"), "a line was renewed twice: {why}");
    place.stop("north");
    let permits = place.ok(&["node", "permits", "north"]);
    let standing: Vec<_> =
        permits.as_array().unwrap().iter().map(|p| (p["number"].as_str(), p["standing"].as_str())).collect();
    let expected = [
        ("dap-2026-0001", "replaced by dap-2026-0002"),
        ("dap-2026-0002", "replaced by dap-2026-0004"),
        ("dap-2026-0004", "renewed"),
    ];
    assert_eq!(standing, expected.map(|(number, standing)| (Some(number), Some(standing))));
}

/// What would be a bug: a time range that is not kept, or an answer about one that is given for another.
#[test]
fn a_time_range_is_data_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let place = running(&declared(dir.path(), "time = \"year\""));
    let range = |range: &'static str| {
        move |p: &mut toml::Table| drop(p["data"][0].as_table_mut().unwrap().insert("time_range".into(), toml(range)))
    };
    permit(&place, "first", &range("x = { until = \"0002-01-01\" }"));
    permit(&place, "later", &range("x = { from = \"0002-01-01\" }"));
    permit(&place, "none", &range("x = { from = \"0009-01-01\" }"));
    let answers = ["permit", "first", "later", "none", "first"].map(|permit| {
        let view = ask(&place, permit, &["--loss", "rho=0.2"]);
        let cells = view["statistics"][0]["estimates"].clone();
        assert!(!cells.is_null(), "{view}");
        (outcome(&view, "north")["answer"].as_str().unwrap().to_owned(), cells.to_string())
    });
    let distinct: std::collections::BTreeSet<_> = answers.iter().collect();
    assert_eq!(distinct.len(), 4, "one question under four time ranges has four answers");
    assert_eq!(answers[1], answers[4], "the same question under the same range is the same");
    assert_eq!(place.spent("north"), "rho=0.8");
}
