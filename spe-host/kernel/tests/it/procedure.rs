//! The way of an application through a data access body: only moves that there are, and terms to the day.

use jiff::{Timestamp, ToSpan};
use proptest::prelude::*;
use spe_kernel::application::{Procedure, ProcedureError, Status, Term, Track};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn last_day(procedure: &Procedure) -> String {
    procedure.due().unwrap().last_day.to_string()
}

/// Art. 68(4): 3 months, 3 more; 4 weeks to complete. 30 November plus 3 months is the last day of February.
#[test]
fn terms_are_those_of_the_regulation() {
    let mut permit = Procedure::submitted(Track::Permit, at("2029-11-30T23:30:00Z"));
    assert_eq!(last_day(&permit), "2030-02-28");
    permit.advance(Status::PreScreening, at("2029-12-01T00:00:00Z")).unwrap();
    let (error, status) = (permit.prolong().unwrap_err(), Status::PreScreening);
    assert_eq!(error, ProcedureError::NotAssessed { status });
    assert!(error.to_string().contains("spe application accept"), "it does not say what to do: {error}");
    permit.advance(Status::AwaitingAdditionalInformation, at("2029-12-03T10:00:00Z")).unwrap();
    assert_eq!((permit.due().unwrap().term, last_day(&permit).as_str()), (Term::Completion, "2029-12-31"));
    permit.advance(Status::Processing, at("2029-12-20T00:00:00Z")).unwrap();
    assert_eq!(last_day(&permit), "2030-03-20", "the term begins when the application is complete");
    permit.prolong().unwrap();
    assert_eq!(last_day(&permit), "2030-06-20");
    assert_eq!(permit.prolong(), Err(ProcedureError::NotProlongable), "once");
    let due = permit.due().unwrap();
    assert!(!due.is_over(at("2030-06-20T23:59:59Z")) && due.is_over(at("2030-06-21T00:00:00Z")));
    permit.advance(Status::DecisionIssued, at("2030-06-01T00:00:00Z")).unwrap();
    assert_eq!(permit.due(), None);
    let terms = [
        (Term::Decision(Track::Accelerated), "2030-03-31", "Art. 68(6)"),
        (Term::ProlongedDecision(Track::Accelerated), "2030-04-30", "Art. 68(6)"),
        (Term::Decision(Track::Request), "2030-04-30", "Art. 69"),
        (Term::Answer, "2030-04-30", "Art. 69"),
        (Term::Data, "2030-03-31", "Art. 68(7)"),
    ];
    for (term, day, article) in terms {
        assert_eq!(
            (term.last_day(at("2030-01-31T12:00:00Z")).to_string().as_str(), term.article()),
            (day, article),
            "{term:?}"
        );
    }
    let mut request = Procedure::submitted(Track::Request, at("2030-01-01T00:00:00Z"));
    request.advance(Status::PreScreening, at("2030-01-01T00:00:00Z")).unwrap();
    request.advance(Status::Processing, at("2030-01-01T00:00:00Z")).unwrap();
    assert_eq!(request.prolong(), Err(ProcedureError::NotProlongable));
}

/// What would be a bug: a permit after which nobody has to make the data available, or an approved request that needs no answer; a term that
/// goes on when that was done, or that begins though nothing was granted.
#[test]
fn what_was_granted_is_owed_until_it_is_there() {
    let assessed = |track| {
        let mut procedure = Procedure::submitted(track, at("2030-01-01T00:00:00Z"));
        assert!(procedure.grant(at("2030-01-31T12:00:00Z")).is_err(), "granted, and nobody assessed it");
        procedure.advance(Status::PreScreening, at("2030-01-01T00:00:00Z")).unwrap();
        procedure.advance(Status::Processing, at("2030-01-02T00:00:00Z")).unwrap();
        procedure
    };
    for (track, term, day) in [
        (Track::Permit, Term::Data, "2030-03-31"),
        (Track::Accelerated, Term::Data, "2030-03-31"),
        (Track::Request, Term::Answer, "2030-04-30"),
    ] {
        let mut granted = assessed(track);
        granted.provide();
        assert_eq!(granted.due().unwrap().term, Term::Decision(track), "there before it was granted");
        granted.grant(at("2030-01-31T12:00:00Z")).unwrap();
        assert_eq!(granted.now().status, Status::DecisionIssued);
        let due = granted.due().expect("nothing is owed after a positive decision");
        assert_eq!((due.term, due.last_day.to_string().as_str()), (term, day));
        granted.provide();
        assert_eq!(granted.due(), None, "owed though it is there");
        let mut refused = assessed(track);
        refused.advance(Status::DecisionIssued, at("2030-01-31T12:00:00Z")).unwrap();
        assert_eq!(refused.due(), None, "owed though nothing was granted");
    }
}

#[test]
fn statuses_have_the_names_of_the_infrastructure() {
    for status in Status::ALL {
        assert_eq!(serde_json::to_value(status).unwrap(), status.to_string());
    }
    assert_eq!(Status::AwaitingAdditionalInformation.to_string(), "AWAITING_ADDITIONAL_INFORMATION");
}

proptest! {
    /// What would be a bug: a move that is not allowed and changes something, a way out of a final status, a decision that was never
    /// assessed or asked for, a term that is missing while somebody has to act.
    #[test]
    fn any_sequence_of_moves_stays_lawful(moves in prop::collection::vec((prop::sample::select(&Status::ALL[..]), 0_i64..40), 0..30)) {
        let mut now = at("2030-01-01T00:00:00Z");
        let mut procedure = Procedure::submitted(Track::Permit, now);
        for (next, hours) in moves {
            let before = procedure.clone();
            now += hours.hours();
            match procedure.advance(next, now) {
                Ok(()) => prop_assert!(before.now().status.may_become(next) && !before.now().status.is_final()),
                Err(_) => prop_assert_eq!(&procedure, &before),
            }
            prop_assert_eq!(procedure.due().is_none(), procedure.now().status.is_final());
            let stages = procedure.stages();
            prop_assert!(stages.windows(2).all(|pair| pair[0].since <= pair[1].since && pair[0].status.may_become(pair[1].status)));
            if procedure.now().status == Status::DecisionIssued {
                let assessed = |s: &Status| matches!(s, Status::Processing | Status::AwaitingAdditionalInformation);
                prop_assert!(stages.iter().any(|stage| assessed(&stage.status)));
            }
            if let Some(due) = procedure.due() {
                prop_assert!(!due.is_over(procedure.now().since), "due before it began");
            }
            prop_assert_eq!(procedure.advance(procedure.now().status, now - 1.hours()).is_err(), true, "back in time");
        }
    }
}
