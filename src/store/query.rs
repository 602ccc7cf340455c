//! One query text for two databases: values bound by `$n`, rows read by position.

use std::borrow::Cow;
use std::sync::OnceLock;

use rusqlite::types::{Null, ToSqlOutput, Value as SqliteValue, ValueRef};
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{AssertSqlSafe, PgConnection, Row as _, SqlStr, SqliteConnection};

/// A connection to either database, borrowed for one statement or one transaction.
pub(super) enum Connection<'c> {
    Sqlite(&'c mut SqliteConnection),
    /// The writer's own connection to SQLite: every statement runs at once, on the writer's thread.
    Direct(&'c mut rusqlite::Connection),
    Postgres(&'c mut PgConnection),
}

/// What a database refused, by whichever driver.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Sqlx(#[from] sqlx::Error),
    #[error(transparent)]
    Direct(#[from] rusqlite::Error),
}

impl Failure {
    /// The database's own code: an SQLSTATE, or the number of a SQLite result.
    pub(super) fn code(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Sqlx(error) => error.as_database_error().and_then(sqlx::error::DatabaseError::code),
            Self::Direct(error) => error.sqlite_error().map(|error| Cow::Owned(error.extended_code.to_string())),
        }
    }

    /// The primary result code of SQLite, without what the extended one adds.
    pub(super) fn sqlite_code(&self) -> Option<i32> {
        match self {
            Self::Sqlx(error) => {
                let error = error.as_database_error()?.try_downcast_ref::<sqlx::sqlite::SqliteError>()?;
                sqlx::error::DatabaseError::code(error)?.parse::<i32>().ok().map(|code| code & 0xff)
            }
            Self::Direct(error) => error.sqlite_error().map(|error| error.extended_code & 0xff),
        }
    }

    /// Whether the database could not be reached at all.
    pub(super) fn is_unreachable(&self) -> bool {
        matches!(self, Self::Sqlx(sqlx::Error::PoolTimedOut | sqlx::Error::Io(_) | sqlx::Error::PoolClosed))
    }
}

/// A value to bind, borrowed where it can be. `NULL` keeps its type, which PostgreSQL wants to know.
#[derive(Clone, Debug)]
pub(super) enum Value<'q> {
    Text(Option<Cow<'q, str>>),
    Integer(Option<i64>),
}

impl<'q> From<&'q str> for Value<'q> {
    fn from(value: &'q str) -> Self {
        Self::Text(Some(Cow::Borrowed(value)))
    }
}

impl From<String> for Value<'_> {
    fn from(value: String) -> Self {
        Self::Text(Some(Cow::Owned(value)))
    }
}

impl<'q> From<&'q String> for Value<'q> {
    fn from(value: &'q String) -> Self {
        Self::from(value.as_str())
    }
}

impl<'q> From<Option<&'q str>> for Value<'q> {
    fn from(value: Option<&'q str>) -> Self {
        Self::Text(value.map(Cow::Borrowed))
    }
}

impl From<Option<String>> for Value<'_> {
    fn from(value: Option<String>) -> Self {
        Self::Text(value.map(Cow::Owned))
    }
}

impl<'q> From<&'q Option<String>> for Value<'q> {
    fn from(value: &'q Option<String>) -> Self {
        Self::from(value.as_deref())
    }
}

impl From<i64> for Value<'_> {
    fn from(value: i64) -> Self {
        Self::Integer(Some(value))
    }
}

impl From<Option<i64>> for Value<'_> {
    fn from(value: Option<i64>) -> Self {
        Self::Integer(value)
    }
}

impl rusqlite::ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        match self {
            Self::Text(value) => value.as_deref().map_or(Ok(Null.into()), |text| Ok(text.into())),
            Self::Integer(value) => value.to_sql(),
        }
    }
}

/// A text and its values.
pub(super) struct Query<'q> {
    text: SqlStr,
    values: Vec<Value<'q>>,
}

/// A query with a fixed text.
pub(super) fn query<'q>(text: &'static str) -> Query<'q> {
    Query { text: sqlx::SqlSafeStr::into_sql_str(text), values: Vec::new() }
}

/// A query whose text was put together here, from constants and placeholders only.
pub(super) fn composed<'q>(text: String) -> Query<'q> {
    Query { text: sqlx::SqlSafeStr::into_sql_str(AssertSqlSafe(text)), values: Vec::new() }
}

