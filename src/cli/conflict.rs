//! The two sides of a refusal: what is kept, and what contradicts it.
//!
//! Of a `fact-conflict` the core said what is stated twice when it refused; of an `idempotency-conflict` both bodies
//! are kept and are read again. Called by `dead_letters`.

use serde_json::{Value, json};

use super::ExitError;
use super::case::decoded;
use super::output::{Format, Listing};
use super::show::compact;
use crate::domain::message::{Content, MessageKey};
use crate::domain::outcome::RefusalCode;
use crate::domain::sides::{Field, side_by_side};
use crate::store::read::{Refused, RefusedBody, Snapshot};
use crate::wire;

/// Both sides of a refusal.
pub(super) struct Conflict {
    contradictions: Vec<Contradicted>,
    kept_by: Option<MessageKey>,
    given_by: Option<MessageKey>,
    /// Whether another kept message says what contradicts, and the refused one would only join the two.
    joins: bool,
    fields: Vec<Field>,
}

struct Contradicted {
    field: String,
    kept: Option<String>,
    refused: Option<String>,
}

impl Conflict {
    /// The sides of a dead letter; `None` for one that was refused for itself alone.
    pub(super) async fn load(
        snapshot: &mut Snapshot<'_>,
        letter: &Refused,
        said: &RefusedBody,
    ) -> Result<Option<Self>, ExitError> {
        let own = own_key(letter);
        let (kept_by, given_by) = match &letter.conflict {
            Some(conflict) => (conflict.kept_by.clone(), conflict.given_by.clone()),
            None if letter.code == RefusalCode::IdempotencyConflict.name() => (own.clone(), own.clone()),
            None => return Ok(None),
        };
        let joins = given_by.is_some() && given_by != own;
        let kept = content(snapshot, kept_by.as_ref()).await?;
        let given = if joins { content(snapshot, given_by.as_ref()).await? } else { read(letter, said) };
        let fields = match (&kept, &given) {
            (Some(kept), Some(given)) => side_by_side(kept, given),
            _ => Vec::new(),
        };
        let contradictions = match &letter.conflict {
            Some(conflict) => vec![Contradicted {
                field: conflict.field.to_string(),
                kept: Some(conflict.kept.to_string()),
                refused: Some(conflict.given.to_string()),
            }],
            None => fields.iter().filter(|field| field.differs()).map(contradicted).collect(),
        };
        Ok(Some(Self { contradictions, kept_by, given_by, joins, fields }))
    }

    /// Two tables: what contradicts, and all that the two messages say.
    pub(super) fn words(&self) -> String {
        let mut words = "\nconflict\n\n".to_owned();
        let mut table = Listing::new(if self.joins {
            &["field", "kept", "kept_by", "contradicts", "stated_by"]
        } else {
            &["field", "kept", "kept_by", "refused", "stated_by"]
        });
        for one in &self.contradictions {
            table.add([
                Some(one.field.clone()),
                one.kept.clone(),
                self.kept_by.as_ref().map(shown),
                one.refused.clone(),
                self.given_by.as_ref().map(shown),
            ]);
        }
        words += &table.render(Format::default());
        if self.joins {
            words += "\nboth are kept; the refused message would have made one purchase of them\n";
        }
        if self.fields.is_empty() {
            return words;
        }
        words += "\nall that the two messages say\n\n";
        let mut table = Listing::new(if self.joins {
            &["field", "kept", "contradicts", "differs"]
        } else {
            &["field", "kept", "refused", "differs"]
        });
        for field in &self.fields {
            let differs = field.differs().then(|| "yes".to_owned());
            table.add([Some(field.name.to_owned()), field.kept.clone(), field.refused.clone(), differs]);
        }
        words + &table.render(Format::default())
    }

    pub(super) fn json(&self) -> Value {
        let key = |key: &Option<MessageKey>| {
            key.as_ref().map(|key| json!({ "source": key.source.as_str(), "id": key.id.as_str() }))
        };
        let side = |name: &str, kept: &Option<String>, refused: &Option<String>| {
            compact(json!({ "field": name, "kept": kept, "refused": refused }))
        };
        let contradictions = self.contradictions.iter().map(|one| side(&one.field, &one.kept, &one.refused));
        let fields = self.fields.iter().map(|field| side(field.name, &field.kept, &field.refused));
        compact(json!({
            "contradictions": contradictions.collect::<Vec<_>>(),
            "kept_by": key(&self.kept_by),
            "stated_by": key(&self.given_by),
            "joined_by_the_refused_message": self.joins,
            "fields": fields.collect::<Vec<_>>(),
        }))
    }
}

fn contradicted(field: &Field) -> Contradicted {
    Contradicted { field: field.name.to_owned(), kept: field.kept.clone(), refused: field.refused.clone() }
}

fn shown(key: &MessageKey) -> String {
    format!("{} of {}", key.id, key.source)
}

fn own_key(letter: &Refused) -> Option<MessageKey> {
    use crate::domain::ids::{MessageId, Source};
    let source = Source::parse(letter.source.as_deref()?).ok()?;
    Some(MessageKey { source, id: MessageId::parse(letter.message_id.as_deref()?).ok()? })
}

/// What the message says that holds a key now.
async fn content(snapshot: &mut Snapshot<'_>, key: Option<&MessageKey>) -> Result<Option<Content>, ExitError> {
    let Some(key) = key else { return Ok(None) };
    let keeper = snapshot.keeper(key).await?;
    Ok(keeper.map(|message| decoded(&message)).transpose()?.map(|message| message.content))
}

/// What a refused message says. Its mode is not kept: the whole event is tried first, then the data alone.
pub(super) fn read(letter: &Refused, said: &RefusedBody) -> Option<Content> {
    let key = own_key(letter)?;
    [true, false].into_iter().find_map(|structured| {
        let kind = letter.kind.as_deref()?;
        let stored = wire::Stored { structured, key: &key, kind, time: letter.first_seen_at, body: &said.body };
        wire::decode_stored(&stored).ok().map(|message| message.content)
    })
}
