//! Manifests and plans that must be refused, and say why.

use proptest::prelude::*;
use serde_json::{Value, json};
use spe_kernel::{
    manifest::Manifest,
    plan::{Choices, Plan},
};

use crate::fixture::{loss, manifest, manifest_json, module, plan, schema};

fn refused(change: impl FnOnce(&mut Value)) -> String {
    let mut json = manifest_json();
    change(&mut json);
    match Manifest::parse(&serde_json::to_vec(&json).unwrap()) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("accepted: {json}"),
    }
}

#[test]
fn a_bad_manifest_is_named() {
    assert!(refused(|m| m["abi"] = json!(2)).contains("\"abi\" is 2"));
    assert!(refused(|m| m["surprise"] = json!(1)).contains("surprise"));
    assert!(refused(|m| m["outputs"] = json!([])).contains("outputs"));
    assert!(refused(|m| m["outputs"][1]["lower"] = json!(30.0)).contains("bounds"));
    assert!(refused(|m| m["outputs"][1]["upper"] = json!(1e300)).contains("bounds"));
    assert!(refused(|m| m["outputs"][1]["kind"] = json!("median")).contains("median"));
    assert!(refused(|m| m["outputs"][1]["categories"] = json!(["a", "a"])).contains("distinct"));
    assert!(refused(|m| m["outputs"][1]["categories"] = json!(["other"])).contains("other"));
    assert!(refused(|m| m["outputs"][0]["categories"] = json!(["a"])).contains("takes no such field"));
    assert!(refused(|m| m["outputs"][1]["name"] = json!("people")).contains("same name"));
    assert!(refused(|m| m["outputs"][1]["default"] = json!([1.0])).contains("default"));
    assert!(refused(|m| m["inputs"][0]["max_rows"] = json!(0)).contains("max_rows"));
    assert!(refused(|m| m["inputs"][0]["columns"] = json!(["days", "days"])).contains("distinct"));
    assert!(refused(|m| m["params"][0]["default"] = json!(11.0)).contains("floor"));
    assert!(Manifest::parse(&vec![b' '; 70_000]).is_err());
    assert!(Manifest::parse(b"{").is_err());
}

/// Fields that would make a sensitivity, a size or a meaning other than the guest ABI says.
#[test]
fn a_bad_output_is_named() {
    let output = |output: Value| refused(|m| m["outputs"] = json!([output]));
    let edges = |edges: Value| output(json!({"name": "o", "kind": "survival", "edges": edges}));
    assert!(edges(json!([1, 2])).contains("start at 0"));
    assert!(edges(json!([0, 2, 2])).contains("increasing") && edges(json!([0])).contains("increasing"));
    assert!(edges(json!([0, 1e300])).contains("within"));
    let quantiles =
        |edges: Value, at: Value| output(json!({"name": "o", "kind": "quantiles", "edges": edges, "quantiles": at}));
    assert!(quantiles(json!([0, 1]), json!([1.0])).contains("between 0 and 1"));
    assert!(quantiles(json!([0, 1]), json!([])).contains("between 0 and 1"));
    let vector =
        |labels: Value, norm: f64| output(json!({"name": "o", "kind": "vector_sum", "labels": labels, "norm": norm}));
    assert!(vector(json!(0), 1.0).contains("labels") && vector(json!(16_385), 1.0).contains("labels"));
    assert!(vector(json!(["u", "v", "u"]), 1.0).contains("\"u\" is there twice"));
    assert!(vector(json!(2), 0.0).contains("norm") && vector(json!(["u"]), 1e300).contains("norm"));
    let histogram = json!({"name": "o", "kind": "histogram", "categories": ["a"]});
    let with = |field: &str, value: Value| {
        let mut histogram = histogram.clone();
        histogram[field] = value;
        output(histogram)
    };
    assert!(
        with("per_subject", json!(0)).contains("per_subject") && with("per_subject", json!(65)).contains("per_subject")
    );
    assert!(with("edges", json!([0, 1])).contains("either"));
    assert!(with("groups", json!([{"name": "age", "edges": [0, 1]}])).contains("stands alone"));
    assert!(with("norm", json!(1)).contains("takes no such field"));
    assert!(with("default", json!([0, 0])).contains("default"));
    let axes = |count: usize| vec![json!({"name": "x", "edges": [0, 1]}); count];
    assert!(output(json!({"name": "o", "kind": "grouped_count", "groups": axes(5)})).contains("1 to 4 axes"));
    let named = |a: &str, b: &str| json!([{"name": "x", "categories": [a, b]}, {"name": "y", "categories": ["c"]}]);
    let cross = |groups: Value| output(json!({"name": "o", "kind": "grouped_count", "groups": groups}));
    assert!(cross(named("a", "a")).contains("\"a\" is there twice"));
    assert!(cross(named("a", "a · b")).contains("stands between"), "two groups of a cross could have one name");
    assert!(output(json!({"name": "o", "kind": "keys"})).contains("released_max"));
    assert!(output(json!({"name": "o", "kind": "keys", "released_max": 8_193})).contains("released_max"));
}

