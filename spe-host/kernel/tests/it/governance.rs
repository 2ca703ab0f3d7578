//! Applications, decisions, revocations: who may sign what, and what the Regulation refuses.

use jiff::Timestamp;
use serde_json::{Value, json};
use spe_kernel::{
    application::{Application, ApplicationBody},
    decision::{Decision, DecisionBody},
    document,
    dsse::{SecretKey, sign},
    ids::{DatasetName, Digest, NodeName},
    permit::{PermitBody, PermitData},
    refusal::Refusal,
    revocation::{Revocation, RevocationBody},
};

use crate::fixture::{body_key, permit, person_key};

pub fn application() -> Value {
    json!({
        "format": "spe.application/1", "number": "p-1", "article": 68, "submitted_at": "2029-10-01T00:00:00Z",
        "applicant": { "name": "University", "functions": "research", "contact": "x@example.eu" },
        "applicant_body": "private",
        "persons": [{ "name": "ada", "role": "principal-investigator", "key": person_key().public() }],
        "purpose": { "article53": ["e"], "text": "research" },
        "intended_use": { "text": "means", "benefit": "knowledge", "coverage": "EU" },
        "data": [{ "dataset": "care", "category": "a", "columns": ["visits.days"], "format": "table", "pseudonymised": true }],
        "form": { "pseudonymised": true, "justification": "own modules" },
        "safeguards": ["differential privacy"],
        "period": { "from": "2030-01-01T00:00:00Z", "until": "2031-01-01T00:00:00Z", "justification": "a year of work" },
        "tools": { "text": "a module", "modules": "any", "loss_cap": "rho=1",
            "limits": { "fuel_per_subject_max": 1000, "memory_bytes_max": 1000 } },
        "ethics": { "text": "approved", "reference": "EC-1" },
        "prohibited_uses": { "a": false, "b": false, "c": false, "d": false, "e": false },
        "legal_basis": "Art. 6(1)(e) GDPR"
    })
}

fn apply(body: &Value, key: &SecretKey) -> Result<Application, Refusal> {
    Application::verify(&sign("application/vnd.spe.application+json", body.to_string().as_bytes(), key))
}

fn with(at: &str, value: Value) -> Value {
    let mut body = application();
    let (parent, field) = at.rsplit_once('/').unwrap();
    body.pointer_mut(parent).unwrap()[field] = value;
    body
}

/// What would be a bug: an application that the Regulation refuses and a person would have to notice.
#[test]
fn an_application_is_refused_with_the_article() {
    assert!(apply(&application(), &person_key()).is_ok());
    let article = |body: Value| match apply(&body, &person_key()) {
        Err(Refusal::Unlawful { article, .. }) => article,
        other => panic!("{other:?}"),
    };
    for point in ["a", "b", "c", "d", "e"] {
        assert_eq!(article(with(&format!("/prohibited_uses/{point}"), json!(true))), format!("Art. 54({point})"));
    }
    for reserved in ["a", "b", "c"] {
        assert_eq!(article(with("/purpose/article53", json!([reserved]))), "Art. 53(2)");
    }
    assert_eq!(article(with("/purpose/article53", json!([]))), "Art. 53(1)");
    assert_eq!(article(with("/form/justification", json!(null))), "Art. 67(2)(e)");
    assert_eq!(article(with("/legal_basis", json!(" "))), "Art. 67(4)");
    assert_eq!(article(with("/article", json!(69))), "Art. 69");
    let mut unsaid = request();
    unsaid.as_object_mut().unwrap().remove("statistics");
    assert_eq!(article(unsaid), "Art. 69(2)");
    assert!(apply(&request(), &person_key()).is_ok());
}

/// An application for an answer in anonymised statistical form.
fn request() -> Value {
    let mut request = with("/article", json!(69));
    (request["form"]["pseudonymised"], request["data"][0]["pseudonymised"]) = (json!(false), json!(false));
    request["statistics"] = json!("a table");
    request
}

#[test]
fn an_application_answers_every_question_and_is_its_persons() {
    let mut unanswered = application();
    unanswered["prohibited_uses"].as_object_mut().unwrap().remove("c");
    assert!(matches!(apply(&unanswered, &person_key()), Err(Refusal::Malformed { .. })), "an attestation was left out");
    for (at, value) in [
        ("/purpose/article53", json!(["g"])),
        ("/period/until", json!("2030-01-01T00:00:00Z")),
        ("/data", json!([])),
        ("/safeguards", json!([])),
        ("/persons", json!([])),
        ("/statistics", json!("a table")),
        ("/form/pseudonymised", json!(false)),
        ("/unknown", json!(1)),
    ] {
        assert!(matches!(apply(&with(at, value), &person_key()), Err(Refusal::Malformed { .. })), "{at}");
    }
    assert!(matches!(apply(&application(), &body_key()), Err(Refusal::Malformed { .. })), "signed by a stranger");
}

