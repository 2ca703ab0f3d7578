//! Who gets which keys and pseudonyms, and what is left of whom they were for.

use std::os::unix::fs::PermissionsExt;

use spe_kernel::{deletion::Deletion, ids::DatasetName, refusal::Refusal};
use spe_keyholder::{Ordered, Rotated, Store, Which, destroy, dismiss, import};
use spe_wire::{
    keyholder::KeyHolderClient,
    pki::{Authority, Role},
};

use crate::support::{Place, holds, named, operator};

fn care() -> DatasetName {
    "care".parse().unwrap()
}

/// What would be a bug: a person who can be followed from one node to another, or from one dataset to another; a key that two share.
#[tokio::test]
async fn every_node_and_dataset_has_keys_of_its_own() {
    let place = Place::new().await;
    let (north, south) = (place.node("north"), place.node("south"));
    let ward: DatasetName = "ward".parse().unwrap();
    let mut seen = Vec::new();
    for (node, dataset) in [(&north, &care()), (&south, &care()), (&north, &ward)] {
        let keys = node.keys(dataset, None).await.unwrap();
        let people = node.pseudonyms(dataset, 1, &named(&["ada", "ben", "ada"])).await.unwrap();
        assert!(people[0] == people[2] && people[0] != people[1]);
        assert_eq!((keys.data.version(), keys.pseudonyms.version), (1, 1));
        seen.push((
            people[0].to_vec(),
            keys.data.expose().0.to_vec(),
            keys.data.expose().1.to_vec(),
            keys.pseudonyms.check,
        ));
    }
    for (i, a) in seen.iter().enumerate() {
        for b in &seen[i + 1..] {
            assert!(a.0 != b.0 && a.1 != b.1 && a.2 != b.2 && a.3 != b.3, "two share a secret");
        }
    }
    let again = north.keys(&care(), Some(1)).await.unwrap();
    assert_eq!((again.data.expose().0.to_vec(), again.pseudonyms.check), (seen[0].1.clone(), seen[0].3));
    assert_eq!(north.pseudonyms(&care(), 1, &named(&["ada"])).await.unwrap()[0].to_vec(), seen[0].0);
}

/// What would be a bug: a dataset's keys for a node that has none of it, or for somebody whom nobody invited.
#[tokio::test]
async fn strangers_and_other_nodes_get_nothing() {
    let place = Place::new().await;
    let (north, south) = (place.node("north"), place.node("south"));
    north.keys(&care(), None).await.unwrap();
    let refused = south.keys(&care(), Some(1)).await.err();
    assert!(matches!(refused, Some(Refusal::NotFound { .. })), "south got north's key: {refused:?}");
    let refused = south.pseudonyms(&care(), 1, &named(&["ada"])).await;
    assert!(matches!(refused, Err(Refusal::NotFound { .. })), "{refused:?}");
    for version in [0, 2, u32::MAX] {
        let refused = north.pseudonyms(&care(), version, &named(&["ada"])).await;
        assert!(matches!(refused, Err(Refusal::NotFound { .. })), "version {version}: {refused:?}");
    }
    // Of this authority and not on the list; of another authority; without any certificate the handshake ends.
    let mut listed = place.invite("east", "east");
    let unlisted = place.dir.path().join("unlisted");
    std::fs::create_dir(&unlisted).unwrap();
    let identity = Authority::load(place.home()).unwrap().issue(&Role::Node("north".parse().unwrap()), &[]).unwrap();
    identity.save(&unlisted).unwrap();
    (listed.cert, listed.key) = (unlisted.join("cert.pem"), unlisted.join("key.pem"));
    let refused = KeyHolderClient::new(&listed).unwrap().keys(&care(), Some(1)).await.err();
    assert!(matches!(refused, Some(Refusal::NotAllowed { .. })), "a certificate that nobody listed: {refused:?}");
    let other = place.dir.path().join("other");
    let identity = Authority::create(&other).unwrap().issue(&Role::Node("north".parse().unwrap()), &[]).unwrap();
    identity.save(&other).unwrap();
    (listed.cert, listed.key) = (other.join("cert.pem"), other.join("key.pem"));
    let refused = KeyHolderClient::new(&listed).unwrap().keys(&care(), Some(1)).await.err();
    assert!(matches!(refused, Some(Refusal::Unavailable { .. })), "the hub's authority is another zone: {refused:?}");
    dismiss(place.home(), &"north".parse().unwrap(), &operator()).unwrap();
    let refused = north.keys(&care(), Some(1)).await.err();
    assert!(matches!(refused, Some(Refusal::NotAllowed { .. })), "a dismissed node: {refused:?}");
    KeyHolderClient::new(&place.invite("north", "north-again")).unwrap().keys(&care(), Some(1)).await.unwrap();
}

