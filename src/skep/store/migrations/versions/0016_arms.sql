-- Sums of experiments' arms by hour and day: with sums of squares, so that their deviations need no calls.

create table call_arm (
    hour timestamptz not null,
    project_id bigint not null,
    tag text not null,
    key_ids text[] not null,
    calls bigint not null,
    cached bigint not null,
    failed bigint not null,
    output_tokens bigint not null,
    priced bigint not null,
    cost_nusd bigint not null,
    cost_squares numeric not null,
    timed bigint not null,
    duration_us bigint not null,
    duration_squares numeric not null,
    begun bigint not null,
    ttft_us bigint not null,
    ttft_squares numeric not null,
    duration vector(128),
    ttft vector(128)
);
create index call_arm_place on call_arm (project_id, hour);
create index call_arm_hour on call_arm (hour);
comment on table call_arm is 'Sums over the calls of an hour that were in an arm of an experiment, which their tag names. Like call_rollup it counts only where the hour is not in rollup_due. Counts of tokens are no answers and not in it.';
comment on column call_arm.key_ids is 'Whose calls these are, each once.';
comment on column call_arm.calls is 'For which a provider was asked; so are the sums. Those from the cache are cached, and nothing else.';
comment on column call_arm.priced is 'Calls whose cost is known: of these are cost_nusd and cost_squares.';
comment on column call_arm.timed is 'Calls whose duration is known: of these are duration_us and duration_squares.';
comment on column call_arm.begun is 'Streams whose first token came: of these are ttft_us and ttft_squares.';
create table call_arm_day (like call_arm including indexes);
alter table call_arm_day rename column hour to day;
comment on table call_arm_day is 'The same by day, made of the hours. Counts only where rolled_day says so, and no hour of the day is due.';

create function report_cover(since timestamptz, until timestamptz)
returns table (grain text, starts_at timestamptz, ends_at timestamptz) language sql stable parallel safe as $$
    with span as (
        select date_trunc('hour', since + interval '3599.999999 seconds', 'UTC') as first_hour, date_trunc('hour', until, 'UTC') as end_hour
    ), days as materialized (
        select d.day from rolled_day d, span
        where d.is_done and d.day >= first_hour and d.day + interval '24 hours' <= end_hour
          and not exists (select from rollup_due r where r.hour >= d.day and r.hour < d.day + interval '24 hours')
    )
    select 'day', day, day + interval '24 hours' from days
    union all
    select 'hour', h, h + interval '1 hour'
    from span, generate_series(first_hour, end_hour - interval '1 hour', interval '1 hour') h
    where date_trunc('day', h, 'UTC') not in (select day from days) and h not in (select hour from rollup_due)
    union all (
        select 'calls', greatest(d.hour, since), least(d.hour + interval '1 hour', until)
        from rollup_due d where d.hour > since - interval '1 hour' and d.hour < until
        union
        select 'calls', greatest(h, since), least(h + interval '1 hour', until)
        from unnest(array[date_trunc('hour', since, 'UTC'), date_trunc('hour', until, 'UTC')]) h, span
        where h < first_hour or h >= end_hour
    )
$$;
comment on function report_cover is 'What a span is put together from, each moment once: days and hours that are summed up, and the calls of the others and of the pieces at both ends.';

-- What was summed up without them is summed up again, as far as the ledger still has the calls.
insert into rollup_due (hour)
select distinct hour from call_rollup
where dimension = 'tag' and starts_with(value, 'experiment:') and hour >= (select date_trunc('hour', min(started_at), 'UTC') from call)
on conflict do nothing;
