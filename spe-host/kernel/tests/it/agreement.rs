//! Participation agreements as others read them: the schema of statements, and ODRL.

use std::{fs, path::Path};

use serde_json::{Value, json};
use spe_kernel::{
    Timestamp,
    agreement::{Act, Agreement, AgreementBody, Terms, odrl},
    document::{Document, open, sign},
    dsse::SecretKey,
    ids::Digest,
    refusal::Refusal,
    schema,
};

const TERMS: &[u8] = include_bytes!("../../../../policies/agreement/participation.md");

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The sample's agreement, and how far it has gone.
struct Case {
    agreement: Agreement,
    offer: Digest,
}

fn hub() -> SecretKey {
    SecretKey::from_seed(&[1; 32])
}

fn node() -> SecretKey {
    SecretKey::from_seed(&[2; 32])
}

impl Case {
    fn agreed() -> Self {
        let agreement = Agreement::new("north".parse().unwrap(), hub().public(), node().public());
        let mut case = Self { agreement, offer: Digest::of(b"") };
        let nothing = odrl(&case.agreement, at("2026-07-01T00:00:00Z"));
        assert!(matches!(nothing, Err(Refusal::NotFound { .. })), "an offer alone is no agreement: {nothing:?}");
        let (from, until) = (at("2026-06-01T00:00:00Z"), Some(at("2028-06-01T00:00:00Z")));
        case.offer = case.says(&hub(), 1, Terms::of(TERMS).offered(from, until));
        assert!(odrl(&case.agreement, from).is_err(), "an offer alone is no agreement");
        case.says(&node(), 2, Act::Accept { offer: case.offer });
        case
    }

    fn says(&mut self, by: &SecretKey, number: u32, act: Act) -> Digest {
        let (format, node) = (AgreementBody::FORMAT.into(), "north".parse().unwrap());
        let signed_at = at(&format!("2026-06-{number:02}T09:00:00Z"));
        let stated = open(&sign(&AgreementBody { format, node, number, signed_at, act }, by)).unwrap();
        let digest = stated.digest();
        self.agreement.add(stated).unwrap();
        digest
    }

    fn odrl(&self) -> Value {
        odrl(&self.agreement, at("2026-07-01T00:00:00Z")).unwrap()
    }
}

/// What ODRL 2.2 asks of an Agreement (W3C Recommendation, 2.1 and 2.7): parties, a rule or more, each with action and target, and whole
/// constraints.
fn is_odrl_agreement(policy: &Value) {
    assert_eq!(
        (&policy["@context"][0], &policy["@type"]),
        (&json!("http://www.w3.org/ns/odrl.jsonld"), &json!("Agreement"))
    );
    for field in ["uid", "profile"] {
        assert!(policy[field].as_str().unwrap().starts_with("urn:"), "{field} is no IRI: {policy}");
    }
    for party in ["assigner", "assignee"] {
        assert_eq!(policy[party]["@type"], "Party");
        assert!(policy[party]["uid"].as_str().unwrap().starts_with("urn:spe:key:ed25519:"), "{policy}");
    }
    let rules = policy["permission"].as_array().unwrap();
    assert!(!rules.is_empty(), "an agreement on nothing");
    for rule in rules.iter().chain(rules.iter().flat_map(|rule| rule["duty"].as_array().unwrap())) {
        let action = rule["action"].as_str().or(rule["action"]["@id"].as_str());
        assert!(action.is_some() && rule["target"]["uid"].is_string(), "a rule without action or target: {rule}");
        for constraint in rule["constraint"].as_array().into_iter().flatten() {
            for operand in ["leftOperand", "operator", "rightOperand"] {
                assert!(!constraint[operand].is_null(), "{operand} is missing: {constraint}");
            }
        }
    }
}

/// The ends that a permission has.
fn ends(policy: &Value) -> Vec<String> {
    times(policy, "lt")
}

/// Since when it is permitted.
fn start(policy: &Value) -> String {
    let [start] = times(policy, "gteq").try_into().expect("one");
    start
}

fn times(policy: &Value, operator: &str) -> Vec<String> {
    let all = policy["permission"][0]["constraint"].as_array().unwrap().iter();
    let before = all.filter(|one| one["leftOperand"] == "dateTime" && one["operator"] == operator);
    before.map(|one| one["rightOperand"]["@value"].as_str().unwrap().to_owned()).collect()
}

