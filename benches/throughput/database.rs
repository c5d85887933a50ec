//! Databases of the benchmark's own, made anew for every run.

use anyhow::{Context, Result};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection, Executor};

/// `url` with another database in it.
///
/// # Errors
/// `url` names no database.
pub(crate) fn url_of(url: &str, database: &str) -> Result<String> {
    let (address, query) = url.split_once('?').map_or((url, None), |(address, query)| (address, Some(query)));
    let (scheme, rest) = address.split_once("://").context("DATABASE_URL has no scheme")?;
    let (server, _) = rest.split_once('/').context("DATABASE_URL names no database")?;
    Ok(match query {
        Some(query) => format!("{scheme}://{server}/{database}?{query}"),
        None => format!("{scheme}://{server}/{database}"),
    })
}

/// A connection to the server of `url`, to `database` or to the one that `url` names.
///
/// # Errors
/// It cannot be had.
pub(crate) async fn connect(url: &str, database: Option<&str>) -> Result<PgConnection> {
    let options: PgConnectOptions = url.parse().context("DATABASE_URL")?;
    let options = match database {
        Some(database) => options.database(database),
        None => options,
    };
    PgConnection::connect_with(&options).await.context("the database at DATABASE_URL")
}

/// Drops `database`, with whoever is still connected, and does not miss it if it is not there.
///
/// # Errors
/// The role may not.
pub(crate) async fn drop_database(server: &mut PgConnection, database: &str) -> Result<()> {
    let drop = format!(r#"drop database if exists "{database}" with (force)"#);
    server.execute(AssertSqlSafe(drop)).await.context("the role of DATABASE_URL must own the benchmark's databases")?;
    Ok(())
}

/// Makes `database` anew and empty.
///
/// # Errors
/// The role may not create databases.
pub(crate) async fn recreate(server: &mut PgConnection, database: &str) -> Result<()> {
    drop_database(server, database).await?;
    let create = format!(r#"create database "{database}""#);
    server
        .execute(AssertSqlSafe(create))
        .await
        .context("the role of DATABASE_URL must be allowed to create databases")?;
    Ok(())
}

/// Writes all dirty pages out, so that no run pays for what came before it.
///
/// # Errors
/// The role may not.
pub(crate) async fn checkpoint(server: &mut PgConnection) -> Result<()> {
    server.execute("checkpoint").await.context("the role of DATABASE_URL must be allowed to checkpoint")?;
    Ok(())
}

/// The only number that `sql` gives.
///
/// # Errors
/// It gives none.
pub(crate) async fn number(connection: &mut PgConnection, sql: &'static str) -> Result<u64> {
    let value: i64 = sqlx::query_scalar(sql).fetch_one(connection).await.with_context(|| sql.to_owned())?;
    Ok(u64::try_from(value)?)
}
