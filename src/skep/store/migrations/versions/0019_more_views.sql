-- Views of where calls went, of what served them and of what streams brought. What they are named and what their columns are called stays.

-- As a query it took a tenth of a millisecond, and a month by day and model has 1,500 of them.
create or replace function latency_ms(histogram vector, share double precision) returns double precision language plpgsql immutable parallel safe as $$
declare
    counts real[] := histogram::real[];
    total double precision := 0;
    below double precision := 0;
begin
    if counts is null then
        return null;
    end if;
    for bucket in 1..cardinality(counts) loop
        total := total + counts[bucket];
    end loop;
    if total = 0 then
        return null;
    end if;
    for bucket in 1..cardinality(counts) loop
        below := below + counts[bucket];
        if below >= ceil(total * share) then
            return round((0.1 * 2 ^ ((bucket - 1) / 4.0))::numeric, 2)::double precision;
        end if;
    end loop;
    return null;
end $$;

create or replace view report_sums as
select r.day as starts_at, interval '1 day' as lasts, r.project_id, r.dimension, r.value, r.calls, r.cost_nusd, r.unpriced, r.failed,
    coalesce(r.cached, 0) as cached, coalesce(r.saved_nusd, 0) as saved_nusd, r.input_tokens, r.cached_input_tokens, r.output_tokens,
    r.ttft, r.duration, r.remote, r.remote_tokens, r.remote_nusd, r.local, r.local_tokens, r.local_nusd
from call_rollup_day r join rolled_day d using (day) where d.is_done
union all
select r.hour, interval '1 hour', r.project_id, r.dimension, r.value, r.calls, r.cost_nusd, r.unpriced, r.failed, coalesce(r.cached, 0),
    coalesce(r.saved_nusd, 0), r.input_tokens, r.cached_input_tokens, r.output_tokens, r.ttft, r.duration, r.remote, r.remote_tokens,
    r.remote_nusd, r.local, r.local_tokens, r.local_nusd
from rolled_day d join call_rollup r on r.hour >= d.day and r.hour < d.day + interval '24 hours' where not d.is_done;

create index call_rollup_day_dated on call_rollup_day (dimension, ((day at time zone 'UTC')::date));
-- Who asks the views names days; the sums of hours are looked up by the days that are not summed up, and no others.

create view report_privacy as
select (s.starts_at at time zone 'UTC')::date as day, p.name as project, s.dimension as by, s.value, sum(s.calls)::bigint as calls,
    coalesce(sum(s.remote), 0)::bigint as remote, coalesce(sum(s.local), 0)::bigint as local, sum(s.cached)::bigint as kept,
    (sum(s.calls) - coalesce(sum(s.remote), 0) - coalesce(sum(s.local), 0) - sum(s.cached))::bigint as unknown,
    coalesce(sum(s.remote_tokens), 0)::bigint as remote_tokens, coalesce(sum(s.local_tokens), 0)::bigint as local_tokens,
    coalesce(sum(s.remote_nusd), 0) / 1e9 as remote_cost_usd, coalesce(sum(s.local_nusd), 0) / 1e9 as local_cost_usd
from report_sums s join project p using (project_id)
group by 1, 2, 3, 4;
comment on view report_privacy is 'How many calls left the house (remote), stayed with local providers, or were answered from the cache (kept), by day (UTC) and one of their properties, like report_days.';

create view report_group_sums as
select g.day as starts_at, g.project_id, g.model, g.tier, g.face, g.stream, g.provider, g.model_used, g.calls, g.failed, g.cancelled, g.retried,
    g.fell_back, g.stopped, g.spared_nusd, g.cost_nusd, g.input_tokens, g.cached_input_tokens, g.output_tokens, g.timed, g.duration_us, g.begun,
    g.ttft_us, g.waited_us, g.duration, g.ttft