/// A block is not a person: a count of blocks, or a mean over people as if they were blocks, would be another statistic at another
/// sensitivity.
#[test]
fn blocks_and_people_do_not_mix() {
    let coordinate = json!({"name": "u", "lower": 0, "upper": 1});
    let mean = json!({"name": "o", "kind": "block_mean", "coordinates": [coordinate]});
    let twice = json!([{"name": "o", "kind": "block_mean", "coordinates": [coordinate, coordinate]}]);
    assert!(refused(|m| m["outputs"] = twice).contains("\"u\" is there twice"));
    assert!(refused(|m| m["unit"] = json!({"blocks": 9})).contains("every output is a block_mean"));
    assert!(refused(|m| m["outputs"] = json!([mean])).contains("block_mean needs"));
    let blocks = |count: u64| {
        refused(|m| {
            m["outputs"] = json!([mean]);
            m["unit"] = json!({"blocks": count});
        })
    };
    assert!(blocks(1).contains("2 to 65536") && blocks(65_537).contains("2 to 65536"));
}

#[test]
fn bad_rounds_are_named() {
    let rounds = |rounds: Value| refused(|m| m["rounds"] = rounds);
    assert!(rounds(json!({"default": 3, "max": 2, "state": ["w"]})).contains("default <= max"));
    assert!(rounds(json!({"default": 1, "max": 1_001, "state": ["w"]})).contains("max <= 1000"));
    assert!(rounds(json!({"default": 1, "max": 1, "state": ["w", "w"]})).contains("distinct"));
    assert!(rounds(json!({"default": 1, "max": 1, "state": []})).contains("distinct"));
    let keys = json!([{"name": "o", "kind": "keys", "released_max": 1}]);
    let keyed = refused(|m| (m["outputs"], m["rounds"]) = (keys, json!({"default": 1, "max": 1, "state": ["w"]})));
    assert!(keyed.contains("cannot be used with rounds"), "its cells are not sums: {keyed}");
}

#[test]
fn a_parameter_outside_its_range_is_named() {
    let ask = |name: &str, value: f64| {
        let mut choices = Choices::new(loss("rho=0.1"));
        choices.params.insert(name.into(), value);
        Plan::new(&manifest(), module(), &schema(), &choices)
    };
    assert!(ask("floor", 10.0).is_ok());
    assert!(ask("floor", 10.5).unwrap_err().to_string().contains("floor"));
    assert!(ask("floor", f64::NAN).is_err());
    assert!(ask("roof", 1.0).unwrap_err().to_string().contains("roof"));
}

#[test]
fn a_plans_identity_is_everything_that_matters() {
    let first = plan("rho=0.1", 0);
    assert_eq!(first.digest(), plan("rho=0.1", 0).digest());
    assert_ne!(first.digest(), plan("rho=0.1", 1).digest());
    assert_ne!(first.digest(), plan("rho=0.2", 0).digest(), "a more accurate answer would be free");
    let again: Plan = serde_json::from_slice(&serde_json::to_vec(&first).unwrap()).unwrap();
    assert_eq!(again.digest(), first.digest(), "a plan that travels would lose its identity");
}

