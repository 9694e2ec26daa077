-- Answers that are given again: what was cleared of them, and what they saved.

create table cache_clearing (
    project_id bigint not null references project (project_id) on delete cascade,
    name text not null,
    epoch bigint not null default 1,
    cleared_at timestamptz not null default now(),
    primary key (project_id, name)
);
comment on table cache_clearing is 'How often kept answers were cleared, by name: * for all of a project, model:NAME, tag:TAG. An answer counts while the numbers of its names are those that it was asked for with.';

alter table call add column saved_nusd bigint;
comment on column call.saved_nusd is 'Of a call that was answered from the cache: what the call cost that the answer is from, 0 if that is not known. Null: a provider was asked.';
alter table call_rollup add column cached bigint not null default 0, add column saved_nusd bigint not null default 0;
alter table call_rollup_day add column cached bigint not null default 0, add column saved_nusd bigint not null default 0;
comment on column call_rollup.cached is 'Calls that were answered from the cache.';
comment on column call_rollup_day.cached is 'Calls that were answered from the cache.';
