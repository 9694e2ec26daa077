-- Whether calls left the house, and sums by what served them: for reports of privacy, of streams, and of what would be cheaper.

alter table call add column is_remote boolean;
comment on column call.is_remote is 'Whether it was sent to anybody outside of the house, be it in an attempt that failed or to be judged. Null: nobody was asked, or it is not known (lost calls, and those of before).';

alter table call_rollup add column remote bigint, add column remote_tokens bigint, add column remote_nusd bigint,
    add column local bigint, add column local_tokens bigint, add column local_nusd bigint;
alter table call_rollup_day add column remote bigint, add column remote_tokens bigint, add column remote_nusd bigint,
    add column local bigint, add column local_tokens bigint, add column local_nusd bigint;
comment on column call_rollup.remote is 'Calls that left the house; null: none. Their tokens, in and out, and what they cost are beside it.';
comment on column call_rollup.local is 'Calls that were sent to providers, and to local ones alone; the same.';

create function input_size(tokens bigint) returns integer language sql immutable parallel safe as $$
    select case when tokens is null then null else width_bucket(tokens, array[32001, 100001, 128001, 200001, 256001, 272001, 512001]::bigint[]) end
$$;
comment on function input_size is 'A class of sizes of requests: prices of models change at the borders between them.';

create function call_fell_back(tried jsonb, route text) returns boolean language sql immutable parallel safe as $$
    select exists (select from jsonb_array_elements(tried) s where s ->> 'ms' is not null and s ->> 'what' <> route)
$$;
comment on function call_fell_back is 'Whether another route was tried in vain before the one that served a call.';

create table call_group (
    hour timestamptz not null,
    project_id bigint not null,
    model text not null,
    tier text,
    face text not null,
    stream boolean not null,
    provider text not null,
    model_used text,
    is_remote boolean,
    size integer,
    calls bigint not null,
    failed bigint not null,
    cancelled bigint not null,
    retried bigint not null,
    fell_back bigint not null,
    stopped bigint not null,
    spared_nusd bigint not null,
    weighed bigint not null,
    cost_nusd bigint not null,
    input_tokens bigint not null,
    cached_input_tokens bigint not null,
    cache_write_tokens bigint not null,
    cache_write_1h_tokens bigint not null,
    input_audio_tokens bigint not null,
    output_tokens bigint not null,
    reasoning_tokens bigint not null,
    output_audio_tokens bigint not null,
    timed bigint not null,
    duration_us bigint not null,
    begun bigint not null,
    ttft_us bigint not null,
    waited_us bigint not null,
    duration vector(128),
    ttft vector(128)
);
create index call_group_place on call_group (project_id, hour);
create index call_group_hour on call_group (hour);
comment on table call_group is 'Sums over the calls of an hour for which a provider was asked, by what served them and how. Like call_rollup it counts only where the hour is not in rollup_due.';
comment on column call_group.size is 'See input_size.';
comment on column call_group.weighed is 'Calls whose tokens and cost are both known: of these are the cost and all tokens.';
comment on column call_group.waited_us is 'From the first token of streams until their end: who does not stream waits for so much longer.';
create table call_group_day (like call_group including indexes);
alter table call_group_day rename column hour to day;
comment on table call_group_day is 'The same by day, made of the hours. Counts only where rolled_day says so, and no hour of the day is due.';

create table call_miss (
    hour timestamptz not null,
    project_id bigint not null,
    model text not null,
    route text not null,
    outcome text not null,
    attempts bigint not null
);
create index call_miss_place on call_miss (project_id, hour);
create index call_miss_hour on call_miss (hour);
comment on table call_miss is 'Attempts of an hour that failed, by route and kind of failure, whatever became of their calls. Like call_group.';
create table call_miss_day (like call_miss including indexes);
alter table call_miss_day rename column hour to day;
comment on table call_miss_day is 'The same by day. Like call_group_day.';

-- What was summed up without them is summed up again, as far as the ledger still has the calls.
insert into rollup_due (hour)
select distinct hour from call_rollup where hour >= (select date_trunc('hour', min(started_at), 'UTC') from call)
on conflict do nothing;
