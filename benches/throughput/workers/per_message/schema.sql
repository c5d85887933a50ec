-- The tables of the per-message worker.

create table processed_messages (
    source text not null,
    message_id text not null,
    processed_at timestamptz not null default now(),
    primary key (source, message_id)
);

create table grants (
    grant_id uuid primary key,
    customer_id text not null,
    credit_type text not null,
    payment_id text not null unique,
    category text not null,
    priority integer not null,
    amount numeric not null check (amount > 0),
    remaining numeric not null check (remaining >= 0),
    cost_total numeric not null,
    cost_currency text not null,
    effective_at timestamptz not null,
    expires_at timestamptz not null,
    status text not null
);

-- The order in which grants are used.
create index grants_in_order_of_use on grants (customer_id, credit_type, priority, expires_at)
where remaining > 0;

create table pools (
    customer_id text not null,
    credit_type text not null,
    balance numeric not null check (balance >= 0),
    sequence bigint not null,
    primary key (customer_id, credit_type)
);

create table ledger (
    position bigint generated always as identity primary key,
    entry_id uuid not null,
    customer_id text not null,
    credit_type text not null,
    sequence bigint not null,
    entry_type text not null,
    grant_id uuid not null,
    delta numeric not null,
    end_balance numeric not null,
    actor text not null,
    reason text not null,
    cause_source text not null,
    cause_id text not null,
    recorded_at timestamptz not null default now(),
    unique (customer_id, credit_type, sequence)
);

create table outbox (
    outbox_id bigint generated always as identity primary key,
    event_id uuid not null,
    routing_key text not null,
    body text not null,
    created_at timestamptz not null default now()
);
