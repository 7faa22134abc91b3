//! Text to tokens. A byte position goes with every token, so that an error can point at it.

use crate::config::Issue;
use crate::duration::Span;
use std::borrow::Cow;
use winnow::ascii::digit1;
use winnow::combinator::{alt, opt, repeat};
use winnow::error::ParserError;
use winnow::prelude::*;
use winnow::stream::{LocatingSlice, Location, Stream};
use winnow::token::{any, one_of, take_while};

type Input<'s> = LocatingSlice<&'s str>;
type Lexed<T> = Result<T, Fault>;

/// What is wrong and where.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Fault {
    at: usize,
    message: String,
    hint: Option<String>,
}

impl Fault {
    pub(super) fn new(at: usize, message: impl Into<String>) -> Fault {
        Fault { at, message: message.into(), hint: None }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Fault {
        self.hint = Some(hint.into());
        self
    }
}

impl From<Fault> for Issue {
    fn from(fault: Fault) -> Issue {
        let issue = Issue::error("", fault.message).at(fault.at);
        match fault.hint {
            Some(hint) => issue.hint(hint),
            None => issue,
        }
    }
}

/// For the parsers of winnow; the message is made by whoever knows what was expected.
impl<I: Stream> ParserError<I> for Fault {
    type Inner = Fault;
    fn from_input(_: &I) -> Self {
        Fault::new(0, "expected something else")
    }
    fn into_inner(self) -> Result<Fault, Fault> {
        Ok(self)
    }
}

/// What a token is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Tok<'s> {
    Number(f64),
    /// `30m`, `1h30m`
    Span(Span),
    Text(Cow<'s, str>),
    /// A bare word: a field, a function or a keyword.
    Word,
    /// A name in backticks: always a field.
    Quoted(Cow<'s, str>),
    Symbol,
    End,
}

/// A token, its text and where it starts.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token<'s> {
    pub(super) tok: Tok<'s>,
    pub(super) text: &'s str,
    pub(super) at: usize,
}

impl Token<'_> {
    /// For the message: what was found here.
    pub(super) fn found(&self) -> String {
        match (&self.tok, self.text.char_indices().nth(24)) {
            (Tok::End, _) => "the end".into(),
            (_, Some((cut, _))) => format!("`{}…`", self.text.get(..cut).unwrap_or_default()),
            (_, None) => format!("`{}`", self.text),
        }
    }
}

/// Tokens that spell their meaning; the longest first.
const SYMBOLS: [&str; 16] = ["==", "!=", "<>", "<=", ">=", "=", "<", ">", "+", "-", "*", "/", "%", "(", ")", ","];

/// What others write for our words.
const FOREIGN: [(&str, &str); 5] = [("&&", "AND"), ("||", "OR"), ("!", "NOT"), ("&", "AND"), ("|", "OR")];

/// All tokens of the text; the last is [`Tok::End`].
pub(super) fn tokens(text: &str) -> Result<Vec<Token<'_>>, Fault> {
    let mut input = LocatingSlice::new(text);
    let mut tokens = Vec::new();
    loop {
        let _ = take_while::<_, _, Fault>(0.., char::is_whitespace).parse_next(&mut input);
        let at = input.current_token_start();
        if input.is_empty() {
            tokens.push(Token { tok: Tok::End, text: "", at });
            return Ok(tokens);
        }
        let tok = token(&mut input)?;
        let text = text.get(at..input.current_token_start()).unwrap_or_default();
        tokens.push(Token { tok, text, at });
    }
}

fn token<'s>(input: &mut Input<'s>) -> Lexed<Tok<'s>> {
    let at = input.current_token_start();
    match input.peek_token() {
        Some('0'..='9' | '.') => number(input),
        Some(quote @ ('\'' | '"')) => quoted(input, quote).map(Tok::Text),
        Some('`') => quoted(input, '`').and_then(|name| match name.is_empty() {
            true => Err(Fault::new(at, "expected a field name between the backticks, found nothing")),
            false => Ok(Tok::Quoted(name)),
        }),
        Some(c) if c.is_alphabetic() || c == '_' => word(input),
        _ => symbol(input),
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// `page`, `location.country`
fn word<'s>(input: &mut Input<'s>) -> Lexed<Tok<'s>> {
    let part = || take_while(1.., is_word);
    let rest = repeat::<_, _, (), Fault, _>(0.., ('.', part()));
    (part(), rest).map(|_| Tok::Word).parse_next(input)
}

/// `1`, `1.5`, `.5`, `1e-3`, and durations: `30m`
fn number<'s>(input: &mut Input<'s>) -> Lexed<Tok<'s>> {
    let at = input.current_token_start();
    let fraction = || ('.', digit1);
    let exponent = (one_of(['e', 'E']), opt(one_of(['+', '-'])), digit1);
    let digits = alt(((digit1, opt(fraction())).void(), fraction().void()));
    let mut shape = (digits, opt(exponent)).take();
    let text: &str =
        shape.parse_next(input).map_err(|_: Fault| Fault::new(at, "expected a number or a field name, found `.`"))?;
    if let Some(c) = input.peek_token().filter(|c| is_word(*c) || *c == '.') {
        let unit: &str = take_while::<_, _, Fault>(0.., |c| is_word(c) || c == '.').parse_next(input)?;
        if let Ok(span) = Span::parse(&format!("{text}{unit}")) {
            return Ok(Tok::Span(span));
        }
        let fault = Fault::new(at, format!("expected a number, found `{text}{c}`"));
        return Err(fault.hint("a name that starts with a digit stands in backticks; a duration is as `30m`"));
    }
    match text.parse::<f64>() {
        Ok(x) if x.is_finite() => Ok(Tok::Number(x)),
        _ => Err(Fault::new(at, "expected a number up to 1.8e308, found a larger one")),
    }
}

/// Text between two quotes; a doubled quote is one.
fn quoted<'s>(input: &mut Input<'s>, quote: char) -> Lexed<Cow<'s, str>> {
    let at = input.current_token_start();
    any::<_, Fault>.parse_next(input)?;
    let mut text = Cow::Borrowed("");
    loop {
        let part = take_while::<_, _, Fault>(0.., |c| c != quote).parse_next(input)?;
        text += part;
        if opt(quote).parse_next(input)?.is_none() {
            let fault = Fault::new(at, format!("expected a closing {}, found the end", shown(quote)));
            return Err(fault.hint("it opens here; inside, the quote is written twice"));
        }
        if opt(quote).parse_next(input)?.is_none() {
            return Ok(text);
        }
        text.to_mut().push(quote);
    }
}

fn shown(quote: char) -> &'static str {
    match quote {
        '\'' => "`'`",
        '"' => "`\"`",
        _ => "backtick",
    }
}

fn symbol<'s>(input: &mut Input<'s>) -> Lexed<Tok<'s>> {
    for symbol in SYMBOLS {
        if opt::<_, _, Fault, _>(symbol).parse_next(input)?.is_some() {
            return Ok(Tok::Symbol);
        }
    }
    let at = input.current_token_start();
    for (foreign, ours) in FOREIGN {
        if input.starts_with(foreign) {
            return Err(Fault::new(at, format!("expected `{ours}`, found `{foreign}`")));
        }
    }
    match input.peek_token() {
        Some(c) => {
            let fault = Fault::new(at, format!("expected a name, a number, a text or an operator, found `{c}`"));
            Err(fault.hint("a field name with other characters stands in backticks"))
        }
        None => Err(Fault::from_input(input)),
    }
}
