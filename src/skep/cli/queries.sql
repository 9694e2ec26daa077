-- name: show_spent
-- Spent: a panel of the dashboard.
select sum(cost_usd) as usd
from report_days
where by = 'project' and $span;

-- name: show_calls
-- Calls: a panel of the dashboard.
select sum(calls) as calls
from report_days
where by = 'project' and $span;

-- name: show_saved_by_kept_answers_and_early_ends
-- Saved by kept answers and early ends: a panel of the dashboard.
select (select sum(saved_usd)
from report_days
where by = 'project' and $span)
    + (select coalesce(sum(spared_usd), 0)
from report_streams
where $span) as usd;

-- name: show_stayed_in_the_house
-- Stayed in the house: a panel of the dashboard.
select sum(local + kept)::double precision / nullif(sum(local + kept + remote), 0) as share
from report_privacy
where by = 'project' and $span;

-- name: show_spent_by_model
-- Spent by model: a panel of the dashboard.
select $day as "time", coalesce(value, '(none)') as metric, sum(cost_usd) as usd
from report_days
where by = 'model' and $span
group by 1, 2
order by 1, 2;

-- name: show_tokens
-- Tokens: a panel of the dashboard.
select $day as "time", sum(input_tokens) as "in", sum(output_tokens) as "out"
from report_days
where by = 'project' and $span
group by 1
order by 1;

-- name: show_spent_by_key
-- Spent by key: a panel of the dashboard.
select coalesce(value, '(none)') as key, sum(calls) as calls, sum(cost_usd) as usd, sum(unpriced) as unpriced, sum(failed) as failed
from report_days
where by = 'key' and $span
group by 1
order by 3 desc limit 100;

-- name: show_spent_by_user
-- Spent by user: a panel of the dashboard.
select coalesce(value, '(none)') as "user", sum(calls) as calls, sum(cost_usd) as usd
from report_days
where by = 'user' and $span
group by 1
order by 3 desc limit 100;

-- name: show_time_until_the_end
-- Time until the end: a panel of the dashboard.
select $day as "time", project || ' p50' as metric, duration_p50_ms as ms
from report_days
where by = 'project' and $span
union all select $day as "time", project || ' p95', duration_p95_ms
from report_days
where by = 'project' and $span
order by 1, 2;

-- name: show_time_until_the_first_token_of_streams
-- Time until the first token of streams: a panel of the dashboard.
select $day as "time", project || ' p50' as metric, ttft_p50_ms as ms
from report_days
where by = 'project' and $span
union all select $day as "time", project || ' p95', ttft_p95_ms
from report_days
where by = 'project' and $span
order by 1, 2;

-- name: show_calls_that_failed_by_outcome
-- Calls that failed, by outcome: a panel of the dashboard.
select $day as "time", value as metric, sum(calls) as calls
from report_days
where by = 'outcome' and value not in ('ok', 'cancelled') and $span
group by 1, 2
order by 1, 2;

-- name: show_attempts_that_failed_by_route
-- Attempts that failed, by route: a panel of the dashboard.
select route, outcome, sum(attempts) as attempts
from report_misses
where $span
group by 1, 2
order by 3 desc limit 100;

-- name: show_routes
-- Routes: a panel of the dashboard.
select route, model, sum(calls) as calls, sum(failed) as failed, sum(retried) as retried, sum(fell_back) as fell_back, sum(cost_usd) as usd
from report_routes
where $span
group by 1, 2
order by 3 desc limit 100;

-- name: show_answers_that_were_kept
-- Answers that were kept: a panel of the dashboard.
select $day as "time", sum(cached) as calls, sum(saved_usd) as usd
from report_days
where by = 'project' and $span
group by 1
order by 1;

-- name: show_tiers_over_the_last_30_days
-- Tiers over the last 30 days: a panel of the dashboard.
select tier, calls, failure_rate, cost_usd, mean_cost_usd, ttft_p50_ms, ttft_p95_ms, duration_p50_ms, duration_p95_ms
from tier_performance_summary
where project in ($project)
order by calls desc;

-- name: show_what_streams_brought
-- What streams brought: a panel of the dashboard.
select model, sum(calls) as calls, sum(streams) as streams, sum(saved_wait_seconds) as saved_wait_seconds, sum(cancelled) as cancelled, sum(ended_early) as ended_early
from report_streams
where $span
group by 1
order by 2 desc;

-- name: show_where_calls_went
-- Where calls went: a panel of the dashboard.
select $day as "time", sum(remote) as "left the house", sum(local) as "local", sum(kept) as "kept answers", sum(unknown) as "not known"
from report_privacy
where by = 'project' and $span
group by 1
order by 1;

-- name: show_where_calls_of_keys_went
-- Where calls of keys went: a panel of the dashboard.
select coalesce(value, '(none)') as key, sum(remote) as remote, sum(local) as local, sum(kept) as kept, sum(local + kept)::double precision / nullif(sum(local + kept + remote), 0) as stayed_share
from report_privacy
where by = 'key' and $span
group by 1
order by 2 desc limit 100;

-- name: list_projects
-- The projects that a dashboard can be narrowed to.
select distinct project
from report_days
where by = 'project'
order by 1;
