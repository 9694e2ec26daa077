-- Which soft and shadow rules a call exceeded that they let pass.

alter table call add column exceeded bigint[];
comment on column call.exceeded is 'Of each soft or shadow rule without room for it: window, what was used and reserved of it before, and its amount then; null: none.';
alter table rule_window add column exceeded bigint not null default 0;
comment on column rule_window.exceeded is 'Calls that passed though there was no room for them, because the rule is soft or a shadow.';
