//! Who is excluded stays so, under whatever name.

use jiff::{SignedDuration, Timestamp};
use spe_kernel::{
    audit::{Entry, Person, Who},
    document,
    dsse::SecretKey,
    ids::Digest,
    revocation::{ExcludedPerson, Revocation, RevocationBody, Target},
};

use super::{super::tests::File, Records, log, params};

fn body_key(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

/// A revocation that excludes ada until then, as it was signed.
fn excluded(until: Timestamp) -> (Revocation, Vec<u8>) {
    let effective_at = until - SignedDuration::from_hours(48);
    let person = ExcludedPerson { name: "ada-planted".parse().expect("a name"), identity: None, until };
    let (format, issuer, reason) = ("spe.revocation/1".into(), "Body".into(), "re-identification".into());
    let body = RevocationBody {
        format,
        issuer,
        issued_at: effective_at,
        effective_at,
        reason,
        target: Target::Person(person),
    };
    let envelope = document::sign(&body, &body_key(1));
    (Revocation::verify(&envelope, &[body_key(1).public()]).expect("a revocation"), envelope)
}

/// Somebody of that name whose job was admitted under a permit of that body.
fn admitted(records: &Records, name: &str, seed: u8, identity: Option<&str>, issuer: &SecretKey) -> String {
    let key = body_key(seed).public();
    let person = Person { name: name.into(), key: Some(key), identity: identity.map(str::to_owned) };
    let job = Digest::of(&[seed]);
    log::job_of(&records.connection(), job, Some(&Who::Person(person))).expect("a job");
    let set = "UPDATE log_job SET admitted = 1, issuer = ?2 WHERE job = ?1";
    records.connection().execute(set, params![job.as_bytes(), issuer.public().to_string()]).expect("admitted");
    key.to_string()
}

/// What would be a bug: a person who is excluded by name and comes back under another with the same key or login; one who is kept out because
/// another body knows somebody else by that name; keys that are forgotten with the person while the exclusion lasts, or kept when it is over.
#[test]
fn an_excluded_person_does_not_come_back_under_another_name() {
    let file = File::new("excluded");
    let records = Records::open(&file.0).expect("a file");
    let now = Timestamp::now();
    let first = admitted(&records, "ada-planted", 11, None, &body_key(1));
    let second = admitted(&records, "ada-planted", 12, Some("https://login 7"), &body_key(1));
    admitted(&records, "ada-planted", 13, None, &body_key(2));
    admitted(&records, "bob", 14, None, &body_key(1));
    let (revocation, envelope) = excluded(now + SignedDuration::from_hours(24));
    assert!(records.revoke(&revocation, &envelope, &Who::Node).expect("recorded"));
    let document = revocation.digest();
    let marks: Vec<_> = records.excluded(std::slice::from_ref(&revocation)).expect("marks").into_iter().collect();
    let mut expected = [first, second, "https://login 7".into()].map(|mark| (document, mark));
    expected.sort();
    assert_eq!(marks, expected);
    let by = Who::account("operator");
    let gone = records.forget("ada-planted", None, &by, now).expect("forgotten");
    assert!(gone.stays.iter().any(|s| s.why.contains("Art. 63(3)")), "{:?}", gone.stays);
    assert_eq!(records.excluded(&[revocation]).expect("marks").len(), 3, "forgotten with the person");
    assert_eq!(records.revocations().expect("envelopes"), [envelope]);
    let later = now + SignedDuration::from_hours(25);
    assert_eq!(records.forget("ada-planted", None, &by, later).expect("forgotten").erased, 1);
    assert_eq!(records.excluded(&[]).expect("marks").len(), 0, "kept when it is over");
    assert_eq!(records.revocations().expect("envelopes"), [Vec::<u8>::new()]);
    drop(records);
    let bytes = std::fs::read(&file.0).expect("the file");
    assert!(!bytes.windows(11).any(|eleven| eleven == b"ada-planted"), "the name is still in the file");
}

/// What would be a bug: a revocation at the desk of which nobody knows who handed it in, or one that came over the hub and has a person.
#[test]
fn a_revocation_is_logged_as_an_act_of_who_handed_it_in() {
    let file = File::new("revoked-by");
    let records = Records::open(&file.0).expect("a file");
    let until = Timestamp::now() + SignedDuration::from_hours(24);
    let mut actors = Vec::new();
    for (hours, who) in [(0, Who::account("kim")), (1, Who::Node)] {
        let (revocation, envelope) = excluded(until + SignedDuration::from_hours(hours));
        assert!(records.revoke(&revocation, &envelope, &who).expect("recorded"));
        // The same again, by somebody else, is no other act.
        assert!(!records.revoke(&revocation, &envelope, &Who::account("eve")).expect("known"));
        let entries = records.entries(0, 100).expect("entries");
        let body = entries.last().and_then(|(_, body)| body.as_deref()).expect("an entry");
        actors.push(serde_json::from_slice::<Entry>(body).expect("an entry").actor);
    }
    let people = records.people().expect("people");
    let name = |actor| people.iter().find(|(id, _)| id == actor).map(|(_, person)| person.name.as_str());
    let [kim, node] = actors.as_slice() else { panic!("two") };
    assert_eq!((name(kim), name(node), node.as_str()), (Some("account kim"), None, "node"));
    assert!(people.iter().all(|(_, person)| !person.name.contains("eve")), "{people:?}");
}
