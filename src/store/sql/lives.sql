-- $1 customer. What the ledger tells of each grant's life: one row a grant, however often it was used.
select grant_id as "grant_id!",
       min(counts_at) filter (where type = 'schedule') as scheduled_at,
       min(counts_at) filter (where type = 'grant') as granted_at,
       min(counts_at) filter (where type = 'consume' and requested > shortfall) as first_used_at,
       max(counts_at) filter (where type = 'consume' and requested > shortfall) as last_used_at,
       max(counts_at) filter (where type = 'revoke' and requested > shortfall) as revoked_at,
       max(counts_at) filter (where type = 'expire') as expired_at,
       coalesce(sum(requested - shortfall) filter (where type = 'consume'), 0) as "used!",
       coalesce(sum(-delta) filter (where type = 'expire'), 0) as "expired!"
from ledger
where customer_id = $1 and grant_id is not null
group by grant_id
