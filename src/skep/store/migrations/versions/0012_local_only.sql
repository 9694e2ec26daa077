-- Keys and projects whose calls of models must not leave for a remote provider.

alter table api_key add column local_only boolean not null default false;
alter table project add column local_only boolean not null default false;
comment on column api_key.local_only is 'Its calls are made by local routes only, or refused.';
comment on column project.local_only is 'The same for all its keys.';
