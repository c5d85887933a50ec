//! Names that other systems gave to customers, purchases, prices and messages, checked once at the door.
//!
//! An identifier is opaque: compared byte by byte, never parsed. [`MAX_ID_BYTES`] bounds each, since every one of
//! them ends in an index and in an event.

use std::fmt;
use std::sync::Arc;

use uuid::Uuid;

/// The longest identifier, in bytes of UTF-8.
pub const MAX_ID_BYTES: usize = 255;

/// Why a text is no identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    /// Nothing was given.
    #[error("is empty")]
    Empty,
    /// Longer than [`MAX_ID_BYTES`].
    #[error("has {0} bytes, at most {MAX_ID_BYTES} are allowed")]
    TooLong(usize),
    /// Holds a control character.
    #[error("holds a control character")]
    Control,
}

fn checked(text: &str) -> Result<Arc<str>, InvalidId> {
    match text {
        "" => Err(InvalidId::Empty),
        long if long.len() > MAX_ID_BYTES => Err(InvalidId::TooLong(long.len())),
        bad if has_control(bad) => Err(InvalidId::Control),
        good => Ok(good.into()),
    }
}

fn has_control(text: &str) -> bool {
    if text.is_ascii() { text.bytes().any(|byte| byte.is_ascii_control()) } else { text.chars().any(char::is_control) }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes 1 to [`MAX_ID_BYTES`] bytes of text without control characters.
            ///
            /// # Errors
            /// [`InvalidId`] says what is wrong with `text`.
            pub fn parse(text: &str) -> Result<Self, InvalidId> {
                checked(text).map(Self)
            }

            /// The text as it was given.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id!(
    /// One customer, whose credits are one account.
    CustomerId
);
id!(
    /// One payment, as the billing system names it.
    PaymentId
);
id!(
    /// One invoice, as the billing system names it.
    InvoiceId
);
id!(
    /// One refund, as the billing system names it.
    RefundId
);
id!(
    /// One use of credits, as the metering system names it.
    UsageId
);
id!(
    /// One adjustment by hand: a verb's idempotency key, an external id.
    AdjustmentId
);
id!(
    /// Another name of a purchase: a checkout, a charge.
    Alias
);
id!(
    /// The price that a line was sold at; rules match on it.
    PriceId
);
id!(
    /// A currency of credits, such as `credits` or `gpu-minutes`.
    CreditType
);
id!(
    /// A rule's name in the rules file.
    RuleName
);
id!(
    /// A message's `id`: unique within its [`Source`].
    MessageId
);
id!(
    /// The system that sent a message.
    Source
);
id!(
    /// An opaque, already hashed identity of a person who signs up.
    Identity
);
id!(
    /// Who changed a balance: `rule:<name>`, `worker:refund`, `worker:schedule`, `worker:merge`, `worker:usage`, or an operator.
    Actor
);

impl Actor {
    /// Who takes back and gives again as refunds demand.
    #[must_use]
    pub fn refund() -> Self {
        Self("worker:refund".into())
    }

    /// Who writes activations and expiries.
    #[must_use]
    pub fn schedule() -> Self {
        Self("worker:schedule".into())
    }

    /// Who takes back what a link showed to be one grant too many.
    #[must_use]
    pub fn merge() -> Self {
        Self("worker:merge".into())
    }

    /// Who takes what was used.
    #[must_use]
    pub fn usage() -> Self {
        Self("worker:usage".into())
    }

    /// A person or system outside, who may not pass for a rule or the worker.
    ///
    /// # Errors
    /// What is wrong with the name, in words.
    pub fn operator(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("rule" | "worker", _)) => Err("begins with rule: or worker:, which are the worker's own".to_owned()),
            _ => Self::parse(text).map_err(|error| error.to_string()),
        }
    }

    /// Takes what the ledger holds: a rule's name may be as long as an id, and the prefix comes on top.
    #[must_use]
    pub fn stored(text: &str) -> Self {
        Self(text.into())
    }

    /// Who grants by a rule.
    #[must_use]
    pub fn rule(name: &RuleName) -> Self {
        Self(format!("rule:{name}").into())
    }
}

/// One block of credits. Derived from its cause, so the same message always names the same grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GrantId(pub Uuid);

/// The namespace of every derived grant id. Changing it would grant everything anew.
const GRANT_NAMESPACE: Uuid = Uuid::from_u128(0x8f2b_6d0e_51c4_5d8a_9c37_02a4_b6e9_1f53);

impl GrantId {
    /// Derives the id (UUID version 5) from the parts that name the cause.
    ///
    /// Each part is preceded by its length, so that no two different lists of parts give the same name.
    #[must_use]
    pub fn derive(parts: &[&str]) -> Self {
        let mut name = Vec::with_capacity(parts.iter().map(|part| part.len().saturating_add(4)).sum());
        for part in parts {
            name.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
            name.extend_from_slice(part.as_bytes());
        }
        Self(Uuid::new_v5(&GRANT_NAMESPACE, &name))
    }
}

impl fmt::Display for GrantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One kept message: the row of the inbox that holds its body.
///
/// Given by the shell in order of arrival (UUID version 7), so that a later message has a greater id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InboxId(pub Uuid);

/// One purchase: the group of names that facts have joined so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PurchaseId(pub Uuid);

/// The most Unicode scalar values that a reason may hold.
pub const MAX_REASON_CHARS: usize = 200;

/// Words for people, at most [`MAX_REASON_CHARS`] Unicode scalar values.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reason(Arc<str>);

impl Reason {
    /// Takes a text that is short enough; `None` beyond the limit.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        (text.chars().count() <= MAX_REASON_CHARS).then(|| Self(text.into()))
    }

    /// Takes any text and cuts it at the limit: for the reasons that the worker writes itself.
    #[must_use]
    pub fn cut(text: &str) -> Self {
        let end = text.char_indices().nth(MAX_REASON_CHARS).map_or(text.len(), |(at, _)| at);
        Self(text.get(..end).unwrap_or(text).into())
    }

    /// The words.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The SHA-256 of a rules file's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RulesHash(pub [u8; 32]);

impl fmt::Display for RulesHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