#[test]
fn a_plan_from_outside_is_held_to_the_same_limits() {
    let refused = |change: &dyn Fn(&mut Value)| {
        let mut raw = serde_json::to_value(plan("rho=0.1", 0)).unwrap();
        change(&mut raw);
        serde_json::from_value::<Plan>(raw).unwrap_err().to_string()
    };
    assert!(refused(&|p| p["outputs"][0]["grid_bits"] = json!(23)).contains("grid bits"));
    assert!(refused(&|p| p["outputs"][0]["loss"] = json!("rho=0")).contains("loss of 0"));
    assert!(refused(&|p| p["outputs"][0]["loss"] = json!("epsilon=1")).contains("cannot be combined"));
    assert!(refused(&|p| p["outputs"][1]["output"]["lower"] = json!(99.0)).contains("bounds"));
    assert!(refused(&|p| p["overlap"] = json!(0)).contains("overlap"));
    let many: Vec<String> = (0..9_999).map(|i| i.to_string()).collect();
    assert!(
        refused(&|p| {
            let mut wide = p["outputs"][1].clone();
            wide["output"]["categories"] = json!(many);
            let named = |i: usize| {
                let mut output = wide.clone();
                output["output"]["name"] = json!(format!("o{i}"));
                output
            };
            p["outputs"] = (0..5).map(named).collect();
        })
        .contains("cells")
    );
}

/// A plan whose δ, rounds or unit were not its module's would be paid for what is not run.
#[test]
fn a_plan_from_outside_pays_for_what_it_runs() {
    let raw = || serde_json::to_value(plan("rho=0.1", 0)).unwrap();
    let refused = |change: &dyn Fn(&mut Value)| {
        let mut raw = raw();
        change(&mut raw);
        serde_json::from_value::<Plan>(raw).unwrap_err().to_string()
    };
    assert!(refused(&|p| p["outputs"][0]["loss"] = json!("rho=0.1,delta=0.1")).contains("only keys cost a delta"));
    let keys = json!({"name": "people", "kind": "keys", "released_max": 1});
    assert!(refused(&|p| p["outputs"][0]["output"] = keys.clone()).contains("keys cost a delta"));
    assert!(refused(&|p| p["unit"] = json!({"blocks": 9})).contains("block_mean"));
    assert!(refused(&|p| p["rounds"] = json!({"count": 0, "state": ["w"]})).contains("rounds"));
    assert!(refused(&|p| p["rounds"] = json!({"count": 1_001, "state": ["w"]})).contains("rounds"));
    let many = json!({"count": 1_000, "state": ["w"]});
    let dear = refused(&|p| (p["rounds"], p["outputs"][0]["loss"]) = (many.clone(), json!("rho=18446744")));
    assert!(dear.contains("18 million"), "the price of all rounds overflowed: {dear}");
    assert!(
        refused(&|p| (p["overlap"], p["outputs"][0]["loss"]) = (json!(2), json!("rho=18446744")))
            .contains("18 million")
    );
    let mut rounds = raw();
    rounds["rounds"] = json!({"count": 3, "state": ["w"]});
    let plan: Plan = serde_json::from_value(rounds).unwrap();
    assert_eq!(plan.loss(), loss("rho=0.3"), "three rounds at the price of one");
    assert!(plan.fits_manifest(&manifest()).is_err(), "the module has no rounds");
}

/// What a researcher names is the price of the whole job: all outputs and all rounds together never cost more.
#[test]
fn a_named_loss_is_that_of_all_rounds() {
    let mut json = manifest_json();
    json["rounds"] = json!({"default": 7, "max": 9, "state": ["w"]});
    let manifest = Manifest::parse(&serde_json::to_vec(&json).unwrap()).unwrap();
    let mut choices = Choices::new(loss("rho=0.1"));
    let plan = |choices: &Choices| Plan::new(&manifest, module(), &schema(), choices);
    let planned = plan(&choices).unwrap();
    assert!(planned.loss().fits(loss("rho=0.1")) && planned.loss().pico() > 99_999_999_000, "{}", planned.loss());
    assert!(planned.fits_manifest(&manifest).is_ok());
    choices.rounds = Some(10);
    assert!(plan(&choices).unwrap_err().to_string().contains("1 to 9"));
}

#[test]
fn a_module_must_promise_what_the_plan_says() {
    let plan = plan("rho=0.1", 0);
    assert!(plan.fits_manifest(&manifest()).is_ok());
    let mut narrow = manifest_json();
    narrow["outputs"][1]["upper"] = json!(20.0);
    let narrow = Manifest::parse(&serde_json::to_vec(&narrow).unwrap()).unwrap();
    assert!(plan.fits_manifest(&narrow).is_err(), "bounds of the plan and of the module would differ");
}

