-- Alerts as rows: noticed by the statement that charges a window, so that none is lost with the process that noticed, and told by whoever
-- comes first.

create table alert (
    alert_id uuid primary key default gen_random_uuid(),
    project_id bigint not null references project,
    rule_id bigint not null,
    rule_name text not null,
    metric text not null,
    subject text not null,
    subject_value text not null,
    period text not null,
    mode text not null,
    amount bigint not null,
    percent integer not null,
    used bigint not null,
    started_at timestamptz not null,
    resets_at timestamptz,
    noticed_at timestamptz not null default now(),
    is_told boolean not null default false,
    attempts integer not null default 0,
    due_at timestamptz,
    delivered_at timestamptz
);
create index alert_untold on alert (noticed_at) where not is_told;
create index alert_due on alert (due_at) where due_at is not null;
comment on table alert is 'A window has passed one of its rule''s alert percents. The rule as it was then; it may be gone since.';
comment on column alert.alert_id is 'Also the id of the webhook, at each of its attempts.';
comment on column alert.is_told is 'In the log and the metrics of one process.';
comment on column alert.due_at is 'When the webhook is to be tried (again); null: there is nothing to send, it was delivered, or given up.';
comment on column rule_window.alerted is 'The highest of the rule''s alert percents that was passed, and for which there is an alert.';
