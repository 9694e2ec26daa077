-- Calls without a key by address, and how the gateway fares in each process.

create unlogged table address_window (
    address text primary key,
    minute timestamptz not null,
    asked bigint not null
);
comment on table address_window is 'Calls without a key in the minute that counts, for each address; of IPv6 for each /64. Names no project: calls have none before they are let in. Dropped after some minutes.';

create unlogged table gateway_process (
    process_id text primary key,
    node text not null,
    pid integer not null,
    seen_at timestamptz not null default now(),
    status jsonb not null
);
comment on table gateway_process is 'How the gateway fares in each living server process, as it says itself every few seconds. Names no project: routes belong to the installation.';
