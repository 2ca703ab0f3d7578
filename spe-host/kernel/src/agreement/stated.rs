//! The statements of both parties, and what follows from them.

use jiff::Timestamp;

use super::{Act, AgreementBody, Party, STATEMENTS_MAX, Standing};
use crate::{
    document::{Document, Opened, malformed},
    dsse::PublicKey,
    ids::{Digest, NodeName},
    refusal::Refusal,
};

/// The statements of both parties on one node's participation.
///
/// # Security
/// Only statements of the two keys are in it: an offer is the hub's, an acceptance the node's, nobody suspends, resumes or ends it for
/// the other, and nobody countersigns for the other or what the other has not stated. Watched by the tests beside this.
#[derive(Debug, Clone)]
pub struct Agreement {
    node: NodeName,
    hub_key: PublicKey,
    node_key: PublicKey,
    statements: Vec<(Party, Opened<AgreementBody>)>,
}

/// What came of statements that were taken in.
#[derive(Debug, Default)]
pub struct Taken {
    /// Those that were not known.
    pub new: Vec<Digest>,
    /// Countersignatures that are none, and why: nothing depends on them, so that they are left out, and the others are taken.
    pub left_out: Vec<Refusal>,
}

/// An offer, suspension, resumption or termination, with both signatures as far as they are there.
#[derive(Debug, Clone, Copy)]
pub struct Change<'a> {
    /// Who stated it.
    pub by: Party,
    /// The statement.
    pub statement: &'a Opened<AgreementBody>,
    /// What the other party signed under it: its acceptance, or its countersignature.
    pub second: Option<&'a Opened<AgreementBody>>,
}

/// The order of a party's statements. Two have one number where the party's store was put back in between: their digests decide, so that
/// whoever has the same statements reads the same from them.
pub(super) fn turn(statement: &&Opened<AgreementBody>) -> (u32, Digest) {
    (statement.body().number, statement.digest())
}

impl Agreement {
    /// One on which nothing was stated yet.
    pub const fn new(node: NodeName, hub_key: PublicKey, node_key: PublicKey) -> Self {
        Self { node, hub_key, node_key, statements: Vec::new() }
    }

    /// The node whose participation it is about.
    pub const fn node(&self) -> &NodeName {
        &self.node
    }

    /// The key of a party.
    pub const fn key(&self, party: Party) -> PublicKey {
        match party {
            Party::Hub => self.hub_key,
            Party::Node => self.node_key,
        }
    }

    /// What people call a party.
    pub fn name(&self, party: Party) -> String {
        match party {
            Party::Hub => "the hub".into(),
            Party::Node => format!("node {}", self.node),
        }
    }

    /// Takes a statement in, and says whether it is new. A copy of the other party's, to the number and the microsecond, is not.
    ///
    /// # Errors
    /// One about another node, of neither party, that is not that party's to make, or beyond the [`STATEMENTS_MAX`] of that party.
    pub fn add(&mut self, statement: Opened<AgreementBody>) -> Result<bool, Refusal> {
        let party = self.party(&statement)?;
        match (party, &statement.body().act) {
            (Party::Node, Act::Offer { .. }) => {
                return Err(malformed::<AgreementBody>("an offer is the hub's to make"));
            }
            (Party::Hub, Act::Accept { .. }) => {
                return Err(malformed::<AgreementBody>("the node accepts, not the hub"));
            }
            _ if self.find(statement.digest()).is_some() => return Ok(false),
            // One is enough: another says nothing new.
            (_, Act::Countersign { statement: of }) if self.countersignable(party, *of)?.is_some() => return Ok(false),
            (_, Act::Countersign { .. }) => {}
            _ if self.own(party) >= STATEMENTS_MAX => {
                return Err(malformed::<AgreementBody>(format!(
                    "its signer has made {STATEMENTS_MAX} statements on it, and no more are taken"
                )));
            }
            _ => {}
        }
        self.statements.push((party, statement));
        Ok(true)
    }

