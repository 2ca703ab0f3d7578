//! Participation agreements between the hub of a federation and a node: offered by the hub, accepted by the node, suspended and ended by
//! either (Regulation (EU) 2022/868, Art. 12; Regulation (EU) 2025/327, Art. 75).
//!
//! There is no document that both edit. Each party signs statements of its own, numbered; how the agreement stands follows from them in
//! whatever order they arrive. So either party can suspend or end it alone and at once, also while the other cannot be reached.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    document::{Document, Opened, malformed},
    dsse::PublicKey,
    ids::{Digest, NodeName},
    refusal::Refusal,
};

/// Statements of one party on one node's participation: neither fills the other's disk. The other party's are not counted with them, so
/// that it can always suspend or end it.
pub const STATEMENTS_MAX: usize = 1_000;

/// What one party states.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AgreementBody {
    /// `spe.agreement/1`.
    #[schemars(extend("const" = "spe.agreement/1"))]
    pub format: String,
    /// The node whose participation it is about.
    pub node: NodeName,
    /// Counts the party's statements, from 1: a later one takes the place of an earlier one, and none counts twice.
    pub number: u32,
    /// When it was signed.
    #[schemars(with = "crate::schema::Instant")]
    pub signed_at: Timestamp,
    /// What is stated.
    pub act: Act,
}

/// A statement. All but an offer name the offer that they are about, by the digest of what was signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Act {
    /// The hub offers terms; a later offer amends the agreement once it is accepted.
    Offer {
        /// Digest of the text of the terms.
        terms: Digest,
        /// The first instant.
        #[schemars(with = "crate::schema::Instant")]
        from: Timestamp,
        /// The end; none = until it is ended.
        #[schemars(with = "Option<crate::schema::Instant>")]
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
    },
    /// The node accepts.
    Accept {
        /// The offer.
        offer: Digest,
    },
    /// Either party suspends it.
    Suspend {
        /// The offer.
        offer: Digest,
        /// Why.
        reason: String,
    },
    /// The party that suspended it resumes it.
    Resume {
        /// The offer.
        offer: Digest,
    },
    /// Either party ends it, for good.
    Terminate {
        /// The offer.
        offer: Digest,
        /// Why.
        reason: String,
    },
}

impl Document for AgreementBody {
    const TYPE: &'static str = "application/vnd.spe.agreement+json";
    const FORMAT: &'static str = "spe.agreement/1";
    const NAME: &'static str = "the agreement";
    const DOCS: &'static str = "docs/governance.md";

    fn check(&self) -> Result<(), Refusal> {
        match &self.act {
            Act::Offer { from, until: Some(until), .. } if from >= until => {
                Err(malformed::<Self>("act.offer.from is not before act.offer.until"))
            }
            Act::Suspend { reason, .. } | Act::Terminate { reason, .. } if reason.trim().is_empty() => {
                Err(malformed::<Self>("reason is empty: the other party is told why"))
            }
            _ => Ok(()),
        }
    }
}

/// Whose statement it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Party {
    /// The hub.
    Hub,
    /// The node.
    Node,
}

/// How an agreement stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// Nothing was offered, or what was offered was not accepted.
    Open,
    /// Both have signed, and neither has suspended or ended it.
    Live {
        /// Digest of the terms.
        terms: Digest,
    },
    /// It begins later.
    NotYet {
        /// When.
        from: Timestamp,
    },
    /// Its time is over.
    Over {
        /// Since when.
        until: Timestamp,
    },
    /// A party suspended it.
    Suspended {
        /// Which.
        by: String,
        /// Why.
        reason: String,
    },
    /// A party ended it.
    Terminated {
        /// Which.
        by: String,
        /// Why.
        reason: String,
    },
}

/// The statements of both parties on one node's participation.
///
/// # Security
/// Only statements of the two keys are in it: an offer is the hub's, an acceptance the node's, and nobody suspends, resumes or ends it for
/// the other. Watched by the tests beside this.
#[derive(Debug, Clone)]
pub struct Agreement {
    node: NodeName,
    hub_key: PublicKey,
    node_key: PublicKey,
    statements: Vec<(Party, Opened<AgreementBody>)>,
}

