-- name: listen_spend
-- Hear of changed rules, and of other processes that need room.
listen skep_spend;

-- name: tell_recall
-- Ask all processes to give back what they do not use of some windows.
select pg_notify('skep_spend', %(payload)s);

-- name: fetch_all_rules
-- The rules of every project: each process admits calls of all of them.
select rule_id, project_id, name, metric, subject, subject_value as value, period, amount, mode, alert_percents,
    fallback_model, allow_unpriced
from rule;

-- name: fetch_installation
-- Which database this is, and how often its rules have changed.
select identity::text as identity, rules_version from installation;

-- name: note_rules_version
-- Say by which rules a process goes.
update meter_process set rules_version = %(rules_version)s where process_id = %(process_id)s;

-- name: count_behind
-- How many living processes do not go by the rules as they are now.
select count(*) from meter_process p, installation i where p.expires_at > now() and p.rules_version < i.rules_version;

-- name: renew_process
-- Say that a process lives; at the first time, that it is there. How long its leases are valid is told by the caller.
insert into meter_process (process_id, node, expires_at, rules_version)
values (%(process_id)s, %(node)s, now() + make_interval(secs => %(lease_seconds)s), %(rules_version)s)
on conflict (process_id) do update set seen_at = now(), expires_at = excluded.expires_at;

-- name: fetch_leases
-- What a process holds.
select window_id, amount from lease where process_id = %(process_id)s;

-- name: open_windows
-- Make windows of rules where they are not there yet: those that start at the time given, or the present ones. Nothing is locked that
-- another statement holds.
insert into rule_window (project_id, rule_id, subject_value, started_at, ends_at)
select r.project_id, r.rule_id, a.value, s.started_at, period_end(r.period, s.started_at)
from unnest(%(rule_ids)s::bigint[], %(values)s::text[], %(starts)s::timestamptz[]) as a(rule_id, value, starts_at)
join rule r using (rule_id), lateral (select coalesce(a.starts_at, period_start(r.period, now())) as started_at) s
order by r.rule_id, a.value
on conflict (rule_id, subject_value, started_at) do nothing;

-- name: acquire_leases
-- Move room of windows into a process' leases. Windows are locked in the order of their numbers, here as everywhere; what is read
-- under the lock is what others have committed, also after this statement began.
with asked as materialized (
    select r.rule_id, r.project_id, r.amount, r.mode, a.value, a.need, a.smallest, a.want,
        coalesce(a.starts_at, period_start(r.period, now())) as started_at
    from unnest(
        %(rule_ids)s::bigint[], %(values)s::text[], %(starts)s::timestamptz[], %(needs)s::bigint[], %(leasts)s::bigint[], %(wants)s::bigint[]
    ) as a(rule_id, value, starts_at, need, smallest, want)
    join rule r using (rule_id)
), locked as materialized (
    select w.window_id, w.used, w.leased, w.ends_at, a.*
    from asked a
    join rule_window w on w.rule_id = a.rule_id and w.subject_value = a.value and w.started_at = a.started_at
    order by w.window_id for update of w
), mine as materialized (
    select l.window_id, l.amount from lease l join locked using (window_id)
    where l.process_id = %(process_id)s for update of l
), living as (
    select count(*) as processes from meter_process where expires_at > now()
), granted as materialized (
    select k.*, case when k.mode = 'hard'
        then lease_size(k.need, k.smallest, k.want, k.amount - k.used - k.leased, living.processes) else 0 end as size
    from locked k, living
), moved as (
    update rule_window w set leased = w.leased + g.size from granted g where w.window_id = g.window_id and g.size > 0
), held as (
    insert into lease (process_id, window_id, project_id, amount)
    select %(process_id)s, window_id, project_id, size from granted where size > 0
    on conflict (process_id, window_id) do update set amount = lease.amount + excluded.amount
)
select g.window_id, g.rule_id, g.value, g.size as granted, g.used, g.leased - coalesce(m.amount, 0) as others, g.started_at,
    extract(epoch from g.started_at - now())::float8 as starts_in_seconds, g.ends_at, extract(epoch from g.ends_at - now())::float8 as ends_in_seconds
from granted g left join mine m using (window_id);

-- name: give_back
-- Return parts of a process' leases; never more than they are.
with asked as (
    select window_id, amount from unnest(%(window_ids)s::bigint[], %(amounts)s::bigint[]) as a(window_id, amount)
), locked as materialized (
    select w.window_id, a.amount from rule_window w join asked a using (window_id) order by w.window_id for update of w
), mine as materialized (
    select l.window_id, least(l.amount, k.amount) as amount from lease l join locked k using (window_id)
    where l.process_id = %(process_id)s for update of l
), given as (
    update lease l set amount = l.amount - m.amount from mine m
    where l.process_id = %(process_id)s and l.window_id = m.window_id
)
update rule_window w set leased = w.leased - m.amount from mine m where w.window_id = m.window_id;

-- name: release_process
-- Return all leases of a process whose calls are all in the ledger, and forget it.
with locked as materialized (
    select w.window_id from rule_window w join lease l using (window_id)
    where l.process_id = %(process_id)s order by w.window_id for update of w
), gone as (
    delete from lease l using locked k where l.process_id = %(process_id)s and l.window_id = k.window_id
    returning l.window_id, l.amount
), moved as (
    update rule_window w set leased = w.leased - g.amount from gone g where w.window_id = g.window_id
)
delete from meter_process where process_id = %(process_id)s;

-- name: lock_expired
-- A process whose time is over, so that it cannot renew before its leases are released.
select process_id from meter_process where process_id = %(process_id)s and expires_at < now() for update;

-- name: fetch_processes
-- Who holds leases, and how much of the principal's project; those whose time is over are unreconciled.
select p.process_id, p.node, p.started_at, p.seen_at, p.expires_at < now() as is_expired, count(l.window_id) as windows
from meter_process p left join lease l on l.process_id = p.process_id and l.amount > 0 and l.project_id = %(project_id)s
group by p.process_id order by p.started_at;

