-- Everything a batch inserts besides the ledger, and the pools it moves; for a small batch ($12) it locks the ledger's
-- head too. One trip for all. Whole rows go in as arrays of the tables' own row types, see `composite.rs`.
with kept as (
    insert into inbox (inbox_id, source, message_id, type, time, structured, queue, properties, body)
    select inbox_id, source, message_id, type, time, structured, queue, properties, body from unnest($1::inbox[])
),
made_purchases as (
    insert into purchases (purchase_id, messages, grants, waiting, waiting_since)
    select purchase_id, messages, grants, waiting, case when waiting <> '{}' then clock_timestamp() end
    from unnest($2::purchases[])
),
made_pools as (
    insert into pools (customer_id, credit_type, balance, sequence)
    select * from unnest($3::text[], $4::text[], $5::numeric[], $6::bigint[])
),
moved_pools as (
    update pools set balance = new.balance, sequence = new.sequence
    from unnest($7::text[], $8::text[], $9::numeric[], $10::bigint[])
         as new (customer_id, credit_type, balance, sequence)
    where pools.customer_id = new.customer_id and pools.credit_type = new.credit_type
),
made_grants as (
    insert into grants select * from unnest($11::grants[])
)
select position, hash, recorded_at, clock_timestamp() as "now!" from ledger_head where $12 for update