impl Agreement {
    /// One on which nothing was stated yet.
    pub const fn new(node: NodeName, hub_key: PublicKey, node_key: PublicKey) -> Self {
        Self { node, hub_key, node_key, statements: Vec::new() }
    }

    /// Takes a statement in, and says whether it is new.
    ///
    /// # Errors
    /// One about another node, of neither party, that is not that party's to make, or beyond the [`STATEMENTS_MAX`] of that party.
    pub fn add(&mut self, statement: Opened<AgreementBody>) -> Result<bool, Refusal> {
        if statement.body().node != self.node {
            return Err(malformed::<AgreementBody>(format!("it is about node {}", statement.body().node)));
        }
        let party = match statement.signer() {
            key if key == self.hub_key => Party::Hub,
            key if key == self.node_key => Party::Node,
            key => return Err(Refusal::UntrustedKey { document: AgreementBody::NAME.into(), key: key.to_string() }),
        };
        match (party, &statement.body().act) {
            (Party::Node, Act::Offer { .. }) => Err(malformed::<AgreementBody>("an offer is the hub's to make")),
            (Party::Hub, Act::Accept { .. }) => Err(malformed::<AgreementBody>("the node accepts, not the hub")),
            _ if self.statements.iter().any(|(_, known)| known.digest() == statement.digest()) => Ok(false),
            _ if self.of(party).count() >= STATEMENTS_MAX => Err(malformed::<AgreementBody>(format!(
                "its signer has made {STATEMENTS_MAX} statements on it, and no more are taken"
            ))),
            _ => {
                self.statements.push((party, statement));
                Ok(true)
            }
        }
    }

    /// Digest of all that was stated, in whatever order it came.
    pub fn digest(&self) -> Digest {
        let mut all: Vec<_> = self.statements.iter().map(|(_, statement)| *statement.digest().as_bytes()).collect();
        all.sort_unstable();
        Digest::of(all.as_flattened())
    }

    /// The number of the party's next statement.
    pub fn next_number(&self, party: Party) -> u32 {
        self.of(party).map(|statement| statement.body().number).max().unwrap_or(0).saturating_add(1)
    }

    fn of(&self, party: Party) -> impl Iterator<Item = &Opened<AgreementBody>> {
        self.statements.iter().filter(move |(by, _)| *by == party).map(|(_, statement)| statement)
    }

    /// The hub's latest offer, by its number.
    pub fn latest_offer(&self) -> Option<&Opened<AgreementBody>> {
        let offers = self.of(Party::Hub).filter(|statement| matches!(statement.body().act, Act::Offer { .. }));
        offers.max_by_key(|statement| statement.body().number)
    }

    /// The offer that the node accepted last: what is agreed on.
    pub fn accepted(&self) -> Option<&Opened<AgreementBody>> {
        let accepting = |statement: &&Opened<AgreementBody>| matches!(statement.body().act, Act::Accept { .. });
        let last = self.of(Party::Node).filter(accepting).max_by_key(|statement| statement.body().number)?;
        let Act::Accept { offer } = &last.body().act else { return None };
        self.of(Party::Hub).find(|statement| statement.digest() == *offer)
    }

    /// How it stands at `now`.
    pub fn standing(&self, now: Timestamp) -> Standing {
        let Some(agreed) = self.accepted() else { return Standing::Open };
        let Act::Offer { terms, from, until } = &agreed.body().act else { return Standing::Open };
        let ended = [Party::Hub, Party::Node].map(|party| self.stopped(party, agreed.digest()));
        // What is ended is ended, whatever the other party says.
        if let Some(terminated) = ended.iter().flatten().find(|one| matches!(one, Standing::Terminated { .. })) {
            return terminated.clone();
        }
        if let Some(suspended) = ended.into_iter().flatten().next() {
            return suspended;
        }
        match until {
            Some(until) if *until <= now => Standing::Over { until: *until },
            _ if now < *from => Standing::NotYet { from: *from },
            _ => Standing::Live { terms: *terms },
        }
    }

