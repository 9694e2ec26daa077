-- name: fetch_key
-- A key that was not revoked, with its project, by its public id. Needs no principal: it makes one.
select p.project_id, p.name as project_name, k.key_id, k.name as key_name, k.role, k.models, k.faces, k.addresses,
    k.user_name, k.tier, k.local_only or p.local_only as local_only, k.secret_hmac, k.previous_hmac, p.key_pepper,
    extract(epoch from k.expires_at - now())::float8 as seconds_left,
    extract(epoch from k.previous_until - now())::float8 as previous_seconds_left
from api_key k join project p using (project_id)
where k.key_id = %(key_id)s and k.revoked_at is null;

-- name: fetch_newest_keys
-- The ids of keys that were made or rotated last and are not over. Needs no principal, like fetch_key.
select key_id from api_key where revoked_at is null and (expires_at is null or expires_at > now())
order by coalesce(rotated_at, created_at) desc limit %(limit)s;

-- name: fetch_living_keys
-- Several keys as fetch_key tells one.
select p.project_id, p.name as project_name, k.key_id, k.name as key_name, k.role, k.models, k.faces, k.addresses,
    k.user_name, k.tier, k.local_only or p.local_only as local_only, k.secret_hmac, k.previous_hmac, p.key_pepper,
    extract(epoch from k.expires_at - now())::float8 as seconds_left,
    extract(epoch from k.previous_until - now())::float8 as previous_seconds_left
from api_key k join project p using (project_id)
where k.key_id = any(%(key_ids)s) and k.revoked_at is null;

-- name: listen_access
-- Hear of every key that changes.
listen skep_access;

-- name: insert_default_project
-- The project every installation starts with; nothing happens when it is there.
insert into project (name, key_pepper) values (%(name)s, %(pepper)s)
on conflict (name) do nothing;

-- name: insert_project
-- A new project; no row when there is one of this name.
insert into project (name, key_pepper, local_only) values (%(name)s, %(pepper)s, %(local_only)s)
on conflict (name) do nothing
returning project_id, created_at;

-- name: set_project_local_only
-- Say whether the calls of a project stay in the house; its number, or no row when there is no such project.
update project set local_only = %(local_only)s where name = %(name)s returning project_id;

-- name: tell_keys_of_project
-- Have every process ask anew who has the keys of a project: a key that changes is told about.
update api_key set project_id = project_id where project_id = %(project_id)s and revoked_at is null;

-- name: fetch_projects
-- One project, or every one for null, by name, with how many of its keys are active. Across projects, for those who make them.
select p.project_id as id, p.name, p.created_at, count(k.key_id) as keys, p.local_only
from project p left join api_key k
    on k.project_id = p.project_id and k.revoked_at is null and (k.expires_at is null or k.expires_at > now())
where p.project_id = coalesce(%(project_id)s::bigint, p.project_id)
group by p.project_id order by p.name;

-- name: lock_project
-- The project's row under a lock, so that only one process makes its first key.
select project_id, key_pepper from project where name = %(name)s for update;

-- name: lock_own_project
-- The pepper of the principal's project, its row under a lock: changes of its keys come one after the other.
select key_pepper from project where project_id = %(project_id)s for update;

-- name: count_admin_keys
-- How many administrator's keys a project has that were not revoked.
select count(*) from api_key where project_id = %(project_id)s and role = 'admin' and revoked_at is null;

-- name: count_lasting_admin_keys
-- How many administrator's keys besides one a project has that are not revoked and never expire.
select count(*) from api_key
where project_id = %(project_id)s and role = 'admin' and revoked_at is null and expires_at is null and key_id <> %(key_id)s;

-- name: insert_key
-- A new key; only its HMAC is stored. Nothing happens when it is there: one that was revoked stays revoked.
insert into api_key (key_id, project_id, name, role, secret_hmac)
values (%(key_id)s, %(project_id)s, %(name)s, %(role)s, %(secret_hmac)s)
on conflict (key_id) do nothing;

-- name: insert_wished_key
-- A new key with its allow-lists; no row when the project has one of this name that was not revoked.
insert into api_key (key_id, project_id, name, role, secret_hmac, models, faces, addresses, user_name, tier, local_only, expires_at)
values (%(key_id)s, %(project_id)s, %(name)s, %(role)s, %(secret_hmac)s, %(models)s, %(faces)s, %(addresses)s, %(user)s,
    %(tier)s, %(local_only)s, %(expires_at)s)
on conflict do nothing
returning key_id;

-- name: fetch_keys
-- Keys of a project without their secrets, the newest first: all, those not revoked, or those that an id or a name means.
select key_id as id, name, role, models, faces, addresses, user_name as "user", tier, local_only, created_at, expires_at, rotated_at,
    case when previous_until > now() then previous_until end as previous_until, revoked_at,
    case when revoked_at is not null then 'revoked' when expires_at <= now() then 'expired' else 'active' end as state
from api_key
where project_id = %(project_id)s and (%(all)s or revoked_at is null)
    and (%(name)s::text is null or key_id = %(name)s or name = %(name)s)
order by revoked_at is not null, key_id is distinct from %(name)s, created_at desc, key_id;

-- name: revoke_key
-- From now on nobody gets in with it.
update api_key set revoked_at = now(), previous_hmac = null, previous_until = null
where project_id = %(project_id)s and key_id = %(key_id)s and revoked_at is null;

-- name: rotate_key
-- Give a key another secret; the one before is as good for a while, or for no moment.
update api_key set secret_hmac = %(secret_hmac)s, rotated_at = now(),
    previous_hmac = case when %(overlap_seconds)s::float8 > 0 then secret_hmac end,
    previous_until = case when %(overlap_seconds)s::float8 > 0 then now() + make_interval(secs => %(overlap_seconds)s::float8) end
where project_id = %(project_id)s and key_id = %(key_id)s;
