//! Recursive descent, one function for each rule of the grammar in `docs/filter.md`; types are checked on the way.

use std::collections::BTreeSet;

use super::{
    Comparison, FILTER_DEPTH_MAX, FILTER_SET_MAX, FilterError, Literal, Predicate, Test, moment,
    token::{Spanned, Token, tokens},
};
use crate::{
    dataset::{ColumnSchema, ColumnType, TableSchema},
    ids::ColumnName,
};

/// Columns or categories that an error message lists at most.
const SHOWN_MAX: usize = 12;

type Parsed<T> = Result<T, FilterError>;

pub(super) fn filter(text: &str, table: &TableSchema) -> Parsed<(Predicate, BTreeSet<ColumnName>)> {
    let mut parser = Parser { tokens: &tokens(text)?, table, columns: BTreeSet::new() };
    let predicate = parser.any(0)?;
    match parser.token() {
        Token::End => Ok((predicate, parser.columns)),
        _ => parser.fail("\"and\", \"or\" or the end"),
    }
}

struct Parser<'a> {
    /// What is still to be read; the last is the end.
    tokens: &'a [Spanned],
    table: &'a TableSchema,
    columns: BTreeSet<ColumnName>,
}

impl<'a> Parser<'a> {
    fn token(&self) -> &'a Token {
        self.tokens.first().map_or(&Token::End, |t| &t.token)
    }

    fn fail<T>(&self, expected: impl Into<String>) -> Parsed<T> {
        let at = self.tokens.first().map_or(1, |t| t.at);
        Err(FilterError { at, found: self.token().shown(), expected: expected.into() })
    }

    fn skip(&mut self) {
        // The end is never skipped, so there is always something to point at.
        if let [_, rest @ ..] = self.tokens
            && !rest.is_empty()
        {
            self.tokens = rest;
        }
    }

    fn accept_word(&mut self, keyword: &str) -> bool {
        let found = matches!(self.token(), Token::Word(word) if word.eq_ignore_ascii_case(keyword));
        if found {
            self.skip();
        }
        found
    }

    fn accept_sign(&mut self, sign: &'static str) -> bool {
        let found = *self.token() == Token::Sign(sign);
        if found {
            self.skip();
        }
        found
    }

    fn expect_sign(&mut self, sign: &'static str, expected: &str) -> Parsed<()> {
        if self.accept_sign(sign) { Ok(()) } else { self.fail(expected) }
    }

    fn any(&mut self, depth: usize) -> Parsed<Predicate> {
        self.chain("or", Predicate::Any, |parser| parser.all(depth))
    }

    fn all(&mut self, depth: usize) -> Parsed<Predicate> {
        self.chain("and", Predicate::All, |parser| parser.term(depth))
    }

    fn chain(
        &mut self,
        keyword: &str,
        join: fn(Vec<Predicate>) -> Predicate,
        mut part: impl FnMut(&mut Self) -> Parsed<Predicate>,
    ) -> Parsed<Predicate> {
        let first = part(self)?;
        let mut more = Vec::new();
        while self.accept_word(keyword) {
            more.push(part(self)?);
        }
        if more.is_empty() {
            return Ok(first);
        }
        more.insert(0, first);
        Ok(join(more))
    }

    fn term(&mut self, depth: usize) -> Parsed<Predicate> {
        if depth >= FILTER_DEPTH_MAX {
            return self.fail(format!("at most {FILTER_DEPTH_MAX} levels of \"not\" and parentheses"));
        }
        if self.accept_word("not") {
            return Ok(negated(self.term(depth + 1)?));
        }
        if self.accept_sign("(") {
            let inner = self.any(depth + 1)?;
            self.expect_sign(")", "\"and\", \"or\" or a closing parenthesis")?;
            return Ok(inner);
        }
        self.test()
    }

    fn test(&mut self) -> Parsed<Predicate> {
        let column = self.column()?;
        if self.accept_word("is") {
            let negative = self.accept_word("not");
            if !self.accept_word("null") {
                return self.fail(if negative { "\"null\"" } else { "\"null\" or \"not null\"" });
            }
            let test = Predicate::Test(column.name.clone(), Test::Null);
            return Ok(if negative { negated(test) } else { test });
        }
        let negative = self.accept_word("not");
        let test = if self.accept_word("between") {
            self.between(column)?
        } else if self.accept_word("in") {
            self.set(column)?
        } else if negative {
            return self.fail("\"between\" or \"in\"");
        } else {
            self.compare(column)?
        };
        let test = Predicate::Test(column.name.clone(), test);
        Ok(if negative { negated(test) } else { test })
    }

    fn column(&mut self) -> Parsed<&'a ColumnSchema> {
        let Token::Word(word) = self.token() else {
            return self.fail("a column, \"not\" or a parenthesis");
        };
        let Some(column) = self.table.columns.iter().find(|c| c.name.as_str() == word) else {
            let names = self.table.columns.iter().map(|c| c.name.as_str());
            return self.fail(format!("a column of table {} ({})", self.table.name, some_of(names)));
        };
        self.columns.insert(column.name.clone());
        self.skip();
        Ok(column)
    }

    fn compare(&mut self, column: &ColumnSchema) -> Parsed<Test> {
        let comparison = match self.token() {
            Token::Sign(sign) => sign.parse().ok(),
            _ => None,
        };
        let Some(comparison) = comparison else {
            return self.fail("a comparison (= != < <= > >=), \"between\", \"in\" or \"is\"");
        };
        if Comparison::is_ordered(comparison) {
            self.check_ordered(column, "= or !=")?;
        }
        self.skip();
        Ok(Test::Compare(comparison, self.literal(column)?))
    }

    fn between(&mut self, column: &ColumnSchema) -> Parsed<Test> {
        self.check_ordered(column, "no range")?;
        let low = self.literal(column)?;
        if !self.accept_word("and") {
            return self.fail("\"and\" between the two ends of the range");
        }
        Ok(Test::Between(low, self.literal(column)?))
    }

    fn check_ordered(&self, column: &ColumnSchema, instead: &str) -> Parsed<()> {
        use ColumnType::{Date, Integer, Number, Timestamp};
        match column.kind {
            Integer { .. } | Number { .. } | Date | Timestamp => Ok(()),
            _ => self.fail(format!("{instead}, because {} is a {} and has no order", column.name, column.kind.name())),
        }
    }

    fn set(&mut self, column: &ColumnSchema) -> Parsed<Test> {
        self.expect_sign("(", "a parenthesis that opens the set")?;
        let mut literals = vec![self.literal(column)?];
        while self.accept_sign(",") {
            if literals.len() == FILTER_SET_MAX {
                return self.fail(format!("at most {FILTER_SET_MAX} literals in a set"));
            }
            literals.push(self.literal(column)?);
        }
        self.expect_sign(")", "a comma or a closing parenthesis")?;
        Ok(Test::In(literals))
    }

    fn literal(&mut self, column: &ColumnSchema) -> Parsed<Literal> {
        let prefix = match column.kind {
            ColumnType::Date => Some("date"),
            ColumnType::Timestamp => Some("timestamp"),
            _ => None,
        };
        if let Some(prefix) = prefix
            && !self.accept_word(prefix)
        {
            return self.fail(literal_of(column));
        }
        match read_literal(self.token(), &column.kind) {
            Some(literal) => {
                self.skip();
                Ok(literal)
            }
            None => self.fail(literal_of(column)),
        }
    }
}

