-- name: listen_gateway
-- Hear of routes that other processes closed for everybody.
listen skep_gateway;

-- name: tell_gateway
-- Tell all processes that a route is closed.
select pg_notify('skep_gateway', %(payload)s);
