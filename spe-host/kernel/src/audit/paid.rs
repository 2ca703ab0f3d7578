//! Under which permit an answer was paid for: hidden in the entry of its release, and told to whoever has that permit.

use serde::{Deserialize, Serialize};

use super::{PermitRef, Salt};
use crate::{fault::Fault, ids::Digest};

/// The permit under which an answer was paid for, and the salt that hides it.
///
/// # Privacy
/// The entry of a release leaves with the answer to everybody who asks the same, under whichever permit. It has the
/// [commitment](Self::commitment) alone: without the salt, not even a guess can be checked. This leaves only with the answer to whoever
/// shows that very document. Watched by `a_receipt_names_the_permit_to_whoever_has_it_and_to_nobody_else` in
/// `spe-host/cli/tests/it/receipts.rs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PaidUnder {
    /// The permit, by the number of the first of its line.
    pub permit: PermitRef,
    /// Digest of the signed document.
    pub document: Digest,
    /// Drawn once for the answer.
    pub salt: Salt,
}

impl PaidUnder {
    /// What the log has of it: BLAKE3, keyed with the salt, of the document's digest, the issuer's key (32 bytes each) and the number.
    ///
    /// # Security
    /// To show another permit for the same entry, one would have to find a collision of BLAKE3.
    pub fn commitment(&self) -> Digest {
        let Self { permit, document, salt } = self;
        let hidden = [document.as_bytes(), permit.issuer.as_bytes().as_slice(), permit.number.as_str().as_bytes()];
        Digest::from_bytes(*blake3::keyed_hash(salt.as_bytes(), &hidden.concat()).as_bytes())
    }

    /// As it leaves and is kept: one line of JSON.
    ///
    /// # Errors
    /// One that cannot be written.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Fault> {
        serde_json::to_vec(self).map_err(Fault::while_("writing under which permit an answer was paid for"))
    }

    /// Reads one.
    ///
    /// # Errors
    /// Something else.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(bytes).map_err(|why| why.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dsse::SecretKey;

    /// What would be a bug: a commitment that another permit, issuer, document or salt has, or from which nothing can be told apart.
    #[test]
    fn one_commitment_stands_for_one_permit() {
        let issuer = |seed| SecretKey::from_seed(&[seed; 32]).public();
        let permit = |number: &str, seed| PermitRef { number: number.parse().expect("a number"), issuer: issuer(seed) };
        let paid = PaidUnder { permit: permit("p-1", 1), document: Digest::of(b"document"), salt: [7; 32].into() };
        let same = PaidUnder::parse(&paid.to_bytes().expect("bytes")).expect("it reads itself");
        assert_eq!((same.commitment(), &same), (paid.commitment(), &paid));
        for other in [
            PaidUnder { permit: permit("p-2", 1), ..paid.clone() },
            PaidUnder { permit: permit("p-1", 2), ..paid.clone() },
            PaidUnder { document: Digest::of(b"another"), ..paid.clone() },
            PaidUnder { salt: [8; 32].into(), ..paid.clone() },
        ] {
            assert_ne!(other.commitment(), paid.commitment(), "{other:?}");
        }
        let short = String::from_utf8(paid.to_bytes().expect("bytes")).expect("text").replace("0707", "");
        assert!(PaidUnder::parse(short.as_bytes()).is_err(), "a salt of no length");
    }
}