-- name: create_stage
-- Where lines of a journal are copied to; it lives as long as the connection, its rows as long as the transaction.
create temporary table if not exists call_stage (
    kind "char", call_id uuid, started_us bigint, project_id bigint, key_id text, key_name text, user_name text, session text,
    tier text, tags text[], model text, face text, stream boolean, trace_id text, provider text, model_used text,
    status integer, attempts integer, ttft_us bigint, duration_us bigint, input_tokens bigint, cached_input_tokens bigint,
    cache_write_tokens bigint, output_tokens bigint, reasoning_tokens bigint, input_audio_tokens bigint,
    output_audio_tokens bigint, cache_write_1h_tokens bigint, input_image_tokens bigint, output_image_tokens bigint,
    characters bigint, audio_ms bigint, cost_nusd bigint, price_version text, estimated boolean,
    outcome text, tried jsonb, exceeded bigint[], saved_nusd bigint, stopped text, spared_nusd bigint, is_remote boolean, holds bigint[]
) on commit delete rows;

-- name: begin_flush
-- Everything up to `commit_flush` happens or does not.
begin;

-- name: commit_flush
-- The lines are in the ledger, and charged.
commit;

-- name: copy_lines
-- Lines of a journal as they stand there.
copy call_stage from stdin;

-- name: open_staged_days
-- Make the partitions that the lines need.
select open_call_day(day) from (
    select distinct ((timestamptz 'epoch' + started_us * interval '1 microsecond') at time zone 'UTC')::date as day from call_stage
) as days
where to_regclass('call_' || to_char(day, 'YYYYMMDD')) is null;

-- name: share_rollups
-- Sums are made while no lines are put into the ledger, or they would miss those of a transaction that has not ended.
select pg_advisory_xact_lock_shared(7117005);

-- name: note_due
-- The hours of the lines are to be summed up again. Before any window is locked, since processes may wait here for each other.
insert into rollup_due (hour)
select distinct date_trunc('hour', timestamptz 'epoch' + started_us * interval '1 microsecond', 'UTC') from call_stage order by 1
on conflict do nothing;

-- name: flush_stage
-- Put the lines that the ledger does not have yet into it, turn what they took from the process' leases into use, and note the alerts
-- that this causes: all or nothing. A line that is there already changes nothing.
with fresh as (
    insert into call (
        call_id, started_at, project_id, key_id, key_name, user_name, session, tier, tags, model, face, stream, trace_id,
        provider, model_used, status, attempts, ttft_us, duration_us, input_tokens, cached_input_tokens, cache_write_tokens,
        output_tokens, reasoning_tokens, input_audio_tokens, output_audio_tokens, cache_write_1h_tokens,
        input_image_tokens, output_image_tokens, characters, audio_ms, cost_nusd,
        price_version, estimated, outcome, holds, tried, exceeded, saved_nusd, stopped, spared_nusd,
        is_remote
    )
    select
        call_id, timestamptz 'epoch' + started_us * interval '1 microsecond', project_id, key_id, key_name, user_name, session,
        tier, tags, model, face, stream, trace_id, provider, model_used, status, attempts, ttft_us, duration_us, input_tokens,
        cached_input_tokens, cache_write_tokens, output_tokens, reasoning_tokens, input_audio_tokens, output_audio_tokens,
        cache_write_1h_tokens, input_image_tokens, output_image_tokens, characters, audio_ms,
        cost_nusd, price_version, estimated, outcome, holds, tried, exceeded, saved_nusd, stopped, spared_nusd,
        is_remote
    from call_stage
    on conflict do nothing
    returning holds, exceeded
), charges as materialized (
    select f.holds[i] as window_id, sum(f.holds[i + 2])::bigint as charged,
        sum(greatest(f.holds[i + 2] - f.holds[i + 1], 0))::bigint as overage,
        count(*) filter (where f.exceeded is not null and exists (
            select from generate_series(1, cardinality(f.exceeded), 3) j where f.exceeded[j] = f.holds[i]
        )) as exceeded
    from fresh f, generate_series(1, cardinality(f.holds), 3) i group by 1
), locked as materialized (
    select w.window_id, w.rule_id, w.subject_value, w.started_at, w.ends_at, w.alerted, c.charged, c.overage, c.exceeded
    from rule_window w join charges c using (window_id) order by w.window_id for update of w
), mine as materialized (
    select l.window_id, l.amount from lease l join locked using (window_id)
    where l.process_id = %(process_id)s for update of l
), moves as materialized (
    select k.*, least(coalesce(m.amount, 0), k.charged) as moved, coalesce(m.amount, 0) as held
    from locked k left join mine m using (window_id)
), paid as (
    update lease l set amount = l.amount - v.moved from moves v
    where l.process_id = %(process_id)s and l.window_id = v.window_id and v.moved > 0
), counted as (
    update rule_window w set used = w.used + v.charged, leased = w.leased - v.moved, overage = w.overage + v.overage,
        exceeded = w.exceeded + v.exceeded,
        alerted = greatest(w.alerted, (
            select max(p) from unnest(r.alert_percents) p
            where w.used + v.charged > 0 and (w.used + v.charged)::numeric * 100 >= r.amount::numeric * p
        ))
    from moves v join rule r using (rule_id) where w.window_id = v.window_id
    returning w.window_id, w.used, w.leased, w.alerted
), passed as materialized (
    select v.rule_id, v.subject_value, v.started_at, v.ends_at, c.used, v.alerted as before, c.alerted as after
    from counted c join moves v using (window_id) where c.alerted > v.alerted
), alerts as (
    insert into alert (project_id, rule_id, rule_name, metric, subject, subject_value, period, mode, amount, percent, used,
        started_at, resets_at)
    select r.project_id, r.rule_id, r.name, r.metric, r.subject, v.subject_value, r.period, r.mode, r.amount, p, v.used,
        v.started_at, v.ends_at
    from passed v join rule r using (rule_id), lateral (select distinct unnest(r.alert_percents) as p) percents
    where p > v.before and p <= v.after
), seen as (
    select s.holds[i] as window_id, sum(s.holds[i + 2])::bigint as seen
    from call_stage s, generate_series(1, cardinality(s.holds), 3) i group by 1
)
select s.window_id, s.seen, coalesce(v.charged, 0) as charged, coalesce(v.moved, 0) as moved, coalesce(c.used, w.used) as used,
    coalesce(c.leased - (v.held - v.moved), w.leased) as others,
    coalesce(c.alerted > v.alerted, false) as has_alerts
from seen s join rule_window w using (window_id) left join moves v using (window_id) left join counted c using (window_id);