fn decision(outcome: Value) -> Value {
    let digest = apply(&application(), &person_key()).unwrap().digest();
    json!({
        "format": "spe.decision/1", "application": "p-1", "application_digest": digest, "part": [{ "dataset": "care" }],
        "issuer": "Body", "decided_by": "an officer", "decided_at": "2029-12-01T00:00:00Z", "outcome": outcome
    })
}

fn decide(body: Value) -> Result<Decision, Refusal> {
    let body: DecisionBody = serde_json::from_value(body).unwrap();
    Decision::verify(&document::sign(&body, &body_key()), &[body_key().public()])
}

/// What would be a bug: a decision that is taken for one on another application, or for one that gives another permit.
#[test]
fn a_decision_is_on_one_application_and_gives_one_permit() {
    let given = permit().sign(&body_key());
    let digest = document::open::<PermitBody>(&given).unwrap().digest();
    let asked = apply(&application(), &person_key()).unwrap();
    let positive = decide(decision(json!({ "positive": { "permit": digest } }))).unwrap();
    assert!(positive.is_positive() && positive.answers(&asked).is_ok());
    assert_eq!(positive.gives(Some(&given)).unwrap().unwrap().digest(), digest);
    assert!(positive.gives(None).is_err(), "a positive decision without its permit");
    let forged = permit().sign(&person_key());
    assert!(positive.gives(Some(&forged)).is_err(), "the same text, signed by another than who decided");
    let other = apply(&with("/purpose/text", json!("something else")), &person_key()).unwrap();
    assert!(positive.answers(&other).is_err(), "the application was changed after the decision");
    let elsewhere = decide(decision(json!({ "positive": { "permit": Digest::of(b"another") } }))).unwrap();
    assert!(elsewhere.gives(Some(&given)).is_err());
    let changed = |at: &str, value: Value| {
        let mut changed = decision(json!({ "positive": { "permit": digest } }));
        changed[at] = value;
        decide(changed).unwrap()
    };
    let stray = changed("part", json!([{ "dataset": "other" }]));
    assert!(stray.answers(&asked).is_err(), "nobody asked for that dataset");
    let renumbered = changed("application", json!("p-2"));
    assert!(renumbered.answers(&asked).is_err(), "it names another application than its digest");
    assert!(renumbered.gives(Some(&given)).is_err(), "its permit is for another application");
    let at_north = apply(&with("/data/0/nodes", json!(["north"])), &person_key()).unwrap();
    let decided_at = |node: &str| {
        let mut decided = decision(json!({ "positive": { "permit": digest } }));
        decided["application_digest"] = json!(at_north.digest());
        decided["part"] = json!([{ "dataset": "care", "nodes": [node] }]);
        decide(decided).unwrap().answers(&at_north)
    };
    assert_eq!(decided_at("north"), Ok(()));
    assert!(decided_at("south").is_err(), "nobody asked for the data of that node");
    let reasons = json!([{ "article": "Art. 66(3)", "text": "not needed" }]);
    let negative = decide(decision(json!({ "negative": { "reasons": reasons, "offers_answer": true } }))).unwrap();
    assert!(!negative.is_positive() && negative.answers(&asked).is_ok());
    assert!(negative.gives(None).unwrap().is_none() && negative.gives(Some(&given)).is_err());
    let asked = apply(&request(), &person_key()).unwrap();
    let mut offer = decision(json!({ "negative": { "reasons": reasons, "offers_answer": true } }));
    offer["application_digest"] = json!(asked.digest());
    let refused = decide(offer).unwrap().answers(&asked).err().map(|why| why.to_string());
    assert!(refused.is_some_and(|why| why.contains("Art. 68(3)")), "what was asked for is offered instead of itself");
}

