//! A JSON value whose strings are expressions.

use serde_json::{Map, Value};

use super::text::Text;
use super::{Context, Expression, Failure};

/// A JSON value, compiled. A key that ends in `?` is left out when its value is null or names something that is not there.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    Literal(Value),
    Text(Text),
    List(Vec<Shape>),
    Map(Vec<Member>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    key: String,
    optional: bool,
    shape: Shape,
}

/// What is wrong with a string somewhere in a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShapeFault {
    /// Where the string is, as a JSON pointer.
    pub pointer: String,
    /// The byte in that string at which the faulty expression begins.
    pub offset: usize,
    pub message: String,
}

impl Shape {
    pub fn compile(value: &Value) -> Result<Self, ShapeFault> {
        Self::compile_at(value, &mut String::new())
    }

    fn compile_at(value: &Value, pointer: &mut String) -> Result<Self, ShapeFault> {
        let length = pointer.len();
        let shape = match value {
            Value::String(source) => {
                let text = Text::compile(source).map_err(|fault| ShapeFault {
                    pointer: pointer.clone(),
                    offset: fault.offset,
                    message: fault.message,
                })?;
                match text.literal() {
                    Some(plain) => Self::Literal(Value::String(plain.to_owned())),
                    None => Self::Text(text),
                }
            }
            Value::Array(items) => {
                let mut shapes = Vec::with_capacity(items.len());
                for (at, item) in items.iter().enumerate() {
                    pointer.push_str(&format!("/{at}"));
                    shapes.push(Self::compile_at(item, pointer)?);
                    pointer.truncate(length);
                }
                Self::List(shapes)
            }
            Value::Object(members) => {
                let mut shapes = Vec::with_capacity(members.len());
                for (key, member) in members {
                    pointer.push('/');
                    pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
                    let shape = Self::compile_at(member, pointer)?;
                    pointer.truncate(length);
                    let (key, optional) = key.strip_suffix('?').map_or((key.as_str(), false), |key| (key, true));
                    shapes.push(Member { key: key.to_owned(), optional, shape });
                }
                Self::Map(shapes)
            }
            other => Self::Literal(other.clone()),
        };
        Ok(shape)
    }

    /// The value with its expressions evaluated.
    pub fn evaluate(&self, context: &Context) -> Result<Value, Failure> {
        Ok(match self {
            Self::Literal(value) => value.clone(),
            Self::Text(text) => text.evaluate(context)?,
            Self::List(shapes) => shapes.iter().map(|shape| shape.evaluate(context)).collect::<Result<_, _>>()?,
            Self::Map(members) => {
                let mut map = Map::with_capacity(members.len());
                for member in members {
                    let value = match &member.shape {
                        Self::Text(text) if member.optional && text.sole().is_some() => {
                            text.sole().map(|sole| sole.evaluate_if_there(context)).transpose()?.flatten()
                        }
                        shape => Some(shape.evaluate(context)?),
                    };
                    match value {
                        None | Some(Value::Null) if member.optional => {}
                        value => {
                            map.insert(member.key.clone(), value.unwrap_or_default());
                        }
                    }
                }
                Value::Object(map)
            }
        })
    }

    /// Every expression in it.
    pub fn expressions(&self) -> Vec<&Expression> {
        match self {
            Self::Literal(_) => Vec::new(),
            Self::Text(text) => text.expressions().collect(),
            Self::List(shapes) => shapes.iter().flat_map(Self::expressions).collect(),
            Self::Map(members) => members.iter().flat_map(|member| member.shape.expressions()).collect(),
        }
    }
}