-- name: tell_alerts
-- Claim alerts that nobody has told yet, until the end of the transaction: a process that dies before leaves them to others. With a
-- webhook they are due for it then.
with untold as materialized (
    select alert_id from alert where not is_told order by noticed_at, percent limit %(limit)s for update skip locked
)
update alert a set is_told = true, due_at = case when %(has_webhook)s then now() end
from untold u, project p where a.alert_id = u.alert_id and p.project_id = a.project_id
returning a.alert_id, p.name as project, a.rule_id, a.rule_name as rule, a.metric, a.subject, a.subject_value as value, a.period, a.mode,
    a.amount, a.percent, a.used, a.started_at, a.resets_at, a.noticed_at, a.attempts;

-- name: claim_webhooks
-- Alerts whose webhook is due, for this process alone until their time is over; then it is taken for dead, and others try.
with due as materialized (
    select alert_id from alert where due_at <= now() order by due_at limit %(limit)s for update skip locked
)
update alert a set attempts = a.attempts + 1, due_at = now() + make_interval(secs => %(hold_seconds)s)
from due d, project p where a.alert_id = d.alert_id and p.project_id = a.project_id
returning a.alert_id, p.name as project, a.rule_id, a.rule_name as rule, a.metric, a.subject, a.subject_value as value, a.period, a.mode,
    a.amount, a.percent, a.used, a.started_at, a.resets_at, a.noticed_at, a.attempts;

-- name: note_delivered
-- A webhook was taken.
update alert set due_at = null, delivered_at = now() where alert_id = %(alert_id)s;

-- name: note_undelivered
-- A webhook was not taken; it is tried again after a pause, or, without one, never.
update alert set due_at = now() + make_interval(secs => %(pause_seconds)s::float8) where alert_id = %(alert_id)s and delivered_at is null;

-- name: delete_old_alerts
-- Delete alerts that were told long ago.
delete from alert where noticed_at < now() - make_interval(days => %(days)s) and is_told and due_at is null;

-- name: open_coming_days
-- Make the ledger's partitions of today and the days after it.
select open_call_day((now() at time zone 'UTC')::date + d) from generate_series(0, %(days)s::integer) d;

-- name: drop_old_days
-- Drop what the ledger has of days that are older than is to be kept.
select drop_call_days((now() at time zone 'UTC')::date - %(days)s::integer);

-- name: drop_old_content_days
-- Drop what was said in calls of days that are older than is to be kept.
select drop_content_days((now() at time zone 'UTC')::date - %(days)s::integer);

-- name: open_content_day
-- Make the partition for what was said in the calls of a day.
select open_content_day(%(day)s);

-- name: insert_content
-- Keep what was said in a call.
insert into content (call_id, made_at, project_id, outcome, request, request_bytes, answer, answer_bytes)
values (%(call_id)s, %(made_at)s, %(project_id)s, %(outcome)s, %(request)s, %(request_bytes)s, %(answer)s, %(answer_bytes)s)
on conflict do nothing;

-- name: fetch_content
-- What was said in a call of the principal's project.
select call_id::text, made_at, outcome, request, request_bytes, answer, answer_bytes
from content where project_id = %(project_id)s and call_id = %(call_id)s and made_at between %(from)s and %(until)s;

-- name: delete_old_windows
-- Delete windows that ended long ago and of which nobody holds anything; their calls stay in the ledger.
delete from rule_window w
where w.ends_at < now() - make_interval(days => %(days)s) and w.leased = 0;

-- name: fetch_rules
-- The rules of the principal's project.
select rule_id, project_id, name, metric, subject, subject_value as value, period, amount, mode, alert_percents,
    fallback_model, allow_unpriced
from rule where project_id = %(project_id)s order by name;

-- name: fetch_rule
-- One rule of the principal's project, by its name.
select rule_id, project_id, name, metric, subject, subject_value as value, period, amount, mode, alert_percents,
    fallback_model, allow_unpriced
from rule where project_id = %(project_id)s and name = %(name)s;

-- name: insert_rule
-- A new rule; no row when the project has one of this name.
insert into rule (project_id, name, metric, subject, subject_value, period, amount, mode, alert_percents, fallback_model, allow_unpriced)
values (%(project_id)s, %(name)s, %(metric)s, %(subject)s, %(value)s, %(period)s, %(amount)s, %(mode)s, %(alert_percents)s,
    %(fallback_model)s, %(allow_unpriced)s)
on conflict (project_id, name) do nothing
returning rule_id;

-- name: update_rule
-- Change what may change of a rule while its windows go on. Where the new amount is so high that an alert percent is not passed any more,
-- passing it is told again.
with changed as (
    update rule set amount = %(amount)s, mode = %(mode)s, alert_percents = %(alert_percents)s, fallback_model = %(fallback_model)s,
        allow_unpriced = %(allow_unpriced)s, changed_at = now()
    where project_id = %(project_id)s and name = %(name)s
    returning rule_id, amount
), locked as materialized (
    select w.window_id, w.used, w.alerted, c.amount from rule_window w join changed c using (rule_id)
    where w.alerted > 0 order by w.window_id for update of w
), rearmed as (
    update rule_window w set alerted = div(l.used::numeric * 100, l.amount)::integer from locked l
    where w.window_id = l.window_id and l.used::numeric * 100 < l.amount::numeric * l.alerted
)
select rule_id from changed;

-- name: delete_rule
-- Delete a rule, with its windows and leases.
delete from rule where project_id = %(project_id)s and name = %(name)s;

-- name: delete_key_rules
-- Delete the rules that count one key alone, with their windows and leases.
delete from rule where project_id = %(project_id)s and subject = 'key' and subject_value = %(key_id)s;

-- name: fetch_windows
-- Where the present windows of a project's rules stand.
select w.rule_id, w.subject_value as value, w.started_at, w.ends_at, w.used, w.leased, w.overage, w.exceeded
from rule_window w join rule r using (rule_id)
where r.project_id = %(project_id)s and w.started_at = period_start(r.period, now())
order by w.rule_id, w.used desc limit %(limit)s;

-- name: without_compiling
-- Until the end of the transaction statements are not compiled: a report's pieces look dear to PostgreSQL, so that it would compile for
-- longer than they take. (`force_custom_plan` would be a third dearer: it holds for what functions say inside, at each of their calls.)
select set_config('jit', 'off', true);

