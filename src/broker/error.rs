//! What can go wrong between us and the broker, in words that hold no secret.
//!
//! Made from the driver's errors here and nowhere else: its own texts never carry the URL, and a URL that cannot be
//! parsed is not repeated, since the parser's error quotes it.

use lapin::ErrorKind;

/// `PRECONDITION_FAILED`: something exists with other settings.
const PRECONDITION_FAILED: u16 = 406;
/// `ACCESS_REFUSED`: login or permission.
const ACCESS_REFUSED: u16 = 403;
/// `NOT_ALLOWED`: the virtual host is missing or closed to us.
const NOT_ALLOWED: u16 = 530;

/// Why the broker could not be used. Only [`BrokerError::Config`] can be known before the first attempt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BrokerError {
    /// The settings cannot work with any broker: refuse to start.
    #[error("{0}")]
    Config(String),
    /// An exchange or queue exists with other settings: it works again once someone mends it.
    #[error("{entity} exists with other settings: {difference}")]
    Mismatch {
        /// Kind and name, such as "queue `credits.signup`".
        entity: String,
        /// The argument with both sides, or what the broker said.
        difference: String,
    },
    /// The broker answers and says no: login, permission or virtual host.
    #[error("{doing}: the broker refused: {said}")]
    Refused {
        /// What was attempted.
        doing: String,
        /// The broker's words.
        said: String,
    },
    /// Not there, gone, or too slow: try again.
    #[error("{doing}: {said}")]
    Unavailable {
        /// What was attempted.
        doing: String,
        /// What happened.
        said: String,
    },
}

impl BrokerError {
    /// What the driver said while we were `doing` something.
    pub(super) fn of(doing: impl Into<String>, error: &lapin::Error) -> Self {
        let (doing, said) = (doing.into(), words(error));
        match code(error) {
            Some(ACCESS_REFUSED | NOT_ALLOWED) => Self::Refused { doing, said },
            _ => Self::Unavailable { doing, said },
        }
    }

    /// What the driver said while we declared `entity`.
    pub(super) fn declaring(entity: String, error: &lapin::Error) -> Self {
        if code(error) == Some(PRECONDITION_FAILED) {
            let said = words(error);
            let difference = both_sides(&said).unwrap_or(said);
            return Self::Mismatch { entity, difference };
        }
        Self::of(format!("declaring {entity}"), error)
    }

    /// Our own task ended before its time.
    pub(super) fn died(error: &tokio::task::JoinError) -> Self {
        Self::Unavailable { doing: "starting consumers".to_owned(), said: error.to_string() }
    }

    /// An answer did not come in time.
    pub(super) fn late(doing: impl Into<String>) -> Self {
        Self::Unavailable { doing: doing.into(), said: "no answer in time".to_owned() }
    }
}

/// The driver's error in words: the broker's own text if it spoke, without the driver's "protocol error" before it.
pub(super) fn words(error: &lapin::Error) -> String {
    match error.kind() {
        ErrorKind::ProtocolError(said) => said.get_message().to_string(),
        ErrorKind::IOError(failed) => failed.to_string(),
        _ => error.to_string(),
    }
}

fn code(error: &lapin::Error) -> Option<u16> {
    match error.kind() {
        ErrorKind::ProtocolError(said) => Some(said.get_id()),
        _ => None,
    }
}

/// Turns `inequivalent arg 'x' for queue 'q' in vhost '/': received A but current is B` into both sides in words.
fn both_sides(said: &str) -> Option<String> {
    let (_, rest) = said.split_once("inequivalent arg '")?;
    let (argument, rest) = rest.split_once('\'')?;
    let (_, sides) = rest.split_once(": received ")?;
    let (ours, theirs) = sides.split_once(" but current is ")?;
    Some(format!("`{argument}` is {theirs} on the broker, ours is {ours}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(said: &str, expected: Option<&str>) {
        assert_eq!(both_sides(said).as_deref(), expected);
    }

    #[test]
    fn an_inequivalent_argument_names_both_sides() {
        check(
            "PRECONDITION_FAILED - inequivalent arg 'x-delivery-limit' for queue 'q' in vhost '/': \
             received the value '1000' of type 'long' but current is the value '20' of type 'long'",
            Some(
                "`x-delivery-limit` is the value '20' of type 'long' on the broker, ours is the value '1000' of type 'long'",
            ),
        );
        check(
            "PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'billing' in vhost '/': received 'topic' but current is 'direct'",
            Some("`type` is 'direct' on the broker, ours is 'topic'"),
        );
        check("PRECONDITION_FAILED - invalid arg", None);
    }
}
