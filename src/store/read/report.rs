//! A month of the whole ledger in sums.

use num_bigint::BigInt;
use sqlx::Executor;

use super::Snapshot;
use crate::domain::amounts::{Currency, power_of_ten};
use crate::domain::ids::CreditType;
use crate::domain::ledger::EntryType;
use crate::domain::report::{Line, Period, Report, Unit};
use crate::store::error::StoreError;
use crate::store::rows::id;

impl Snapshot<'_> {
    /// Sums up `period`, of one credit type or of all.
    ///
    /// From the ledger alone: rows of grants give terms, and what is due there but not written yet counts as if it
    /// were. So it makes no difference when the sweeper ran, or whether it did.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn report(&mut self, period: Period, credit_type: Option<&CreditType>) -> Result<Report, StoreError> {
        // Every entry is read: that takes its time with a ledger of years, and no index leads to all of a table. There are
        // few sums, which the planner cannot know: it would sort all entries first.
        let settings = "set local statement_timeout = 0; set local enable_seqscan = on; set local enable_sort = off; \
                        set local work_mem = '64MB'; set local plan_cache_mode = force_custom_plan";
        self.tx.execute(settings).await?;
        let currencies: Vec<Currency> = Currency::all().collect();
        let codes: Vec<&str> = currencies.iter().map(|currency| currency.code()).collect();
        let units: Vec<i64> =
            currencies.iter().filter_map(|currency| i64::try_from(power_of_ten(currency.places())).ok()).collect();
        let rows = sqlx::query_file!(
            "src/store/sql/report.sql",
            period.month.start(),
            period.until,
            credit_type.map(CreditType::as_str),
            &codes as _,
            &units,
        )
        .fetch_all(&mut *self.tx)
        .await?;
        let mut report = Report::new(period);
        for row in rows {
            let credit_type = id(CreditType::parse(&row.credit_type))?;
            let line = Line::from_name(&row.line).ok_or_else(|| StoreError::corrupt(&row.line))?;
            let memo = memo(&row.kind);
            report.add(&credit_type, Unit::Credits, line, &whole(&row.credits)?);
            if let Some((memo, sign)) = memo {
                report.add(&credit_type, Unit::Credits, memo, &(whole(&row.shortfall)? * sign));
            }
            let Some(currency) = row.currency else { continue };
            let unit = Unit::Money(id(Currency::parse(&currency))?);
            let money = row.money.ok_or_else(|| StoreError::corrupt("a cost without an amount"))?;
            report.add(&credit_type, unit, line, &whole(&money)?);
            if let Some((memo, sign)) = memo {
                report.add(&credit_type, unit, memo, &(whole(&row.shortfall_money)? * sign));
            }
        }
        Ok(report)
    }
}

/// The memo that the shortfall of such entries belongs to, and its sign there.
fn memo(kind: &str) -> Option<(Line, i8)> {
    match EntryType::from_name(kind)? {
        EntryType::Revoke => Some((Line::RefundShortfall, 1)),
        EntryType::Reinstate => Some((Line::ShortfallWithdrawn, -1)),
        EntryType::Schedule | EntryType::Grant | EntryType::Consume | EntryType::Expire => None,
    }
}

fn whole(digits: &str) -> Result<BigInt, StoreError> {
    digits.parse().map_err(StoreError::corrupt)
}