-- name: report_calls
-- Planned anew each time: a plan for any span would read every call of it.
-- What calls of the principal's project cost and how long they took, by one of their properties. Whole days and hours that are summed
-- up are taken from the sums; the others, and the pieces at both ends, from the calls. All are of one moment, so that nothing counts
-- twice or not at all. Each place is added up by itself: sorted together, a thousand keys would not fit into memory. That a call is
-- of the whole span is said although its piece is: only this spares planning for every day that the ledger has.
with span as (
    select date_trunc('hour', %(since)s::timestamptz + interval '3599.999999 seconds', 'UTC') as first_hour,
        date_trunc('hour', %(until)s::timestamptz, 'UTC') as end_hour
), days as materialized (
    select d.day from rolled_day d, span
    where d.is_done and d.day >= first_hour and d.day + interval '1 day' <= end_hour
      and not exists (select from rollup_due r where r.hour >= d.day and r.hour < d.day + interval '1 day')
), hours as materialized (
    select h as hour from span, generate_series(first_hour, end_hour - interval '1 hour', interval '1 hour') h
    where date_trunc('day', h, 'UTC') not in (select day from days) and h not in (select hour from rollup_due)
), looked_through as (
    select greatest(d.hour, %(since)s::timestamptz) as since, least(d.hour + interval '1 hour', %(until)s::timestamptz) as until
    from rollup_due d where d.hour > %(since)s::timestamptz - interval '1 hour' and d.hour < %(until)s
    union
    select greatest(h, %(since)s::timestamptz), least(h + interval '1 hour', %(until)s::timestamptz)
    from unnest(array[date_trunc('hour', %(since)s::timestamptz, 'UTC'), date_trunc('hour', %(until)s::timestamptz, 'UTC')]) h, span
    where h < first_hour or h >= end_hour
), parts as (
    select value, sum(calls) as calls, sum(cost_nusd) as cost_nusd, sum(unpriced) as unpriced, sum(estimated) as estimated,
        sum(input_tokens) as input_tokens, sum(cached_input_tokens) as cached_input_tokens, sum(output_tokens) as output_tokens,
        sum(failed) as failed, sum(cached) as cached, sum(saved_nusd) as saved_nusd, sum(ttft) as ttft, sum(duration) as duration
    from days join call_rollup_day r using (day) where r.project_id = %(project_id)s and r.dimension = %(by)s group by value
    union all
    select value, sum(calls) as calls, sum(cost_nusd) as cost_nusd, sum(unpriced) as unpriced, sum(estimated) as estimated,
        sum(input_tokens) as input_tokens, sum(cached_input_tokens) as cached_input_tokens, sum(output_tokens) as output_tokens,
        sum(failed) as failed, sum(cached) as cached, sum(saved_nusd) as saved_nusd, sum(ttft) as ttft, sum(duration) as duration
    from hours join call_rollup r using (hour) where r.project_id = %(project_id)s and r.dimension = %(by)s group by value
    union all
    select c.value, count(*), coalesce(sum(c.cost_nusd), 0), count(*) filter (where c.cost_nusd is null),
        count(*) filter (where c.estimated), coalesce(sum(c.input_tokens), 0), coalesce(sum(c.cached_input_tokens), 0),
        coalesce(sum(c.output_tokens), 0), count(*) filter (where c.outcome not in ('ok', 'cancelled')),
        nullif(count(c.saved_nusd), 0), sum(c.saved_nusd), sum(latency_unit(c.ttft_us)), sum(latency_unit(c.duration_us))
    from looked_through l, lateral (
        select p.value, call.cost_nusd, call.estimated, call.input_tokens, call.cached_input_tokens, call.output_tokens,
            call.outcome, call.saved_nusd, call.ttft_us, call.duration_us
        from call, lateral call_values(call, %(by)s) p(value)
        where project_id = %(project_id)s and started_at >= %(since)s and started_at < %(until)s
            and started_at >= l.since and started_at < l.until offset 0
    ) c
    group by c.value
)
select value, sum(calls)::bigint as calls, sum(cost_nusd)::bigint as cost_nusd, sum(unpriced)::bigint as unpriced,
    sum(estimated)::bigint as estimated, sum(input_tokens)::bigint as input_tokens,
    sum(cached_input_tokens)::bigint as cached_input_tokens, sum(output_tokens)::bigint as output_tokens,
    sum(failed)::bigint as failed, coalesce(sum(cached), 0)::bigint as cached, coalesce(sum(saved_nusd), 0)::bigint as saved_nusd,
    vector_send(sum(ttft)) as ttft, vector_send(sum(duration)) as duration
from parts group by value order by 3 desc, 2 desc, 1 limit %(limit)s;

-- name: report_trend
-- What calls of the principal's project cost, by hour or day. Hours that are summed up are taken from the sums, the others from the calls.
with parts as (
    select hour, calls, cost_nusd, unpriced, failed, input_tokens, output_tokens
    from call_rollup
    where project_id = %(project_id)s and dimension = 'project' and hour >= %(since)s and hour < %(until)s
      and hour not in (select hour from rollup_due)
    union all
    select d.hour, c.calls, c.cost_nusd, c.unpriced, c.failed, c.input_tokens, c.output_tokens
    from rollup_due d, lateral (
        select count(*) as calls, coalesce(sum(cost_nusd), 0) as cost_nusd, count(*) filter (where cost_nusd is null) as unpriced,
            count(*) filter (where outcome not in ('ok', 'cancelled')) as failed, coalesce(sum(input_tokens), 0) as input_tokens,
            coalesce(sum(output_tokens), 0) as output_tokens
        from call
        where project_id = %(project_id)s and started_at >= %(since)s and started_at < %(until)s
          and started_at >= d.hour and started_at < d.hour + interval '1 hour'
    ) c
    where d.hour >= %(since)s and d.hour < %(until)s and c.calls > 0
)
select date_trunc(%(per)s, hour, 'UTC') as start, sum(calls)::bigint, sum(cost_nusd)::bigint, sum(unpriced)::bigint, sum(failed)::bigint,
    sum(input_tokens)::bigint, sum(output_tokens)::bigint
from parts group by 1 order by 1;

-- name: report_savings
-- What calls of the principal's project saved, by the way in which they did. Few calls do: an index has them.
select coalesce(stopped, 'cache') as by, count(*) as calls, coalesce(sum(coalesce(saved_nusd, spared_nusd)), 0)::bigint as saved_nusd,
    count(*) filter (where saved_nusd is null and spared_nusd is null) as unknown
from call
where project_id = %(project_id)s and started_at >= %(since)s and started_at < %(until)s
  and (saved_nusd is not null or stopped is not null)
group by 1 order by 3 desc, 1;

