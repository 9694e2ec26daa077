-- Keys: allow-lists, expiry, rotation with overlap; and word of every change to the processes that remember keys.

alter table api_key
    add column models text[],
    add column faces text[],
    add column addresses text[],
    add column user_name text check (length(user_name) between 1 and 200),
    add column tier text check (length(tier) between 1 and 200),
    add column expires_at timestamptz,
    add column rotated_at timestamptz,
    add column previous_hmac bytea check (length(previous_hmac) = 32),
    add column previous_until timestamptz,
    add check ((previous_hmac is null) = (previous_until is null));
create unique index api_key_name on api_key (project_id, name) where revoked_at is null;
comment on column api_key.models is 'Names of models it may ask for, * at the end for all that begin so; null for all.';
comment on column api_key.faces is 'Faces of the gateway it may use; null for all.';
comment on column api_key.addresses is 'Networks it may be used from; null for all.';
comment on column api_key.user_name is 'Whose key it is: rules and reports by user count its calls there.';
comment on column api_key.previous_hmac is 'Of the secret before the last rotation, which is as good until previous_until.';

create function tell_key() returns trigger language plpgsql as $$
begin
    perform pg_notify('skep_access', old.key_id);
    return null;
end
$$;
create trigger key_changed after update or delete on api_key for each row execute function tell_key();
