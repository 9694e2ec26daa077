-- Spending: what calls may cost (rules and their windows, leases of processes) and what they cost (the ledger).

create table rule (
    rule_id bigint generated always as identity primary key,
    project_id bigint not null references project,
    name text not null check (length(name) between 1 and 100),
    metric text not null check (metric in ('cost', 'requests', 'tokens', 'concurrent')),
    subject text not null check (subject in ('project', 'key', 'user', 'session', 'tier', 'model', 'tag')),
    subject_value text not null check (length(subject_value) <= 200),
    period text check (period in ('minute', 'hour', 'day', 'week', 'month', 'total')),
    amount bigint not null check (amount >= 0),
    mode text not null check (mode in ('hard', 'soft', 'shadow')),
    alert_percents integer[] not null default '{80,90,95}',
    fallback_model text,
    allow_unpriced boolean not null default false,
    created_at timestamptz not null default now(),
    changed_at timestamptz not null default now(),
    unique (project_id, name),
    check ((metric = 'concurrent') = (period is null)),
    check ((subject = 'project') = (subject_value = ''))
);
comment on table rule is 'A budget (metric cost, amount in nano-dollars) or a limit.';
comment on column rule.subject_value is 'Whom it counts; * is each value for itself; empty for the project as a whole.';

create table rule_window (
    window_id bigint generated always as identity primary key,
    project_id bigint not null references project,
    rule_id bigint not null references rule on delete cascade,
    subject_value text not null,
    started_at timestamptz not null,
    ends_at timestamptz,
    used bigint not null default 0,
    leased bigint not null default 0 check (leased >= 0),
    overage bigint not null default 0,
    alerted integer not null default 0,
    unique (rule_id, subject_value, started_at)
) with (fillfactor = 50);
create index rule_window_ends on rule_window (ends_at);
comment on table rule_window is 'One period of one rule for one value. used + leased never passes the rule''s amount by more than overage.';
comment on column rule_window.used is 'By calls that stand in the ledger.';
comment on column rule_window.leased is 'By processes: the sum of lease.amount.';
comment on column rule_window.overage is 'What calls cost beyond what was reserved for them.';
comment on column rule_window.alerted is 'The highest of the rule''s alert percents that was passed and told.';

create table meter_process (
    process_id bigint primary key,
    node text not null,
    started_at timestamptz not null default now(),
    seen_at timestamptz not null default now(),
    expires_at timestamptz not null
);
comment on table meter_process is 'Who holds leases. One whose time is over and whose journal nobody can reach is unreconciled.';
comment on column meter_process.node is 'The data folder where its journal lies.';

create table lease (
    process_id bigint not null references meter_process,
    window_id bigint not null references rule_window on delete cascade,
    project_id bigint not null,
    amount bigint not null check (amount >= 0),
    primary key (process_id, window_id)
) with (fillfactor = 50);
create index lease_window on lease (window_id);

create table call (
    call_id uuid not null,
    started_at timestamptz not null,
    project_id bigint not null,
    key_id text not null,
    key_name text not null,
    user_name text,
    session text,
    tier text,
    tags text[] not null,
    model text not null,
    face text not null,
    stream boolean not null,
    trace_id text not null,
    provider text,
    model_used text,
    status integer,
    attempts integer not null,
    ttft_us bigint,
    duration_us bigint,
    input_tokens bigint,
    cached_input_tokens bigint,
    cache_write_tokens bigint,
    output_tokens bigint,
    reasoning_tokens bigint,
    input_audio_tokens bigint,
    output_audio_tokens bigint,
    cost_nusd bigint,
    price_version text,
    estimated boolean not null,
    outcome text not null,
    holds bigint[] not null,
    primary key (call_id, started_at)
) partition by range (started_at);
create index call_project on call (project_id, started_at);
comment on table call is 'The ledger: every call that left for a provider, once. One partition for each day (UTC).';
comment on column call.cost_nusd is 'Null: unknown, because the price or the usage is.';
comment on column call.estimated is 'Its usage was not told by the provider.';
comment on column call.holds is 'What it took of rules'' windows: window, reserved and charged, for each.';

create table call_rollup (
    hour timestamptz not null,
    project_id bigint not null,
    dimension text not null,
    value text,
    calls bigint not null,
    cost_nusd bigint not null,
    unpriced bigint not null,
    estimated bigint not null,
    input_tokens bigint not null,
    cached_input_tokens bigint not null,
    output_tokens bigint not null,
    failed bigint not null
);
create index call_rollup_place on call_rollup (project_id, dimension, hour);
create index call_rollup_hour on call_rollup (hour);
comment on table call_rollup is 'Sums over the calls of an hour, by one of their properties. Counts only where the hour is not in rollup_due.';