-- name: compare_arms
-- How calls fared in the arms of an experiment, which stand in their tags: sums, sums of squares and histograms. Answers from the cache are
-- counted by themselves: they cost nothing and take no time, and an arm with few calls has fewer of them. Counts of tokens are no answers.
with cover as materialized (
    select * from report_cover(%(since)s, %(until)s)
), parts as materialized (
    select r.* from cover c join call_arm_day r on r.day = c.starts_at
    where c.grain = 'day' and r.project_id = %(project_id)s and starts_with(r.tag, %(prefix)s::text)
    union all
    select r.* from cover c join call_arm r on r.hour = c.starts_at
    where c.grain = 'hour' and r.project_id = %(project_id)s and starts_with(r.tag, %(prefix)s::text)
    union all
    select min(c.starts_at), min(project_id), tag, array_agg(distinct key_id),
        count(*) filter (where was_asked), count(*) filter (where not was_asked),
        count(*) filter (where was_asked and outcome not in ('ok', 'cancelled')), coalesce(sum(output_tokens), 0),
        count(cost_nusd), coalesce(sum(cost_nusd), 0), coalesce(sum(cost_nusd::numeric * cost_nusd), 0),
        count(duration_us), coalesce(sum(duration_us), 0), coalesce(sum(duration_us::numeric * duration_us), 0),
        count(ttft_us), coalesce(sum(ttft_us), 0), coalesce(sum(ttft_us::numeric * ttft_us), 0),
        sum(latency_unit(duration_us)), sum(latency_unit(ttft_us))
    from cover c, lateral (
        select project_id, key_id, outcome, saved_nusd is null as was_asked, case when saved_nusd is null then output_tokens end as output_tokens,
            case when saved_nusd is null then cost_nusd end as cost_nusd, case when saved_nusd is null then duration_us end as duration_us,
            case when saved_nusd is null then ttft_us end as ttft_us, tag
        from call, unnest(tags) tag
        where project_id = %(project_id)s and started_at >= %(since)s and started_at < %(until)s
            and started_at >= c.starts_at and started_at < c.ends_at
            and face <> 'messages.count_tokens' and starts_with(tag, %(prefix)s::text) offset 0
    ) s
    where c.grain = 'calls' group by tag
), keys as (
    select tag, count(*) as keys from (select distinct tag, key_id from parts, unnest(key_ids) key_id) k group by tag
)
select substr(tag, length(%(prefix)s::text) + 1) as arm, sum(calls)::bigint, min(keys), sum(cached)::bigint, sum(failed)::bigint,
    sum(output_tokens)::bigint, sum(priced)::bigint, sum(cost_nusd), sum(cost_squares), sum(timed)::bigint, sum(duration_us),
    sum(duration_squares), sum(begun)::bigint, sum(ttft_us), sum(ttft_squares), vector_send(sum(duration)), vector_send(sum(ttft))
from parts join keys using (tag) group by tag order by tag limit 100;

-- name: report_groups
-- How calls for which a provider was asked fared, by what served them: what the reports of streams and of cheaper ways are made of.
with cover as materialized (
    select * from report_cover(%(since)s, %(until)s)
), parts as (
    select model, tier, face, stream, provider, model_used, is_remote, size, calls, failed, cancelled, retried, fell_back, stopped,
        spared_nusd, weighed, cost_nusd, input_tokens, cached_input_tokens, cache_write_tokens, cache_write_1h_tokens, input_audio_tokens,
        output_tokens, reasoning_tokens, output_audio_tokens, timed, duration_us, begun, ttft_us, waited_us, duration, ttft
    from cover c join call_group_day r on r.day = c.starts_at where c.grain = 'day' and r.project_id = %(project_id)s
    union all
    select model, tier, face, stream, provider, model_used, is_remote, size, calls, failed, cancelled, retried, fell_back, stopped,
        spared_nusd, weighed, cost_nusd, input_tokens, cached_input_tokens, cache_write_tokens, cache_write_1h_tokens, input_audio_tokens,
        output_tokens, reasoning_tokens, output_audio_tokens, timed, duration_us, begun, ttft_us, waited_us, duration, ttft
    from cover c join call_group r on r.hour = c.starts_at where c.grain = 'hour' and r.project_id = %(project_id)s
    union all
    select model, tier, face, stream, provider, model_used, is_remote, size,
        count(*), count(*) filter (where outcome not in ('ok', 'cancelled')), count(*) filter (where outcome = 'cancelled'),
        count(*) filter (where attempts > 1), count(*) filter (where call_fell_back(tried, provider || '/' || model_used)),
        count(stopped), coalesce(sum(spared_nusd), 0), count(*) filter (where is_weighed),
        coalesce(sum(cost_nusd) filter (where is_weighed), 0), coalesce(sum(input_tokens) filter (where is_weighed), 0),
        coalesce(sum(cached_input_tokens) filter (where is_weighed), 0), coalesce(sum(cache_write_tokens) filter (where is_weighed), 0),
        coalesce(sum(cache_write_1h_tokens) filter (where is_weighed), 0), coalesce(sum(input_audio_tokens) filter (where is_weighed), 0),
        coalesce(sum(output_tokens) filter (where is_weighed), 0), coalesce(sum(reasoning_tokens) filter (where is_weighed), 0),
        coalesce(sum(output_audio_tokens) filter (where is_weighed), 0), count(duration_us), coalesce(sum(duration_us), 0),
        count(ttft_us), coalesce(sum(ttft_us), 0), coalesce(sum(duration_us - ttft_us), 0), sum(latency_unit(duration_us)),
        sum(latency_unit(ttft_us))
    from cover c, lateral (
        select call.*, input_size(input_tokens) as size, input_tokens is not null and cost_nusd is not null as is_weighed from call
        where project_id = %(project_id)s and started_at >= %(since)s and started_at < %(until)s
            and started_at >= c.starts_at and started_at < c.ends_at and provider is not null and saved_nusd is null and face not in ('messages.count_tokens', 'services') offset 0
    ) call
    where c.grain = 'calls' group by model, tier, face, stream, provider, model_used, is_remote, size
)
select model, tier, face, stream, provider, model_used, is_remote, size,
    sum(calls)::bigint, sum(failed)::bigint, sum(cancelled)::bigint, sum(retried)::bigint, sum(fell_back)::bigint,
    sum(stopped)::bigint, sum(spared_nusd)::bigint, sum(weighed)::bigint, sum(cost_nusd)::bigint, sum(input_tokens)::bigint,
    sum(cached_input_tokens)::bigint, sum(cache_write_tokens)::bigint, sum(cache_write_1h_tokens)::bigint,
    sum(input_audio_tokens)::bigint, sum(output_tokens)::bigint, sum(reasoning_tokens)::bigint, sum(output_audio_tokens)::bigint,
    sum(timed)::bigint, sum(duration_us)::bigint, sum(begun)::bigint, sum(ttft_us)::bigint, sum(waited_us)::bigint,
    vector_send(sum(duration)), vector_send(sum(ttft))
