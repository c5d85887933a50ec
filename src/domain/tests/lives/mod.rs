//! Grants from their first entry to their last: use, adjustments by hand, dates, and what refunds find of it.

mod any;
pub(super) mod life;
mod table;
pub(super) mod words;