/// What would be a bug: a permit that a node answers under though its part was refused or not decided, or a part that is granted by a permit
/// which does not cover it.
#[test]
fn a_permit_holds_where_it_was_decided_and_nowhere_else() {
    let parts: [(NodeName, DatasetName); 2] = ["north", "south"].map(|n| (n.parse().unwrap(), "care".parse().unwrap()));
    // The nodes that the decision names, those that the permit names, and how many the application went to.
    let judge = |decided: &[&str], permitted: &[&str], went_to: usize| {
        let mut body = permit();
        body.data[0].nodes = permitted.iter().map(|node| node.parse().unwrap()).collect();
        let mut decision = decision(json!({ "positive": { "permit": Digest::of(b"p") } }));
        decision["part"] = json!([{ "dataset": "care", "nodes": decided }]);
        let pairs = parts[..went_to].iter().map(|(node, dataset)| (node, dataset));
        decide(decision).unwrap().confines(&body, pairs).map_err(|why| why.to_string())
    };
    for (decided, permitted, went_to) in [
        (&["north"][..], &["north"][..], 2),
        (&["north", "south"], &["south", "north"], 2),
        (&[], &["north", "south"], 2),
    ] {
        assert_eq!(judge(decided, permitted, went_to), Ok(()), "{decided:?} by a permit for {permitted:?}");
    }
    let refused = |decided, permitted| judge(decided, permitted, 2).expect_err("it is wider, or narrower");
    let nowhere = judge(&[], &[], 0).expect_err("nobody has that dataset");
    assert!(nowhere.contains("on which it does not decide"), "{nowhere}");
    let everywhere = refused(&[], &[]);
    assert!(everywhere.contains("joins later") && everywhere.contains("[\"north\", \"south\"]"), "{everywhere}");
    let open = refused(&["north"], &[]);
    assert!(open.contains("nodes = [\"north\"]") && open.contains("Art. 68(5)"), "{open}");
    let stray = refused(&["north"], &["north", "south"]);
    assert!(stray.contains("node south for dataset care") && stray.contains("leave south out"), "{stray}");
    let narrow = refused(&["north", "south"], &["north"]);
    assert!(narrow.contains("at node south"), "{narrow}");
}

/// What would be a bug: a decision on one dataset that lets a permit hold for another at the same node, or a part that is granted by a permit for
/// another dataset.
#[test]
fn a_permit_holds_for_the_datasets_that_were_decided() {
    let parts: Vec<(NodeName, DatasetName)> = [("north", "care"), ("north", "labs"), ("south", "labs")]
        .map(|(node, dataset)| (node.parse().unwrap(), dataset.parse().unwrap()))
        .to_vec();
    let judge = |decided: &[(&str, &[&str])], permitted: &[(&str, &[&str])]| {
        let mut body = permit();
        let data = |(dataset, nodes): &(&str, &[&str])| PermitData {
            dataset: dataset.parse().unwrap(),
            nodes: nodes.iter().map(|node| node.parse().unwrap()).collect(),
            ..permit().data[0].clone()
        };
        body.data = permitted.iter().map(data).collect();
        let mut decision = decision(json!({ "positive": { "permit": Digest::of(b"p") } }));
        decision["part"] =
            decided.iter().map(|(dataset, nodes)| json!({ "dataset": dataset, "nodes": nodes })).collect();
        let pairs = parts.iter().map(|(node, dataset)| (node, dataset));
        decide(decision).unwrap().confines(&body, pairs).map_err(|why| why.to_string())
    };
    let (north, both) = (&["north"][..], &["north", "south"][..]);
    assert_eq!(judge(&[("care", &[]), ("labs", &[])], &[("care", north), ("labs", both)]), Ok(()));
    assert_eq!(judge(&[("care", north)], &[("care", north), ("care", north)]), Ok(()), "data of two categories");
    for (decided, permitted, says) in [
        (&[("care", north)][..], &[("care", north), ("labs", north)][..], "dataset labs, on which it does not decide"),
        (&[("care", &[])], &[("care", both)], "names node south for dataset care"),
        (&[("care", north), ("labs", north)], &[("labs", north)], "grants dataset care at node north"),
    ] {
        let refused = judge(decided, permitted).expect_err(says);
        assert!(refused.contains(says), "{refused:?} does not say {says:?}");
    }
}

#[test]
fn a_decision_gives_reasons_and_is_a_trusted_persons() {
    let bad = |body: Value| assert!(matches!(decide(body), Err(Refusal::Malformed { .. })));
    bad(decision(json!({ "negative": { "reasons": [] } })));
    bad(decision(json!({ "negative": { "reasons": [{ "article": "because", "text": "no" }] } })));
    bad(decision(json!({ "negative": { "reasons": [{ "article": "Art. 68(1)(c)", "text": " " }] } })));
    for name in ["", " "] {
        let mut nobody = decision(json!({ "positive": { "permit": Digest::of(b"p") } }));
        nobody["decided_by"] = json!(name);
        bad(nobody);
    }
    let mut nothing = decision(json!({ "positive": { "permit": Digest::of(b"p") } }));
    nothing["part"] = json!([]);
    bad(nothing);
    let body: DecisionBody =
        serde_json::from_value(decision(json!({ "positive": { "permit": Digest::of(b"p") } }))).unwrap();
    let forged = Decision::verify(&document::sign(&body, &person_key()), &[body_key().public()]);
    assert!(matches!(forged, Err(Refusal::UntrustedKey { .. })), "an applicant decided on the own application");
}