/// What would be a bug: an identifier in any file of the key holder, or a log that does not say who asked.
#[tokio::test]
async fn identifiers_are_forgotten_and_requests_are_not() {
    let place = Place::new().await;
    let north = place.node("north");
    north.keys(&care(), None).await.unwrap();
    let people: Vec<String> = (0..40_000).map(|i| format!("IDENTIFIER-CANARY-{i}")).collect();
    let people: Vec<&str> = people.iter().map(String::as_str).collect();
    assert_eq!(north.pseudonyms(&care(), 1, &named(&people)).await.unwrap().len(), 40_000);
    assert!(!holds(place.home(), b"IDENTIFIER-CANARY"), "an identifier is kept");
    assert!(holds(place.home(), b"care"), "the search finds nothing at all");
    let asked = Store::open(place.home()).unwrap().requests(100).unwrap();
    let items: i64 = asked.iter().filter(|a| a.what == "pseudonyms" && a.node == "north").map(|a| a.items).sum();
    let times: i64 = asked.iter().filter(|a| a.what == "keys").map(|a| a.times).sum();
    assert_eq!((items, times), (40_000, 1), "{asked:?}");
    for file in ["keys.sqlite", "keys.sqlite-wal", "ca.key", "signing.key", "server/key.pem"] {
        let mode = std::fs::metadata(place.home().join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{file} can be read by others");
    }
}

#[tokio::test]
async fn older_versions_stay_after_a_rotation_and_a_restart() {
    let mut place = Place::new().await;
    let north = place.node("north");
    let first = north.keys(&care(), None).await.unwrap();
    let old = north.pseudonyms(&care(), 1, &named(&["ada"])).await.unwrap();
    let mut store = Store::open(place.home()).unwrap();
    assert!(store.rotate(&"unknown".parse().unwrap(), None, Rotated::DataKey, &operator()).is_err());
    assert_eq!(store.rotate(&care(), None, Rotated::DataKey, &operator()).unwrap(), [("north".parse().unwrap(), 2)]);
    assert_eq!(store.rotate(&care(), None, Rotated::Pseudonyms, &operator()).unwrap(), [("north".parse().unwrap(), 2)]);
    drop(store);
    place.start().await;
    let second = north.keys(&care(), None).await.unwrap();
    assert_eq!((second.data.version(), second.pseudonyms.version), (2, 2));
    assert_ne!(second.data.expose().0, first.data.expose().0);
    assert_eq!(second.data.expose().1, first.data.expose().1, "digests would change");
    let kept = north.keys(&care(), Some(1)).await.unwrap();
    assert_eq!(kept.data.expose().0, first.data.expose().0);
    assert_eq!(north.pseudonyms(&care(), 1, &named(&["ada"])).await.unwrap(), old);
    assert_ne!(north.pseudonyms(&care(), 2, &named(&["ada"])).await.unwrap(), old);
}

/// What would be a bug: a node whose pseudonyms are others after it was given a key holder, so that nobody is opted out any more.
#[tokio::test]
async fn an_old_key_file_is_taken_over_once() {
    let place = Place::new().await;
    let north = place.node("north");
    let file = place.dir.path().join("pseudonym.key");
    std::fs::write(&file, [7; 31]).unwrap();
    let node = "north".parse().unwrap();
    assert!(import(place.home(), &node, &care(), &file, &operator()).unwrap_err().to_string().contains("32 bytes"));
    std::fs::write(&file, [7; 32]).unwrap();
    import(place.home(), &node, &care(), &file, &operator()).unwrap();
    let before = spe_kernel::keys::PseudonymKey::from_bytes([7; 32]).pseudonyms(&care(), &named(&["ada"]));
    assert_eq!(north.pseudonyms(&care(), 1, &named(&["ada"])).await.unwrap(), before);
    assert!(import(place.home(), &node, &care(), &file, &operator()).unwrap_err().to_string().contains("already"));
}

/// What would be a bug: an act at the key holder of which nobody knows whose it was; an account that a deletion certificate gives away.
#[tokio::test]
async fn what_operators_do_has_their_account_and_certificates_do_not() {
    let place = Place::new().await;
    place.node("north").keys(&care(), None).await.unwrap();
    let node = "north".parse().unwrap();
    let old = place.dir.path().join("pseudonym.key");
    std::fs::write(&old, [7; 32]).unwrap();
    import(place.home(), &node, &"ward".parse().unwrap(), &old, &operator()).unwrap();
    assert!(import(place.home(), &node, &care(), &old, &operator()).is_err(), "a key was replaced");
    Store::open(place.home()).unwrap().rotate(&care(), None, Rotated::Pseudonyms, &operator()).unwrap();
    let order = || Ordered { by: "data protection officer".into(), reason: "it is over".into() };
    let mut envelopes = Vec::new();
    for _ in 0..2 {
        envelopes.push(destroy(place.home(), &node, &care(), Which::All, order(), &operator()).unwrap());
    }
    dismiss(place.home(), &node, &operator()).unwrap();
    assert!(dismiss(place.home(), &node, &operator()).is_err(), "dismissed twice");
    let acts = Store::open(place.home()).unwrap().acts().unwrap();
    assert!(acts.iter().all(|act| act.account == "account kim" && act.node == "north"), "{acts:?}");
    let did: Vec<_> = acts.iter().map(|act| (act.did.as_str(), act.dataset.as_str(), act.what.as_str())).collect();
    let expected = [
        ("invited", "", ""),
        ("imported", "ward", "pseudonyms 1"),
        ("rotated", "care", "pseudonyms 2"),
        ("destroyed", "care", "all keys"),
        ("dismissed", "", ""),
    ];
    assert_eq!(did, expected, "what was refused, or done before, is no act");
    for envelope in envelopes {
        let body = Deletion::verify(&envelope, &[place.key]).unwrap().body().clone();
        assert!(!serde_json::to_string(&body).unwrap().contains("kim"), "the certificate names the account");
    }
}
