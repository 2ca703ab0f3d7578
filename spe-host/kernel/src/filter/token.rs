//! The words of a filter.

use super::FilterError;

/// A token and where it starts, counted in characters from 1.
#[derive(Debug, Clone)]
pub(super) struct Spanned {
    pub(super) at: usize,
    pub(super) token: Token,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// A column, keyword, number or truth value: what it is depends on where it stands.
    Word(String),
    /// A quoted text, without its quotes.
    Text(String),
    /// `(` `)` `,` or a comparison.
    Sign(&'static str),
    /// The end of the filter.
    End,
}

impl Token {
    /// What an error message says was found.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Word(word) => cut(word),
            Self::Text(text) => format!("the text \"{}\"", cut(text)),
            Self::Sign(sign) => (*sign).to_owned(),
            Self::End => "the end".to_owned(),
        }
    }
}

fn cut(text: &str) -> String {
    text.chars().take(40).collect()
}

/// Two-character signs first: the first that fits is taken.
const SIGNS: [&str; 9] = ["!=", "<=", ">=", "=", "<", ">", "(", ")", ","];

const fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-')
}

/// Splits `text`; the last token is [`Token::End`].
pub(super) fn tokens(text: &str) -> Result<Vec<Spanned>, FilterError> {
    let (mut rest, mut at, mut tokens) = (text, 1, Vec::new());
    loop {
        let trimmed = rest.trim_ascii_start();
        at += rest.len() - trimmed.len();
        let Some(first) = trimmed.chars().next() else { break };
        let (token, length) = token(trimmed, first, at)?;
        let (taken, after) = trimmed.split_at(length);
        tokens.push(Spanned { at, token });
        at += taken.chars().count();
        rest = after;
    }
    tokens.push(Spanned { at, token: Token::End });
    Ok(tokens)
}

/// The token that `text` starts with, and its length in bytes.
fn token(text: &str, first: char, at: usize) -> Result<(Token, usize), FilterError> {
    if let Some(sign) = SIGNS.into_iter().find(|s| text.starts_with(s)) {
        return Ok((Token::Sign(sign), sign.len()));
    }
    if matches!(first, '"' | '\'') {
        return quoted(text, first, at);
    }
    let length = text.chars().take_while(|c| is_word(*c)).count();
    match text.split_at_checked(length) {
        Some((word, _)) if length > 0 => Ok((Token::Word(word.to_owned()), length)),
        _ => {
            let expected = "a column, a literal, a comparison, a parenthesis or a comma".to_owned();
            Err(FilterError { at, found: first.escape_default().to_string(), expected })
        }
    }
}

/// A text in single or double quotes; a quote inside is doubled.
fn quoted(text: &str, quote: char, at: usize) -> Result<(Token, usize), FilterError> {
    let mut inside = String::new();
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((i, c)) = chars.next() {
        if c == quote && chars.next_if(|(_, next)| *next == quote).is_none() {
            return Ok((Token::Text(inside), i + 1));
        }
        inside.push(c);
    }
    let expected = format!("a text that ends with {quote}");
    Err(FilterError { at, found: format!("{quote}{}", cut(&inside)), expected })
}
