-- Reports with percentiles by every property, and what explaining a call needs: its way through the routes, and its price.

alter table call add column tried jsonb;
comment on column call.tried is 'What came before the route that answered, and that, in order; null when the first route answered at once.';

create table price (
    version text primary key,
    rates jsonb not null,
    first_used_at timestamptz not null default now()
);
comment on table price is 'What a price version that stands in the ledger says, in nano-dollars for a million tokens. Names no project.';

create or replace function latency_bucket(us bigint) returns integer language sql immutable parallel safe as $$
    select case when us <= 100 then 0 else least(127, ceil(4 * ln(us / 100.0::float8) / ln(2.0::float8)))::integer end
$$;

create function latency_unit(us bigint) returns vector language sql immutable strict parallel safe as $$
    select format('{%s:1}/128', latency_bucket(us) + 1)::sparsevec::vector
$$;
comment on function latency_unit is 'The histogram of one time: their sum is that of many.';

-- A histogram is a vector, so that adding many of them up is quick.
alter table call_rollup add column ttft vector(128), add column duration vector(128);
alter table call_rollup_day add column ttft vector(128), add column duration vector(128);
comment on column call_rollup.ttft is 'How many calls took how long until the first token: a number for each latency_bucket.';
comment on column call_rollup.duration is 'The same until their end.';
drop table call_latency, call_latency_day;

-- What was summed up without them is summed up again, as far as the ledger still has the calls.
insert into rollup_due (hour)
select distinct hour from call_rollup where hour >= (select date_trunc('hour', min(started_at), 'UTC') from call)
on conflict do nothing;
