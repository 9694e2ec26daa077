-- name: fetch_schema_revision
-- The newest migration this database has seen.
select version_num from alembic_version;

-- name: lock_migrations
-- Let one process at a time change the schema; held until the connection closes.
select pg_advisory_lock(%(key)s);

-- name: disable_statement_timeout
-- For a connection whose statements may rightly take long.
set statement_timeout = 0;

-- name: reset_statement_timeout
-- Back to what the connection was opened with.
reset statement_timeout;

-- name: fetch_vector_version
-- The version of pgvector that is installed in this database, and the one the server could install.
select
    (select extversion from pg_extension where extname = 'vector'),
    (select default_version from pg_available_extensions where name = 'vector');

-- name: create_vector_extension
-- Add pgvector to this database, by itself: it needs other rights than tables do, which whoever lacks them is told.
create extension if not exists vector;