fn negated(predicate: Predicate) -> Predicate {
    Predicate::Not(Box::new(predicate))
}

fn read_literal(token: &Token, kind: &ColumnType) -> Option<Literal> {
    match (kind, token) {
        (ColumnType::Integer { .. }, Token::Word(word)) => word.parse().ok().map(Literal::Integer),
        (ColumnType::Number { .. }, Token::Word(word)) => number(word).map(Literal::Number),
        (ColumnType::Boolean, Token::Word(word)) if word.eq_ignore_ascii_case("true") => Some(Literal::Boolean(true)),
        (ColumnType::Boolean, Token::Word(word)) if word.eq_ignore_ascii_case("false") => Some(Literal::Boolean(false)),
        (ColumnType::Category { values }, Token::Text(text)) => {
            let code = values.iter().position(|v| v == text)?;
            Some(Literal::Category(i32::try_from(code).ok()?, text.clone()))
        }
        (ColumnType::Date, Token::Text(text)) => moment::parse_date(text.as_bytes()).map(Literal::Date),
        (ColumnType::Timestamp, Token::Text(text)) => moment::parse_timestamp(text.as_bytes()).map(Literal::Timestamp),
        (ColumnType::Text { .. }, Token::Text(text)) => Some(Literal::Text(text.clone())),
        _ => None,
    }
}

/// A finite number; `inf`, `nan` and the like are words, not numbers. Adding zero turns -0 into 0.
fn number(word: &str) -> Option<f64> {
    let starts = word.trim_start_matches('-').starts_with(|c: char| c.is_ascii_digit());
    let value = word.parse::<f64>().ok().filter(|v| starts && v.is_finite())?;
    Some(value + 0.0)
}

fn literal_of(column: &ColumnSchema) -> String {
    let form = match &column.kind {
        ColumnType::Integer { .. } => "a whole number".to_owned(),
        ColumnType::Number { .. } => "a number".to_owned(),
        ColumnType::Boolean => "true or false".to_owned(),
        ColumnType::Category { values } => {
            let quoted: Vec<_> = values.iter().take(SHOWN_MAX + 1).map(|v| format!("\"{v}\"")).collect();
            format!("one of {}", some_of(quoted.iter().map(String::as_str)))
        }
        ColumnType::Date => "date \"YYYY-MM-DD\"".to_owned(),
        ColumnType::Timestamp => "timestamp \"YYYY-MM-DDTHH:MM:SSZ\"".to_owned(),
        ColumnType::Text { .. } => "a quoted text".to_owned(),
    };
    format!("{form} for the {} {}", column.kind.name(), column.name)
}

fn some_of<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut shown: Vec<_> = names.take(SHOWN_MAX + 1).collect();
    if shown.len() > SHOWN_MAX {
        shown.truncate(SHOWN_MAX);
        shown.push("…");
    }
    shown.join(", ")
}
