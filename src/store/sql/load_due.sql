-- $1 customers, $2 clock, $3 how many. The due grants of the first customer in their order, those of the second, and so
-- on, up to that number: by instant, at one instant expiries before activations, then by id. Of each customer the index
-- gives the first ones, however many there are.
select grant_id, customer_id, credit_type, scale, amount, remaining, asked, taken, revoked, basis, category, priority,
       cost_amount, cost_currency, effective_at, expires_at, price_id, rule, rules_hash, replaces, reason, actor,
       cause_source, cause_id, cause_type, fact_kind, fact_id, on_invoice, in_full, surplus, first_counts_at, replaced_by,
       due_at as "due_at!"
from unnest($1::text[]) with ordinality as c (wanted, place)
cross join lateral (
    select * from grants where customer_id = c.wanted and due_at <= $2
    order by due_at, due_at = effective_at, grant_id limit $3
) as due
order by c.place, due_at, due_at = effective_at, grant_id
limit $3
