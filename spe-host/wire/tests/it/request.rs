//! Certification requests: read as strictly as they are made.

use spe_wire::request::{MemberKey, RequestedKey};

/// What would be a bug: a certificate for a key whose owner did not ask, or bytes in a request that nobody looks at.
#[test]
fn a_request_counts_as_its_owner_signed_it_and_not_otherwise() {
    let key = MemberKey::generate().unwrap();
    let request = key.request().unwrap();
    let read = RequestedKey::verify(&request).expect("an honest request");
    let again = RequestedKey::verify(&MemberKey::from_pem(&key.expose_pem()).unwrap().request().unwrap()).unwrap();
    assert_eq!(read.digest(), again.digest(), "the same key is another one after it was stored");
    for at in 0..request.len() {
        let mut bent = request.clone();
        bent[at] ^= 1;
        assert!(RequestedKey::verify(&bent).is_err(), "a flip at byte {at} went unnoticed");
        assert!(RequestedKey::verify(&request[..at]).is_err(), "{at} bytes were taken for a request");
    }
    assert!(RequestedKey::verify(&[request, vec![0]].concat()).is_err(), "bytes at the end went unnoticed");
}

/// What would be a bug: a key of a kind that nobody checks here.
#[test]
fn another_kind_of_key_is_refused() {
    let other = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let request = rcgen::CertificateParams::default().serialize_request(&other).unwrap();
    assert!(RequestedKey::verify(request.der()).is_err(), "a key that nobody asked for");
}
