-- $1 customer, $2 credit type, $3 type, $4 actor, $5 and $6 the positions. All columns, in order.
-- `position + 0`, so that only the customer's index is used and not the primary key's whole range besides.
select position, entry_id, format, customer_id, credit_type, sequence, type as kind, delta, end_balance, grant_id,
       grant_remaining, grant_status, requested, shortfall, actor, reason, cause_source, cause_id, cause_type,
       effective_at, recorded_at, counts_at, amount, basis, category, priority, cost_amount, cost_currency, starts_at,
       expires_at, price_id, rule, rules_hash, replaces, hash
from ledger
where customer_id = $1 and ($2::text is null or credit_type = $2) and ($3::text is null or type = $3)
      and ($4::text is null or actor = $4)
      and position + 0 > $5 and position + 0 <= $6
order by position
