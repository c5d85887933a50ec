-- $1 how many, $2 customers to pass over. The customers of the oldest due grants, and of them only so many that their due
-- grants together are about that number: a batch has room for no more. Also how many entries wait to be published.
--
-- `now()` and not `clock_timestamp()`, which would be asked anew for each row and could not bound the scan of an index.
with oldest as (
    select customer_id, due_at from grants
    where due_at <= now() and customer_id <> all($2) order by due_at limit $1
),
customers as (
    select customer_id, min(due_at) as due_at from oldest group by customer_id order by min(due_at)
),
enough as (
    select c.customer_id
    from customers c
    cross join lateral (select from grants g where g.customer_id = c.customer_id and g.due_at <= now() limit $1) due
    limit $1
)
select (select array_agg(distinct customer_id) from enough) as "customers: Vec<String>",
       (select position from ledger_head) - (select position from relay_cursor) as "unpublished!"
