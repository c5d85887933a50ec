-- Every pool with what its grants hold: the sum of what remains of those that are active as of the account's last
-- settled instant. Each table is read once, however many grants one customer has.
select p.customer_id, p.credit_type, p.balance, p.sequence, a.settled_to as "settled_to?", coalesce(h.held, 0) as "held!",
       coalesce(h.spendable, 0) as "spendable!"
from pools p
left join accounts a on a.customer_id = p.customer_id
left join (
    select g.customer_id, g.credit_type,
           sum(g.remaining) filter (
               where g.effective_at <= a.settled_to and (g.expires_at is null or g.expires_at > a.settled_to)
           ) as held,
           -- what use would find
           sum(g.remaining) filter (where g.spendable) as spendable
    from grants g join accounts a on a.customer_id = g.customer_id
    group by g.customer_id, g.credit_type
) h on h.customer_id = p.customer_id and h.credit_type = p.credit_type
order by p.customer_id, p.credit_type