    /// Takes statements in, in whatever order they are.
    ///
    /// # Errors
    /// As [`Self::add`], but for a party's countersignatures that are none: they are left out.
    pub fn take(&mut self, statements: Vec<Opened<AgreementBody>>) -> Result<Taken, Refusal> {
        let mut taken = Taken::default();
        let (seconds, firsts): (Vec<_>, Vec<_>) =
            statements.into_iter().partition(|one| one.body().act.is_countersignature());
        for statement in firsts.into_iter().chain(seconds) {
            // Of neither party, or on another agreement: it is not left out, and nothing that came with it is taken.
            self.party(&statement)?;
            let (digest, may_be_left_out) = (statement.digest(), statement.body().act.is_countersignature());
            match self.add(statement) {
                Ok(true) => taken.new.push(digest),
                Ok(false) => {}
                Err(why) if may_be_left_out => taken.left_out.push(why),
                Err(why) => return Err(why),
            }
        }
        Ok(taken)
    }

    /// Whose it is.
    fn party(&self, statement: &Opened<AgreementBody>) -> Result<Party, Refusal> {
        if statement.body().node != self.node {
            return Err(malformed::<AgreementBody>(format!("it is about node {}", statement.body().node)));
        }
        match statement.signer() {
            key if key == self.hub_key => Ok(Party::Hub),
            key if key == self.node_key => Ok(Party::Node),
            key => Err(Refusal::UntrustedKey { document: AgreementBody::NAME.into(), key: key.to_string() }),
        }
    }

    /// The countersignature that `party` has made of that statement already.
    fn countersignable(&self, party: Party, of: Digest) -> Result<Option<&Opened<AgreementBody>>, Refusal> {
        let wrong = |why: String| Err(malformed::<AgreementBody>(why));
        match self.find(of) {
            None => wrong(format!("it countersigns {of}, which neither party has stated on it here")),
            Some((by, _)) if *by == party => {
                wrong(format!("it countersigns its signer's own statement {of}: that is the other party's to do"))
            }
            Some((_, statement)) if !statement.body().act.is_countersigned() => {
                let act = statement.body().act.name();
                wrong(format!("it countersigns {of}, whose act is {act:?}: only suspend, resume and terminate are"))
            }
            Some((_, statement)) => Ok(self.second(statement)),
        }
    }

    fn find(&self, statement: Digest) -> Option<&(Party, Opened<AgreementBody>)> {
        self.statements.iter().find(|(_, known)| known.digest() == statement)
    }

    /// How many statements the party has made of its own accord.
    pub(super) fn own(&self, party: Party) -> usize {
        self.of(party).filter(|one| !one.body().act.is_countersignature()).count()
    }

    /// The number of the party's next statement.
    pub fn next_number(&self, party: Party) -> u32 {
        self.of(party).map(|statement| statement.body().number).max().unwrap_or(0).saturating_add(1)
    }

    /// When `party` signs its next statement at `now`: never before its last one, so that of its statements the later is the later by number and
    /// by time, unless its store was put back in between.
    pub fn signed_at(&self, party: Party, now: Timestamp) -> Timestamp {
        self.of(party).map(|statement| statement.body().signed_at).fold(now, Timestamp::max)
    }

    pub(super) fn of(&self, party: Party) -> impl Iterator<Item = &Opened<AgreementBody>> {
        self.statements.iter().filter(move |(by, _)| *by == party).map(|(_, statement)| statement)
    }

    /// Everything, by the time at which it was signed; of the same time, what is a second signature last.
    pub fn statements(&self) -> Vec<&Opened<AgreementBody>> {
        let mut all: Vec<_> = self.statements.iter().map(|(_, statement)| statement).collect();
        all.sort_by_key(|one| (one.body().signed_at, one.body().act.seconds().is_some(), turn(one)));
        all
    }

