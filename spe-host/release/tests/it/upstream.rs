//! Why clamping and summing are not opendp's: behaviour of its transformations that would be unsound here. When one of
//! these tests fails, opendp has changed, and `docs/privacy.md` and the choice should be looked at again.

use opendp::{
    domains::{AtomDomain, VectorDomain},
    metrics::{L2Distance, SymmetricDistance},
    transformations::{make_b_ary_tree, make_sum},
};

/// Above 2²⁰ rows a sum of floats of unknown number is silently a sum of a random 2²⁰ of them.
#[test]
fn float_sums_drop_rows() {
    let unit = AtomDomain::<f64>::new_closed((0.0, 1.0)).unwrap();
    let sum = make_sum(VectorDomain::new(unit), SymmetricDistance).unwrap();
    let ones = sum.invoke(&vec![1.0; 2_000_000]).unwrap();
    assert!((ones - 1_048_576.0).abs() < 1e-6, "{ones}");
    assert!(sum.map(&1).unwrap() > 1.0, "and its sensitivity is above 1, because float sums round");
}

/// A tree of counts claims less L2 sensitivity than it has.
#[test]
fn tree_sensitivity_is_understated() {
    let leaves = VectorDomain::new(AtomDomain::<i32>::default());
    let tree = make_b_ary_tree(leaves, L2Distance::<f64>::default(), 1_024, 2).unwrap();
    let of = |leaf: i32| tree.invoke(&vec![leaf; 1_024]).unwrap();
    let apart: f64 = of(1).iter().zip(of(0)).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt();
    let claimed = tree.map(&32.0).unwrap();
    assert!(claimed < 400.0 && apart > 1_400.0, "claims {claimed}, is {apart}");
}
