//! Every kind of statistic, rounds and blocks, over three nodes, against what the public file says exactly.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::place::{Place, example, module, outcome};

/// Three nodes with all that may be asked: two of the six sites each, and no δ in the budget of the last.
fn place() -> Place {
    let mut place = Place::new("rho=20,delta=0.00001");
    for (node, sites, budget) in [
        ("north", "site in (\"1\", \"2\")", "rho=20,delta=0.00001"),
        ("middle", "site in (\"3\", \"4\")", "rho=20,delta=0.00001"),
        ("south", "site in (\"5\", \"6\")", "rho=20"),
    ] {
        place.node(node, sites, budget);
        place.policy(node, "\"rho=0.5\"", "\"rho=5,delta=0.00001\"");
    }
    place.start_all(&["north", "middle", "south"]);
    place
}

/// A person of the public file.
struct Person {
    /// Of the first year, as are `age` and `first_visits`.
    coinsurance: String,
    female: bool,
    age: f64,
    first_visits: u32,
    /// Mean visits a year.
    visits: f64,
    /// Years until the middle of the one with the first admission, or of the last.
    time: f64,
    admitted: bool,
    /// Of the first year: chronic diseases and mental health.
    health: [f64; 2],
}

/// The coefficients of `regression`, in the order of [`Person::inputs`].
const INPUTS: [&str; 6] = ["intercept", "age", "female", "coinsurance", "chronic_disease", "mental_health"];

impl Person {
    /// What `regression` makes of a person's first year.
    fn inputs(&self) -> [f64; 6] {
        let unit = |number: f64, middle: f64, half_width: f64| ((number - middle) / half_width).clamp(-1.0, 1.0);
        let (coinsurance, [diseases, mental]) = (self.coinsurance.parse().unwrap(), self.health);
        let sex = if self.female { 1.0 } else { -1.0 };
        [
            1.0,
            unit(self.age, 30.0, 30.0),
            sex,
            unit(coinsurance, 50.0, 50.0),
            unit(diseases, 10.0, 10.0),
            unit(mental, 75.0, 25.0),
        ]
    }
}

fn people() -> Vec<Person> {
    let mut reader = csv::Reader::from_path(example("examples/data/randhie.csv")).unwrap();
    let header = reader.headers().unwrap().clone();
    let at = |name: &str| header.iter().position(|h| h == name).unwrap();
    let columns = ["zper", "year", "coins", "female", "xage", "mdvis", "totadm", "disea", "mhi"].map(at);
    let mut rows: BTreeMap<String, Vec<[String; 9]>> = BTreeMap::new();
    for record in reader.records().map(Result::unwrap) {
        let row = columns.map(|c| record[c].to_owned());
        rows.entry(row[0].clone()).or_default().push(row);
    }
    rows.into_values()
        .map(|mut years| {
            years.sort_by_key(|row| row[1].parse::<u32>().unwrap());
            let number = |row: &[String; 9], c: usize| row[c].parse::<f64>().unwrap();
            let first = &years[0];
            let admitted = years.iter().position(|row| number(row, 6) > 0.0);
            Person {
                coinsurance: first[2].clone(),
                female: number(first, 3) > 0.0,
                age: number(first, 4),
                visits: years.iter().map(|row| number(row, 5)).sum::<f64>() / years.len() as f64,
                time: admitted.unwrap_or(years.len() - 1) as f64 + 0.5,
                admitted: admitted.is_some(),
                first_visits: number(first, 5) as u32,
                health: [number(first, 7), number(first, 8)],
            }
        })
        .collect()
}

fn estimates<'a>(view: &'a Value, output: &str) -> &'a Vec<Value> {
    let found = view["statistics"].as_array().unwrap().iter().find(|s| s["name"] == output);
    found.unwrap_or_else(|| panic!("no {output} in {view}"))["estimates"].as_array().unwrap()
}

fn parameter(view: &Value, name: &str) -> f64 {
    let all = view["parameters"].as_array().unwrap();
    all.iter().find(|p| p["name"] == name).unwrap()["value"].as_f64().unwrap()
}

