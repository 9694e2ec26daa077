-- What was said in calls: apart from the ledger, and empty unless the settings ask for it.

create table content (
    call_id uuid not null,
    made_at timestamptz not null,
    project_id bigint not null,
    outcome text not null,
    request text not null,
    request_bytes bigint not null,
    answer text not null,
    answer_bytes bigint not null,
    primary key (call_id, made_at)
) partition by range (made_at);
comment on table content is 'Requests and answers of calls, masked and cut. Lost without harm: the ledger does not need it.';
comment on column content.made_at is 'When the call was made, as its id says: no journal is needed to write a row once.';
comment on column content.request_bytes is 'How long it was before it was cut.';

create function open_content_day(day date) returns void language plpgsql as $$
declare
    part text := 'content_' || to_char(day, 'YYYYMMDD');
begin
    if to_regclass(part) is not null then
        return;
    end if;
    perform pg_advisory_xact_lock(7117006);
    -- Not to_regclass again: it may remember that there was none.
    if exists (select from pg_inherits i join pg_class c on c.oid = i.inhrelid
               where i.inhparent = 'content'::regclass and c.relname = part) then
        return;
    end if;
    execute format('create table %I (like content including all)', part);
    -- The planner's statistics would hold pieces of what was said.
    execute format('alter table %I alter column request set statistics 0, alter column answer set statistics 0', part);
    execute format('alter table content attach partition %I for values from (%L) to (%L)', part,
        day::timestamp at time zone 'UTC', (day + 1)::timestamp at time zone 'UTC');
end $$;
comment on function open_content_day is 'Make the partition of a day for what is said in calls, if it is not there.';
alter table content alter column request set statistics 0, alter column answer set statistics 0;

create function drop_content_days(before date) returns integer language plpgsql as $$
declare
    part text;
    dropped integer := 0;
begin
    for part in
        select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'content'::regclass and c.relname < 'content_' || to_char(before, 'YYYYMMDD') order by 1
    loop
        execute format('drop table %I', part);
        dropped := dropped + 1;
    end loop;
    return dropped;
end $$;
comment on function drop_content_days is 'Drop what was said in calls on days before one; how many days there were.';
