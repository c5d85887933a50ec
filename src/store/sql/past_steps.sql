-- $1 customer, $2 instant. What counts by then, in the order of the index: each pool's entries in order.
select credit_type, counts_at, grant_id, grant_remaining, amount, category, priority, cost_amount, cost_currency,
       starts_at, expires_at
from ledger
where customer_id = $1 and counts_at <= $2
order by credit_type, sequence