/// To update the sample: `SPE_UPDATE_GENERATED=1 cargo test --release --workspace --test kernel agreement`.
///
/// What would be a bug: an export that is no ODRL, names other parties, times or terms than were signed, or whose terms cannot be checked
/// with a common tool.
#[test]
fn an_agreement_is_exported_as_odrl_and_the_sample_is_one() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/schemas/odrl/agreement.json");
    let made = serde_json::to_string_pretty(&Case::agreed().odrl()).unwrap() + "\n";
    if std::env::var_os("SPE_UPDATE_GENERATED").is_some() {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, &made).unwrap();
    }
    let kept: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(kept, Case::agreed().odrl(), "run this test with SPE_UPDATE_GENERATED=1");
    is_odrl_agreement(&kept);
    let case = Case::agreed();
    assert_eq!(kept["assigner"]["uid"], format!("urn:spe:key:{}", hub().public()));
    assert_eq!(kept["assignee"]["uid"], format!("urn:spe:key:{}", node().public()));
    assert_eq!(kept["assignee"]["spe:name"], "north");
    assert_eq!(kept["uid"], format!("urn:spe:agreement:{}", case.offer));
    assert_eq!(ends(&kept), ["2028-06-01T00:00:00Z"]);
    let checksum = &kept["permission"][0]["duty"][0]["target"]["spdx:checksum"];
    let sha256 = <sha2::Sha256 as sha2::Digest>::digest(TERMS);
    let hex: String = sha256.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(checksum["spdx:checksumValue"]["@value"], hex, "not what sha256sum prints of the terms");
    let signers: Vec<_> = kept["spe:signature"].as_array().unwrap().iter().map(|one| &one["spe:signer"]).collect();
    assert_eq!(signers, [&kept["assigner"]["uid"], &kept["assignee"]["uid"]], "an agreement has two signatures");
}

/// What would be a bug: an export that permits what a party has taken away, or that tells why, which may be about persons.
#[test]
fn what_is_suspended_or_ended_permits_nothing_from_then_on() {
    let mut case = Case::agreed();
    let offer = case.offer;
    let reason = || "Jane Doe left the keys behind".to_owned();
    case.says(&hub(), 3, Act::Suspend { offer, reason: reason() });
    let suspended = case.odrl();
    is_odrl_agreement(&suspended);
    assert_eq!(suspended["spe:standing"], "suspended");
    assert_eq!(ends(&suspended), ["2028-06-01T00:00:00Z", "2026-06-03T09:00:00Z"], "{suspended}");
    case.says(&hub(), 4, Act::Resume { offer });
    assert_eq!(ends(&case.odrl()), ["2028-06-01T00:00:00Z"], "it was resumed");
    assert_eq!(
        start(&case.odrl()),
        "2026-06-04T09:00:00Z",
        "it says that the use was permitted while it was suspended"
    );
    case.says(&node(), 5, Act::Terminate { offer, reason: reason() });
    let ended = case.odrl();
    assert_eq!(
        (&ended["spe:standing"], ends(&ended).last().unwrap().as_str()),
        (&json!("terminated"), "2026-06-05T09:00:00Z")
    );
    assert!(!suspended.to_string().contains("Jane") && !ended.to_string().contains("Jane"), "the reason is exported");
    // Other terms take their place once they are accepted.
    let second = case.says(&hub(), 6, Terms::of(b"others").offered(at("2026-06-06T00:00:00Z"), None));
    assert_eq!(case.odrl()["spe:standing"], "terminated", "an offer alone revived it");
    case.says(&node(), 7, Act::Accept { offer: second });
    let amended = case.odrl();
    assert_eq!(amended["uid"], format!("urn:spe:agreement:{second}"));
    assert_eq!(ends(&amended), Vec::<String>::new(), "it has no end: {amended}");
}

