//! `signup`: somebody signed up.

use super::fields::Fields;
use crate::domain::ids::{CustomerId, Identity};
use crate::domain::message::Signup;

/// Reads the message's `data`; `None` if something in it was noted as refused.
pub(super) fn read(data: &Fields<'_>) -> Option<Signup> {
    let customer_id = data.required("customer_id", CustomerId::parse);
    let identity = data.optional("identity", Identity::parse);
    let campaign = data.text("campaign");
    let plan = data.text("plan");
    let metadata = data.metadata();
    Some(Signup { customer_id: customer_id?, identity, campaign, plan, metadata })
}
