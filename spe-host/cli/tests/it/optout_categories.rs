//! Choices about some data only: who refuses one category of it is passed over where that is read, and nowhere else.

use jiff::Timestamp;
use spe_kernel::disclosure::Answer;

use crate::{
    optout::{HOSPITAL, Question, open, optout, people, permit_for},
    place::{DECLARATION, Place, example},
};

/// A second table of the same people, of another category: where each one sings.
const GENES: &str = r#"
[[tables]]
name = "subjects"
category = "f"
key = ["zper"]
columns = [{ name = "coordinate", type = "integer", min = 0, max = 9999 }]
"#;

/// What would be a bug: somebody who refused the use of genetic data whose genetic data a module is given; or who is lost to the use of other
/// data, which was not refused; a return that does not count.
#[test]
fn who_refuses_genetic_data_is_in_what_reads_none() {
    let place = Place::new("rho=1");
    let (header, people) = people();
    let people = &people[..50];
    let rows: String = people.iter().map(|(_, rows)| rows.as_str()).collect();
    std::fs::write(place.path("years.csv"), format!("{header}\n{rows}")).unwrap();
    let songs: String = people.iter().enumerate().map(|(i, (id, _))| format!("{id},{i}\n")).collect();
    std::fs::write(place.path("genes.csv"), format!("zper,coordinate\n{songs}")).unwrap();
    let years = std::fs::read_to_string(example(DECLARATION)).unwrap();
    let years = years.replacen("name = \"years\"\n", "name = \"years\"\ncategory = \"c\"\n", 1);
    assert!(years.contains("category = \"c\""), "the declaration has another shape");
    std::fs::write(place.path("both.toml"), format!("{years}\n{GENES}")).unwrap();
    place.ok(&["hub", "invite", "hub", "--node", "north", "--out", "invitation"]);
    let body = &place.access_body;
    place.ok(&["node", "init", "north", "--connection", "invitation", "--access-body", body, "--unmeasured"]);
    let tables = ["--table", "years=years.csv", "--table", "subjects=genes.csv"];
    place.ok(&[&["data", "ingest", "north", "--declaration", "both.toml", "--budget", "rho=1"], &tables[..]].concat());

    let ada = people[7].0.as_str();
    optout(&place, "north", "add", &["--id", ada, "--category", "f", "--category", "g"]);
    let shown = optout(&place, "north", "show", &["--id", ada]);
    assert_eq!(
        (&shown["entries"][0]["scope"], &shown["left_out_of"][1]),
        (&"everything:f,g".into(), &"policymaking:f,g".into())
    );
    permit_for(&place, "after", Timestamp::now(), &["b"], &["subjects.coordinate"]);
    let site = open(&place, "north");
    let ask = |module, permit| Question { module, permit, ..HOSPITAL }.answer(&place, &site);
    let silent = |answer: &Answer| (0..50).filter(|i| answer.outputs[0].cells.0[*i] == 0).collect::<Vec<_>>();
    let (care, genes) = (ask("hospital-use", "after"), ask("bench-canary", "after"));
    assert_eq!(care.outputs[0].cells.0[0] >> 20, 50, "a choice about genetic data took somebody out of other data");
    assert_eq!(silent(&genes), [7], "whoever refused it was read, or somebody else was not");
    assert_ne!(care.snapshot, genes.snapshot, "two cohorts under one digest");

    // The operator computes both digests that stand in the answers.
    let verified = |table: &[&str]| {
        let verified = optout(&place, "north", "verify", &[&["--permit", "after.json"], table].concat());
        verified["cohorts"][0]["snapshot_in_answers"].as_str().unwrap().to_owned()
    };
    assert_eq!(verified(&["--table", "years"]), care.snapshot.to_string());
    assert_eq!(verified(&["--table", "subjects"]), genes.snapshot.to_string());
    assert_eq!(verified(&[]), genes.snapshot.to_string());

    optout(&place, "north", "withdraw", &["--id", ada, "--category", "f"]);
    permit_for(&place, "later", Timestamp::now(), &["b"], &["subjects.coordinate"]);
    assert_eq!(silent(&ask("bench-canary", "later")), [0; 0], "who came back is still left out");
    let args = ["node", "optout", "add", "north", "--dataset", "rand-hie", "--id", ada, "--category", "z"];
    let (_, message) = place.fails(&args);
    assert!(message.contains("a to q"), "{message}");
}