from parts group by model, tier, face, stream, provider, model_used, is_remote, size;

-- name: report_misses
-- Attempts that failed, by model, route and kind of failure, whatever became of their calls.
with cover as materialized (
    select * from report_cover(%(since)s, %(until)s)
), parts as (
    select model, route, outcome, attempts
    from cover c join call_miss_day r on r.day = c.starts_at where c.grain = 'day' and r.project_id = %(project_id)s
    union all
    select model, route, outcome, attempts
    from cover c join call_miss r on r.hour = c.starts_at where c.grain = 'hour' and r.project_id = %(project_id)s
    union all
    select model, what, outcome, count(*)
    from cover c, lateral (
        select model, s ->> 'what' as what, s ->> 'outcome' as outcome from call, jsonb_array_elements(tried) s
        where project_id = %(project_id)s and started_at >= %(since)s and started_at < %(until)s
            and started_at >= c.starts_at and started_at < c.ends_at and face <> 'services'
            and s ->> 'ms' is not null and s ->> 'outcome' not in ('ok', 'cancelled') offset 0
    ) m
    where c.grain = 'calls' group by model, what, outcome
)
select model, route, outcome, sum(attempts)::bigint from parts group by 1, 2, 3 order by 1, 2, 4 desc;

-- name: report_places
-- How much of the principal's project left the house and how much stayed, by one of the calls' properties and by day, as asked for.
with cover as materialized (
    select * from report_cover(%(since)s, %(until)s)
), parts as (
    select r.day as at, value, calls, cached, remote, remote_tokens, remote_nusd, local, local_tokens, local_nusd
    from cover c join call_rollup_day r on r.day = c.starts_at
    where c.grain = 'day' and r.project_id = %(project_id)s and r.dimension = %(by)s
    union all
    select r.hour, value, calls, cached, remote, remote_tokens, remote_nusd, local, local_tokens, local_nusd
    from cover c join call_rollup r on r.hour = c.starts_at
    where c.grain = 'hour' and r.project_id = %(project_id)s and r.dimension = %(by)s
    union all
    select at, value, count(*), count(saved_nusd), count(*) filter (where is_remote), sum(tokens) filter (where is_remote),
        sum(cost_nusd) filter (where is_remote), count(*) filter (where not is_remote), sum(tokens) filter (where not is_remote),
        sum(cost_nusd) filter (where not is_remote)
    from cover c, lateral (
        select c.starts_at as at, p.value, call.is_remote, call.cost_nusd, call.saved_nusd,
            coalesce(call.input_tokens, 0) + coalesce(call.output_tokens, 0) as tokens
        from call, lateral call_values(call, %(by)s) p(value)
        where project_id = %(project_id)s and started_at >= %(since)s and started_at < %(until)s
            and started_at >= c.starts_at and started_at < c.ends_at offset 0
    ) call
    where c.grain = 'calls' group by at, value
)
select case when %(per_day)s then date_trunc('day', at, 'UTC') end as day, value, sum(calls)::bigint as calls,
    coalesce(sum(cached), 0)::bigint, coalesce(sum(remote), 0)::bigint, coalesce(sum(remote_tokens), 0)::bigint,
    coalesce(sum(remote_nusd), 0)::bigint, coalesce(sum(local), 0)::bigint, coalesce(sum(local_tokens), 0)::bigint,
    coalesce(sum(local_nusd), 0)::bigint
from parts group by 1, 2 order by 1, 3 desc, 2 limit %(limit)s;

-- name: fetch_due_hours
-- Hours that have ended and are to be summed up.
select hour from rollup_due where hour < date_trunc('hour', now(), 'UTC') order by hour limit %(limit)s;

-- name: stop_flushes
-- See `share_rollups`.
select pg_advisory_xact_lock(7117005);

-- name: delete_due
-- An hour is about to be summed up; no row when another process was quicker.
delete from rollup_due where hour = %(hour)s returning hour;

-- name: delete_rollups
-- What was summed up before.
delete from call_rollup where hour = %(hour)s;

-- name: insert_rollups
-- The sums of an hour. Its calls are read once, whatever they are summed up by. Those of the cache are null where it answered nothing:
-- reports pass over them.
insert into call_rollup (
    hour, project_id, dimension, value, calls, cost_nusd, unpriced, estimated, input_tokens, cached_input_tokens, output_tokens, failed,
    cached, saved_nusd, remote, remote_tokens, remote_nusd, local, local_tokens, local_nusd, ttft, duration
)
select %(hour)s, (c.call).project_id, d.dimension, p.value, count(*), coalesce(sum((c.call).cost_nusd), 0),
    count(*) filter (where (c.call).cost_nusd is null), count(*) filter (where (c.call).estimated),
    coalesce(sum((c.call).input_tokens), 0), coalesce(sum((c.call).cached_input_tokens), 0),
    coalesce(sum((c.call).output_tokens), 0), count(*) filter (where (c.call).outcome not in ('ok', 'cancelled')),
    nullif(count((c.call).saved_nusd), 0), sum((c.call).saved_nusd),
    nullif(count(*) filter (where (c.call).is_remote), 0), sum(c.tokens) filter (where (c.call).is_remote),
    sum((c.call).cost_nusd) filter (where (c.call).is_remote),
    nullif(count(*) filter (where not (c.call).is_remote), 0), sum(c.tokens) filter (where not (c.call).is_remote),
    sum((c.call).cost_nusd) filter (where not (c.call).is_remote), sum(c.ttft), sum(c.duration)
from (
    select call, latency_unit(call.ttft_us) as ttft, latency_unit(call.duration_us) as duration,
        coalesce(call.input_tokens, 0) + coalesce(call.output_tokens, 0) as tokens
    from call
    where started_at >= %(hour)s and started_at < %(hour)s::timestamptz + interval '1 hour' offset 0
) c, unnest(%(dimensions)s::text[]) d(dimension), lateral call_values(c.call, d.dimension) p(value)
group by (c.call).project_id, d.dimension, p.value;

