//! The one exit: what is not noised for this plan does not get out.

use std::collections::BTreeMap;

use spe_kernel::{
    disclosure::{Confidential, Draw, Fresh, NO_KEY, OutputSums},
    dsse::SecretKey,
    ledger::Ledger,
};

use crate::disk::{Memory, answer, charge, drawn, key, paid, rho};

#[test]
fn noise_for_another_plan_or_shape_is_not_added() {
    let mut ledger = Ledger::open(Memory::default()).unwrap();
    let cells = |cells: Vec<i128>| OutputSums::Cells(cells);
    let zeros = |n| Fresh::Cells(vec![0; n]);
    let keyed = || Fresh::Keys { threshold: 0, released_max: 1, next: Box::new(|| Ok(0)) };
    for (question, of, sums, noise, why) in [
        (1, 2, vec![cells(vec![7])], vec![zeros(1)], "noise for another plan"),
        (3, 3, vec![cells(vec![7])], vec![zeros(2)], "noise for more cells"),
        (4, 4, vec![cells(vec![7]), cells(vec![8])], vec![zeros(1)], "sums without noise"),
        (5, 5, vec![cells(vec![i128::MAX])], vec![Fresh::Cells(vec![1])], "an overflow"),
        (6, 6, vec![cells(vec![7])], vec![keyed()], "noise for keys"),
        (7, 7, vec![OutputSums::Keys(BTreeMap::from([(7, 7)]))], vec![zeros(1)], "keys without a threshold"),
    ] {
        let paid = paid(ledger.reserve(&charge(question, 0, rho(1)), &[]));
        let draw = Draw::new(key(of).plan, noise.into_iter().map(drawn).collect());
        assert!(Confidential::seal(sums).noise(paid, draw).is_err(), "{why} was taken");
    }
}

/// How many keys there are, and which fell below the threshold, must not show; the largest counts win.
#[test]
fn keys_below_the_threshold_leave_no_trace() {
    let disk = Memory::default();
    let mut ledger = Ledger::open(disk.clone()).unwrap();
    let release = |question, sums: &[(u64, i128)], ledger: &mut Ledger<Memory>| {
        let asked = charge(question, 0, rho(1));
        let paid = paid(ledger.reserve(&asked, &[]));
        let noise = Fresh::Keys { threshold: 10, released_max: 2, next: Box::new(|| Ok(1)) };
        let sums = Confidential::seal(vec![OutputSums::Keys(sums.iter().copied().collect())]);
        let noised = sums.noise(paid, Draw::new(asked.key.plan, vec![drawn(noise)])).unwrap();
        ledger.commit(noised, &"north".parse().unwrap(), &SecretKey::from_seed(&[3; 32])).unwrap();
        answer(&disk, &asked.key).outputs[0].cells.0.clone()
    };
    assert_eq!(release(1, &[], &mut ledger), [NO_KEY, 0, NO_KEY, 0]);
    assert_eq!(release(2, &[(4, 8)], &mut ledger), [NO_KEY, 0, NO_KEY, 0], "9 is below the threshold of 10");
    assert_eq!(release(3, &[(4, 9), (5, 3)], &mut ledger), [4, 10, NO_KEY, 0]);
    assert_eq!(release(4, &[(1, 20), (2, 9), (3, 30)], &mut ledger), [1, 21, 3, 31]);
}