    /// How a party stopped the agreement on that offer, if it did.
    fn stopped(&self, party: Party, agreed: Digest) -> Option<Standing> {
        let by = || if party == Party::Hub { "the hub".to_owned() } else { format!("node {}", self.node) };
        let mut last: Option<(u32, Option<Standing>)> = None;
        for statement in self.of(party) {
            let number = statement.body().number;
            let stands = match &statement.body().act {
                Act::Terminate { offer, reason } if *offer == agreed => {
                    return Some(Standing::Terminated { by: by(), reason: reason.clone() });
                }
                Act::Suspend { offer, reason } if *offer == agreed => {
                    Some(Standing::Suspended { by: by(), reason: reason.clone() })
                }
                Act::Resume { offer } if *offer == agreed => None,
                _ => continue,
            };
            if last.as_ref().is_none_or(|(known, _)| *known < number) {
                last = Some((number, stands));
            }
        }
        last.and_then(|(_, stands)| stands)
    }

    /// Nothing, if it is live at `now`.
    ///
    /// # Errors
    /// [`Refusal::AgreementNotLive`], which says how it stands.
    pub fn live(&self, now: Timestamp) -> Result<(), Refusal> {
        let why = match self.standing(now) {
            Standing::Live { .. } => return Ok(()),
            Standing::Open => "nothing was agreed on yet".into(),
            Standing::NotYet { from } => format!("it begins at {from}"),
            Standing::Over { until } => format!("it was over at {until}"),
            Standing::Suspended { by, reason } => format!("{by} suspended it: {reason}"),
            Standing::Terminated { by, reason } => format!("{by} ended it: {reason}"),
        };
        Err(Refusal::AgreementNotLive { node: self.node.clone(), why })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        document::{open, sign},
        dsse::SecretKey,
    };

    fn key(party: Party) -> SecretKey {
        SecretKey::from_seed(&[if party == Party::Hub { 1 } else { 2 }; 32])
    }

    fn at(hour: i64) -> Timestamp {
        Timestamp::from_second(3_600 * hour).unwrap()
    }

    fn said(by: &SecretKey, number: u32, act: Act) -> Opened<AgreementBody> {
        let (format, node) = (AgreementBody::FORMAT.into(), "north".parse().unwrap());
        open(&sign(&AgreementBody { format, node, number, signed_at: at(0), act }, by)).unwrap()
    }

    fn offer(number: u32, until: Option<i64>) -> Opened<AgreementBody> {
        let act = Act::Offer { terms: Digest::of(&number.to_be_bytes()), from: at(1), until: until.map(at) };
        said(&key(Party::Hub), number, act)
    }

    fn agreed() -> (Agreement, Digest) {
        let mut agreement =
            Agreement::new("north".parse().unwrap(), key(Party::Hub).public(), key(Party::Node).public());
        let offer = offer(1, Some(100));
        let digest = offer.digest();
        assert_eq!(agreement.standing(at(2)), Standing::Open);
        assert_eq!(agreement.add(offer.clone()), Ok(true));
        assert_eq!(agreement.add(offer), Ok(false));
        assert_eq!(agreement.standing(at(2)), Standing::Open, "an offer alone binds nobody");
        agreement.add(said(&key(Party::Node), 1, Act::Accept { offer: digest })).unwrap();
        (agreement, digest)
    }

    #[test]
    fn two_signatures_make_it_live_for_its_time() {
        let (agreement, _) = agreed();
        assert_eq!(agreement.standing(at(0)), Standing::NotYet { from: at(1) });
        assert_eq!(agreement.live(at(2)), Ok(()));
        assert_eq!(agreement.standing(at(100)), Standing::Over { until: at(100) });
    }

