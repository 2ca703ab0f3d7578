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
