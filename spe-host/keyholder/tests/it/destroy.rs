//! What was destroyed is gone from every file, for ever, and a certificate says so.

use spe_kernel::{
    deletion::{DeletedKind, Deletion},
    dsse::SecretKey,
    ids::DatasetName,
    refusal::Refusal,
};
use spe_keyholder::{Ordered, Rotated, Store, Which, destroy};

use crate::support::{Place, holds, named, operator};

fn care() -> DatasetName {
    "care".parse().unwrap()
}

fn order() -> Ordered {
    Ordered { by: "data protection officer".into(), reason: "the permits have expired".into() }
}

/// What would be a bug: a key whose bytes are still in the folder, that somebody is given once more, or that nobody can prove to be
/// gone. The key holder runs all the time.
#[tokio::test]
async fn destroyed_keys_are_in_no_file_and_nobody_gets_them() {
    let place = Place::new().await;
    let (north, south) = (place.node("north"), place.node("south"));
    let keys = north.keys(&care(), None).await.unwrap();
    let others = south.keys(&care(), None).await.unwrap();
    let (data, digests) = keys.data.expose();
    assert!(holds(place.home(), data) && holds(place.home(), digests), "the search finds nothing at all");
    let envelope = destroy(place.home(), &"north".parse().unwrap(), &care(), Which::All, order(), &operator()).unwrap();
    assert!(!holds(place.home(), data) && !holds(place.home(), digests), "key bytes are still in the folder");
    assert!(holds(place.home(), others.data.expose().0), "another node's keys are gone");
    for refused in [north.keys(&care(), None).await.err(), north.keys(&care(), Some(1)).await.err()] {
        let Some(Refusal::NotFound { what }) = refused else { panic!("{refused:?}") };
        assert!(what.contains("destroyed"), "{what}");
    }
    let refused = north.pseudonyms(&care(), 1, &named(&["ada"])).await;
    assert!(matches!(refused, Err(Refusal::NotFound { .. })), "a pseudonym was made with a destroyed key: {refused:?}");
    south.keys(&care(), Some(1)).await.unwrap();

    let deletion = Deletion::verify(&envelope, &[place.key]).unwrap();
    let body = deletion.body();
    assert_eq!((body.node.as_str(), body.by.as_str()), ("north", "data protection officer"));
    let kinds: Vec<_> = body.deleted.iter().map(|d| (d.kind, d.version)).collect();
    assert_eq!(kinds, [(DeletedKind::DataKey, Some(1)), (DeletedKind::PseudonymKey, Some(1))]);
    assert_eq!(body.deleted[0].id, keys.data.check_value(&care()), "the certificate is about another key");
    assert_eq!(body.deleted[1].id, keys.pseudonyms.check);
    assert!(Deletion::verify(&envelope, &[SecretKey::from_seed(&[1; 32]).public()]).is_err());
    let again = destroy(place.home(), &"north".parse().unwrap(), &care(), Which::All, order(), &operator()).unwrap();
    assert_eq!(again, envelope, "a second order gives another certificate");
    assert_eq!(Store::open(place.home()).unwrap().certificates().unwrap().len(), 1);
}

/// What would be a bug: the newest key destroyed by a slip, or an old one that a backup of the folder's files still opens.
#[tokio::test]
async fn an_old_data_key_is_destroyed_alone() {
    let place = Place::new().await;
    let north = place.node("north");
    let old = north.keys(&care(), None).await.unwrap();
    let node = "north".parse().unwrap();
    let refused = destroy(place.home(), &node, &care(), Which::DataKey(1), order(), &operator()).unwrap_err();
    assert!(refused.to_string().contains("newest"), "{refused}");
    Store::open(place.home()).unwrap().rotate(&care(), None, Rotated::DataKey, &operator()).unwrap();
    let envelope = destroy(place.home(), &node, &care(), Which::DataKey(1), order(), &operator()).unwrap();
    assert_eq!(Deletion::verify(&envelope, &[place.key]).unwrap().body().deleted.len(), 1);
    assert!(!holds(place.home(), old.data.expose().0));
    assert!(matches!(north.keys(&care(), Some(1)).await, Err(Refusal::NotFound { .. })));
    assert_eq!(north.keys(&care(), None).await.unwrap().data.version(), 2);
    assert_eq!(north.pseudonyms(&care(), 1, &named(&["ada"])).await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_order_says_by_whom_and_why() {
    let place = Place::new().await;
    place.node("north").keys(&care(), None).await.unwrap();
    let node = "north".parse().unwrap();
    for wrong in [Ordered { by: " ".into(), ..order() }, Ordered { reason: "x".repeat(501), ..order() }] {
        let refused = destroy(place.home(), &node, &care(), Which::All, wrong, &operator()).unwrap_err().to_string();
        assert!(refused.contains("1 to 500 bytes"), "{refused}");
    }
    let unknown =
        destroy(place.home(), &node, &"unknown".parse().unwrap(), Which::All, order(), &operator()).unwrap_err();
    assert!(unknown.to_string().contains("such a key"), "{unknown}");
    place.node("east").keys(&care(), None).await.unwrap();
}
