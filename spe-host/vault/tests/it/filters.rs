//! A second, naive meaning of filters: three-valued logic over plain values. The vault must agree with it.

use std::cmp::Ordering;

use spe_kernel::filter::{Comparison, Literal, Predicate, Test};

/// A row's value of a column, for evaluation and for sorting; missing values come last.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Plain {
    Int(i64),
    Num(f64),
    Text(String),
    Missing,
}

impl Plain {
    pub(crate) fn order(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => a.cmp(b),
            (Self::Num(a), Self::Num(b)) => a.total_cmp(b),
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            (Self::Missing, Self::Missing) => Ordering::Equal,
            (Self::Missing, _) => Ordering::Greater,
            (_, Self::Missing) => Ordering::Less,
            _ => panic!("columns have one type"),
        }
    }

    fn of(literal: &Literal) -> Self {
        match literal {
            Literal::Integer(v) | Literal::Timestamp(v) => Self::Int(*v),
            Literal::Category(v, _) | Literal::Date(v) => Self::Int((*v).into()),
            Literal::Boolean(v) => Self::Int((*v).into()),
            Literal::Number(v) => Self::Num(*v),
            Literal::Text(v) => Self::Text(v.clone()),
        }
    }
}

/// True, false or unknown.
pub(crate) fn truth(predicate: &Predicate, value: &dyn Fn(&str) -> Plain) -> Option<bool> {
    match predicate {
        Predicate::All(parts) => fold(parts, value, false),
        Predicate::Any(parts) => fold(parts, value, true),
        Predicate::Not(inner) => truth(inner, value).map(|t| !t),
        Predicate::Test(column, Test::Null) => Some(value(column.as_str()) == Plain::Missing),
        Predicate::Test(column, test) => match value(column.as_str()) {
            Plain::Missing => None,
            known => Some(holds(test, &known)),
        },
    }
}

/// One part that is `decisive` decides; else one unknown part makes all unknown.
fn fold(parts: &[Predicate], value: &dyn Fn(&str) -> Plain, decisive: bool) -> Option<bool> {
    let truths: Vec<_> = parts.iter().map(|p| truth(p, value)).collect();
    if truths.contains(&Some(decisive)) {
        return Some(decisive);
    }
    if truths.contains(&None) { None } else { Some(!decisive) }
}

fn holds(test: &Test, value: &Plain) -> bool {
    let order = |literal: &Literal| value.order(&Plain::of(literal));
    match test {
        Test::Compare(comparison, literal) => match comparison {
            Comparison::Equal => order(literal).is_eq(),
            Comparison::Unequal => order(literal).is_ne(),
            Comparison::Less => order(literal).is_lt(),
            Comparison::AtMost => order(literal).is_le(),
            Comparison::Greater => order(literal).is_gt(),
            Comparison::AtLeast => order(literal).is_ge(),
        },
        Test::Between(low, high) => order(low).is_ge() && order(high).is_le(),
        Test::In(literals) => literals.iter().any(|l| order(l).is_eq()),
        Test::Null => false,
    }
}
