//! Who may act under a permit: the person with the key, with the login, or with both, as the permit says.

use jiff::Timestamp;
use spe_kernel::{
    admission::{Admitted, NodePolicy, admit, names},
    dsse::{PublicKey, SecretKey},
    job::{Job, JobBody},
    permit::{Permit, PermitBody, PermitPerson, Role},
    person::{Identity, IssuerTerms, PROOF_BYTES_MAX, People, PersonIdentity, SECOND_FACTORS},
    refusal::{Class, Refusal},
};

use crate::fixture::{body_key, job, offer, permit, person_key, policy};

fn now() -> Timestamp {
    "2030-06-01T00:00:00Z".parse().unwrap()
}

fn who(subject: &str) -> PersonIdentity {
    PersonIdentity { issuer: "https://login.example.eu".into(), subject: subject.into() }
}

fn proven(subject: &str) -> Option<Identity> {
    Some(Identity::proven(who(subject), None, vec!["otp".into()], now()))
}

fn known_by(key: Option<PublicKey>, subject: Option<&str>) -> PermitBody {
    let person = PermitPerson { key, identity: subject.map(who), ..permit().persons.remove(0) };
    PermitBody { persons: vec![person], ..permit() }
}

fn ask(
    permit: &PermitBody,
    signer: &SecretKey,
    identity: Option<Identity>,
    policy: &NodePolicy,
) -> Result<Admitted, Refusal> {
    let permit = Permit::verify(&permit.sign(&body_key()), &policy.access_bodies, now())?;
    let job = Job::verify(&job().sign(signer))?.recognised(identity);
    admit(job, &permit, &offer("rho=2"), policy, &"north".parse().unwrap(), now())
}

/// What would be a bug: a stranger who is admitted, or a person of the permit who is not.
#[test]
fn a_person_is_who_the_permit_says_in_every_respect() {
    let (ada, mallory) = (person_key(), SecretKey::from_seed(&[9; 32]));
    let key = Some(ada.public());
    let by_key = known_by(key, None);
    let by_login = known_by(None, Some("ada"));
    let by_both = known_by(key, Some("ada"));
    let says = |permit: &PermitBody, signer: &SecretKey, login: Option<&str>| match ask(
        permit,
        signer,
        login.and_then(proven),
        &policy(),
    ) {
        Ok(_) => "admitted",
        Err(Refusal::PersonNotInPermit { .. }) => "stranger",
        Err(Refusal::LoginRequired { .. }) => "log in",
        Err(other) => panic!("{other}"),
    };
    for (permit, signer, login, expected) in [
        (&by_key, &ada, None, "admitted"),
        (&by_key, &ada, Some("anybody"), "admitted"),
        (&by_key, &mallory, None, "stranger"),
        (&by_key, &mallory, Some("ada"), "stranger"),
        (&by_login, &ada, None, "log in"),
        (&by_login, &ada, Some("ada"), "admitted"),
        (&by_login, &mallory, Some("ada"), "admitted"), // Whatever key: the login names it.
        (&by_login, &ada, Some("mallory"), "stranger"),
        (&by_both, &ada, None, "log in"),
        (&by_both, &ada, Some("ada"), "admitted"),
        (&by_both, &mallory, Some("ada"), "stranger"),
        (&by_both, &ada, Some("mallory"), "stranger"),
    ] {
        assert_eq!(says(permit, signer, login), expected, "{:?} with {login:?}", permit.persons[0]);
    }
    let mut named = known_by(key, Some("ada"));
    named.persons[0].name = "bob".parse().unwrap();
    assert_eq!(says(&named, &ada, Some("ada")), "stranger", "a job in another name than the permit's");
    let elsewhere = PersonIdentity { issuer: "https://elsewhere.example".into(), ..who("ada") };
    let login = Some(Identity::proven(elsewhere, None, vec![], now()));
    let said = ask(&by_login, &ada, login, &policy());
    assert!(
        matches!(said, Err(Refusal::PersonNotInPermit { .. })),
        "the same subject elsewhere is somebody else: {said:?}"
    );
}

/// What would be a bug: somebody with a key of their own whose refusals are logged like those of a person whom the permit names, or the other
/// way round: whoever has the key is named, also without the login that is missing.
#[test]
fn who_is_named_proves_it_by_key_or_login() {
    let (ada, mallory) = (person_key(), SecretKey::from_seed(&[9; 32]));
    let named = |key: Option<PublicKey>, subject, signer: &SecretKey, login: Option<&str>| {
        let permit = known_by(key, subject).sign(&body_key());
        let permit = Permit::verify(&permit, &policy().access_bodies, now()).unwrap();
        let job = Job::verify(&job().sign(signer)).unwrap().recognised(login.and_then(proven));
        names(permit.body(), &job)
    };
    let key = Some(ada.public());
    for (key, subject, signer, login, expected) in [
        (key, None, &ada, None, true),
        (key, None, &mallory, None, false),
        (key, None, &mallory, Some("ada"), false),
        (None, Some("ada"), &mallory, Some("ada"), true),
        (None, Some("ada"), &ada, None, false),
        (key, Some("ada"), &ada, None, true),
        (key, Some("ada"), &mallory, Some("mallory"), false),
    ] {
        assert_eq!(named(key, subject, signer, login), expected, "{subject:?} with {login:?}");
    }
}