    #[test]
    fn either_party_stops_it_alone_and_only_that_party_resumes_it() {
        for (stops, other) in [(Party::Hub, Party::Node), (Party::Node, Party::Hub)] {
            let (mut agreement, offer) = agreed();
            let stopping = said(&key(stops), 7, Act::Suspend { offer, reason: "repairs".into() });
            agreement.add(stopping.clone()).unwrap();
            let Err(Refusal::AgreementNotLive { why, .. }) = agreement.live(at(2)) else { panic!("not suspended") };
            assert!(why.contains("repairs"), "{why}");
            agreement.add(said(&key(other), 8, Act::Resume { offer })).unwrap();
            assert!(agreement.live(at(2)).is_err(), "the other party resumed it");
            // Statements arrive in any order: an older one does not undo a later one.
            agreement.add(said(&key(stops), 5, Act::Resume { offer })).unwrap();
            assert!(agreement.live(at(2)).is_err(), "an older statement undid a later one");
            agreement.add(said(&key(stops), 9, Act::Resume { offer })).unwrap();
            assert_eq!(agreement.live(at(2)), Ok(()));
            assert_eq!(agreement.add(stopping), Ok(false), "a replayed statement is new");
            assert_eq!(agreement.live(at(2)), Ok(()), "a replayed statement stopped it again");
        }
    }

    #[test]
    fn what_is_ended_stays_ended_until_another_offer_is_accepted() {
        let (mut agreement, first) = agreed();
        agreement.add(said(&key(Party::Node), 2, Act::Terminate { offer: first, reason: "we leave".into() })).unwrap();
        agreement.add(said(&key(Party::Node), 3, Act::Resume { offer: first })).unwrap();
        agreement.add(said(&key(Party::Node), 4, Act::Accept { offer: first })).unwrap();
        assert!(matches!(agreement.standing(at(2)), Standing::Terminated { .. }), "it was brought back to life");
        let second = offer(2, None);
        let digest = second.digest();
        agreement.add(second).unwrap();
        assert!(matches!(agreement.standing(at(2)), Standing::Terminated { .. }), "an offer alone revived it");
        agreement.add(said(&key(Party::Node), 5, Act::Accept { offer: digest })).unwrap();
        assert_eq!(agreement.live(at(200)), Ok(()));
    }

    /// What would be a bug: a party that fills the other's disk with statements, or thereby keeps it from ending the agreement.
    #[test]
    fn a_party_states_so_much_and_no_more() {
        let (mut agreement, offer) = agreed();
        let suspend = |number| Act::Suspend { offer, reason: format!("{number}") };
        for number in 2..=1_000 {
            assert_eq!(agreement.add(said(&key(Party::Hub), number, suspend(number))), Ok(true));
        }
        let refused = agreement.add(said(&key(Party::Hub), 1_001, suspend(1_001)));
        assert!(matches!(refused, Err(Refusal::Malformed { .. })), "{refused:?}");
        assert_eq!(agreement.add(said(&key(Party::Hub), 1_000, suspend(1_000))), Ok(false), "one that is known");
        let ending = Act::Terminate { offer, reason: "we leave".into() };
        assert_eq!(agreement.add(said(&key(Party::Node), 2, ending)), Ok(true));
    }

    #[test]
    fn nobody_speaks_for_the_other_party() {
        let (mut agreement, offer) = agreed();
        let stranger = SecretKey::from_seed(&[9; 32]);
        let end = || Act::Terminate { offer, reason: "mischief".into() };
        assert!(agreement.add(said(&stranger, 9, end())).is_err(), "a stranger ended it");
        assert!(
            agreement.add(said(&key(Party::Hub), 9, Act::Accept { offer })).is_err(),
            "the hub accepted its own offer"
        );
        let terms = Act::Offer { terms: Digest::of(b"mine"), from: at(1), until: None };
        assert!(agreement.add(said(&key(Party::Node), 9, terms)).is_err(), "a node offered terms to itself");
        let body = AgreementBody { node: "south".parse().unwrap(), ..said(&key(Party::Hub), 9, end()).body().clone() };
        let elsewhere = open(&sign(&body, &key(Party::Hub))).unwrap();
        assert!(agreement.add(elsewhere).is_err(), "another node's agreement counted");
        assert_eq!(agreement.live(at(2)), Ok(()));
    }
}
