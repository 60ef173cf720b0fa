//! From tokens to a tree. Precedence, loosest first: or, and, not, comparison, + -, * /.

use super::eval::{Arithmetic, Comparison, Expr, Literal};
use super::functions::Function;
use super::lex::{Placed, Token, tokens};
use super::paths::{self, Field, Key};
use super::{Condition, Context, Dialect, Needs, SyntaxError};

/// Brackets in one another, at most: the parser calls itself.
const DEPTH: usize = 64;

/// Compiles a condition.
pub(in super::super) fn parse(
    text: &str,
    context: Context,
    dialect: Dialect,
) -> Result<Condition, SyntaxError> {
    let mut parser =
        Parser { tokens: tokens(text)?, next: 0, end: text.len(), depth: 0, context, dialect };
    let root = parser.any_of()?;
    if let Some((at, token)) = parser.tokens.get(parser.next) {
        return Err(SyntaxError::new(*at, format!("unexpected {}", show(token)), "join conditions with `and` or `or`"));
    }
    if !root.is_condition() {
        return Err(SyntaxError::new(0, "a value, where a condition is wanted", "compare it, such as `... == \"x\"`"));
    }
    let needs = root.needs(Needs::Resource);
    Ok(Condition { text: text.to_owned(), needs, root })
}

fn show(token: &Token) -> String {
    match token {
        Token::Name(name) => format!("`{name}`"),
        Token::Text(text) => format!("text \"{text}\""),
        Token::Int(number) => format!("number {number}"),
        Token::Double(number) => format!("number {number}"),
        Token::Bytes(_) => "bytes".to_owned(),
        Token::Sign(sign) => format!("`{sign}`"),
    }
}

