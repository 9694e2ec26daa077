-- Streams that were ended before the model would have ended them.

alter table call add column stopped text, add column spared_nusd bigint;
comment on column call.stopped is 'Which condition ended the stream early: json, pattern, cost. Null: none.';
comment on column call.spared_nusd is 'About what it would have cost more, had it been as long as others of its route. Null: not known, or not ended early.';
create index call_savings on call (project_id, started_at) where saved_nusd is not null or stopped is not null;