-- name: delete_arms
-- What was summed up before.
delete from call_arm where hour = %(hour)s;

-- name: insert_arms
-- The sums of an hour by experiments' arms.
insert into call_arm (
    hour, project_id, tag, key_ids, calls, cached, failed, output_tokens, priced, cost_nusd, cost_squares, timed, duration_us, duration_squares, begun, ttft_us, ttft_squares,
    duration, ttft
)
select %(hour)s, project_id, tag, array_agg(distinct key_id),
    count(*) filter (where was_asked), count(*) filter (where not was_asked),
    count(*) filter (where was_asked and outcome not in ('ok', 'cancelled')), coalesce(sum(output_tokens), 0),
    count(cost_nusd), coalesce(sum(cost_nusd), 0), coalesce(sum(cost_nusd::numeric * cost_nusd), 0),
    count(duration_us), coalesce(sum(duration_us), 0), coalesce(sum(duration_us::numeric * duration_us), 0),
    count(ttft_us), coalesce(sum(ttft_us), 0), coalesce(sum(ttft_us::numeric * ttft_us), 0),
    sum(latency_unit(duration_us)), sum(latency_unit(ttft_us))
from (
    select project_id, key_id, outcome, saved_nusd is null as was_asked, case when saved_nusd is null then output_tokens end as output_tokens,
        case when saved_nusd is null then cost_nusd end as cost_nusd, case when saved_nusd is null then duration_us end as duration_us,
        case when saved_nusd is null then ttft_us end as ttft_us, tag
    from call, unnest(tags) tag
    where started_at >= %(hour)s and started_at < %(hour)s::timestamptz + interval '1 hour'
      and face <> 'messages.count_tokens' and starts_with(tag, %(prefix)s::text)
) s
group by project_id, tag;

-- name: delete_groups
-- What was summed up before.
with misses as (delete from call_miss where hour = %(hour)s)
delete from call_group where hour = %(hour)s;

-- name: insert_groups
-- The sums of an hour by what served its calls.
insert into call_group (
    hour, project_id, model, tier, face, stream, provider, model_used, is_remote, size, calls, failed, cancelled, retried, fell_back, stopped,
    spared_nusd, weighed, cost_nusd, input_tokens, cached_input_tokens, cache_write_tokens, cache_write_1h_tokens, input_audio_tokens,
    output_tokens, reasoning_tokens, output_audio_tokens, timed, duration_us, begun, ttft_us, waited_us, duration, ttft
)
select %(hour)s, project_id, model, tier, face, stream, provider, model_used, is_remote, size,
    count(*), count(*) filter (where outcome not in ('ok', 'cancelled')), count(*) filter (where outcome = 'cancelled'),
    count(*) filter (where attempts > 1), count(*) filter (where call_fell_back(tried, provider || '/' || model_used)),
    count(stopped), coalesce(sum(spared_nusd), 0), count(*) filter (where is_weighed),
    coalesce(sum(cost_nusd) filter (where is_weighed), 0), coalesce(sum(input_tokens) filter (where is_weighed), 0),
    coalesce(sum(cached_input_tokens) filter (where is_weighed), 0), coalesce(sum(cache_write_tokens) filter (where is_weighed), 0),
    coalesce(sum(cache_write_1h_tokens) filter (where is_weighed), 0), coalesce(sum(input_audio_tokens) filter (where is_weighed), 0),
    coalesce(sum(output_tokens) filter (where is_weighed), 0), coalesce(sum(reasoning_tokens) filter (where is_weighed), 0),
    coalesce(sum(output_audio_tokens) filter (where is_weighed), 0), count(duration_us), coalesce(sum(duration_us), 0),
    count(ttft_us), coalesce(sum(ttft_us), 0), coalesce(sum(duration_us - ttft_us), 0), sum(latency_unit(duration_us)),
    sum(latency_unit(ttft_us))
from (
    select call.*, input_size(input_tokens) as size, input_tokens is not null and cost_nusd is not null as is_weighed from call
    where started_at >= %(hour)s and started_at < %(hour)s::timestamptz + interval '1 hour' and provider is not null and saved_nusd is null and face not in ('messages.count_tokens', 'services')
) c
group by project_id, model, tier, face, stream, provider, model_used, is_remote, size;

-- name: insert_misses
-- The attempts of an hour that failed.
insert into call_miss (hour, project_id, model, route, outcome, attempts)
select %(hour)s, project_id, model, s ->> 'what', s ->> 'outcome', count(*)
from call, jsonb_array_elements(tried) s
where started_at >= %(hour)s and started_at < %(hour)s::timestamptz + interval '1 hour' and face <> 'services'
  and s ->> 'ms' is not null and s ->> 'outcome' not in ('ok', 'cancelled')
group by 2, 3, 4, 5;

-- name: reopen_day
-- An hour is summed up anew: its day must be, too. Whoever sums up the day waits here.
insert into rolled_day (day, is_done) values (date_trunc('day', %(hour)s::timestamptz, 'UTC'), false)
on conflict (day) do update set is_done = false;

-- name: fetch_open_days
-- Days that have ended, of which every hour is summed up, and which are not yet themselves.
select day from rolled_day d
where not is_done and day < date_trunc('day', now(), 'UTC')
  and not exists (select from rollup_due r where r.hour >= d.day and r.hour < d.day + interval '1 day')
order by day limit %(limit)s;

-- name: close_day
-- A day is about to be summed up; no row when another process was quicker.
update rolled_day set is_done = true where day = %(day)s and not is_done returning day;

-- name: delete_day_rollups
-- What was summed up of the day before.
delete from call_rollup_day where day = %(day)s;

-- name: insert_day_rollups
-- The sums of a day, from those of its hours.
insert into call_rollup_day (
    day, project_id, dimension, value, calls, cost_nusd, unpriced, estimated, input_tokens, cached_input_tokens, output_tokens, failed,
    cached, saved_nusd, remote, remote_tokens, remote_nusd, local, local_tokens, local_nusd, ttft, duration
)
select %(day)s, project_id, dimension, value, sum(calls), sum(cost_nusd), sum(unpriced), sum(estimated), sum(input_tokens),
    sum(cached_input_tokens), sum(output_tokens), sum(failed), sum(cached), sum(saved_nusd), sum(remote),
    sum(remote_tokens), sum(remote_nusd), sum(local), sum(local_tokens), sum(local_nusd), sum(ttft), sum(duration)
