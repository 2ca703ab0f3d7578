//! What a party decides, and the statement that it makes of it. What would change nothing is refused before it is signed: whoever states
//! something finds it in force, or reads why it is not.

use jiff::Timestamp;

use super::{Act, Agreement, AgreementBody, Party, REASON_BYTES_MAX, STATEMENTS_MAX, Standing, Terms};
use crate::{
    document::{Opened, malformed},
    ids::Digest,
    refusal::Refusal,
};

/// What a party decides.
#[derive(Debug, Clone)]
pub enum Move {
    /// The hub offers terms: the first, or others.
    Offer {
        /// Their text's digests.
        terms: Terms,
        /// The end; none = until it is ended.
        until: Option<Timestamp>,
    },
    /// The node accepts the hub's latest offer.
    Accept {
        /// The text that it has read; none = not compared.
        terms: Option<Terms>,
    },
    /// Either suspends, with a reason.
    Suspend(String),
    /// Who suspended it resumes.
    Resume,
    /// Either ends it, with a reason.
    Terminate(String),
}

impl Agreement {
    /// What `party` states by that at `now`.
    ///
    /// # Errors
    /// [`Refusal::NothingToState`]: it would change nothing, or is the other party's to do; [`Refusal::OtherTerms`];
    /// [`Refusal::Malformed`]: a reason that is too long, or not on one line.
    pub fn decide(&self, party: Party, step: Move, now: Timestamp) -> Result<Act, Refusal> {
        let act = self.act(party, step, now)?;
        match self.own(party) < places(&act) {
            true => Ok(act),
            false => Err(self.nothing(format!(
                "{} has made {} statements on it, of {STATEMENTS_MAX}; the last two are kept for a suspension and an end",
                self.name(party),
                self.own(party)
            ))),
        }
    }

    fn act(&self, party: Party, step: Move, now: Timestamp) -> Result<Act, Refusal> {
        match (step, party) {
            (Move::Offer { terms, until }, Party::Hub) => self.offer(terms.offered(now, until), now),
            (Move::Offer { .. }, Party::Node) => Err(self.nothing("an offer is the hub's to make")),
            (Move::Accept { terms }, Party::Node) => self.acceptance(terms, now),
            (Move::Accept { .. }, Party::Hub) => Err(self.nothing("the node accepts, not the hub")),
            (Move::Suspend(reason), _) => {
                let offer = self.lasting()?;
                match self.suspended_by(party) {
                    true => Err(self.nothing(format!("{} has suspended it already", self.name(party)))),
                    false => Ok(Act::Suspend { offer, reason: on_one_line(reason)? }),
                }
            }
            (Move::Resume, _) => {
                let offer = self.lasting()?;
                let other = party.other();
                match (self.suspended_by(party), self.suspended_by(other)) {
                    (true, _) => Ok(Act::Resume { offer }),
                    (false, true) => {
                        Err(self.nothing(format!("{0} suspended it, and {0} resumes it", self.name(other))))
                    }
                    (false, false) => Err(self.nothing("it is not suspended")),
                }
            }
            (Move::Terminate(reason), _) => Ok(Act::Terminate { offer: self.lasting()?, reason: on_one_line(reason)? }),
        }
    }

    /// The same again changes nothing, unless it is to begin anew what was suspended or ended.
    fn offer(&self, act: Act, now: Timestamp) -> Result<Act, Refusal> {
        let what = |act: &Act| match *act {
            Act::Offer { terms, terms_sha256, until, .. } => Some((terms, terms_sha256, until)),
            _ => None,
        };
        let begins_later = |act: &Act| matches!(act, Act::Offer { from, .. } if *from > now);
        let latest = self.latest_offer().map(|offer| &offer.body().act).filter(|act| !begins_later(act));
        match self.stops().is_empty() && latest.is_some_and(|latest| what(latest) == what(&act)) {
            true => Err(self.nothing("the hub's latest offer has the same terms and the same end")),
            false => Ok(act),
        }
    }

    fn acceptance(&self, terms: Option<Terms>, now: Timestamp) -> Result<Act, Refusal> {
        let offer = self.latest_offer().ok_or_else(|| self.nothing("the hub has offered nothing yet"))?;
        terms.map_or(Ok(()), |terms| terms.are_those_of(offer))?;
        if self.accepted().is_some_and(|known| known.digest() == offer.digest()) {
            self.lasting()?;
            return Err(self.nothing("the hub's latest offer is accepted already; only another can be"));
        }
        if self.was_ended_after(offer) {
            return Err(self.nothing("the hub has ended it since its latest offer; it can offer anew"));
        }
        match offer.body().act {
            Act::Offer { until: Some(until), .. } if until <= now => {
                Err(self.nothing(format!("the hub's latest offer was over at {until}")))
            }
            _ => Ok(Act::Accept { offer: offer.digest() }),
        }
    }

    /// What is agreed on and not ended.
    fn lasting(&self) -> Result<Digest, Refusal> {
        let ended = self.stops().into_iter().find_map(|stop| match stop {
            Standing::Terminated { by, at, .. } => Some(format!("{by} ended it at {at}; the hub can offer anew")),
            _ => None,
        });
        let agreed = self.accepted().map(Opened::digest);
        match (ended, agreed) {
            (Some(why), _) => Err(self.nothing(why)),
            (None, None) => Err(self.nothing("nothing was agreed on yet")),
            (None, Some(agreed)) => Ok(agreed),
        }
    }

    /// Whether the hub has stated an end after that offer: whoever accepts it then takes part in nothing.
    fn was_ended_after(&self, offer: &Opened<AgreementBody>) -> bool {
        let ends = |one: &&Opened<AgreementBody>| matches!(one.body().act, Act::Terminate { .. });
        self.of(Party::Hub).filter(ends).any(|one| one.body().number >= offer.body().number)
    }

    fn suspended_by(&self, party: Party) -> bool {
        matches!(self.stop(party), Some(Standing::Suspended { .. }))
    }

    fn nothing(&self, why: impl Into<String>) -> Refusal {
        Refusal::NothingToState { node: self.node().clone(), why: why.into() }
    }
}

/// How many statements a party may have made when it states this: it can always suspend and end.
const fn places(act: &Act) -> usize {
    match act {
        Act::Terminate { .. } => STATEMENTS_MAX,
        Act::Suspend { .. } => STATEMENTS_MAX - 1,
        _ => STATEMENTS_MAX - 2,
    }
}

/// The other party is told why in some words on one line.
fn on_one_line(reason: String) -> Result<String, Refusal> {
    let why = match reason.len() {
        size if size > REASON_BYTES_MAX => format!("reason has {size} bytes; the limit is {REASON_BYTES_MAX}"),
        _ if reason.chars().any(char::is_control) => "reason has a line break or another control character".into(),
        _ => return Ok(reason),
    };
    Err(malformed::<AgreementBody>(why))
}

#[cfg(test)]
mod tests;