proptest! {
    #[test]
    fn a_plan_survives_its_journey_with_any_numbers(lower in -1e9..1e9_f64, width in 1e-12..1e-6_f64, param in 0.0..10.0_f64) {
        let mut json = manifest_json();
        json["outputs"][1]["lower"] = json!(lower * 1e-9);
        json["outputs"][1]["upper"] = json!(lower * 1e-9 + width);
        let manifest = Manifest::parse(&serde_json::to_vec(&json).unwrap());
        prop_assume!(manifest.is_ok());
        let mut choices = Choices::new(loss("rho=0.1"));
        choices.params.insert("floor".into(), param);
        let plan = Plan::new(&manifest.unwrap(), module(), &schema(), &choices).unwrap();
        let travelled: Plan = serde_json::from_slice(&serde_json::to_vec(&plan).unwrap()).unwrap();
        prop_assert_eq!(travelled.digest(), plan.digest());
        prop_assert_eq!(travelled, plan);
    }
}

/// A value of each field that an output may have.
fn field(name: &str) -> Value {
    match name {
        "lower" => json!(-1),
        "upper" => json!(2),
        "norm" => json!(1),
        "categories" => json!(["a", "b"]),
        "edges" => json!([0, 1, 2]),
        "groups" => json!([{"name": "x", "edges": [0, 1]}]),
        "per_subject" | "released_max" => json!(3),
        "quantiles" => json!([0.5]),
        "labels" => json!(["a", "b", "c"]),
        "text" => json!(true),
        "coordinates" => json!([{"name": "x", "lower": 0, "upper": 1}, {"name": "y", "lower": 0, "upper": 1}]),
        other => panic!("docs/guest-guide.md names a field {other:?}"),
    }
}

/// The manifest of one output of these fields; blocks are needed where a block's mean is asked for.
fn with_output(kind: &str, fields: &[&str]) -> Result<Manifest, String> {
    let mut json = manifest_json();
    let mut output = json!({"name": "o", "kind": kind});
    for name in fields {
        output[*name] = field(name);
    }
    if kind == "block_mean" {
        json["unit"] = json!({"blocks": 10});
    }
    json["outputs"] = json!([output]);
    Manifest::parse(&serde_json::to_vec(&json).unwrap()).map_err(|e| e.to_string())
}

/// What would be a bug: a guide by which no manifest can be written, because a field is missing in it or is none.
#[test]
fn the_guide_names_the_fields_of_every_kind() {
    let guide = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/guest-guide.md");
    let guide = std::fs::read_to_string(guide).unwrap();
    let rows = guide.lines().skip_while(|line| !line.starts_with("| kind | fields |")).skip(2);
    let mut kinds = Vec::new();
    for row in rows.take_while(|line| line.starts_with('|')) {
        let cells: Vec<_> = row.split('|').collect();
        let (kind, fields) = (cells[1].trim_matches([' ', '`']), cells[2]);
        let (alternatives, others): (Vec<_>, Vec<_>) = fields.split(", ").partition(|part| part.contains(" or "));
        let name = |part: &str| part.trim_matches([' ', '`', '[', ']']).to_owned();
        let all: Vec<_> = others.iter().map(|part| name(part)).filter(|n| !n.is_empty()).collect();
        let needed = others.iter().filter(|part| !part.contains('[')).map(|part| name(part)).filter(|n| !n.is_empty());
        let needed: Vec<_> = needed.collect();
        let choices: Vec<_> = alternatives.iter().flat_map(|part| part.split(" or ")).map(name).collect();
        let each: Vec<Option<&String>> =
            if choices.is_empty() { vec![None] } else { choices.iter().map(Some).collect() };
        for choice in each {
            let with = |list: &[String]| -> Result<Manifest, String> {
                let fields: Vec<_> = list.iter().chain(choice).map(String::as_str).collect();
                with_output(kind, &fields)
            };
            with(&all).unwrap_or_else(|why| panic!("{kind} with all its fields: {why}"));
            with(&needed).unwrap_or_else(|why| panic!("{kind} with the fields it needs: {why}"));
            for left_out in 0..needed.len() {
                let mut fewer = needed.clone();
                fewer.remove(left_out);
                assert!(with(&fewer).is_err(), "{kind} does not need {}", needed[left_out]);
            }
        }
        kinds.push(kind);
    }
    let unknown = refused(|m| m["outputs"][0]["kind"] = json!("median"));
    let known = unknown.split_once('(').unwrap().1.split(')').next().unwrap();
    assert_eq!(kinds.join(", "), known);
}
