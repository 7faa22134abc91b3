//! The innermost level: signs, literals, fields, parentheses and calls.

use super::func::Func;
use super::lex::{Fault, Tok};
use super::node::Node;
use super::parse::{Input, Parsed, close, cut, expected, list, nested, next, or, symbol};
use winnow::combinator::{opt, preceded};
use winnow::prelude::*;
use winnow::token::any;

/// An operand with its signs.
pub(super) fn sign(input: &mut Input<'_, '_>) -> Parsed<Node> {
    let at = next(input).at;
    match opt(preceded(symbol("-"), |input: &mut Input<'_, '_>| nested(input, at, sign))).parse_next(input)? {
        Some(Node::Num(x)) => Ok(Node::Num(-x)),
        Some(node) => Ok(Node::Neg(Box::new(node))),
        None => primary(input),
    }
}

/// Words that are no field names.
const RESERVED: [&str; 7] = ["AND", "OR", "NOT", "IN", "BETWEEN", "IS", "MATCHES"];

fn primary(input: &mut Input<'_, '_>) -> Parsed<Node> {
    let token = next(input);
    let refused = || cut(expected("a value", input));
    if token.tok == Tok::End {
        return refused();
    }
    let node = match &token.tok {
        Tok::Number(x) => Node::Num(*x),
        Tok::Span(span) => Node::Num(span.us() as f64 / 1000.0),
        Tok::Text(s) => Node::Str((&**s).into()),
        Tok::Quoted(name) => field(name, input),
        Tok::Symbol if token.text == "(" => {
            any.void().parse_next(input)?;
            let node = nested(input, token.at, or)?;
            close(input, token.at, "`)`")?;
            return Ok(node);
        }
        Tok::Word => {
            let is = |word: &str| token.text.eq_ignore_ascii_case(word);
            if input.input.get(1).is_some_and(|t| t.tok == Tok::Symbol && t.text == "(")
                && !RESERVED.iter().any(|r| is(r))
            {
                return call(input);
            }
            match token.text {
                _ if is("true") => Node::Bool(true),
                _ if is("false") => Node::Bool(false),
                _ if is("null") => Node::Null,
                _ if RESERVED.iter().any(|r| is(r)) => return refused(),
                name => field(name, input),
            }
        }
        Tok::Symbol | Tok::End => return refused(),
    };
    any.void().parse_next(input)?;
    Ok(node)
}

fn field(name: &str, input: &mut Input<'_, '_>) -> Node {
    let slot = input.state.fields.slot(name);
    if !input.state.slots.contains(&slot) {
        input.state.slots.push(slot);
    }
    Node::Field(slot)
}

/// The word in front of `(field, horizon)`.
const FORECAST: &str = "forecast";

/// `forecast(p75_lcp, 15m)`: the field that a step `forecast` has written for it.
fn forecast(input: &mut Input<'_, '_>) -> Parsed<Node> {
    any.void().parse_next(input)?;
    let open = next(input).at;
    any.void().parse_next(input)?;
    let of = match &next(input).tok {
        Tok::Word => next(input).text.to_string(),
        Tok::Quoted(name) => name.to_string(),
        _ => return cut(expected("a field", input).hint("as in `forecast(p75_lcp, 15m)`")),
    };
    any.void().parse_next(input)?;
    if opt(symbol(",")).parse_next(input)?.is_none() {
        return cut(expected("`,` and a horizon", input).hint("as in `forecast(p75_lcp, 15m)`"));
    }
    let Tok::Span(horizon) = next(input).tok else {
        return cut(expected("a horizon such as `15m`", input).hint("one of `horizons` of the step `forecast`"));
    };
    any.void().parse_next(input)?;
    close(input, open, "`)`")?;
    Ok(field(&crate::forecast::field_name(&of, horizon), input))
}

fn call(input: &mut Input<'_, '_>) -> Parsed<Node> {
    let name = next(input);
    if name.text.eq_ignore_ascii_case(FORECAST) {
        return forecast(input);
    }
    let func = match Func::find(name.text) {
        Ok(func) => func,
        Err(hint) => {
            return cut(Fault::new(name.at, format!("expected a function, found `{}`", name.text)).hint(hint));
        }
    };
    any.void().parse_next(input)?;
    let open = next(input).at;
    any.void().parse_next(input)?;
    let args = match opt(symbol(")")).parse_next(input)? {
        Some(()) => Vec::new(),
        None => nested(input, open, |input| list(input, open))?,
    };
    match func.check_count(args.len()) {
        Ok(()) => Ok(Node::Call(func, args)),
        Err(message) => cut(Fault::new(name.at, message)),
    }
}
