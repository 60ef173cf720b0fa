//! Values, and how they are compared and computed.

use std::borrow::Cow;
use std::cmp::Ordering;

use weir_model::{Value, ValueRef};

use super::functions::Function;
use super::paths::{Field, Key};
use super::{Needs, RunError, Scene};

/// A node of a condition.
#[derive(Clone, Debug)]
pub(super) enum Expr {
    Literal(Literal),
    Path(Field, Vec<Key>),
    List(Vec<Expr>),
    Call(Box<Function>, Vec<Expr>),
    Index(Box<Expr>, Vec<Key>),
    Compute(Arithmetic, Box<[Expr; 2]>),
    Compare(Comparison, Box<[Expr; 2]>),
    Not(Box<Expr>),
    And(Vec<Expr>),
    Or(Vec<Expr>),
}

/// A value written in the condition.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Literal {
    Nil,
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(String),
    Bytes(Vec<u8>),
}

/// `== != < <= > >=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// `+ - * /`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
}

/// A value.
#[derive(Clone, Debug)]
pub(super) enum Val<'a> {
    Nil,
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(Cow<'a, str>),
    Bytes(Cow<'a, [u8]>),
    /// Unix nanoseconds.
    Time(i64),
    /// Nanoseconds.
    Duration(i64),
    /// A list or map of the item.
    Ref(ValueRef<'a>),
    /// A list or map made here.
    Owned(Value),
}

impl<'a> Val<'a> {
    pub(super) fn text(text: &'a str) -> Self {
        Val::Text(Cow::Borrowed(text))
    }

    pub(super) fn from_ref(value: ValueRef<'a>) -> Self {
        match value {
            ValueRef::Empty => Val::Nil,
            ValueRef::Bool(flag) => Val::Bool(flag),
            ValueRef::Int(number) => Val::Int(number),
            ValueRef::Double(number) => Val::Double(number),
            ValueRef::Str(text) => Val::text(text),
            ValueRef::Bytes(bytes) => Val::Bytes(bytes.into()),
            ValueRef::List(_) | ValueRef::Map(_) => Val::Ref(value),
        }
    }

    pub(super) fn from_value(value: Value) -> Self {
        match value {
            Value::Empty => Val::Nil,
            Value::Bool(flag) => Val::Bool(flag),
            Value::Int(number) => Val::Int(number),
            Value::Double(number) => Val::Double(number),
            Value::Str(text) => Val::Text(text.into()),
            Value::Bytes(bytes) => Val::Bytes(bytes.into()),
            Value::List(_) | Value::Map(_) => Val::Owned(value),
        }
    }

    pub(super) fn to_value(&self) -> Value {
        match self {
            Val::Nil => Value::Empty,
            Val::Bool(flag) => Value::Bool(*flag),
            Val::Int(number) | Val::Time(number) | Val::Duration(number) => Value::Int(*number),
            Val::Double(number) => Value::Double(*number),
            Val::Text(text) => Value::Str(text.to_string()),
            Val::Bytes(bytes) => Value::Bytes(bytes.to_vec()),
            Val::Ref(value) => value.to_value(),
            Val::Owned(value) => value.clone(),
        }
    }

    /// What stands under keys; nil if it is not there.
    pub(super) fn index(self, keys: &[Key]) -> Val<'a> {
        let Some((key, rest)) = keys.split_first() else { return self };
        let inner = match (self, key) {
            (Val::Ref(ValueRef::Map(map)), Key::Text(key)) => map.get(key).map(Val::from_ref),
            (Val::Ref(ValueRef::List(list)), Key::Place(at)) => {
                list.iter().nth(*at).map(Val::from_ref)
            }
            (Val::Owned(Value::Map(map)), Key::Text(key)) => {
                map.into_iter().find(|(name, _)| name == key).map(|(_, value)| Val::from_value(value))
            }
            (Val::Owned(Value::List(list)), Key::Place(at)) => {
                list.into_iter().nth(*at).map(Val::from_value)
            }
            _ => None,
        };
        inner.map_or(Val::Nil, |inner| inner.index(rest))
    }

    pub(super) fn kind(&self) -> &'static str {
        match self {
            Val::Nil => "nil",
            Val::Bool(_) => "a boolean",
            Val::Int(_) => "an integer",
            Val::Double(_) => "a double",
            Val::Text(_) => "text",
            Val::Bytes(_) => "bytes",
            Val::Time(_) => "a time",
            Val::Duration(_) => "a duration",
            Val::Ref(ValueRef::Map(_)) | Val::Owned(Value::Map(_)) => "a map",
            Val::Ref(_) | Val::Owned(_) => "a list",
        }
    }

    fn number(&self) -> Option<f64> {
        match self {
            Val::Int(number) => Some(*number as f64),
            Val::Double(number) => Some(*number),
            _ => None,
        }
    }
}

impl Literal {
    fn value(&self) -> Val<'_> {
        match self {
            Literal::Nil => Val::Nil,
            Literal::Bool(flag) => Val::Bool(*flag),
            Literal::Int(number) => Val::Int(*number),
            Literal::Double(number) => Val::Double(*number),
            Literal::Text(text) => Val::text(text),
            Literal::Bytes(bytes) => Val::Bytes(bytes.as_slice().into()),
        }
    }
}

impl Expr {
    /// Whether it is true or false, by its form.
    pub(super) fn is_condition(&self) -> bool {
        match self {
            Expr::Compare(..) | Expr::Not(_) | Expr::And(_) | Expr::Or(_) => true,
            Expr::Literal(literal) => matches!(literal, Literal::Bool(_)),
            Expr::Call(function, _) => function.is_condition(),
            _ => false,
        }
    }