from call_group_day g join rolled_day d using (day) where d.is_done
union all
select g.hour, g.project_id, g.model, g.tier, g.face, g.stream, g.provider, g.model_used, g.calls, g.failed, g.cancelled, g.retried,
    g.fell_back, g.stopped, g.spared_nusd, g.cost_nusd, g.input_tokens, g.cached_input_tokens, g.output_tokens, g.timed, g.duration_us, g.begun,
    g.ttft_us, g.waited_us, g.duration, g.ttft
from rolled_day d join call_group g on g.hour >= d.day and g.hour < d.day + interval '24 hours' where not d.is_done;
comment on view report_group_sums is 'Like report_sums, by what served calls. For the views below.';

create view report_routes as
select (s.starts_at at time zone 'UTC')::date as day, p.name as project, s.model, s.tier, s.face, s.provider || coalesce('/' || s.model_used, '') as route,
    sum(s.calls)::bigint as calls, sum(s.failed)::bigint as failed, sum(s.cancelled)::bigint as cancelled, sum(s.retried)::bigint as retried,
    sum(s.fell_back)::bigint as fell_back, sum(s.cost_nusd) / 1e9 as cost_usd, sum(s.input_tokens)::bigint as input_tokens,
    sum(s.cached_input_tokens)::bigint as cached_input_tokens, sum(s.output_tokens)::bigint as output_tokens,
    latency_ms(sum(s.ttft) filter (where s.stream), 0.5) as ttft_p50_ms, latency_ms(sum(s.ttft) filter (where s.stream), 0.95) as ttft_p95_ms,
    latency_ms(sum(s.duration), 0.5) as duration_p50_ms, latency_ms(sum(s.duration), 0.95) as duration_p95_ms
from report_group_sums s join project p using (project_id)
group by 1, 2, 3, 4, 5, 6;
comment on view report_routes is 'What routes served, by day (UTC), model, tier and address: calls for which a provider was asked, and of which the cost and tokens are both known where these are summed up.';

create view report_misses as
select (s.starts_at at time zone 'UTC')::date as day, p.name as project, s.model, s.route, s.outcome, sum(s.attempts)::bigint as attempts
from (
    select m.day as starts_at, m.project_id, m.model, m.route, m.outcome, m.attempts
    from call_miss_day m join rolled_day d using (day) where d.is_done
    union all
    select m.hour, m.project_id, m.model, m.route, m.outcome, m.attempts
    from rolled_day d join call_miss m on m.hour >= d.day and m.hour < d.day + interval '24 hours' where not d.is_done
) s join project p using (project_id)
group by 1, 2, 3, 4, 5;
comment on view report_misses is 'Attempts that failed, by day (UTC), model, route and kind of failure, whatever became of their calls.';

create view report_streams as
select (s.starts_at at time zone 'UTC')::date as day, p.name as project, s.model, sum(s.calls)::bigint as calls,
    coalesce(sum(s.calls) filter (where s.stream), 0)::bigint as streams,
    sum(s.ttft_us) filter (where s.stream) / 1000.0 / nullif(sum(s.begun) filter (where s.stream), 0) as mean_first_ms,
    sum(s.duration_us) filter (where s.stream) / 1000.0 / nullif(sum(s.timed) filter (where s.stream), 0) as mean_stream_ms,
    sum(s.duration_us) filter (where not s.stream) / 1000.0 / nullif(sum(s.timed) filter (where not s.stream), 0) as mean_whole_ms,
    coalesce(sum(s.waited_us) filter (where s.stream), 0) / 1e6 as saved_wait_seconds,
    coalesce(sum(s.cancelled) filter (where s.stream), 0)::bigint as cancelled, coalesce(sum(s.stopped) filter (where s.stream), 0)::bigint as ended_early,
    coalesce(sum(s.spared_nusd) filter (where s.stream), 0) / 1e9 as spared_usd
from report_group_sums s join project p using (project_id)
group by 1, 2, 3;
comment on view report_streams is 'What streams brought, by day (UTC) and model: from the first token until the end clients have something to read, which is what they wait less.';
