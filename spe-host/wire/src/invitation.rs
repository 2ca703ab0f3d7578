//! Invitations: one line that lets a member-to-be find the right hub and prove to be the one invited.

use std::{fmt, str::FromStr};

use jiff::Timestamp;
use rustls::crypto::ring;
use spe_kernel::{fault::Fault, ids::Digest};

use crate::pki::Role;

const SCHEME: &str = "spe-join:";

/// A one-time token: 32 random bytes in hexadecimal. It cannot be printed; its text is asked for by name.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// A new one, from the operating system's generator.
    ///
    /// # Errors
    /// The system has no entropy to give.
    pub fn random() -> Result<Self, Fault> {
        let mut bytes = [0; 32];
        let filled = ring::default_provider().secure_random.fill(&mut bytes);
        filled.map_err(|_| Fault::new("making a token", "the operating system gave no entropy"))?;
        Ok(Self(Digest::from_bytes(bytes).hex()))
    }

    /// What the invited hands in.
    pub fn expose_text(&self) -> &str {
        &self.0
    }
}

/// What the hub keeps of a token: it cannot be handed in.
pub fn token_hash(token: &str) -> Digest {
    Digest::of(token.as_bytes())
}

/// An invitation, written `spe-join:<host:port>/<fingerprint of the authority>/<node|person>/<name>/<token>/<until>`.
///
/// # Security
/// Whoever has the line before the invited has used it becomes the member: hand it over on a way that both trust. It ends when
/// used, or at `until`.
#[derive(Clone, PartialEq, Eq)]
pub struct Invitation {
    /// The hub's `host:port`.
    pub hub: String,
    /// BLAKE3 of the authority's certificate: the hub must show it before the token is sent.
    pub ca: Digest,
    /// Who is invited.
    pub member: Role,
    /// The token.
    pub token: Token,
    /// When it ends.
    pub until: Timestamp,
}

impl Invitation {
    /// The line. It is a secret.
    pub fn expose_text(&self) -> String {
        let member = self.member.to_string().replacen(' ', "/", 1);
        format!("{SCHEME}{}/{}/{member}/{}/{}", self.hub, self.ca.hex(), self.token.0, self.until)
    }
}

impl fmt::Debug for Invitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invitation of {} to {} until {}", self.member, self.hub, self.until)
    }
}

/// A text that is not an invitation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "not an invitation ({0}): expected the whole line that `spe hub invite --token` printed, which begins with {SCHEME}"
)]
pub struct InvitationError(String);

impl FromStr for Invitation {
    type Err = InvitationError;
    fn from_str(text: &str) -> Result<Self, InvitationError> {
        let wrong = |what: &str| InvitationError(what.to_owned());
        let rest = text.trim().strip_prefix(SCHEME).ok_or_else(|| wrong("it begins otherwise"))?;
        let parts: Vec<&str> = rest.split('/').collect();
        let [hub, ca, kind, name, token, until] = parts.as_slice() else {
            return Err(wrong("it has another number of parts"));
        };
        let whole = token.len() == 64 && token.bytes().all(|b| b.is_ascii_hexdigit());
        Ok(Self {
            hub: (*hub).to_owned(),
            ca: ca.parse().map_err(|_| wrong("the fingerprint is none"))?,
            member: format!("{kind} {name}").parse().map_err(|_| wrong("nobody is invited"))?,
            token: whole.then(|| Token((*token).to_owned())).ok_or_else(|| wrong("the token is not whole"))?,
            until: until.parse().map_err(|_| wrong("the end is no time"))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invitation_survives_its_text_and_no_part_may_be_missing() {
        let invitation = Invitation {
            hub: "hub.example:7443".into(),
            ca: Digest::of(b"ca"),
            member: Role::Node("north".parse().unwrap()),
            token: Token::random().unwrap(),
            until: "2026-01-01T00:00:00Z".parse().unwrap(),
        };
        let line = invitation.expose_text();
        assert_eq!(line.parse(), Ok(invitation.clone()));
        assert!(!format!("{invitation:?}").contains(invitation.token.expose_text()), "a log would hold the token");
        for at in (0..line.len() - 1).step_by(7) {
            assert!(line[..at].parse::<Invitation>().is_err(), "a part of a line was taken for an invitation");
        }
    }
}
