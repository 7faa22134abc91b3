//! Tokens to a tree, by recursive descent; what may nest is counted, so the stack is bounded.
//!
//! A parser that was called because its operand must follow fails for good (`Cut`); only the
//! parsers of single words and symbols let another be tried (`Backtrack`).

use super::lex::{Fault, Tok, Token, tokens};
use super::node::{Arith, Cmp, ConstSet, Node, pattern};
use super::operand::sign;
use super::{MAX_BYTES, MAX_DEPTH};
use crate::config::Issue;
use crate::row::{Fields, Slot};
use winnow::combinator::{alt, opt, peek, repeat, separated};
use winnow::error::ErrMode;
use winnow::prelude::*;
use winnow::stream::Stateful;
use winnow::token::any;

/// What the parser learns beside the tree.
#[derive(Debug)]
pub(super) struct State {
    pub(super) fields: Fields,
    pub(super) slots: Vec<Slot>,
    pub(super) depth: usize,
}

pub(super) type Input<'t, 's> = Stateful<&'t [Token<'s>], State>;
pub(super) type Parsed<T> = Result<T, ErrMode<Fault>>;

/// A tree and what it reads.
pub(super) struct Tree {
    pub(super) root: Node,
    pub(super) fields: Fields,
    pub(super) slots: Vec<Slot>,
}

/// Parses a whole text.
pub(super) fn parse(text: &str, fields: Fields) -> Result<Tree, Issue> {
    if text.len() > MAX_BYTES {
        return Err(Issue::error("", format!("expected at most {MAX_BYTES} bytes, found {}", text.len())).at(MAX_BYTES));
    }
    let tokens = tokens(text)?;
    let mut input = Stateful { input: &tokens[..], state: State { fields, slots: Vec::new(), depth: 0 } };
    match or.parse_next(&mut input).and_then(|root| end(&mut input).map(|()| root)) {
        Ok(root) => Ok(Tree { root, fields: input.state.fields, slots: input.state.slots }),
        Err(ErrMode::Cut(fault) | ErrMode::Backtrack(fault)) => Err(fault.into()),
        Err(ErrMode::Incomplete(_)) => Err(Issue::error("", "the text ends too early").at(text.len())),
    }
}

/// The token that comes next; the last one is always `End` and is never taken.
pub(super) fn next<'t, 's>(input: &Input<'t, 's>) -> &'t Token<'s> {
    const END: &Token<'static> = &Token { tok: Tok::End, text: "", at: 0 };
    input.input.first().unwrap_or(END)
}

pub(super) fn cut<T>(fault: Fault) -> Parsed<T> {
    Err(ErrMode::Cut(fault))
}

/// "expected …, found …" at the next token.
pub(super) fn expected(what: &str, input: &Input<'_, '_>) -> Fault {
    let token = next(input);
    Fault::new(token.at, format!("expected {what}, found {}", token.found()))
}

