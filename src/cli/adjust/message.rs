//! A `credit-adjustment` message, as a verb states it.

use serde::Serialize;

use crate::cli::show;
use crate::domain::adjustment::Adjustment;
use crate::domain::message::{Content, MessageKey, MessageType, Timestamp};
use crate::handler::direct;
use crate::handler::intake::Work;

/// A message that is ready to be taken.
#[derive(Debug)]
pub(in crate::cli) struct Stated {
    /// Its sender and id.
    pub(in crate::cli) key: MessageKey,
    /// What it says.
    pub(in crate::cli) adjustment: Adjustment,
    /// The message itself.
    pub(in crate::cli) work: Work,
}

#[derive(Serialize)]
struct Event<'a, T> {
    specversion: &'static str,
    id: &'a str,
    source: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    time: String,
    datacontenttype: &'static str,
    data: &'a T,
}

/// States the message of `data`.
///
/// # Errors
/// What is wrong with a field, in words.
pub(in crate::cli) fn state(source: &str, id: &str, time: Timestamp, data: &impl Serialize) -> Result<Stated, String> {
    let event = Event {
        specversion: "1.0",
        id,
        source,
        kind: MessageType::CreditAdjustment.name(),
        time: show::time(time),
        datacontenttype: "application/json",
        data,
    };
    let body = serde_json::to_vec(&event).map_err(|error| error.to_string())?;
    let work = direct::stated(body);
    let message = match &work.decoded {
        Ok(decoded) => &decoded.message,
        Err(error) => return Err(plain(&error.detail)),
    };
    match &message.content {
        Content::Adjustment(adjustment) => {
            Ok(Stated { key: message.key.clone(), adjustment: adjustment.clone(), work })
        }
        Content::Purchase(_) | Content::Signup(_) | Content::Usage(_) => Err("is no adjustment".to_owned()),
    }
}

/// A finding without the path that fields have in messages.
pub(in crate::cli) fn plain(finding: &str) -> String {
    finding.strip_prefix("data.").unwrap_or(finding).to_owned()
}
