-- How much of what was written into the provider's cache is kept there for an hour: it costs more.

alter table call add column cache_write_1h_tokens bigint;
comment on column call.cache_write_1h_tokens is 'Part of cache_write_tokens; null: not told.';