/// What would be a bug: an export that permits something while a party has suspended it, since the other stopped it later.
#[test]
fn a_permission_ends_when_the_first_party_stops_it() {
    let (audit, repairs, end) = ("an audit", "repairs", "an end");
    let suspend = |offer, why: &str| Act::Suspend { offer, reason: why.into() };
    let terminate = |offer, why: &str| Act::Terminate { offer, reason: why.into() };
    // Suspended by one on the 3rd; the other, or the same, suspends on the 10th or ends it on the 20th.
    for (first, second) in [(node(), hub()), (hub(), node()), (node(), node()), (hub(), hub())] {
        let mut case = Case::agreed();
        let offer = case.offer;
        case.says(&first, 3, suspend(offer, repairs));
        case.says(&second, 10, suspend(offer, audit));
        let ends_first = |case: &Case| ends(&case.odrl()).into_iter().min().unwrap();
        assert_eq!(ends_first(&case), "2026-06-03T09:00:00Z", "suspended on the 3rd and the 10th");
        case.says(&second, 20, terminate(offer, end));
        assert_eq!(ends(&case.odrl()), ["2028-06-01T00:00:00Z", "2026-06-03T09:00:00Z"], "and ended on the 20th");
    }
    // Resumed by the one who suspended it first: the other's suspension is in force since the 10th.
    let mut case = Case::agreed();
    let offer = case.offer;
    case.says(&node(), 3, suspend(offer, repairs));
    case.says(&hub(), 10, suspend(offer, audit));
    case.says(&node(), 12, Act::Resume { offer });
    let policy = case.odrl();
    assert_eq!(ends(&policy).last().unwrap(), "2026-06-03T09:00:00Z", "one or the other had suspended it since then");
    assert_eq!(start(&policy), "2026-06-02T09:00:00Z", "it was accepted on the 2nd");
    case.says(&hub(), 14, Act::Resume { offer });
    assert_eq!((start(&case.odrl()).as_str(), ends(&case.odrl()).len()), ("2026-06-14T09:00:00Z", 1));
    // Both stop it anew: the last time in which it was permitted is that since then.
    case.says(&hub(), 20, terminate(offer, end));
    assert_eq!(start(&case.odrl()), "2026-06-14T09:00:00Z");
    assert_eq!(ends(&case.odrl()).last().unwrap(), "2026-06-20T09:00:00Z");
}

/// What would be a bug: an export that permits what was suspended before it was accepted, and never held.
#[test]
fn what_never_held_is_a_prohibition() {
    let mut case = Case::agreed();
    let second = case.says(&hub(), 5, Terms::of(b"others").offered(at("2026-06-05T00:00:00Z"), None));
    case.says(&hub(), 6, Act::Suspend { offer: case.offer, reason: "an audit".into() });
    case.says(&node(), 7, Act::Accept { offer: second });
    let policy = case.odrl();
    assert!(policy.get("permission").is_none() && policy["prohibition"][0]["action"] == "use", "{policy}");
}

/// What would be a bug: a statement of this program that the published schema refuses, or the other way round.
#[test]
fn every_act_is_valid_by_the_schema() {
    let validator = jsonschema::validator_for(&serde_json::from_str(&schema::of::<AgreementBody>()).unwrap()).unwrap();
    let (offer, reason) = (Digest::of(b"offer"), || "why".to_owned());
    let acts = [
        Terms::of(TERMS).offered(at("2026-06-01T00:00:00Z"), None),
        Act::Accept { offer },
        Act::Suspend { offer, reason: reason() },
        Act::Resume { offer },
        Act::Terminate { offer, reason: reason() },
        Act::Countersign { statement: offer },
    ];
    for act in acts {
        let name = act.name();
        let (format, signed_at) = (AgreementBody::FORMAT.into(), at("2026-06-01T00:00:00Z"));
        let body = AgreementBody { format, node: "north".parse().unwrap(), number: 1, signed_at, act };
        let good = serde_json::to_value(&body).unwrap();
        assert!(good["act"].get(name).is_some(), "the act is called {name} and written {good}");
        let wrong: Vec<_> = validator.iter_errors(&good).map(|e| e.to_string()).collect();
        assert!(wrong.is_empty(), "{name}: {wrong:?}");
        let mut bent = good.clone();
        bent["act"][name]["unknown"] = 1.into();
        assert!(!validator.is_valid(&bent), "{name} may say what nobody knows");
    }
}