    /// How much of a scene it needs, at least `least`.
    pub(super) fn needs(&self, least: Needs) -> Needs {
        let all = |list: &[Expr], least: Needs| list.iter().fold(least, |most, one| one.needs(most));
        match self {
            Expr::Literal(_) => least,
            Expr::Path(field, _) => least.max(field.needs()),
            Expr::Call(function, arguments) => all(arguments, least.max(function.needs())),
            Expr::Index(inner, _) | Expr::Not(inner) => inner.needs(least),
            Expr::Compute(_, both) | Expr::Compare(_, both) => all(&both[..], least),
            Expr::List(list) | Expr::And(list) | Expr::Or(list) => all(list, least),
        }
    }
}

/// Whether a condition holds.
pub(super) fn truth(expr: &Expr, scene: &Scene<'_>) -> Result<bool, RunError> {
    match expr {
        Expr::Not(inner) => truth(inner, scene).map(|holds| !holds),
        Expr::And(list) => {
            for one in list {
                if !truth(one, scene)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        Expr::Or(list) => {
            for one in list {
                if truth(one, scene)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        Expr::Compare(comparison, both) => {
            let [left, right] = &**both;
            Ok(compare(*comparison, &value(left, scene)?, &value(right, scene)?))
        }
        other => match value(other, scene)? {
            Val::Bool(flag) => Ok(flag),
            found => Err(RunError(format!("{} is no condition", found.kind()))),
        },
    }
}

/// The value of a node.
pub(super) fn value<'a>(expr: &'a Expr, scene: &Scene<'a>) -> Result<Val<'a>, RunError> {
    match expr {
        Expr::Literal(literal) => Ok(literal.value()),
        Expr::Path(field, keys) => Ok(field.read(keys, scene)),
        Expr::List(items) => {
            let items = items.iter().map(|item| value(item, scene).map(|item| item.to_value()));
            Ok(Val::Owned(Value::List(items.collect::<Result<_, _>>()?)))
        }
        Expr::Call(function, arguments) => function.call(arguments, scene),
        Expr::Index(inner, keys) => value(inner, scene).map(|inner| inner.index(keys)),
        Expr::Compute(op, both) => {
            let [left, right] = &**both;
            compute(*op, &value(left, scene)?, &value(right, scene)?)
        }
        Expr::Compare(..) | Expr::Not(_) | Expr::And(_) | Expr::Or(_) => {
            truth(expr, scene).map(Val::Bool)
        }
    }
}

/// Compares values; of values of different kinds only `!=` is true.
pub(super) fn compare(comparison: Comparison, left: &Val<'_>, right: &Val<'_>) -> bool {
    let order = match (left, right) {
        (Val::Nil, Val::Nil) => Some(Ordering::Equal),
        (Val::Bool(left), Val::Bool(right)) => Some(left.cmp(right)),
        (Val::Int(left), Val::Int(right))
        | (Val::Time(left), Val::Time(right))
        | (Val::Duration(left), Val::Duration(right)) => Some(left.cmp(right)),
        (Val::Text(left), Val::Text(right)) => Some(left.cmp(right)),
        (Val::Bytes(left), Val::Bytes(right)) => Some(left.cmp(right)),
        (Val::Ref(_) | Val::Owned(_), Val::Ref(_) | Val::Owned(_)) => {
            // Lists and maps have no order.
            let equal = left.to_value() == right.to_value();
            return match comparison {
                Comparison::Equal => equal,
                Comparison::NotEqual => !equal,
                _ => false,
            };
        }
        _ => left.number().zip(right.number()).and_then(|(left, right)| left.partial_cmp(&right)),
    };
    let Some(order) = order else { return comparison == Comparison::NotEqual };
    match comparison {
        Comparison::Equal => order.is_eq(),
        Comparison::NotEqual => order.is_ne(),
        Comparison::Less => order.is_lt(),
        Comparison::LessOrEqual => order.is_le(),
        Comparison::Greater => order.is_gt(),
        Comparison::GreaterOrEqual => order.is_ge(),
    }
}

fn compute<'a>(op: Arithmetic, left: &Val<'_>, right: &Val<'_>) -> Result<Val<'a>, RunError> {
    use Arithmetic::{Add, Divide, Multiply, Subtract};
    Ok(match (op, left, right) {
        (Divide, Val::Int(_), Val::Int(0)) => return Err(RunError("division by zero".to_owned())),
        (Add, Val::Int(left), Val::Int(right)) => Val::Int(left.wrapping_add(*right)),
        (Subtract, Val::Int(left), Val::Int(right)) => Val::Int(left.wrapping_sub(*right)),
        (Multiply, Val::Int(left), Val::Int(right)) => Val::Int(left.wrapping_mul(*right)),
        (Divide, Val::Int(left), Val::Int(right)) => Val::Int(left.wrapping_div(*right)),
        (Subtract, Val::Time(left), Val::Time(right)) => Val::Duration(left.wrapping_sub(*right)),
        (Add, Val::Time(time), Val::Duration(by)) | (Add, Val::Duration(by), Val::Time(time)) => {
            Val::Time(time.wrapping_add(*by))
        }
        (Subtract, Val::Time(time), Val::Duration(by)) => Val::Time(time.wrapping_sub(*by)),
        (Add, Val::Duration(left), Val::Duration(right)) => Val::Duration(left.wrapping_add(*right)),
        (Subtract, Val::Duration(left), Val::Duration(right)) => {
            Val::Duration(left.wrapping_sub(*right))
        }
        _ => match (left.number(), right.number()) {
            (Some(left), Some(right)) => Val::Double(match op {
                Add => left + right,
                Subtract => left - right,
                Multiply => left * right,
                Divide => left / right,
            }),
            _ => {
                let text = format!("{} and {} cannot be computed", left.kind(), right.kind());
                return Err(RunError(text));
            }
        },
    })
}