struct Parser {
    tokens: Vec<Placed>,
    next: usize,
    end: usize,
    depth: usize,
    context: Context,
    dialect: Dialect,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next).map(|(_, token)| token)
    }

    fn at(&self) -> usize {
        self.tokens.get(self.next).map_or(self.end, |(at, _)| *at)
    }

    fn sign(&mut self, wanted: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Sign(sign)) if *sign == wanted);
        self.next += usize::from(found);
        found
    }

    fn word(&mut self, wanted: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Name(name)) if name == wanted);
        self.next += usize::from(found);
        found
    }

    fn expect(&mut self, wanted: &str) -> Result<(), SyntaxError> {
        if self.sign(wanted) { Ok(()) } else { Err(self.wrong(&format!("`{wanted}`"))) }
    }

    fn wrong(&self, wanted: &str) -> SyntaxError {
        let found = self.peek().map_or("the end".to_owned(), show);
        SyntaxError::new(self.at(), format!("expected {wanted}, found {found}"), "")
    }

    fn older(&self) -> bool {
        self.dialect == Dialect::Expr
    }

    /// Conditions are asked for under `or`, `and`, `not`.
    fn condition(&self, at: usize, expr: Expr) -> Result<Expr, SyntaxError> {
        if expr.is_condition() {
            Ok(expr)
        } else {
            Err(SyntaxError::new(at, "a value, where a condition is wanted", "compare it"))
        }
    }

    fn any_of(&mut self) -> Result<Expr, SyntaxError> {
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(SyntaxError::new(self.at(), "too many brackets in one another", "split the condition"));
        }
        let at = self.at();
        let mut list = vec![self.all_of()?];
        while self.word("or") || (self.older() && self.sign("||")) {
            let next = self.at();
            let expr = self.all_of()?;
            list.push(self.condition(next, expr)?);
        }
        self.depth -= 1;
        one_or(list, |list| self.all_conditions(at, list).map(Expr::Or))
    }

    fn all_of(&mut self) -> Result<Expr, SyntaxError> {
        let at = self.at();
        let mut list = vec![self.negated()?];
        while self.word("and") || (self.older() && self.sign("&&")) {
            let next = self.at();
            let expr = self.negated()?;
            list.push(self.condition(next, expr)?);
        }
        one_or(list, |list| self.all_conditions(at, list).map(Expr::And))
    }

    /// The first of a list was not checked, because alone it may be a value in brackets.
    fn all_conditions(&self, at: usize, list: Vec<Expr>) -> Result<Vec<Expr>, SyntaxError> {
        list.into_iter().map(|expr| self.condition(at, expr)).collect()
    }

    fn negated(&mut self) -> Result<Expr, SyntaxError> {
        let mut odd = false;
        let mut any = false;
        while self.word("not") || (self.older() && self.sign("!")) {
            (odd, any) = (!odd, true);
        }
        let at = self.at();
        let expr = self.compared()?;
        if !any {
            return Ok(expr);
        }
        let expr = self.condition(at, expr)?;
        Ok(if odd { Expr::Not(Box::new(expr)) } else { expr })
    }

    fn compared(&mut self) -> Result<Expr, SyntaxError> {
        let left = self.added()?;
        const SIGNS: [(&str, Comparison); 6] = [
            ("==", Comparison::Equal),
            ("!=", Comparison::NotEqual),
            ("<=", Comparison::LessOrEqual),
            (">=", Comparison::GreaterOrEqual),
            ("<", Comparison::Less),
            (">", Comparison::Greater),
        ];
        for (sign, comparison) in SIGNS {
            if self.sign(sign) {
                return Ok(Expr::Compare(comparison, Box::new([left, self.added()?])));
            }
        }
        if self.older() {
            return self.older_operator(left);
        }
        Ok(left)
    }

    /// `in`, `matches`, `contains`, `startsWith`, `endsWith` of the older language.
    fn older_operator(&mut self, left: Expr) -> Result<Expr, SyntaxError> {
        let at = self.at();
        let negated = self.word("not");
        let found = if self.word("in") {
            let Expr::List(items) = self.added()? else {
                return Err(SyntaxError::new(at, "`in` wants a list", "write `in [\"a\", \"b\"]`"));
            };
            let equal = |item| Expr::Compare(Comparison::Equal, Box::new([left.clone(), item]));
            Expr::Or(items.into_iter().map(equal).collect())
        } else {
            let known = ["matches", "contains", "startsWith", "endsWith"];
            let names = ["IsMatch", "Contains", "HasPrefix", "HasSuffix"];
            let Some(name) = known.iter().zip(names).find(|(word, _)| self.word(word)) else {
                return if negated { Err(self.wrong("`in` or `matches`")) } else { Ok(left) };
            };
            let right = self.added()?;
            self.call(at, name.1, vec![left, right])?
        };
        Ok(if negated { Expr::Not(Box::new(found)) } else { found })
    }

    fn added(&mut self) -> Result<Expr, SyntaxError> {
        let mut left = self.multiplied()?;
        loop {
            let op = match self.peek() {
                Some(Token::Sign("+")) => Arithmetic::Add,
                Some(Token::Sign("-")) => Arithmetic::Subtract,
                _ => return Ok(left),
            };
            self.next += 1;
            left = Expr::Compute(op, Box::new([left, self.multiplied()?]));
        }
    }

    fn multiplied(&mut self) -> Result<Expr, SyntaxError> {
        let mut left = self.value()?;
        loop {
            let op = match self.peek() {
                Some(Token::Sign("*")) => Arithmetic::Multiply,
                Some(Token::Sign("/")) => Arithmetic::Divide,
                _ => return Ok(left),
            };
            self.next += 1;
            left = Expr::Compute(op, Box::new([left, self.value()?]));
        }
    }

    fn value(&mut self) -> Result<Expr, SyntaxError> {
        let at = self.at();
        let Some(token) = self.peek().cloned() else { return Err(self.wrong("a value")) };
        let literal = match token {
            Token::Text(text) => Literal::Text(text),
            Token::Int(number) => Literal::Int(number),
            Token::Double(number) => Literal::Double(number),
            Token::Bytes(bytes) => Literal::Bytes(bytes),
            Token::Sign("-") => {
                self.next += 1;
                let number = match self.peek() {
                    Some(Token::Int(number)) => Literal::Int(-*number),
                    Some(Token::Double(number)) => Literal::Double(-*number),
                    _ => return Err(self.wrong("a number")),
                };
                self.next += 1;
                return Ok(Expr::Literal(number));
            }
            Token::Sign("(") => {
                self.next += 1;
                let inner = self.any_of()?;
                self.expect(")")?;
                return Ok(inner);
            }
            Token::Sign("[") => {
                self.next += 1;
                return self.items("]").map(Expr::List);
            }
            Token::Name(name) => {
                self.next += 1;
                return self.named(at, &name);
            }
            Token::Sign(_) => return Err(self.wrong("a value")),
        };
        self.next += 1;
        Ok(Expr::Literal(literal))
    }

    /// Values with commas between, up to a closing sign.
    fn items(&mut self, close: &str) -> Result<Vec<Expr>, SyntaxError> {
        let mut items = Vec::new();
        if self.sign(close) {
            return Ok(items);
        }
        loop {
            items.push(self.any_of()?);
            if self.sign(close) {
                return Ok(items);
            }
            self.expect(",")?;
        }
    }

    /// A word: constant, enum, function or path.
    fn named(&mut self, at: usize, name: &str) -> Result<Expr, SyntaxError> {
        if self.sign("(") {
            let arguments = self.items(")")?;
            let call = self.call(at, name, arguments)?;
            let keys = self.keys()?;
            return Ok(if keys.is_empty() { call } else { Expr::Index(Box::new(call), keys) });
        }
        let literal = match name {
            "true" => Some(Literal::Bool(true)),
            "false" => Some(Literal::Bool(false)),
            "nil" => Some(Literal::Nil),
            _ => paths::constant(name).map(Literal::Int),
        };
        if let Some(literal) = literal {
            return Ok(Expr::Literal(literal));
        }
        if self.older() {
            return match name {
                "MetricName" => Ok(Expr::Path(Field::MetricName, Vec::new())),
                _ => Err(SyntaxError::new(at, format!("unknown name `{name}`"), "there are MetricName, HasLabel(\"key\") and Label(\"key\")")),
            };
        }
        let mut words = vec![name.to_owned()];
        let mut keys = self.keys()?;
        while keys.is_empty() && self.sign(".") {
            let Some(Token::Name(word)) = self.peek().cloned() else { return Err(self.wrong("a name")) };
            self.next += 1;
            words.push(word);
            keys = self.keys()?;
        }
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let prefixed = self.dialect == Dialect::Prefixed;
        let field = paths::resolve(&words, self.context, prefixed)
            .map_err(|(message, cure)| SyntaxError::new(at, message, cure))?;
        let set = [Field::Attributes, Field::ResourceAttributes, Field::ScopeAttributes];
        if set.contains(&field) && !matches!(keys.first(), Some(Key::Text(_))) {
            return Err(SyntaxError::new(at, "attributes without a key", "write `attributes[\"key\"]`"));
        }
        Ok(Expr::Path(field, keys))
    }

    fn keys(&mut self) -> Result<Vec<Key>, SyntaxError> {
        let mut keys = Vec::new();
        while self.sign("[") {
            keys.push(match self.peek().cloned() {
                Some(Token::Text(text)) => Key::Text(text),
                Some(Token::Int(number)) => Key::Place(usize::try_from(number).unwrap_or(usize::MAX)),
                _ => return Err(self.wrong("a quoted key or a place in a list")),
            });
            self.next += 1;
            self.expect("]")?;
        }
        Ok(keys)
    }

    fn call(&self, at: usize, name: &str, arguments: Vec<Expr>) -> Result<Expr, SyntaxError> {
        let function = Function::new(name, &arguments, self.context, self.dialect)
            .map_err(|(message, cure)| SyntaxError::new(at, message, cure))?;
        Ok(Expr::Call(Box::new(function), arguments))
    }
}

/// The only entry of a list, or what `make` makes of several.
fn one_or(
    mut list: Vec<Expr>,
    make: impl FnOnce(Vec<Expr>) -> Result<Expr, SyntaxError>,
) -> Result<Expr, SyntaxError> {
    match list.pop() {
        Some(only) if list.is_empty() => Ok(only),
        Some(last) => {
            list.push(last);
            make(list)
        }
        None => make(list),
    }
}