/// A keyword, in any case.
fn word<'t, 's>(keyword: &'static str) -> impl Parser<Input<'t, 's>, (), ErrMode<Fault>>
where
    's: 't,
{
    any.verify(move |t: &Token<'s>| t.tok == Tok::Word && t.text.eq_ignore_ascii_case(keyword)).void()
}

pub(super) fn symbol<'t, 's>(text: &'static str) -> impl Parser<Input<'t, 's>, (), ErrMode<Fault>>
where
    's: 't,
{
    any.verify(move |t: &Token<'s>| t.tok == Tok::Symbol && t.text == text).void()
}

/// Counts one level of nesting around `parser`.
pub(super) fn nested<'t, 's, T>(
    input: &mut Input<'t, 's>,
    at: usize,
    parser: impl Fn(&mut Input<'t, 's>) -> Parsed<T>,
) -> Parsed<T> {
    if input.state.depth >= MAX_DEPTH {
        return cut(Fault::new(at, format!("expected at most {MAX_DEPTH} levels of nesting, found more")));
    }
    input.state.depth += 1;
    let result = parser(input);
    input.state.depth -= 1;
    result
}

fn end(input: &mut Input<'_, '_>) -> Parsed<()> {
    let token = next(input);
    if token.tok == Tok::End {
        return Ok(());
    }
    let fault = expected("an operator or the end", input);
    cut(match token.text.to_ascii_uppercase().as_str() {
        "LIKE" | "ILIKE" | "CONTAINS" => {
            fault.hint("use MATCHES 'regex', contains(text, part) or starts_with(text, part)")
        }
        ")" => fault.hint("there is no `(` for it"),
        _ => fault,
    })
}

/// One node as it is, several under `join`.
fn join(mut parts: Vec<Node>, join: fn(Vec<Node>) -> Node) -> Node {
    match parts.len() {
        1 => parts.remove(0),
        _ => join(parts),
    }
}

pub(super) fn or(input: &mut Input<'_, '_>) -> Parsed<Node> {
    let parts: Vec<Node> = separated(1.., and, word("OR")).parse_next(input)?;
    Ok(join(parts, Node::Or))
}

fn and(input: &mut Input<'_, '_>) -> Parsed<Node> {
    let parts: Vec<Node> = separated(1.., not, word("AND")).parse_next(input)?;
    Ok(join(parts, Node::And))
}

fn not(input: &mut Input<'_, '_>) -> Parsed<Node> {
    let at = next(input).at;
    match opt(word("NOT")).parse_next(input)? {
        Some(()) => Ok(Node::Not(Box::new(nested(input, at, not)?))),
        None => predicate(input),
    }
}

/// A sum, and at most one comparison behind it.
fn predicate(input: &mut Input<'_, '_>) -> Parsed<Node> {
    let left = sum(input)?;
    if let Some(op) = opt(comparison).parse_next(input)? {
        let right = sum(input)?;
        if opt(peek(comparison)).parse_next(input)?.is_some() {
            let fault = expected("`AND`, `OR` or the end", input);
            return cut(fault.hint("comparisons do not chain; write `a < b AND b < c`"));
        }
        return Ok(Node::Cmp(Box::new(left), op, Box::new(right)));
    }
    if opt(word("IS")).parse_next(input)?.is_some() {
        let negated = opt(word("NOT")).parse_next(input)?.is_some();
        if opt(word("NULL")).parse_next(input)?.is_none() {
            let fault = expected(if negated { "`NULL`" } else { "`NULL` or `NOT NULL`" }, input);
            return cut(fault.hint("for other values use `=`"));
        }
        return Ok(negate(Node::IsNull(Box::new(left)), negated));
    }
    let negated = opt(word("NOT")).parse_next(input)?.is_some();
    let kind = alt((word("IN").value(0), word("BETWEEN").value(1), word("MATCHES").value(2)));
    let node = match opt(kind).parse_next(input)? {
        Some(0) => in_list(left, input)?,
        Some(1) => between(left, input)?,
        Some(_) => matches(left, input)?,
        None if negated => return cut(expected("`IN`, `BETWEEN` or `MATCHES`", input)),
        None => return Ok(left),
    };
    Ok(negate(node, negated))
}

fn negate(node: Node, negated: bool) -> Node {
    if negated { Node::Not(Box::new(node)) } else { node }
}

fn comparison(input: &mut Input<'_, '_>) -> Parsed<Cmp> {
    alt((
        alt((symbol("="), symbol("=="))).value(Cmp::Eq),
        alt((symbol("!="), symbol("<>"))).value(Cmp::Ne),
        symbol("<").value(Cmp::Lt),
        symbol("<=").value(Cmp::Le),
        symbol(">").value(Cmp::Gt),
        symbol(">=").value(Cmp::Ge),
    ))
    .parse_next(input)
}

fn in_list(left: Node, input: &mut Input<'_, '_>) -> Parsed<Node> {
    let at = next(input).at;
    if opt(symbol("(")).parse_next(input)?.is_none() {
        return cut(expected("`(` and the items of the list", input));
    }
    let items = nested(input, at, |input| list(input, at))?;
    let constants = ConstSet::new(items.iter().filter_map(Node::constant));
    let others = items.iter().filter(|i| i.constant().is_none()).cloned().collect();
    Ok(Node::In(Box::new(left), Box::new(constants), others))
}

/// The expressions up to the closing parenthesis; at least one.
pub(super) fn list(input: &mut Input<'_, '_>, open: usize) -> Parsed<Vec<Node>> {
    let items = separated(1.., or, symbol(",")).parse_next(input)?;
    close(input, open, "`,` or `)`")?;
    Ok(items)
}

pub(super) fn close(input: &mut Input<'_, '_>, open: usize, what: &str) -> Parsed<()> {
    match opt(symbol(")")).parse_next(input)? {
        Some(()) => Ok(()),
        None => cut(expected(what, input).hint(format!("the `(` at byte {open} is not closed"))),
    }
}

fn between(left: Node, input: &mut Input<'_, '_>) -> Parsed<Node> {
    let low = sum(input)?;
    if opt(word("AND")).parse_next(input)?.is_none() {
        return cut(expected("`AND` and the upper bound", input));
    }
    let high = sum(input)?;
    Ok(Node::Between(Box::new([left, low, high])))
}

fn matches(left: Node, input: &mut Input<'_, '_>) -> Parsed<Node> {
    let token = next(input);
    let Tok::Text(text) = &token.tok else {
        return cut(expected("a regular expression in quotes", input));
    };
    any.void().parse_next(input)?;
    match pattern(text) {
        Ok(regex) => Ok(Node::Matches(Box::new(left), Box::new(regex))),
        Err(error) => {
            cut(Fault::new(token.at, format!("expected a regular expression, found {}: {error}", token.found())))
        }
    }
}

fn sum(input: &mut Input<'_, '_>) -> Parsed<Node> {
    let op = || alt((symbol("+").value(Arith::Add), symbol("-").value(Arith::Sub)));
    let first = product(input)?;
    let rest: Vec<_> = repeat(0.., (op(), product)).parse_next(input)?;
    Ok(chain(first, rest))
}

fn product(input: &mut Input<'_, '_>) -> Parsed<Node> {
    let op = || alt((symbol("*").value(Arith::Mul), symbol("/").value(Arith::Div), symbol("%").value(Arith::Rem)));
    let first = sign(input)?;
    let rest: Vec<_> = repeat(0.., (op(), sign)).parse_next(input)?;
    Ok(chain(first, rest))
}

fn chain(first: Node, rest: Vec<(Arith, Node)>) -> Node {
    if rest.is_empty() { first } else { Node::Arith(Box::new(first), rest) }
}
