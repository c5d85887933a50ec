-- $1 customer. What the balance and its grants need of every grant that holds something as of the last settling.
select credit_type, grant_id, amount, remaining, category, priority, cost_amount, cost_currency, effective_at, expires_at
from grants
where customer_id = $1 and remaining > 0