/// An estimate is right if what is true is within three times its interval: six standard deviations of the noise.
fn near(view: &Value, output: &str, label: &str, truth: f64) {
    let all = estimates(view, output);
    let Some(estimate) = all.iter().find(|e| e["label"] == label) else { panic!("no {label:?} in {all:?}") };
    let [value, low, high] = ["value", "low", "high"].map(|field| estimate[field].as_f64().unwrap());
    assert!(low <= value && value <= high, "{estimate}");
    let (below, above) = (value - 3.0 * (value - low) - 1e-9, value + 3.0 * (high - value) + 1e-9);
    assert!((below..=above).contains(&truth), "{output} {label}: {estimate} is far from {truth}");
}

#[test]
fn distributions_survival_and_crosses_are_near_the_truth() {
    let place = place();
    let view = place.ask_module(&module("visits-distribution"), "rho=3", &[]);
    assert_eq!(view["answered"], 3, "{view}");
    let people = people();
    let clamped: Vec<f64> = people.iter().map(|p| p.visits.min(20.0)).collect();
    let n = clamped.len() as f64;
    let mean = clamped.iter().sum::<f64>() / n;
    let variance = clamped.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n;
    near(&view, "visits", "mean", mean);
    near(&view, "visits", "variance", variance);
    near(&view, "visits", "standard deviation", variance.sqrt());
    let mut sorted = clamped;
    sorted.sort_by(f64::total_cmp);
    for (label, at) in [("25 %", 0.25), ("50 %", 0.5), ("75 %", 0.75), ("90 %", 0.9)] {
        near(&view, "visits_quantiles", label, sorted[(at * n) as usize]);
    }
    let count = |test: &dyn Fn(&Person) -> bool| people.iter().filter(|p| test(p)).count() as f64;
    near(&view, "visits_bands", "2–3", count(&|p| (2.0..3.0).contains(&p.visits)));
    near(&view, "people", "95 · female", count(&|p| p.coinsurance == "95" && p.female));
    let group = |p: &&Person| p.coinsurance == "0" && (18.0..40.0).contains(&p.age);
    let visits: Vec<f64> = people.iter().filter(group).map(|p| p.visits.min(20.0)).collect();
    near(&view, "visits_by_coinsurance_and_age", "0 · 18–40", visits.iter().sum::<f64>() / visits.len() as f64);
    let mut survival = 1.0;
    for (label, start) in [("1", 0.0), ("2", 1.0), ("3", 2.0), ("4", 3.0), ("5", 4.0)] {
        let at_risk = count(&|p| p.time >= start);
        survival *= 1.0 - count(&|p| p.admitted && (start..start + 1.0).contains(&p.time)) / at_risk;
        near(&view, "until_admission", label, survival);
    }
    // The page shows a curve for survival, bars for the rest.
    let job = view["job"].as_str().unwrap();
    place.ok(&["job", "result", job, "--as", "researcher", "--page", "page.html"]);
    let page = std::fs::read_to_string(place.path("page.html")).unwrap();
    assert!(page.contains("class=curve") && page.contains("class=band") && page.contains("discrete Gaussian"));
    // Small groups are not shown, as the plan says: nobody is in a group of "other" coinsurance.
    let few = place.ask_module(&module("visits-distribution"), "rho=3", &["--suppress-below", "40"]);
    let hidden = estimates(&few, "people").iter().find(|e| e["label"] == "other · female").unwrap();
    assert_eq!((hidden["suppressed"].as_bool(), hidden["value"].as_f64()), (Some(true), Some(0.0)), "{hidden}");
}

