-- Which database this is, and how often its rules have changed.

create table installation (
    is_only boolean primary key default true check (is_only),
    identity uuid not null default gen_random_uuid(),
    rules_version bigint not null default 0
);
insert into installation default values;
comment on table installation is 'One row. A copy of the database that goes on beside it needs another identity.';
comment on column installation.identity is 'Stands in journals of calls: one of another database is not adopted.';
comment on column installation.rules_version is 'Counts the changes of rules, so that it is known which processes go by them.';

alter table meter_process add column rules_version bigint not null default 0;
comment on column meter_process.rules_version is 'The changes of rules that it goes by.';

create or replace function tell_rules() returns trigger language plpgsql as $$
begin
    update installation set rules_version = rules_version + 1;
    perform pg_notify('skep_spend', 'rules');
    return null;
end
$$;