from call_rollup where hour >= %(day)s and hour < %(day)s::timestamptz + interval '1 day'
group by project_id, dimension, value;

-- name: delete_day_arms
-- What was summed up of the day before.
delete from call_arm_day where day = %(day)s;

-- name: insert_day_arms
-- The sums of a day by experiments' arms, from those of its hours.
insert into call_arm_day (
    day, project_id, tag, key_ids, calls, cached, failed, output_tokens, priced, cost_nusd, cost_squares, timed, duration_us, duration_squares, begun, ttft_us, ttft_squares,
    duration, ttft
)
select %(day)s, a.project_id, a.tag,
    (
        select array_agg(distinct k) from call_arm b, unnest(b.key_ids) k
        where b.hour >= %(day)s and b.hour < %(day)s::timestamptz + interval '1 day' and b.project_id = a.project_id and b.tag = a.tag
    ),
    sum(calls), sum(cached), sum(failed), sum(output_tokens), sum(priced), sum(cost_nusd), sum(cost_squares), sum(timed), sum(duration_us),
    sum(duration_squares), sum(begun), sum(ttft_us), sum(ttft_squares), sum(duration), sum(ttft)
from call_arm a where hour >= %(day)s and hour < %(day)s::timestamptz + interval '1 day'
group by a.project_id, a.tag;

-- name: delete_day_groups
-- What was summed up of the day before.
with misses as (delete from call_miss_day where day = %(day)s)
delete from call_group_day where day = %(day)s;

-- name: insert_day_groups
-- The sums of a day by what served its calls, from those of its hours.
insert into call_group_day (
    day, project_id, model, tier, face, stream, provider, model_used, is_remote, size, calls, failed, cancelled, retried, fell_back, stopped,
    spared_nusd, weighed, cost_nusd, input_tokens, cached_input_tokens, cache_write_tokens, cache_write_1h_tokens, input_audio_tokens,
    output_tokens, reasoning_tokens, output_audio_tokens, timed, duration_us, begun, ttft_us, waited_us, duration, ttft
)
select %(day)s, project_id, model, tier, face, stream, provider, model_used, is_remote, size,
    sum(calls), sum(failed), sum(cancelled), sum(retried), sum(fell_back), sum(stopped), sum(spared_nusd), sum(weighed),
    sum(cost_nusd), sum(input_tokens), sum(cached_input_tokens), sum(cache_write_tokens), sum(cache_write_1h_tokens),
    sum(input_audio_tokens), sum(output_tokens), sum(reasoning_tokens), sum(output_audio_tokens), sum(timed), sum(duration_us),
    sum(begun), sum(ttft_us), sum(waited_us), sum(duration), sum(ttft)
from call_group where hour >= %(day)s and hour < %(day)s::timestamptz + interval '1 day'
group by project_id, model, tier, face, stream, provider, model_used, is_remote, size;

-- name: insert_day_misses
-- The attempts of a day that failed, from those of its hours.
insert into call_miss_day (day, project_id, model, route, outcome, attempts)
select %(day)s, project_id, model, route, outcome, sum(attempts)
from call_miss where hour >= %(day)s and hour < %(day)s::timestamptz + interval '1 day'
group by project_id, model, route, outcome;

-- name: delete_old_rollups
-- Sums that are older than is to be kept.
with old_hours as (delete from call_rollup where hour < now() - make_interval(days => %(days)s)),
    old_days as (delete from call_rollup_day where day < now() - make_interval(days => %(days)s)),
    old_arms as (delete from call_arm where hour < now() - make_interval(days => %(days)s)),
    old_arm_days as (delete from call_arm_day where day < now() - make_interval(days => %(days)s)),
    old_groups as (delete from call_group where hour < now() - make_interval(days => %(days)s)),
    old_group_days as (delete from call_group_day where day < now() - make_interval(days => %(days)s)),
    old_misses as (delete from call_miss where hour < now() - make_interval(days => %(days)s)),
    old_miss_days as (delete from call_miss_day where day < now() - make_interval(days => %(days)s))
delete from rolled_day where day < now() - make_interval(days => %(days)s);

-- name: note_prices
-- What price versions say, where that is not known yet.
insert into price (version, rates)
select * from unnest(%(versions)s::text[], %(rates)s::jsonb[]) on conflict do nothing;

-- name: fetch_call
-- One call of the principal's project. Its id tells when it was made, which spares looking through all days.
select call_id, started_at, key_id, key_name, user_name as user, session, tier, tags, model, face, stream, trace_id, provider,
    model_used, status, attempts, ttft_us, duration_us, input_tokens, cached_input_tokens, cache_write_tokens, output_tokens,
    reasoning_tokens, input_audio_tokens, output_audio_tokens, cache_write_1h_tokens, input_image_tokens, output_image_tokens,
    characters, audio_ms, cost_nusd, price_version, estimated,
    outcome, holds, tried, exceeded, saved_nusd, stopped, spared_nusd,
    (select rates from price where version = price_version) as rates
from call where project_id = %(project_id)s and call_id = %(call_id)s and started_at between %(from)s and %(until)s;

-- name: fetch_charged_rules
-- Which rules the windows belong to that a call took of; of those deleted since there is nothing.
select w.window_id, r.name, r.metric, r.subject, w.subject_value as value, r.period, r.mode, w.started_at, w.ends_at
from rule_window w join rule r using (rule_id)
where w.project_id = %(project_id)s and w.window_id = any(%(window_ids)s::bigint[]);

-- name: count_addresses
-- Count calls without a key in the present minute of their addresses. Locked in one order, so that two processes do not wait for each
-- other; a minute that has begun meanwhile in another process is not taken back.
insert into address_window as w (address, minute, asked)
select a.address, date_trunc('minute', now(), 'UTC'), a.asked
from unnest(%(addresses)s::text[], %(asked)s::bigint[]) as a(address, asked)
order by a.address
on conflict (address) do update set
    asked = case when w.minute >= excluded.minute then w.asked else 0 end + excluded.asked,
    minute = greatest(w.minute, excluded.minute)
returning address, asked, extract(epoch from minute + interval '1 minute' - clock_timestamp())::float8;

-- name: forget_addresses
-- Drop addresses that have not come for some minutes; what is being counted at this moment has come.
delete from address_window where address in (
    select address from address_window where minute < now() - interval '5 minutes' for update skip locked
);
