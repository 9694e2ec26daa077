-- name: fetch_key
-- A key that was not revoked, with its project, by its public id. Needs no principal: it makes one.
select p.project_id, p.name as project_name, k.key_id, k.name as key_name, k.role, k.secret_hmac, p.key_pepper
from api_key k join project p using (project_id)
where k.key_id = %(key_id)s and k.revoked_at is null;

-- name: insert_default_project
-- The project every installation starts with; nothing happens when it is there.
insert into project (name, key_pepper) values (%(name)s, %(pepper)s)
on conflict (name) do nothing;

-- name: lock_project
-- The project's row under a lock, so that only one process makes its first key.
select project_id, key_pepper from project where name = %(name)s for update;

-- name: count_admin_keys
-- How many administrator's keys a project has that were not revoked.
select count(*) from api_key where project_id = %(project_id)s and role = 'admin' and revoked_at is null;

-- name: insert_key
-- A new key; only its HMAC is stored. Nothing happens when it is there: one that was revoked stays revoked.
insert into api_key (key_id, project_id, name, role, secret_hmac)
values (%(key_id)s, %(project_id)s, %(name)s, %(role)s, %(secret_hmac)s)
on conflict (key_id) do nothing;
