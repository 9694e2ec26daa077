-- Views for those who look at the ledger with tools of their own. What they are named and what their columns are called stays.

create function latency_ms(histogram vector, share double precision) returns double precision language sql immutable parallel safe as $$
    select round((0.1 * 2 ^ ((b.bucket - 1) / 4.0))::numeric, 2)::double precision
    from (
        select n.bucket, sum(n.calls) over (order by n.bucket) as below, sum(n.calls) over () as total
        from unnest(histogram::real[]) with ordinality n(calls, bucket)
    ) b
    where b.total > 0 and b.below >= ceil(b.total * share)
    order by b.bucket limit 1
$$;
comment on function latency_ms is 'The upper end of the bucket in which a share of a histogram''s calls ends, in milliseconds: exact to 19 %, never too low.';

create view report_calls as
select c.call_id, c.started_at, p.name as project, c.key_name, c.user_name, c.session, c.tier, c.tags, c.model, c.face, c.stream, c.provider,
    c.model_used, c.status, c.attempts, c.outcome, c.ttft_us / 1000.0 as ttft_ms, c.duration_us / 1000.0 as duration_ms, c.input_tokens,
    c.cached_input_tokens, c.output_tokens, c.reasoning_tokens, c.cost_nusd / 1e9 as cost_usd, c.estimated,
    c.saved_nusd is not null as from_cache, c.saved_nusd / 1e9 as saved_usd, c.stopped, c.spared_nusd / 1e9 as spared_usd
from call c join project p using (project_id);
comment on view report_calls is 'Every call, in dollars and milliseconds. Ask for a span of started_at: it is stored by day.';

create view report_sums as
select r.day as starts_at, interval '1 day' as lasts, r.project_id, r.dimension, r.value, r.calls, r.cost_nusd, r.unpriced, r.failed,
    coalesce(r.cached, 0) as cached, coalesce(r.saved_nusd, 0) as saved_nusd, r.input_tokens, r.cached_input_tokens, r.output_tokens,
    r.ttft, r.duration
from call_rollup_day r join rolled_day d using (day) where d.is_done
union all
select r.hour, interval '1 hour', r.project_id, r.dimension, r.value, r.calls, r.cost_nusd, r.unpriced, r.failed, coalesce(r.cached, 0),
    coalesce(r.saved_nusd, 0), r.input_tokens, r.cached_input_tokens, r.output_tokens, r.ttft, r.duration
from call_rollup r
where not exists (select from rolled_day d where d.is_done and d.day = date_trunc('day', r.hour, 'UTC'));
comment on view report_sums is 'Days that are over, and the hours of the others, as far as they are summed up: an hour after its end at the latest. For the views below.';

create view report_days as
select (s.starts_at at time zone 'UTC')::date as day, p.name as project, s.dimension as by, s.value, sum(s.calls)::bigint as calls,
    sum(s.cost_nusd) / 1e9 as cost_usd, sum(s.unpriced)::bigint as unpriced, sum(s.failed)::bigint as failed, sum(s.cached)::bigint as cached,
    sum(s.saved_nusd) / 1e9 as saved_usd, sum(s.input_tokens)::bigint as input_tokens,
    sum(s.cached_input_tokens)::bigint as cached_input_tokens, sum(s.output_tokens)::bigint as output_tokens,
    latency_ms(sum(s.ttft), 0.5) as ttft_p50_ms, latency_ms(sum(s.ttft), 0.95) as ttft_p95_ms,
    latency_ms(sum(s.duration), 0.5) as duration_p50_ms, latency_ms(sum(s.duration), 0.95) as duration_p95_ms
from report_sums s join project p using (project_id)
group by 1, 2, 3, 4;
comment on view report_days is 'What calls cost and how long they took, by day (UTC) and one of their properties: project, model, key, user, tier, provider, outcome or tag.';

create view tier_performance_summary as
select p.name as project, s.value as tier, sum(s.calls)::bigint as calls, sum(s.failed)::double precision / sum(s.calls) as failure_rate,
    sum(s.cost_nusd) / 1e9 as cost_usd, sum(s.cost_nusd) / 1e9 / sum(s.calls) as mean_cost_usd,
    sum(s.output_tokens)::double precision / sum(s.calls) as mean_output_tokens,
    latency_ms(sum(s.ttft), 0.5) as ttft_p50_ms, latency_ms(sum(s.ttft), 0.95) as ttft_p95_ms,
    latency_ms(sum(s.duration), 0.5) as duration_p50_ms, latency_ms(sum(s.duration), 0.95) as duration_p95_ms
from report_sums s join project p using (project_id)
where s.dimension = 'tier' and s.starts_at >= date_trunc('day', now(), 'UTC') - interval '30 days'
group by 1, 2;
comment on view tier_performance_summary is 'How the tiers fared over the last 30 days. Null: calls of no tier.';