#[test]
fn a_regression_and_a_clustering_run_in_rounds_and_are_charged_once() {
    let place = place();
    let logistic = ["--param", "family=1", "--rounds", "12"];
    let expected = place.ask_module(&module("regression"), "rho=4.8", &[&logistic[..], &["--dry-run"]].concat());
    assert_eq!((expected["rounds"].as_u64(), expected["outputs"][0]["loss"].as_str()), (Some(12), Some("rho=0.4")));
    let view = place.ask_module(&module("regression"), "rho=4.8", &logistic);
    assert_eq!((view["state"].as_str(), view["answered"].as_u64()), (Some("complete"), Some(3)), "{view}");
    assert_eq!((view["rounds"]["done"].as_u64(), view["rounds"]["of"].as_u64()), (Some(12), Some(12)));
    for node in ["north", "middle", "south"] {
        assert_eq!(place.spent(node), "rho=4.8", "all rounds are charged once, before the first");
    }
    assert!((5_000.0..6_500.0).contains(&parameter(&view, "people")), "{view}");
    assert!(parameter(&view, "coinsurance") < 0.0, "who pays a share is admitted less often: {}", view["parameters"]);
    assert!(parameter(&view, "chronic_disease") > 0.0, "who has more diseases is admitted more often");

    // The same question again: the same rounds, free.
    let again = place.ask_module(&module("regression"), "rho=4.8", &logistic);
    assert_eq!(again["parameters"], view["parameters"], "the same question has another answer");
    assert_eq!(place.spent("north"), "rho=4.8", "the same question was charged twice");

    let clusters = place.ask_module(&module("kmeans"), "rho=0.7", &[]);
    assert_eq!(clusters["rounds"]["done"], 7, "{clusters}");
    let people: f64 = (1..=4).map(|i| parameter(&clusters, &format!("people_{i}"))).sum();
    assert!((5_000.0..6_500.0).contains(&people), "{}", clusters["parameters"]);
    for i in 1..=4 {
        assert!((0.0..=65.0).contains(&parameter(&clusters, &format!("age_{i}"))), "{}", clusters["parameters"]);
    }

    // What a certificate says of it.
    let job = clusters["job"].as_str().unwrap();
    let certificate = place.ok(&["job", "certificate", job, "--as", "researcher", "--out", "certificate.json"]);
    let written: Value = serde_json::from_slice(&std::fs::read(place.path("certificate.json")).unwrap()).unwrap();
    assert_eq!(written["participants"], certificate["participants"]);
    let participants = certificate["participants"].as_array().unwrap();
    assert_eq!(participants.len(), 3);
    for participant in participants {
        assert_eq!(participant["answers"].as_object().unwrap().len(), 7, "one signed answer for each round");
        assert_eq!(participant["ledger"]["before"], "rho=4.8");
        assert_eq!(participant["ledger"]["after"], "rho=5.5");
    }
    assert_eq!(certificate["question"]["plan_digest"], clusters["plan"]);
    assert_eq!(certificate["cost"]["neighbours"], "add-or-remove-one-subject");
    assert_eq!(certificate["cost"]["epsilon"].as_array().unwrap().len(), 2);
    assert_eq!(certificate["outputs"][0]["sensitivity_grid_steps"], 1 << 20, "vectors are clipped to norm 1");
    assert_eq!(certificate["parameters"], clusters["parameters"]);
}

/// At the coefficients of a linear or a Poisson regression, what is expected less what was is on the mean 0 times each input. What would be
/// a bug: coefficients of other people than the public file's, of another family, or that noise or too few rounds keep away from there.
#[test]
fn linear_and_poisson_regressions_leave_nothing_over_that_goes_with_an_input() {
    let place = place();
    let people = people();
    let families: [(&str, fn(f64) -> f64); 2] = [("family=0", |eta| eta), ("family=2", f64::exp)];
    for (family, mean) in families {
        let view = place.ask_module(&module("regression"), "rho=4.8", &["--param", family, "--rounds", "20"]);
        assert_eq!((view["answered"].as_u64(), view["rounds"]["done"].as_u64()), (Some(3), Some(20)), "{view}");
        let coefficients = INPUTS.map(|name| parameter(&view, name));
        let mut left_over = [0.0; 6];
        for person in &people {
            let inputs = person.inputs();
            let predictor: f64 = inputs.iter().zip(coefficients).map(|(input, weight)| input * weight).sum();
            let error = mean(predictor) - person.visits.min(20.0);
            left_over.iter_mut().zip(inputs).for_each(|(sum, input)| *sum += error * input / people.len() as f64);
        }
        // Without noise, 20 rounds come as near as 0.011 visits.
        assert!(left_over.iter().all(|left| left.abs() < 0.05), "{family}: {coefficients:?} leave over {left_over:?}");
        let [_, _, _, coinsurance, diseases, _] = coefficients;
        assert!(coinsurance < 0.0 && diseases > 0.0, "{family}: {coefficients:?}");
    }
    assert_eq!(place.spent("south"), "rho=9.6");
}

/// Another digit in place of the first after each `before`, in the bytes of a file; how many there were.
fn forge(file: &std::path::Path, before: &[u8]) -> usize {
    let mut bytes = std::fs::read(file).unwrap();
    let places: Vec<_> =
        bytes.windows(before.len()).enumerate().filter(|(_, w)| *w == before).map(|(at, _)| at).collect();
    for at in &places {
        let digit = bytes[at + before.len()..].iter_mut().find(|b| b.is_ascii_digit()).unwrap();
        *digit = if *digit == b'1' { b'2' } else { b'1' };
    }
    std::fs::write(file, bytes).unwrap();
    places.len()
}

