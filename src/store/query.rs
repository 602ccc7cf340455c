//! One query text for two databases: values bound by `$n`, rows read by position.

use std::borrow::Cow;

use rusqlite::types::{ToSqlOutput, Value as SqliteValue, ValueRef};
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

/// A value to bind. `NULL` keeps its type, which PostgreSQL wants to know.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Text(Option<String>),
    Integer(Option<i64>),
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(Some(value.to_owned()))
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(Some(value))
    }
}

impl From<&String> for Value {
    fn from(value: &String) -> Self {
        Self::Text(Some(value.clone()))
    }
}

impl From<Option<&str>> for Value {
    fn from(value: Option<&str>) -> Self {
        Self::Text(value.map(str::to_owned))
    }
}

impl From<Option<String>> for Value {
    fn from(value: Option<String>) -> Self {
        Self::Text(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Integer(Some(value))
    }
}

impl From<Option<i64>> for Value {
    fn from(value: Option<i64>) -> Self {
        Self::Integer(value)
    }
}

impl rusqlite::ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        match self {
            Self::Text(value) => value.to_sql(),
            Self::Integer(value) => value.to_sql(),
        }
    }
}

pub(super) struct Query {
    text: SqlStr,
    values: Vec<Value>,
}

/// A query with a fixed text.
pub(super) fn query(text: &'static str) -> Query {
    Query { text: sqlx::SqlSafeStr::into_sql_str(text), values: Vec::new() }
}

/// A query whose text was put together here, from constants and placeholders only.
pub(super) fn composed(text: String) -> Query {
    Query { text: sqlx::SqlSafeStr::into_sql_str(AssertSqlSafe(text)), values: Vec::new() }
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

impl Query {
    pub(super) fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    /// Binds by number: to SQLite `$2` is a name, and names are numbered as they occur.
    fn bind_to(&self, statement: &mut rusqlite::Statement<'_>) -> Result<(), Failure> {
        for index in 1..=statement.parameter_count() {
            let number = statement.parameter_name(index).and_then(|name| name.strip_prefix('$')?.parse::<usize>().ok());
            let value = number.and_then(|number| self.values.get(number.checked_sub(1)?));
            let value =
                value.ok_or(rusqlite::Error::InvalidParameterCount(self.values.len(), statement.parameter_count()))?;
            statement.raw_bind_parameter(index, value)?;
        }
        Ok(())
    }

    /// Runs it; answers how many rows it touched.
    pub(super) async fn execute(self, connection: &mut Connection<'_>) -> Result<u64, Failure> {
        match connection {
            Connection::Direct(connection) => {
                let mut statement = connection.prepare_cached(self.text.as_str())?;
                self.bind_to(&mut statement)?;
                Ok(statement.raw_execute()? as u64)
            }
            Connection::Sqlite(connection) => {
                let arguments: SqliteArguments = arguments!(self.values);
                let done = sqlx::query_with(self.text, arguments).execute(&mut **connection).await?;
                Ok(done.rows_affected())
            }
            Connection::Postgres(connection) => {
                let arguments: PgArguments = arguments!(self.values);
                let done = sqlx::query_with(self.text, arguments).execute(&mut **connection).await?;
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
                let rows = sqlx::query_with(self.text, arguments).fetch_all(&mut **connection).await?;
                Ok(rows.into_iter().map(Row::Sqlite).collect())
            }
            Connection::Postgres(connection) => {
                let arguments: PgArguments = arguments!(self.values);
                let rows = sqlx::query_with(self.text, arguments).fetch_all(&mut **connection).await?;
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
}
