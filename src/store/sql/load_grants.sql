-- $1 customers, $2 clock, $3 grant ids. Due grants of the customers, and the named ones.
-- Two index scans; a grant that is both comes once.
select grant_id, customer_id, credit_type, scale, amount, remaining, asked, taken, revoked, basis, category, priority,
       cost_amount, cost_currency, effective_at, expires_at, price_id, rule, rules_hash, replaces, reason, actor,
       cause_source, cause_id, cause_type, fact_kind, fact_id, on_invoice, in_full, surplus, first_counts_at, replaced_by
from grants
where grant_id in (
    select grant_id from grants where customer_id = any($1::text[]) and due_at <= $2
    union
    select unnest($3::uuid[])
)
