-- What a batch inserts besides ledger and inbox, and the pools it moves; then, if there are entries ($11), the lock of
-- the ledger's head, last since it counts what went before. One trip for all. Whole rows go in as arrays of the tables'
-- own row types, see `composite.rs`.
with made_purchases as (
    insert into purchases (purchase_id, messages, grants, waiting, waiting_since)
    select purchase_id, messages, grants, waiting, case when waiting <> '{}' then clock_timestamp() end
    from unnest($1::purchases[])
    returning 1
),
made_pools as (
    insert into pools (customer_id, credit_type, balance, sequence)
    select * from unnest($2::text[], $3::text[], $4::numeric[], $5::bigint[])
    returning 1
),
moved_pools as (
    update pools set balance = new.balance, sequence = new.sequence
    from unnest($6::text[], $7::text[], $8::numeric[], $9::bigint[])
         as new (customer_id, credit_type, balance, sequence)
    where pools.customer_id = new.customer_id and pools.credit_type = new.credit_type
    returning 1
),
made_grants as (
    insert into grants select * from unnest($10::grants[])
    returning 1
)
select position, hash, recorded_at, clock_timestamp() as "now!" from ledger_head
where $11
  and (select count(*) from made_purchases) + (select count(*) from made_pools)
      + (select count(*) from moved_pools) + (select count(*) from made_grants) >= 0
for update
