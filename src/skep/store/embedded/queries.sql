-- name: create_application_database
-- Run once, in template1, before anybody can connect: every database made from it has the vector extension, which only
-- a superuser may create. The password is of our own making (letters, digits, - and _), for these statements take no
-- parameters.
CREATE EXTENSION vector;

CREATE ROLE skep LOGIN PASSWORD '{password}';

CREATE DATABASE skep OWNER skep;

-- name: fetch_sessions
-- Sessions ever opened, and open now, except in the database the watchdog itself looks from.
SELECT coalesce(sum(sessions), 0), coalesce(sum(numbackends), 0) FROM pg_stat_database WHERE datname <> 'postgres';

-- name: fetch_server_version_and_start
-- What runs, and since when (seconds since 1970).
SELECT current_setting('server_version'), extract(epoch FROM pg_postmaster_start_time());
