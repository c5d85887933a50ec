//! Settings and rules: what people write down, checked once and as a whole before anything starts.
//!
//! Every mistake is reported at once, each with file, line, key, value and the nearest valid word. Text comes in,
//! typed values go out; only [`Settings::load`], [`RulesFile::read`] and
//! [`CasesFile::read`] touch the disk. Called by `cli`, which hands
//! the values to `app`. It never asks the broker or the database, so `credits check` works offline, and no message
//! of it shows a URL: those hold passwords.

mod cases_file;
mod document;
mod layers;
mod problem;
pub mod rules_file;
pub mod settings;

pub use cases_file::{Case, CaseMessage, CasesFile, ExpectedGrant};
pub use problem::{ConfigError, Problem, nearest};
pub use rules_file::RulesFile;
pub use settings::Settings;