/// A statement that takes any number of rows of values. Its text for each usual number is put together once.
pub(super) struct Repeated {
    /// Up to and including `VALUES`.
    head: &'static str,
    columns: usize,
    texts: [OnceLock<String>; 4],
}

impl Repeated {
    pub(super) const fn new(head: &'static str, columns: usize) -> Self {
        Self { head, columns, texts: [const { OnceLock::new() }; 4] }
    }

    fn text(&self, rows: usize) -> String {
        format!("{}{}", self.head, placeholders(rows, self.columns))
    }
}

/// `($1, $2), ($3, $4)`: placeholders for `rows` rows of `columns` values.
pub(super) fn placeholders(rows: usize, columns: usize) -> String {
    let mut text = String::with_capacity(rows * (columns * 5 + 4));
    for row in 0..rows {
        text.push_str(if row == 0 { "(" } else { ", (" });
        for column in 0..columns {
            if column > 0 {
                text.push_str(", ");
            }
            text.push('$');
            text.push_str(&(row * columns + column + 1).to_string());
        }
        text.push(')');
    }
    text
}

pub(super) enum Row {
    Sqlite(SqliteRow),
    Direct(Vec<SqliteValue>),
    Postgres(PgRow),
}

/// What can be read from a column.
pub(super) trait Column: Sized {
    fn read(row: &Row, index: usize) -> Result<Self, Failure>;
}

macro_rules! column {
    ($($kind:ty),*) => {$(
        impl Column for $kind {
            fn read(row: &Row, index: usize) -> Result<Self, Failure> {
                Ok(match row {
                    Row::Sqlite(row) => row.try_get(index)?,
                    Row::Postgres(row) => row.try_get(index)?,
                    Row::Direct(values) => {
                        let value = values.get(index).ok_or(rusqlite::Error::InvalidColumnIndex(index))?;
                        rusqlite::types::FromSql::column_result(ValueRef::from(value)).map_err(rusqlite::Error::from)?
                    }
                })
            }
        }
    )*};
}
column!(i64, Option<i64>, String, Option<String>);

impl Row {
    pub(super) fn get<T: Column>(&self, index: usize) -> Result<T, Failure> {
        T::read(self, index)
    }
}

/// Whether the placeholders `$1` to `$count` first occur in the order of their numbers.
fn is_in_order(text: &str, count: usize) -> bool {
    let numbers = text.split('$').skip(1).map(|rest| {
        let digits = rest.bytes().take_while(u8::is_ascii_digit);
        digits.fold(0, |number: usize, digit| number.saturating_mul(10).saturating_add(usize::from(digit - b'0')))
    });
    let mut numbers = numbers.filter(|number| *number > 0);
    numbers.try_fold(0, |highest, number| (number <= highest + 1).then_some(highest.max(number))) == Some(count)
}

fn number_of(statement: &rusqlite::Statement<'_>, place: usize) -> Option<usize> {
    statement.parameter_name(place)?.strip_prefix('$')?.parse().ok()
}

/// The values as one driver's arguments; the drivers share the method, not a trait that could be named here.
macro_rules! arguments {
    ($values:expr) => {{
        let mut arguments = Default::default();
        for value in $values {
            match value {
                Value::Text(value) => sqlx::Arguments::add(&mut arguments, value),
                Value::Integer(value) => sqlx::Arguments::add(&mut arguments, value),
            }
            .map_err(sqlx::Error::Encode)?;
        }
        arguments
    }};
}

impl<'q> Query<'q> {
    /// The statement for so many rows.
    pub(super) fn repeated(statement: &'static Repeated, rows: usize) -> Self {
        let query = match statement.texts.get(rows) {
            Some(text) => query(text.get_or_init(|| statement.text(rows))),
            None => composed(statement.text(rows)),
        };
        query.room_for(rows * statement.columns)
    }

    /// Makes room for so many values at once, for statements that every message needs.
    pub(super) fn room_for(mut self, values: usize) -> Self {
        self.values.reserve_exact(values);
        self
    }

    pub(super) fn bind(mut self, value: impl Into<Value<'q>>) -> Self {
        self.values.push(value.into());
        self
    }

