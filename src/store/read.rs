//! What people ask: balances, grants, the ledger, dead letters, what became of a message. Reads only.

use rust_decimal::Decimal;
use uuid::Uuid;

use super::chain::hash;
use super::error::StoreError;
use super::rows::{GrantRow, LedgerRow};
use super::session::Session;
use crate::domain::account::{Account, Grant, Pool};
use crate::domain::ids::{CreditType, CustomerId};
use crate::domain::message::Timestamp;

/// One proof of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// The last good position.
    pub verified_to: i64,
    /// The first bad position and what is wrong there.
    pub broken: Option<(i64, String)>,
}
