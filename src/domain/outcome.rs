//! What became of a message. Nothing else, and never silence.

/// What became of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// Kept, and the grants are as it demands.
    Applied,
    /// It says nothing that was not known.
    Duplicate,
    /// No rule takes it, or `once_per` refused it.
    Ignored,
    /// Kept; its partner is missing.
    Waiting,
    /// Refused; nothing of it is kept but the dead letter.
    DeadLettered,
}

impl Outcome {
    /// Every outcome, in the order of the demo's closing line.
    pub const ALL: [Self; 5] = [Self::Applied, Self::Duplicate, Self::Ignored, Self::Waiting, Self::DeadLettered];

    /// The word in tables, metrics and `explain`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Duplicate => "duplicate",
            Self::Ignored => "ignored",
            Self::Waiting => "waiting",
            Self::DeadLettered => "dead-lettered",
        }
    }

    /// The outcome of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.name() == name)
    }
}

/// Why a message was refused, in the order in which the checks run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RefusalCode {
    /// The body is above the limit.
    TooLarge,
    /// No UTF-8, no JSON, too deep, a key twice, a NUL.
    Malformed,
    /// The envelope's `type` is none of ours.
    UnsupportedType,
    /// `dataversion` of another major.
    UnsupportedVersion,
    /// A field is missing, of the wrong type or beyond its limit.
    InvalidField,
    /// A money or credit amount is no plain decimal within its limits.
    InvalidAmount,
    /// No current ISO 4217 code.
    UnknownCurrency,
    /// The same id with another content.
    IdempotencyConflict,
    /// It contradicts a fact that is kept.
    FactConflict,
    /// Three processes died on it.
    CrashedWorker,
}

impl RefusalCode {
    /// Every code.
    pub const ALL: [Self; 10] = [
        Self::TooLarge,
        Self::Malformed,
        Self::UnsupportedType,
        Self::UnsupportedVersion,
        Self::InvalidField,
        Self::InvalidAmount,
        Self::UnknownCurrency,
        Self::IdempotencyConflict,
        Self::FactConflict,
        Self::CrashedWorker,
    ];

    /// The word in dead letters and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::TooLarge => "too-large",
            Self::Malformed => "malformed",
            Self::UnsupportedType => "unsupported-type",
            Self::UnsupportedVersion => "unsupported-version",
            Self::InvalidField => "invalid-field",
            Self::InvalidAmount => "invalid-amount",
            Self::UnknownCurrency => "unknown-currency",
            Self::IdempotencyConflict => "idempotency-conflict",
            Self::FactConflict => "fact-conflict",
            Self::CrashedWorker => "crashed-worker",
        }
    }

    /// The code of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.name() == name)
    }
}
