//! One line of a file of grants, as the message that it stands for.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::cli::ExitError;
use crate::cli::adjust::message::{Stated, state};
use crate::cli::when::instant;
use crate::domain::ids::{Actor, AdjustmentId, MAX_ID_BYTES, Reason};
use crate::domain::message::Timestamp;

/// The sender of these messages.
pub(super) const SOURCE: &str = "/credits/import";
/// What stands before the external id in the ids of message and adjustment.
const PREFIX: &str = "import:";
/// The longest line, in bytes: four times what the longest ids and reasons come to.
const MAX_LINE: u64 = 16 * 1024;

/// The fields of a line. Their values are read as those of a message are.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    external_id: String,
    #[serde(borrow)]
    customer_id: Option<&'a RawValue>,
    credit_type: Option<&'a RawValue>,
    amount: Option<&'a RawValue>,
    used: Option<&'a RawValue>,
    category: Option<&'a RawValue>,
    priority: Option<&'a RawValue>,
    cost_basis: Option<&'a RawValue>,
    effective_at: Option<&'a RawValue>,
    expires_at: Option<&'a RawValue>,
    reason: Option<&'a RawValue>,
}

/// The fields of its message, in which `null` is absent. None of them depends on when or from which file it is read.
#[derive(Serialize)]
struct Grant<'a> {
    adjustment_id: &'a str,
    action: &'static str,
    actor: &'a str,
    customer_id: Option<&'a RawValue>,
    credit_type: Option<&'a RawValue>,
    amount: Option<&'a RawValue>,
    used: Option<&'a RawValue>,
    category: Option<&'a RawValue>,
    priority: Option<&'a RawValue>,
    cost_basis: Option<&'a RawValue>,
    effective_at: Option<&'a RawValue>,
    expires_at: Option<&'a RawValue>,
    reason: Words<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Words<'a> {
    Given(&'a RawValue),
    Own(&'a str),
}

/// The message of a line, in the name of `actor`; `clock` is its time if the line names no start.
///
/// # Errors
/// The field, its value and what is wrong with it, in words.
pub(super) fn message(line: &[u8], actor: &Actor, clock: Timestamp) -> Result<Stated, String> {
    let line: Line<'_> = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    let own = Reason::cut(&format!("import of {}", line.external_id));
    let id = format!("{PREFIX}{}", line.external_id);
    check(&line.external_id, &id)?;
    let start = line.effective_at.and_then(|raw| serde_json::from_str::<String>(raw.get()).ok());
    let time = start.and_then(|text| instant(&text).ok()).unwrap_or(clock);
    let grant = Grant {
        adjustment_id: &id,
        action: "grant",
        actor: actor.as_str(),
        customer_id: line.customer_id,
        credit_type: line.credit_type,
        amount: line.amount,
        used: line.used,
        category: line.category,
        priority: line.priority,
        cost_basis: line.cost_basis,
        effective_at: line.effective_at,
        expires_at: line.expires_at,
        reason: line.reason.map_or(Words::Own(own.as_str()), Words::Given),
    };
    state(SOURCE, &id, time, &grant)
}

fn check(external_id: &str, id: &str) -> Result<(), String> {
    let most = MAX_ID_BYTES - PREFIX.len();
    match external_id.len() {
        0 => Err("external_id is empty".to_owned()),
        long if long > most => Err(format!("external_id has {long} bytes, at most {most} are allowed")),
        _ => AdjustmentId::parse(id).map(drop).map_err(|error| format!("external_id {error}")),
    }
}

/// The external id of an import's message.
pub(super) fn external_id(id: &str) -> &str {
    id.strip_prefix(PREFIX).unwrap_or(id)
}

/// A file, line by line.
pub(super) struct Lines {
    file: PathBuf,
    reader: BufReader<File>,
    /// How many lines were read.
    pub(super) number: u64,
    /// How many bytes were read.
    pub(super) read: u64,
    /// How many bytes there are.
    pub(super) size: u64,
}

impl Lines {
    /// Opens a file.
    ///
    /// # Errors
    /// [`ExitError::Failed`] if it cannot be read.
    pub(super) fn open(file: &Path) -> Result<Self, ExitError> {
        let opened = File::open(file).and_then(|opened| Ok((opened.metadata()?.len(), opened)));
        let (size, opened) =
            opened.with_context(|| format!("{} cannot be read", file.display())).map_err(ExitError::Failed)?;
        Ok(Self { file: file.to_owned(), reader: BufReader::new(opened), number: 0, read: 0, size })
    }

    /// The next line that is not blank, with its number; `None` at the end.
    ///
    /// # Errors
    /// [`ExitError::Failed`] if it cannot be read, or is too long to be a grant.
    pub(super) fn next(&mut self) -> Result<Option<(u64, Vec<u8>)>, ExitError> {
        loop {
            let mut line = Vec::new();
            let read = self.reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut line);
            let read = read.with_context(|| format!("{} cannot be read", self.file.display()));
            let read = u64::try_from(read.map_err(ExitError::Failed)?).unwrap_or(u64::MAX);
            if read == 0 {
                return Ok(None);
            }
            (self.number, self.read) = (self.number.saturating_add(1), self.read.saturating_add(read));
            if read == MAX_LINE && line.last() != Some(&b'\n') {
                let place = self.place(self.number);
                return Err(ExitError::Failed(anyhow!(
                    "{place}: has more than {MAX_LINE} bytes, which is no line of a grant"
                )));
            }
            if !line.trim_ascii().is_empty() {
                return Ok(Some((self.number, line)));
            }
        }
    }

    /// `FILE:LINE`.
    pub(super) fn place(&self, number: u64) -> String {
        format!("{}:{number}", self.file.display())
    }
}

/// Where an external id stood first.
pub(super) type Seen = HashMap<crate::domain::ids::GrantId, u64>;