create table call_latency (
    hour timestamptz not null,
    project_id bigint not null,
    dimension text not null,
    value text,
    measure text not null,
    bucket integer not null,
    calls bigint not null
);
create index call_latency_place on call_latency (project_id, dimension, hour);
create index call_latency_hour on call_latency (hour);
comment on table call_latency is 'How many calls of an hour took how long: percentiles of percentiles would say nothing. Like call_rollup.';

create table call_rollup_day (like call_rollup including indexes);
alter table call_rollup_day rename column hour to day;
comment on table call_rollup_day is 'The same by day, made of the hours. Counts only where rolled_day says so, and no hour of the day is due.';
create table call_latency_day (like call_latency including indexes);
alter table call_latency_day rename column hour to day;

create table rolled_day (day timestamptz primary key, is_done boolean not null);
comment on table rolled_day is 'Days of which hours were summed up, and whether the day''s own sums are made of all of them.';

create table rollup_due (hour timestamptz primary key);
comment on table rollup_due is 'Hours whose calls are to be summed up (again): those that calls were added to since.';

create function call_values(c call, dimension text) returns setof text language sql stable parallel safe as $$
    select case dimension when 'project' then '' when 'model' then c.model when 'provider' then c.provider
        when 'key' then c.key_name when 'user' then c.user_name when 'tier' then c.tier when 'outcome' then c.outcome end
    where dimension <> 'tag'
    union all
    select tag from unnest(c.tags) tag where dimension = 'tag'
    union all
    select null where dimension = 'tag' and cardinality(c.tags) = 0
$$;
comment on function call_values is 'What of a call a report groups by; several for tags.';

create function latency_bucket(us bigint) returns integer language sql immutable parallel safe as $$
    select case when us <= 100 then 0 else least(127, ceil(4 * log(2, us / 100.0)))::integer end
$$;
comment on function latency_bucket is 'A quarter of a power of two above 100 microseconds; a bucket''s upper end is 100 * 2 ^ (bucket / 4).';

create function period_start(period text, moment timestamptz) returns timestamptz language sql stable parallel safe as $$
    select case
        when period is null or period = 'total' then timestamptz '1970-01-01 00:00:00+00'
        else date_trunc(period, moment, 'UTC')
    end
$$;

create function period_end(period text, start timestamptz) returns timestamptz language sql stable parallel safe as $$
    select case
        when period is null or period = 'total' then null
        else date_trunc(period, start + (case period when 'month' then interval '32 days' else ('1 ' || period)::interval end), 'UTC')
    end
$$;

create function lease_size(need bigint, smallest bigint, want bigint, remaining bigint, processes bigint)
returns bigint language sql immutable parallel safe as $$
    select case
        when remaining < smallest or remaining <= 0 then 0
        else least(remaining, greatest(need, least(want, remaining / (2 * greatest(1, processes)))))
    end
$$;
comment on function lease_size is 'How much of what remains of a window a process gets; the same as skep.spend.leasing.lease_size.';

create function open_call_day(day date) returns void language plpgsql as $$
declare
    part text := 'call_' || to_char(day, 'YYYYMMDD');
begin
    if to_regclass(part) is not null then
        return;
    end if;
    perform pg_advisory_xact_lock(7117004);
    -- Not to_regclass again: it may remember that there was none.
    if exists (select from pg_inherits i join pg_class c on c.oid = i.inhrelid
               where i.inhparent = 'call'::regclass and c.relname = part) then
        return;
    end if;
    execute format('create table %I (like call including all)', part);
    -- Attached, not created as a partition: that would wait for every reader, and every reader for that. The check spares a scan.
    execute format('alter table call attach partition %I for values from (%L) to (%L)', part,
        day::timestamp at time zone 'UTC', (day + 1)::timestamp at time zone 'UTC');
end $$;
comment on function open_call_day is 'Make the ledger''s partition of a day, if it is not there.';

create function drop_call_days(before date) returns integer language plpgsql as $$
declare
    part text;
    dropped integer := 0;
begin
    for part in
        select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'call'::regclass and c.relname < 'call_' || to_char(before, 'YYYYMMDD') order by 1
    loop
        execute format('drop table %I', part);
        dropped := dropped + 1;
    end loop;
    return dropped;
end $$;
comment on function drop_call_days is 'Drop what the ledger has of days before one; how many days there were.';

create function tell_rules() returns trigger language plpgsql as $$
begin
    perform pg_notify('skep_spend', 'rules');
    return null;
end
$$;
create trigger rule_changed after insert or update or delete on rule for each statement execute function tell_rules();