    /// What the other party signed under `statement`.
    pub(super) fn second(&self, statement: &Opened<AgreementBody>) -> Option<&Opened<AgreementBody>> {
        let accepted = matches!(statement.body().act, Act::Offer { .. });
        let under = |one: &&Opened<AgreementBody>| match one.body().act {
            Act::Accept { offer } => accepted && offer == statement.digest(),
            Act::Countersign { statement: of } => !accepted && of == statement.digest(),
            _ => false,
        };
        self.statements.iter().map(|(_, one)| one).filter(under).min_by_key(turn)
    }

    /// All changes, each with both signatures as far as they are there, by the time at which they were stated.
    pub fn changes(&self) -> Vec<Change<'_>> {
        let first = |(by, one): &(Party, Opened<AgreementBody>)| one.body().act.seconds().is_none().then_some(*by);
        let changes = self.statements.iter().filter_map(|stated| Some((first(stated)?, &stated.1)));
        let mut all: Vec<_> =
            changes.map(|(by, statement)| Change { by, statement, second: self.second(statement) }).collect();
        all.sort_by_key(|change| (change.statement.body().signed_at, turn(&change.statement)));
        all
    }

    /// What `party` still has to countersign.
    pub fn uncountersigned(&self, party: Party) -> Vec<Digest> {
        let waits = |change: &Change<'_>| {
            change.by != party && change.second.is_none() && change.statement.body().act.is_countersigned()
        };
        self.changes().into_iter().filter(waits).map(|change| change.statement.digest()).collect()
    }

    /// The statement of that digest.
    pub fn statement(&self, digest: Digest) -> Option<&Opened<AgreementBody>> {
        self.find(digest).map(|(_, statement)| statement)
    }

    /// The hub's latest offer, by its number.
    pub fn latest_offer(&self) -> Option<&Opened<AgreementBody>> {
        let offers = self.of(Party::Hub).filter(|statement| matches!(statement.body().act, Act::Offer { .. }));
        offers.max_by_key(turn)
    }

    /// The hub's offer, if it has made one and no other.
    pub fn only_offer(&self) -> Option<&Opened<AgreementBody>> {
        let mut offers = self.of(Party::Hub).filter(|one| matches!(one.body().act, Act::Offer { .. }));
        offers.next().filter(|_| offers.next().is_none())
    }

    /// What is agreed on: of the offers that the node has accepted, the hub's latest. So neither goes back alone to what was agreed on
    /// before.
    pub fn accepted(&self) -> Option<&Opened<AgreementBody>> {
        let offers = self.of(Party::Hub).filter(|one| matches!(one.body().act, Act::Offer { .. }));
        offers.filter(|offer| self.second(offer).is_some()).max_by_key(turn)
    }

    /// How it stands at `now`.
    pub fn standing(&self, now: Timestamp) -> Standing {
        let Some(agreed) = self.accepted() else { return Standing::Open };
        let Act::Offer { terms, from, until, .. } = &agreed.body().act else { return Standing::Open };
        let stop = self.stops().into_iter().next();
        match (stop, until) {
            (Some(end @ Standing::Terminated { .. }), _) => end,
            (_, Some(until)) if *until <= now => Standing::Over { until: *until },
            (Some(stop), _) => stop,
            _ if now < *from => Standing::NotYet { from: *from },
            _ => Standing::Live { terms: *terms },
        }
    }

    /// Nothing, if it is live at `now`.
    ///
    /// # Errors
    /// [`Refusal::AgreementNotLive`], which says how it stands, and not why: researchers read it, and reasons are the parties' own.
    pub fn live(&self, now: Timestamp) -> Result<(), Refusal> {
        let why = match self.standing(now) {
            Standing::Live { .. } => return Ok(()),
            Standing::Open => "nothing was agreed on yet".into(),
            Standing::NotYet { from } => format!("it begins at {from}"),
            Standing::Over { until } => format!("it was over at {until}"),
            Standing::Suspended { by, at, .. } => format!("{by} suspended it at {at}"),
            Standing::Terminated { by, at, .. } => format!("{by} ended it at {at}"),
        };
        Err(Refusal::AgreementNotLive { node: self.node.clone(), why })
    }
}