fn revocation(target: Value) -> Value {
    json!({
        "format": "spe.revocation/1", "issuer": "Body", "issued_at": "2030-01-01T00:00:00Z", "effective_at": "2030-02-01T00:00:00Z",
        "reason": "re-identification", "target": target
    })
}

fn revoke(body: Value, key: &SecretKey) -> Result<Revocation, Refusal> {
    let body: RevocationBody = serde_json::from_value(body).unwrap();
    Revocation::verify(&document::sign(&body, key), &[body_key().public()])
}

/// What would be a bug: a revocation that is to hold at once and waits for a clock that is behind; one that is to come and holds before its
/// time.
#[test]
fn what_holds_at_once_holds_by_every_clock() {
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    let (behind, to_come) = (at("2030-01-01T09:59:40Z"), at("2030-01-01T10:00:01Z"));
    let (before, issued) = (at("2029-12-31T00:00:00Z"), at("2030-01-01T10:00:00Z"));
    for (effective_at, since) in [(issued, behind), (before, before), (to_come, to_come)] {
        let target = json!({ "person": { "name": "eve", "until": "2030-03-01T00:00:00Z" } });
        let mut body = revocation(target);
        (body["issued_at"], body["effective_at"]) = (json!(issued), json!(effective_at));
        let excluded = revoke(body, &body_key()).unwrap();
        assert_eq!(excluded.body().since(behind), since, "effective at {effective_at}");
        let out = excluded.excludes(&"eve".parse().unwrap(), None, body_key().public(), behind);
        assert_eq!(out, effective_at <= issued, "effective at {effective_at}");
        assert!(excluded.excludes(&"eve".parse().unwrap(), None, body_key().public(), to_come));
    }
}

/// What would be a bug: a person who is kept out longer, or shorter, than was decided, or by whom it was not.
#[test]
fn a_person_is_excluded_for_a_time_by_one_data_access_body() {
    let identity = json!({ "issuer": "https://login", "subject": "7" });
    let target = json!({ "person": { "name": "eve", "identity": identity, "until": "2035-02-01T00:00:00Z" } });
    let excluded = revoke(revocation(target), &body_key()).unwrap();
    let (eve, ada, issuer) = ("eve".parse().unwrap(), "ada".parse().unwrap(), body_key().public());
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    for (now, out) in [
        ("2030-01-31T23:59:59Z", false),
        ("2030-02-01T00:00:00Z", true),
        ("2035-01-31T00:00:00Z", true),
        ("2035-02-01T00:00:00Z", false),
    ] {
        assert_eq!(excluded.excludes(&eve, None, issuer, at(now)), out, "at {now}");
    }
    let now = at("2031-01-01T00:00:00Z");
    let login = serde_json::from_value(json!({ "issuer": "https://login", "subject": "7" })).unwrap();
    assert!(excluded.excludes(&ada, Some(&login), issuer, now), "the same login under another name");
    assert!(!excluded.excludes(&ada, None, issuer, now));
    let other = serde_json::from_value(json!({ "issuer": "https://login", "subject": "8" })).unwrap();
    assert!(!excluded.excludes(&ada, Some(&other), issuer, now), "somebody else's login");
    let nameless = json!({ "person": { "name": "eve", "until": "2035-02-01T00:00:00Z" } });
    let nameless = revoke(revocation(nameless), &body_key()).unwrap();
    assert!(!nameless.excludes(&ada, None, issuer, now), "everybody without a login is kept out");
    assert!(!excluded.excludes(&eve, None, person_key().public(), now), "permits of another data access body");
    assert_eq!(excluded.line(), None);
    let longer = json!({ "person": { "name": "eve", "until": "2035-02-01T00:00:01Z" } });
    assert!(
        matches!(revoke(revocation(longer), &body_key()), Err(Refusal::Unlawful { article, .. }) if article == "Art. 63(3)")
    );
    let never = json!({ "person": { "name": "eve", "until": "2030-02-01T00:00:00Z" } });
    assert!(matches!(revoke(revocation(never), &body_key()), Err(Refusal::Malformed { .. })));
}

#[test]
fn a_line_is_revoked_by_who_granted_it() {
    let line = revoke(revocation(json!({ "permit": "p-1" })), &body_key()).unwrap().line().unwrap();
    assert_eq!((line.number.as_str(), line.issuer), ("p-1", body_key().public()));
    assert!(matches!(revoke(revocation(json!({ "permit": "p-1" })), &person_key()), Err(Refusal::UntrustedKey { .. })));
    for reason in ["", " "] {
        let mut silent = revocation(json!({ "permit": "p-1" }));
        silent["reason"] = json!(reason);
        assert!(matches!(revoke(silent, &body_key()), Err(Refusal::Malformed { .. })));
    }
    let _: ApplicationBody = serde_json::from_value(application()).unwrap();
}
