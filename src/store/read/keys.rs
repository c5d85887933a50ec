//! Which messages are there already.

use std::collections::HashMap;

use super::Snapshot;
use crate::domain::ids::{MessageId, Source};
use crate::domain::message::Fingerprint;
use crate::store::error::StoreError;
use crate::store::rows::id;

impl Snapshot<'_> {
    /// Those of a sender's `ids` that are taken, each with the content that took it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn taken_keys(
        &mut self,
        source: &Source,
        ids: &[&str],
    ) -> Result<HashMap<MessageId, Fingerprint>, StoreError> {
        let rows = sqlx::query!(
            "select message_id, fingerprint from message_keys where source = $1 and message_id = any($2)",
            source.as_str(),
            ids as _,
        )
        .fetch_all(&mut *self.tx)
        .await?;
        rows.into_iter()
            .map(|row| {
                let print = row.fingerprint.try_into().map_err(|_| StoreError::corrupt("fingerprint"))?;
                Ok((id(MessageId::parse(&row.message_id))?, Fingerprint(print)))
            })
            .collect()
    }
}
