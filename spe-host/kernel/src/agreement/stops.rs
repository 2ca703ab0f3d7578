//! What keeps an agreement from being live: suspensions and ends, in whatever order they came.

use jiff::Timestamp;

use super::{Act, Agreement, AgreementBody, Party, Standing, stated::turn};
use crate::{document::Opened, ids::Digest};

const PARTIES: [Party; 2] = [Party::Hub, Party::Node];

/// When a party had stopped it, and how it has now.
#[derive(Default)]
struct History {
    /// From when until when; none = still. In the order of its statements.
    stops: Vec<(Timestamp, Option<Timestamp>)>,
    /// When the latest suspension in force was signed.
    latest: Option<Timestamp>,
    /// Its last word, where it is a suspension or an end.
    standing: Option<Standing>,
}

impl History {
    fn stop(&mut self, at: Timestamp, standing: Standing) {
        match self.stops.last_mut() {
            Some((since, None)) => *since = at.min(*since),
            _ => self.stops.push((at, None)),
        }
        (self.latest, self.standing) = (self.latest.max(Some(at)), Some(standing));
    }

    fn resume(&mut self, at: Timestamp) {
        if self.latest <= Some(at)
            && let Some((_, until @ None)) = self.stops.last_mut()
        {
            *until = Some(at);
            (self.latest, self.standing) = (None, None);
        }
    }
}

impl Agreement {
    /// What keeps it from being live: each party's suspension or end of it that is in force, an end first: what is ended is ended, whatever
    /// the other party says.
    pub fn stops(&self) -> Vec<Standing> {
        let mut stops: Vec<_> = PARTIES.into_iter().filter_map(|party| self.stop(party)).collect();
        stops.sort_by_key(|one| !matches!(one, Standing::Terminated { .. }));
        stops
    }

    /// A party's last word, where it is a suspension or an end.
    pub(super) fn stop(&self, party: Party) -> Option<Standing> {
        self.history(party)?.standing
    }

    /// The last time in which neither party had stopped what is agreed on: since when, if either had before, and until when, if one has.
    pub(super) fn last_unstopped(&self) -> (Option<Timestamp>, Option<Timestamp>) {
        let mut stops: Vec<_> =
            PARTIES.into_iter().filter_map(|party| self.history(party)).flat_map(|history| history.stops).collect();
        stops.sort_unstable();
        // Of the stretches in which either had: the end of the one before, the start of the last one, and its end.
        let (mut before, mut last): (_, Option<(Timestamp, Option<Timestamp>)>) = (None, None);
        for (since, until) in stops {
            last = match last {
                Some((start, None)) => Some((start, None)),
                Some((start, Some(end))) if since <= end => Some((start, until.map(|until| until.max(end)))),
                other => {
                    before = other.and_then(|(_, end)| end);
                    Some((since, until))
                }
            };
        }
        match last {
            None => (None, None),
            Some((start, None)) => (before, Some(start)),
            Some((_, end)) => (end, None),
        }
    }

    /// How a party stopped what is agreed on.
    ///
    /// # Security
    /// Its stops count that name what is agreed on, and all that it has stated after it offered or accepted that: a suspension by the hub is
    /// not got rid of by accepting an offer from before it. Watched by `an_offer_from_before_a_suspension_does_not_lift_it`.
    ///
    /// What is later by number or by time is later, and only what is later by both lifts a suspension: numbers are given twice where a store
    /// was put back, and what was stated before that comes back later. Watched by `what_a_party_has_forgotten_lifts_nothing`.
    fn history(&self, party: Party) -> Option<History> {
        let agreed = self.accepted()?;
        let opening = if party == Party::Hub { agreed } else { self.second(agreed)? };
        let counts = |one: &Opened<AgreementBody>, offer: &Digest| {
            let (one, opening) = (one.body(), opening.body());
            *offer == agreed.digest() || one.number >= opening.number || one.signed_at > opening.signed_at
        };
        let mut all: Vec<_> = self.of(party).collect();
        all.sort_by_key(turn);
        let mut history = History::default();
        for statement in all {
            let (by, at) = (self.name(party), statement.body().signed_at);
            match &statement.body().act {
                Act::Terminate { offer, reason } if counts(statement, offer) => {
                    history.stop(at, Standing::Terminated { by, at, reason: reason.clone() });
                    break;
                }
                Act::Suspend { offer, reason } if counts(statement, offer) => {
                    history.stop(at, Standing::Suspended { by, at, reason: reason.clone() });
                }
                Act::Resume { offer } if counts(statement, offer) => history.resume(at),
                _ => {}
            }
        }
        Some(history)
    }
}