/// What would be a bug: a node that asks for logins, and runs a job without.
#[test]
fn a_node_that_requires_a_login_gets_one_or_refuses() {
    let terms = IssuerTerms {
        issuer: "https://login.example.eu".into(),
        client_id: "spe".into(),
        acr: vec![],
        amr: vec![],
        jwks_file: None,
    };
    let strict =
        NodePolicy { people: People { login_required: true, issuers: vec![terms], ..People::default() }, ..policy() };
    let refused = ask(&permit(), &person_key(), None, &strict).map(drop).unwrap_err();
    assert!(
        matches!(&refused, Refusal::LoginRequired { issuers } if issuers == "https://login.example.eu"),
        "{refused}"
    );
    assert_eq!(refused.class(), Class::Unauthenticated);
    assert_eq!(Refusal::LoginRefused { why: String::new() }.class(), Class::Unauthenticated);
    assert!(ask(&permit(), &person_key(), proven("anybody"), &strict).is_ok());
    let admitted = ask(&permit(), &person_key(), proven("ada"), &strict).unwrap();
    assert_eq!(admitted.job().identity().map(Identity::who), Some(&who("ada")), "what is logged must say who it was");
}

/// What would be a bug: a permit in which two persons are one, or one that nobody can be told to be (Art. 73(1)(d)).
#[test]
fn persons_of_a_permit_can_be_told_apart() {
    let person = |name: &str, seed: Option<u8>, subject: Option<&str>| PermitPerson {
        name: name.parse().unwrap(),
        key: seed.map(|seed| SecretKey::from_seed(&[seed; 32]).public()),
        identity: subject.map(who),
        role: if name == "ada" && seed == Some(2) { Role::PrincipalInvestigator } else { Role::DataUser },
    };
    let read =
        |persons: Vec<PermitPerson>| PermitBody::read(&PermitBody { persons, ..permit() }.sign(&body_key())).map(drop);
    let ada = || person("ada", Some(2), Some("a"));
    assert_eq!(read(vec![ada(), person("bob", Some(3), Some("b"))]), Ok(()));
    assert_eq!(read(vec![person("ada", Some(2), None), person("bob", Some(3), None)]), Ok(()), "two without a login");
    for (other, expected) in [
        (person("bob", Some(3), Some("a")), "same identity"),
        (person("bob", None, Some("a")), "same identity"),
        (person("eve", Some(2), Some("b")), "same key"),
        (person("ada", Some(3), Some("b")), "same name"),
        (person("bob", None, None), "neither a key nor an identity"),
    ] {
        let refused = read(vec![ada(), other]).unwrap_err().to_string();
        assert!(refused.contains(expected), "expected {expected:?}: {refused}");
    }
}

#[test]
fn a_proof_has_its_limit() {
    let carrying =
        |bytes: usize| Job::verify(&JobBody { identity: Some("x".repeat(bytes)), ..job() }.sign(&person_key()));
    assert!(
        carrying(PROOF_BYTES_MAX).is_ok_and(|job| job.identity().is_none()),
        "a proof that nobody checked proves nothing"
    );
    assert!(matches!(carrying(PROOF_BYTES_MAX + 1), Err(Refusal::Malformed { .. })));
}

#[test]
fn an_identity_is_short_and_not_empty() {
    let read = |issuer: &str, subject: &str| {
        serde_json::from_value::<PersonIdentity>(serde_json::json!({ "issuer": issuer, "subject": subject }))
    };
    assert!(read("https://a", &"x".repeat(255)).is_ok());
    for (issuer, subject) in [("", "a"), ("https://a", ""), ("https://a", &"x".repeat(256)), (&"x".repeat(256), "a")] {
        assert!(read(issuer, subject).is_err(), "{issuer:.10} {subject:.10}");
    }
}

/// What would be a bug: an issuer whose logins need no second factor because its operator left a line out.
#[test]
fn a_second_factor_is_needed_unless_the_operator_says_what_is() {
    let terms = |acr: &[&str], amr: &[&str]| {
        let written = serde_json::json!({ "issuer": "https://a", "client_id": "spe", "acr": acr, "amr": amr });
        serde_json::from_value::<IssuerTerms>(written).unwrap()
    };
    let silent: IssuerTerms = serde_json::from_str(r#"{"issuer":"https://a","client_id":"spe"}"#).unwrap();
    assert_eq!(silent.means(), SECOND_FACTORS);
    assert_eq!(terms(&[], &[]).means(), SECOND_FACTORS);
    assert_eq!(terms(&["3"], &[]).means(), Vec::<&str>::new());
    assert_eq!(terms(&[], &["face"]).means(), ["face"]);
    let people: People = serde_json::from_str("{}").unwrap();
    assert!(people.login_required && people.login_hours_max == 12, "a section that is there asks for logins");
}
