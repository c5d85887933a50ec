-- $1 positions. Those entries, in order.
select position, entry_id, format, customer_id, credit_type, sequence, type as kind, delta, end_balance, grant_id,
       grant_remaining, grant_status, requested, shortfall, actor, reason, cause_source, cause_id, cause_type,
       effective_at, recorded_at, counts_at, amount, basis, category, priority, cost_amount, cost_currency, starts_at,
       expires_at, price_id, rule, rules_hash, replaces
from ledger
where position = any($1)
order by position
