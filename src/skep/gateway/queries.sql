-- name: listen_gateway
-- Hear of routes that other processes closed for everybody.
listen skep_gateway;

-- name: tell_gateway
-- Tell all processes that a route is closed.
select pg_notify('skep_gateway', %(payload)s);

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