/// What would be a bug: a hub whose word is taken for what the rounds came to.
#[test]
fn a_hub_that_shows_what_the_rounds_did_not_come_to_is_found_out() {
    let mut place = Place::new("rho=2");
    place.node("north", "site = \"1\"", "rho=2");
    place.start_all(&["north"]);
    let view = place.ask_module(&module("kmeans"), "rho=0.1", &["--rounds", "2"]);
    let job = view["job"].as_str().unwrap();
    let kept = |ending: &str| place.path(&format!("researcher/jobs/{job}.{ending}"));
    // Without the module nothing can be computed again, and nothing is believed.
    let wasm = std::fs::read(kept("wasm")).unwrap();
    std::fs::remove_file(kept("wasm")).unwrap();
    let (_, message) = place.fails(&["job", "result", job, "--as", "researcher"]);
    assert!(message.contains("computed again") && message.contains("wasm"), "{message}");
    // Nor does another module do.
    std::fs::copy(module("regression"), kept("wasm")).unwrap();
    place.fails(&["job", "result", job, "--as", "researcher"]);
    std::fs::write(kept("wasm"), wasm).unwrap();
    assert_eq!(place.ok(&["job", "result", job, "--as", "researcher"])["parameters"], view["parameters"]);
    // The hub's keeper changes the last state, which no node signs.
    place.stop("hub");
    assert!(forge(&place.path("hub/hub.sqlite"), b"\"state\":[") > 0, "the last state is not where it was");
    place.start_hub();
    place.wait_online(1);
    let (_, message) = place.fails(&["job", "result", job, "--as", "researcher"]);
    assert!(message.contains("other parameters"), "{message}");
}

#[test]
fn a_mean_over_blocks_is_near_the_truth() {
    let place = place();
    let view = place.ask_module(&module("visits-slope"), "rho=2", &[]);
    assert_eq!(view["answered"], 3, "{view}");
    // Blocks are few people each, so that this is about the sign and the size.
    let all = estimates(&view, "visits");
    let value = |label: &str| all.iter().find(|e| e["label"] == label).unwrap()["value"].as_f64().unwrap();
    assert!((2.0..4.5).contains(&value("without_coinsurance")), "{all:?}");
    assert!((-3.0..0.5).contains(&value("slope")), "{all:?}");
}

#[test]
fn keys_cost_a_delta_that_a_node_may_not_have() {
    let place = place();
    let asked = "rho=0.5,delta=0.000001";
    let view = place.ask_module(&module("first-year-visits"), asked, &[]);
    assert_eq!(view["answered"], 2, "{view}");
    let refused = outcome(&view, "south");
    assert_eq!(refused["why"]["refusal"], "delta-not-allowed", "a budget without δ let keys through: {refused}");
    assert_eq!(place.spent("south"), "rho=0");
    assert_eq!(place.spent("north"), asked);
    let keys = estimates(&view, "visits");
    let people = people();
    assert!(keys.iter().any(|e| e["label"] == "0") && keys.len() < 77, "{keys:?}");
    for key in keys {
        let visits: u32 = key["label"].as_str().unwrap().parse().unwrap();
        let truth = people.iter().filter(|p| p.first_visits == visits).count();
        assert!(truth > 1, "a key that one person has was released: one time in a million");
    }
    let without = place.run(&[
        "job",
        "submit",
        &module("first-year-visits"),
        "--as",
        "researcher",
        "--permit",
        "permit.json",
        "--dataset",
        "rand-hie",
        "--purpose",
        "policymaking",
        "--loss",
        "rho=0.5",
    ]);
    let message = String::from_utf8(without.stderr).unwrap();
    assert!(message.contains("delta"), "keys without a δ: {message}");
    let expected = place.ask_module(&module("first-year-visits"), asked, &["--dry-run"]);
    assert!(expected["outputs"][0]["threshold"].as_f64().unwrap() > 3.0, "{expected}");
    assert_eq!(expected["nodes"], 2, "who would refuse is known before: {expected}");
    assert_eq!(expected["refusals"][0]["why"], refused["why"]);
}
