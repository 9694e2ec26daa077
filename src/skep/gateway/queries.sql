-- name: listen_gateway
-- Hear of routes that other processes closed for everybody.
listen skep_gateway;

-- name: tell_gateway
-- Tell all processes that a route is closed.
select pg_notify('skep_gateway', %(payload)s);

-- name: fetch_cache_installation
-- Which database this is.
select identity::text from installation;

-- name: fetch_clearings
-- Everything that was cleared of kept answers and is remembered.
select project_id, name, epoch from cache_clearing;

-- name: clear_answers
-- What is kept under the names counts no more; whoever keeps answers is told.
with forgotten as (
    delete from cache_clearing
    where cleared_at < now() - make_interval(secs => %(seconds)s) and not (project_id = %(project_id)s and name = any(%(names)s))
), cleared as (
    insert into cache_clearing (project_id, name)
    select %(project_id)s, * from unnest(%(names)s::text[]) order by 1
    on conflict (project_id, name) do update set epoch = cache_clearing.epoch + 1, cleared_at = now()
    returning 1
)
select pg_notify('skep_gateway', '{"cleared": true}'), count(*) from cleared;

-- name: show_gateway
-- Say how the gateway fares in a process; whoever has been silent for long is dropped.
with gone as (
    delete from gateway_process where process_id in (
        select process_id from gateway_process where seen_at < now() - interval '10 minutes' for update skip locked
    )
)
insert into gateway_process (process_id, node, pid, status)
values (%(process_id)s, %(node)s, %(pid)s, %(status)s::jsonb)
on conflict (process_id) do update set seen_at = now(), status = excluded.status;

-- name: fetch_gateways
-- What the other processes said in the last minute.
select pid, node, extract(epoch from now() - seen_at)::float8, status from gateway_process
where process_id <> %(process_id)s and seen_at > now() - interval '1 minute'
order by node, pid, process_id;

-- name: leave_gateways
-- A process ends.
delete from gateway_process where process_id = %(process_id)s;
