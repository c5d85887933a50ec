//! `usage-recorded`: credits were used.

use super::envelope::instant;
use super::fields::{Fields, Zero};
use crate::domain::ids::{CreditType, CustomerId, UsageId};
use crate::domain::usage::Usage;

/// Reads the message's `data`; `None` if something in it was noted as refused.
pub(super) fn read(data: &Fields<'_>) -> Option<Usage> {
    let usage_id = data.required("usage_id", UsageId::parse);
    let customer_id = data.required("customer_id", CustomerId::parse);
    let credit_type = data.required("credit_type", CreditType::parse);
    let amount = data.credits("amount", Zero::Refused);
    let occurred_at = data.required("occurred_at", instant);
    let metadata = data.metadata();
    Some(Usage {
        usage_id: usage_id?,
        customer_id: customer_id?,
        credit_type: credit_type?,
        amount: amount?,
        occurred_at: occurred_at?,
        metadata,
    })
}
