//! Filters as DataFusion expressions.
//!
//! Every literal has exactly its column's Arrow type, so no cast is planned and no evaluation can fail. `and` and `or`
//! become balanced trees: their depth is logarithmic in the length of the filter.

use datafusion::{
    common::{Column, ScalarValue},
    logical_expr::{Expr, Operator, binary_expr, lit},
};
use spe_kernel::{
    filter::{Comparison, Literal, Predicate, Test},
    ids::ColumnName,
};

/// A column by name; names may contain dots, so they are not parsed.
pub(crate) fn column(name: &str) -> Expr {
    Expr::Column(Column::new_unqualified(name))
}

/// `predicate` as an expression of three-valued logic.
pub(crate) fn expression(predicate: &Predicate) -> Expr {
    match predicate {
        Predicate::All(parts) => join(parts, Operator::And),
        Predicate::Any(parts) => join(parts, Operator::Or),
        Predicate::Not(inner) => Expr::Not(Box::new(expression(inner))),
        Predicate::Test(name, test) => tested(name, test),
    }
}

fn join(parts: &[Predicate], operator: Operator) -> Expr {
    match parts {
        [] => lit(operator == Operator::And),
        [one] => expression(one),
        _ => {
            let (left, right) = parts.split_at(parts.len() / 2);
            binary_expr(join(left, operator), operator, join(right, operator))
        }
    }
}

fn tested(name: &ColumnName, test: &Test) -> Expr {
    let column = column(name.as_str());
    match test {
        Test::Compare(comparison, literal) => binary_expr(column, operator(*comparison), value(literal)),
        Test::Between(low, high) => column.between(value(low), value(high)),
        Test::In(literals) => column.in_list(literals.iter().map(value).collect(), false),
        Test::Null => column.is_null(),
    }
}

const fn operator(comparison: Comparison) -> Operator {
    match comparison {
        Comparison::Equal => Operator::Eq,
        Comparison::Unequal => Operator::NotEq,
        Comparison::Less => Operator::Lt,
        Comparison::AtMost => Operator::LtEq,
        Comparison::Greater => Operator::Gt,
        Comparison::AtLeast => Operator::GtEq,
    }
}

fn value(literal: &Literal) -> Expr {
    let scalar = match literal {
        Literal::Integer(value) => ScalarValue::Int64(Some(*value)),
        Literal::Number(value) => ScalarValue::Float64(Some(*value)),
        Literal::Boolean(value) => ScalarValue::Boolean(Some(*value)),
        Literal::Category(code, _) => ScalarValue::Int32(Some(*code)),
        Literal::Date(days) => ScalarValue::Date32(Some(*days)),
        Literal::Timestamp(micros) => ScalarValue::TimestampMicrosecond(Some(*micros), None),
        Literal::Text(text) => ScalarValue::Utf8(Some(text.clone())),
    };
    Expr::Literal(scalar, None)
}
