//! Revocations of a data access body whose clock is ahead of the node's.

use super::*;

/// What would be a bug: a permit or a person that goes on, or comes back after a restart, because the clock of the node is behind that of the
/// data access body, for as long as it is.
#[test]
fn what_holds_at_once_does_where_the_clock_is_behind() {
    let (place, mut site) = place();
    let until = Timestamp::now() + SignedDuration::from_hours(48);
    let ada = ExcludedPerson { name: "ada".parse().unwrap(), identity: None, until };
    let targets = [Target::Permit("dap-2026-3000".parse().unwrap()), Target::Person(ada)];
    for (attempt, target) in (0_u32..).zip(targets) {
        let (number, file) = (format!("dap-2026-300{attempt}"), format!("dap-2026-300{attempt}.json"));
        permit(&place, &number, &[(PERMIT.0, &number)]);
        let submitted = once(attempt).submitted_under((&number, &file), &site, place.dir.path(), None);
        let signed_at = Timestamp::now() + SignedDuration::from_hours(24);
        let revoked = revocation_of(&place, target, (signed_at, signed_at));
        let mut outside = Outside::new(|now| {
            if now == Moment::After(Step::Reserved) {
                site.revoke(&revoked).unwrap();
            }
        });
        let told = refusal(outside.ask(&site, &submitted));
        drop(outside);
        let is_over = |told: &Refusal| matches!(told, Refusal::PermitRevoked { .. } | Refusal::PersonExcluded { .. });
        assert!(is_over(&told), "what ran: {told:?}");
        assert_eq!(entry(&site, once(attempt)), Some(Entry::Open), "an answer was committed");
        for after in ["the revocation", "a restart"] {
            let submitted = once(attempt + 10).submitted_under((&number, &file), &site, place.dir.path(), None);
            let told = refusal(Outside::new(|_| {}).ask(&site, &submitted));
            assert!(is_over(&told), "what is new after {after}: {told:?}");
            drop(site);
            site = open(place.dir.path());
        }
    }
    assert_eq!(spent_pico(&mut site.audit()), 2 * LOSS.parse::<spe_kernel::units::Loss>().unwrap().pico());
    drop(site);
    assert_eq!(standings(&place)["dap-2026-3000"], "revoked", "what the operator is shown waits for the clock");
}
