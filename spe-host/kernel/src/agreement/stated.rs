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

const PARTIES: [Party; 2] = [Party::Hub, Party::Node];

/// How a party has stopped it.
struct Stopped {
    /// Since when, without a resumption in between.
    since: Timestamp,
    /// Its last word.
    standing: Standing,
}

/// The order of a party's statements. Two have one number where the party's store was put back in between: their digests decide, so that
/// whoever has the same statements reads the same from them.
fn turn(statement: &&Opened<AgreementBody>) -> (u32, Digest) {
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
    fn own(&self, party: Party) -> usize {
        self.of(party).filter(|one| !one.body().act.is_countersignature()).count()
    }

    /// The number of the party's next statement.
    pub fn next_number(&self, party: Party) -> u32 {
        self.of(party).map(|statement| statement.body().number).max().unwrap_or(0).saturating_add(1)
    }

    fn of(&self, party: Party) -> impl Iterator<Item = &Opened<AgreementBody>> {
        self.statements.iter().filter(move |(by, _)| *by == party).map(|(_, statement)| statement)
    }

    /// Everything, by the time at which it was signed; of the same time, what is a second signature last.
    pub fn statements(&self) -> Vec<&Opened<AgreementBody>> {
        let mut all: Vec<_> = self.statements.iter().map(|(_, statement)| statement).collect();
        all.sort_by_key(|one| (one.body().signed_at, one.body().act.seconds().is_some(), turn(one)));
        all
    }

    /// What the other party signed under `statement`.
    fn second(&self, statement: &Opened<AgreementBody>) -> Option<&Opened<AgreementBody>> {
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
        if let Some(stop) = self.stops().into_iter().next() {
            return stop;
        }
        match until {
            Some(until) if *until <= now => Standing::Over { until: *until },
            _ if now < *from => Standing::NotYet { from: *from },
            _ => Standing::Live { terms: *terms },
        }
    }

    /// What keeps it from being live: each party's suspension or end of it that is in force, an end first: what is ended is ended, whatever
    /// the other party says.
    pub fn stops(&self) -> Vec<Standing> {
        let mut stops: Vec<_> = PARTIES.into_iter().filter_map(|party| self.stop(party)).collect();
        stops.sort_by_key(|one| !matches!(one, Standing::Terminated { .. }));
        stops
    }

    /// A party's last word, where it is a suspension or an end.
    pub(super) fn stop(&self, party: Party) -> Option<Standing> {
        Some(self.stopped(party)?.standing)
    }

    /// Since when what is agreed on has been stopped without a break: by the party that stopped it first, where both did.
    pub(super) fn stopped_since(&self) -> Option<Timestamp> {
        PARTIES.into_iter().filter_map(|party| self.stopped(party)).map(|stopped| stopped.since).min()
    }

    /// How a party stopped what is agreed on, if it did.
    ///
    /// # Security
    /// Its stops count that name what is agreed on, and all that it has stated after it offered or accepted that: a suspension by the hub is
    /// not got rid of by accepting an offer from before it. Watched by `an_offer_from_before_a_suspension_does_not_lift_it`.
    fn stopped(&self, party: Party) -> Option<Stopped> {
        let agreed = self.accepted()?;
        let opening = if party == Party::Hub { agreed } else { self.second(agreed)? };
        let counts = |one: &Opened<AgreementBody>, offer: &Digest| {
            *offer == agreed.digest() || one.body().number >= opening.body().number
        };
        let mut all: Vec<_> = self.of(party).collect();
        all.sort_by_key(turn);
        let mut stopped: Option<Stopped> = None;
        for statement in all {
            let (by, at) = (self.name(party), statement.body().signed_at);
            let since = stopped.as_ref().map_or(at, |stopped| stopped.since.min(at));
            match &statement.body().act {
                Act::Terminate { offer, reason } if counts(statement, offer) => {
                    let standing = Standing::Terminated { by, at, reason: reason.clone() };
                    return Some(Stopped { since, standing });
                }
                Act::Suspend { offer, reason } if counts(statement, offer) => {
                    let standing = Standing::Suspended { by, at, reason: reason.clone() };
                    stopped = Some(Stopped { since, standing });
                }
                Act::Resume { offer } if counts(statement, offer) => stopped = None,
                _ => {}
            }
        }
        stopped
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