    /// Binds by number: to SQLite `$2` is a name, and names are counted as they occur.
    fn bind_to(&self, statement: &mut rusqlite::Statement<'_>) -> Result<(), Failure> {
        let (given, wanted) = (self.values.len(), statement.parameter_count());
        if given != wanted {
            return Err(rusqlite::Error::InvalidParameterCount(given, wanted).into());
        }
        let in_order = is_in_order(self.text.as_str(), given);
        for place in 1..=wanted {
            // Asking for names takes longer than the rest.
            let number = if in_order { Some(place) } else { number_of(statement, place) };
            let value = number.and_then(|number| self.values.get(number.checked_sub(1)?));
            statement.raw_bind_parameter(place, value.ok_or(rusqlite::Error::InvalidParameterCount(given, wanted))?)?;
        }
        Ok(())
    }

    /// Runs it; answers how many rows it touched. What the drivers need for it, several KiB, is put aside: it would be part
    /// of whatever waits for it, such as every open socket.
    pub(super) async fn execute(self, connection: &mut Connection<'_>) -> Result<u64, Failure> {
        match connection {
            Connection::Direct(connection) => {
                let mut statement = connection.prepare_cached(self.text.as_str())?;
                self.bind_to(&mut statement)?;
                Ok(statement.raw_execute()? as u64)
            }
            Connection::Sqlite(connection) => {
                let arguments: SqliteArguments = arguments!(self.values);
                let done = Box::pin(sqlx::query_with(self.text, arguments).execute(&mut **connection)).await?;
                Ok(done.rows_affected())
            }
            Connection::Postgres(connection) => {
                let arguments: PgArguments = arguments!(self.values);
                let done = Box::pin(sqlx::query_with(self.text, arguments).execute(&mut **connection)).await?;
                Ok(done.rows_affected())
            }
        }
    }

    pub(super) async fn all(self, connection: &mut Connection<'_>) -> Result<Vec<Row>, Failure> {
        match connection {
            Connection::Direct(connection) => {
                let mut statement = connection.prepare_cached(self.text.as_str())?;
                let columns = statement.column_count();
                self.bind_to(&mut statement)?;
                let rows = statement.raw_query().mapped(|row| {
                    (0..columns).map(|index| row.get(index)).collect::<Result<Vec<SqliteValue>, _>>().map(Row::Direct)
                });
                Ok(rows.collect::<Result<_, _>>()?)
            }
            Connection::Sqlite(connection) => {
                let arguments: SqliteArguments = arguments!(self.values);
                let rows = Box::pin(sqlx::query_with(self.text, arguments).fetch_all(&mut **connection)).await?;
                Ok(rows.into_iter().map(Row::Sqlite).collect())
            }
            Connection::Postgres(connection) => {
                let arguments: PgArguments = arguments!(self.values);
                let rows = Box::pin(sqlx::query_with(self.text, arguments).fetch_all(&mut **connection)).await?;
                Ok(rows.into_iter().map(Row::Postgres).collect())
            }
        }
    }

    pub(super) async fn optional(self, connection: &mut Connection<'_>) -> Result<Option<Row>, Failure> {
        Ok(self.all(connection).await?.into_iter().next())
    }

    pub(super) async fn one(self, connection: &mut Connection<'_>) -> Result<Row, Failure> {
        self.optional(connection).await?.ok_or(Failure::Sqlx(sqlx::Error::RowNotFound))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_numbered_through() {
        assert_eq!(placeholders(2, 3), "($1, $2, $3), ($4, $5, $6)");
    }

    #[test]
    fn values_are_bound_by_their_numbers_in_whatever_order_they_occur() {
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        for (text, in_order, result) in [
            ("SELECT $1 || $2 || $1 || $3", true, "abac"),
            ("SELECT $2 || $1 || $3", false, "bac"),
            ("SELECT $1 || $3 || $2 || '$'", false, "acb$"),
        ] {
            assert_eq!(is_in_order(text, 3), in_order, "{text}");
            let mut statement = connection.prepare(text).unwrap();
            query(text).bind("a").bind("b").bind("c").bind_to(&mut statement).unwrap();
            let told: String = statement.raw_query().next().unwrap().unwrap().get(0).unwrap();
            assert_eq!(told, result, "{text}");
            assert!(query(text).bind("a").bind_to(&mut statement).is_err(), "{text} with one value");
        }
    }
}
