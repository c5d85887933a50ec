//! Brings the schema up to this version, and says whether it is.

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::{Executor, Row};

use super::error::StoreError;
use super::session::{Database, Session};

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");
const ROLE_RIGHTS: &str = include_str!("sql/role.sql");

/// Where the schema stands against this version of the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Schema {
    /// As this version needs it.
    Current,
    /// Migrations of this version are missing: run `credits migrate`.
    Behind,
    /// A newer version was here: use that one.
    Ahead,
}

/// Why migrating ended.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// The database did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The user of the address may not make roles: somebody who may has to run this.
    #[error("the database user may not create the role; let an administrator run:\n\n{0}")]
    NoRole(String),
    /// A migration that ran here is not the one of this version.
    #[error("migrations do not fit: {0}")]
    Mismatch(String),
}

/// Runs the migrations and gives the worker's role its rights. Safe to repeat and to race.
///
/// # Errors
/// [`MigrationError`].
pub async fn migrate(database: &Database) -> Result<(), MigrationError> {
    let mut session = database.connect_as_owner().await?;
    make_role(&mut session, database.role()).await?;
    MIGRATIONS.run(&mut session.connection).await.map_err(|error| match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
            MigrationError::Store(StoreError::from(error))
        }
        other => MigrationError::Mismatch(other.to_string()),
    })?;
    let rights = ROLE_RIGHTS.replace("{role}", &quoted(database.role()));
    session.connection.execute(sqlx::AssertSqlSafe(rights)).await.map_err(StoreError::from)?;
    Ok(())
}

fn quoted(role: &str) -> String {
    format!("\"{}\"", role.replace('"', "\"\""))
}

async fn make_role(session: &mut Session, role: &str) -> Result<(), MigrationError> {
    let known = sqlx::query_scalar!(r#"select exists (select from pg_roles where rolname = $1) as "known!""#, role)
        .fetch_one(&mut session.connection)
        .await
        .map_err(StoreError::from)?;
    if !known {
        let role = quoted(role);
        let make = format!("create role {role} nologin");
        match session.connection.execute(sqlx::AssertSqlSafe(make.clone())).await {
            Ok(_) => {}
            Err(error) => match error.as_database_error().and_then(sqlx::error::DatabaseError::code).as_deref() {
                // Somebody else made it at the same moment.
                Some("42710" | "23505") => {}
                Some("42501") => return Err(MigrationError::NoRole(format!("{make};\ngrant {role} to CURRENT_USER;"))),
                _ => return Err(StoreError::from(error).into()),
            },
        }
    }
    take_part(session, role).await
}

/// The address' own user has to be a member of the role to take it.
async fn take_part(session: &mut Session, role: &str) -> Result<(), MigrationError> {
    let member = sqlx::query_scalar!(r#"select pg_has_role(current_user, $1, 'member') as "member!""#, role)
        .fetch_one(&mut session.connection)
        .await
        .map_err(StoreError::from)?;
    if member {
        return Ok(());
    }
    let join = format!("grant {} to current_user", quoted(role));
    match session.connection.execute(sqlx::AssertSqlSafe(join.clone())).await {
        Ok(_) => Ok(()),
        Err(error)
            if error.as_database_error().and_then(sqlx::error::DatabaseError::code).as_deref() == Some("42501") =>
        {
            Err(MigrationError::NoRole(format!("{join};")))
        }
        Err(error) => Err(StoreError::from(error).into()),
    }
}

impl Session {
    /// Where the schema stands.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn schema(&mut self) -> Result<Schema, StoreError> {
        let known = sqlx::query("select to_regclass('_sqlx_migrations') is not null")
            .fetch_one(&mut self.connection)
            .await?
            .try_get::<bool, _>(0)?;
        if !known {
            return Ok(Schema::Behind);
        }
        let applied: Vec<i64> = sqlx::query_scalar("select version from _sqlx_migrations where success")
            .fetch_all(&mut self.connection)
            .await?;
        let ours: Vec<i64> = MIGRATIONS.iter().map(|migration| migration.version).collect();
        if applied.iter().any(|version| !ours.contains(version)) {
            Ok(Schema::Ahead)
        } else if ours.iter().any(|version| !applied.contains(version)) {
            Ok(Schema::Behind)
        } else {
            Ok(Schema::Current)
        }
    }

    /// Keeps the text of the rules file in force.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn keep_rules(&mut self, hash: &[u8], text: &str) -> Result<(), StoreError> {
        sqlx::query!("insert into rules_files (rules_hash, text) values ($1, $2) on conflict do nothing", hash, text)
            .execute(&mut self.connection)
            .await?;
        Ok(())
    }
}
