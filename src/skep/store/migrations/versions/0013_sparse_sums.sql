-- Sums of the cache where there are some: reports pass over what is null, and a sum of noughts cost a tenth of a report by key.

alter table call_rollup alter column cached drop not null, alter column cached drop default,
    alter column saved_nusd drop not null, alter column saved_nusd drop default;
alter table call_rollup_day alter column cached drop not null, alter column cached drop default,
    alter column saved_nusd drop not null, alter column saved_nusd drop default;
update call_rollup set cached = null, saved_nusd = null where cached = 0;
update call_rollup_day set cached = null, saved_nusd = null where cached = 0;
comment on column call_rollup.cached is 'Calls that were answered from the cache; null: none.';
comment on column call_rollup_day.cached is 'Calls that were answered from the cache; null: none.';
