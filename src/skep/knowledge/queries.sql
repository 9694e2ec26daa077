-- name: upsert_collection
-- The collection of a name in the principal's project; made when it is not there.
insert into collection (project_id, name) values (%(project_id)s, %(name)s)
on conflict (project_id, name) do update set name = excluded.name
returning collection_id;

-- name: fetch_collections
-- Every collection of the principal's project, by name.
select collection_id, uid::text, name, last_seq, pruned_seq from collection
where project_id = %(project_id)s order by name;

-- name: fetch_searchable
-- Every collection of the principal's project with how far a model is with its vectors, by name.
select c.collection_id, c.uid::text, c.name, c.last_seq, c.pruned_seq,
    coalesce(p.space_id, 0), coalesce(p.complete_seq, -1), coalesce(p.embedded, 0), coalesce(p.total, 0)
from collection c
left join embedding_space s on s.project_id = c.project_id and s.model = %(model)s
left join embedding_progress p on p.collection_id = c.collection_id and p.space_id = s.space_id
where c.project_id = %(project_id)s order by c.name;

-- name: fetch_collection
-- One collection, by its number.
select collection_id, uid::text, name, last_seq, pruned_seq from collection
where project_id = %(project_id)s and collection_id = %(collection_id)s;

-- name: insert_purge
-- Notes that something of a collection, or (whole) all of it, is erased: what is left to do afterwards is known here.
insert into purge (project_id, collection_uid)
select project_id, case when %(whole)s then uid end from collection
where project_id = %(project_id)s and collection_id = %(collection_id)s;

-- name: fetch_purged
-- Which of some uids are those of collections that were purged, of any project: their folders may go.
select collection_uid::text from purge where collection_uid = any(%(uids)s::uuid[]);

-- name: fetch_unscrubbed
-- Purges, of any project, whose bytes may still stand in the files of the database.
select purge_id from purge where scrubbed_at is null;

-- name: fetch_onlookers
-- Sessions of this database that may still see what some purges erased, by the process.
select distinct a.pid from pg_stat_activity a, purge p
where p.purge_id = any(%(purge_ids)s) and a.pid <> pg_backend_pid() and a.datname = current_database()
  and greatest(age(a.backend_xid), age(a.backend_xmin)) >= age(p.purged_xid::xid);

-- name: note_scrubbed
-- The tables were written anew after these purges.
update purge set scrubbed_at = now() where purge_id = any(%(purge_ids)s);

-- name: delete_purges
-- Purges after which nothing is left to do anywhere. Those of whole collections stay: other machines may be off for long.
delete from purge where scrubbed_at is not null and collection_uid is null;

-- name: delete_collection
-- A collection with everything that belongs to it alone; shared contents are collected afterwards. Needs the content lock.
delete from collection where project_id = %(project_id)s and collection_id = %(collection_id)s;

-- name: upsert_source
-- The folder a collection is indexed from, on this machine; nothing when the collection was purged meanwhile.
insert into source (project_id, collection_id, node, root)
select project_id, collection_id, %(node)s, %(root)s from collection
where project_id = %(project_id)s and collection_id = %(collection_id)s for key share
on conflict (collection_id, node, root) do update set root = excluded.root
returning source_id;

-- name: fetch_sources
-- The folders of every collection of the principal's project.
select s.collection_id, s.source_id, c.name as collection, s.node, s.root, to_char(s.scanned_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') as scanned_at
from source s join collection c using (collection_id)
where s.project_id = %(project_id)s order by c.name, s.root;

-- name: finish_scan
-- A run over a whole folder has ended: when, and what it left out.
update source set scanned_at = now(), report = %(report)s
where project_id = %(project_id)s and source_id = %(source_id)s;

-- name: mark_indexed
-- A run has ended.
update collection set indexed_at = now() where project_id = %(project_id)s and collection_id = %(collection_id)s;

-- name: fetch_known_documents
-- What is remembered of a folder's documents, deleted ones too, below one path or all.
select d.document_id, d.path, d.size_bytes, d.mtime_ns, d.ctime_ns, d.inode, d.observed_ns, d.version_id, v.chunker
from document d left join version v using (version_id)
where d.project_id = %(project_id)s and d.source_id = %(source_id)s
  and (%(subpath)s = '' or d.path = %(subpath)s or starts_with(d.path, %(subpath)s || '/'));

-- name: fetch_known_parts
-- The same for some paths and what is below them.
select d.document_id, d.path, d.size_bytes, d.mtime_ns, d.ctime_ns, d.inode, d.observed_ns, d.version_id, v.chunker
from document d left join version v using (version_id)
where d.project_id = %(project_id)s and d.source_id = %(source_id)s
  and (d.path = any(%(parts)s) or d.path ^@ any (select part || '/' from unnest(%(parts)s::text[]) part));

-- name: fetch_stored_contents
-- Contents of some sizes whose passages are stored in the project: what need not be cut again.
select b.size_bytes, v.blob_sha256, v.language
from version v join blob b on b.project_id = v.project_id and b.sha256 = v.blob_sha256
where v.project_id = %(project_id)s and v.chunker = %(chunker)s and b.size_bytes = any(%(sizes)s)
group by b.size_bytes, v.blob_sha256, v.language
limit %(limit)s;

-- name: hold_contents
-- While this transaction lasts, nothing collects contents of the project that look unused.
select pg_advisory_xact_lock_shared(7117002, %(project_id)s::int);

-- name: lock_contents
-- While this transaction lasts, nobody adds contents to the project: what is unused now stays unused.
select pg_advisory_xact_lock(7117002, %(project_id)s::int);

-- name: lock_collection
-- The end of the change log, under a lock that is held to the commit: order of numbers is order of commits. And when
-- documents were last purged.
select last_seq, purged_ns from collection
where project_id = %(project_id)s and collection_id = %(collection_id)s for update;

-- name: advance_collection
-- The new end of the change log.
update collection set last_seq = %(last_seq)s
where project_id = %(project_id)s and collection_id = %(collection_id)s;

-- name: fetch_current_documents
-- The present state of the documents a batch is about to change.
select d.path, d.document_id, d.observed_ns, d.version_id, v.blob_sha256, v.chunker, v.language,
    extract(epoch from v.modified_at)::bigint as modified_at
from document d left join version v using (version_id)
where d.project_id = %(project_id)s and d.source_id = %(source_id)s and d.path = any(%(paths)s);

-- name: insert_blobs
-- Original bytes, once per project.
insert into blob (project_id, sha256, size_bytes, deflated)
select %(project_id)s, * from unnest(%(sha256s)b::bytea[], %(sizes)s::bigint[], %(deflateds)b::bytea[])
on conflict do nothing;

-- name: insert_chunks
-- Passages, once per project; returns those that are new.
insert into chunk (project_id, sha256, text)
select %(project_id)s, * from unnest(%(sha256s)b::bytea[], %(texts)b::text[])
on conflict do nothing;

-- name: reserve_version_ids
-- Numbers for new versions.
select nextval('version_version_id_seq') from generate_series(1, %(count)s);

-- name: upsert_documents
-- The new state of documents, new ones and known ones.
insert into document (
    project_id, collection_id, source_id, path, version_id, size_bytes, mtime_ns, ctime_ns, inode, observed_ns)
select %(project_id)s, %(collection_id)s, %(source_id)s, * from unnest(
    %(paths)s::text[], %(version_ids)s::bigint[], %(sizes)s::bigint[], %(mtimes)s::bigint[], %(ctimes)s::bigint[],
    %(inodes)s::bigint[], %(observed)s::bigint[])
on conflict (source_id, path) do update set
    version_id = excluded.version_id, size_bytes = excluded.size_bytes, mtime_ns = excluded.mtime_ns,
    ctime_ns = excluded.ctime_ns, inode = excluded.inode, observed_ns = excluded.observed_ns, deleted_at = null
returning path, document_id;

-- name: touch_documents
-- Documents whose content is what it was, but whose stat changed.
update document d set size_bytes = t.size_bytes, mtime_ns = t.mtime_ns, ctime_ns = t.ctime_ns, inode = t.inode,
    observed_ns = t.observed_ns
from unnest(
    %(document_ids)s::bigint[], %(sizes)s::bigint[], %(mtimes)s::bigint[], %(ctimes)s::bigint[], %(inodes)s::bigint[],
    %(observed)s::bigint[]) as t (document_id, size_bytes, mtime_ns, ctime_ns, inode, observed_ns)
where d.project_id = %(project_id)s and d.document_id = t.document_id;

-- name: retime_versions
-- Versions whose file has the same content and another time. All else of a version never changes.
update version v set modified_at = to_timestamp(t.modified_at)
from unnest(%(version_ids)s::bigint[], %(modified)s::bigint[]) as t (version_id, modified_at)
where v.project_id = %(project_id)s and v.version_id = t.version_id;

-- name: insert_versions
-- New versions. Like all that is written under a lock no COPY: a process that is stopped in the middle of one would hold
-- its locks for ever, because the server heeds no time limit while it waits for the rest.
insert into version (
    version_id, project_id, collection_id, document_id, blob_sha256, chunker, language, kind, chunks, modified_at)
select t.version_id, %(project_id)s, %(collection_id)s, t.document_id, t.blob_sha256, %(chunker)s, t.language, t.kind,
    t.chunks, to_timestamp(t.modified_at)
from unnest(
    %(version_ids)s::bigint[], %(document_ids)s::bigint[], %(sha256s)b::bytea[], %(languages)b::text[],
    %(kinds)b::text[], %(chunks)s::int[], %(modified)s::bigint[])
    as t (version_id, document_id, blob_sha256, language, kind, chunks, modified_at);

-- name: insert_placements
-- Where the passages of new versions stand.
insert into placement (
    project_id, version_id, ordinal, chunk_sha256, start_line, end_line, heading, symbol, input_sha256)
select %(project_id)s, * from unnest(
    %(version_ids)s::bigint[], %(ordinals)s::int[], %(sha256s)b::bytea[], %(start_lines)s::int[], %(end_lines)s::int[],
    %(headings)b::text[], %(symbols)b::text[], %(input_sha256s)b::bytea[]);

-- name: insert_symbols
-- What new versions define.
insert into symbol (
    project_id, collection_id, version_id, ordinal, name, qualified_name, kind, start_line, end_line, family)
select %(project_id)s, %(collection_id)s, * from unnest(
    %(version_ids)s::bigint[], %(ordinals)s::int[], %(names)b::text[], %(qualified_names)b::text[], %(kinds)b::text[],
    %(start_lines)s::int[], %(end_lines)s::int[], %(families)b::text[]);

-- name: insert_changes
-- What followers have to apply.
insert into change_log (project_id, collection_id, seq, version_id, change)
select %(project_id)s, %(collection_id)s, %(last_seq)s + t.place, t.version_id, t.change
from unnest(%(version_ids)s::bigint[], %(changes)b::text[]) with ordinality as t (version_id, change, place);

-- name: fetch_donors
-- For contents that need no cutting: a version of the project that has the passages.
select distinct on (blob_sha256, language) blob_sha256, language, version_id, chunks from version
where project_id = %(project_id)s and chunker = %(chunker)s and blob_sha256 = any(%(sha256s)s)
order by blob_sha256, language, version_id desc;

-- name: clone_placements
-- The passages of versions with the same content, for new versions.
insert into placement (
    project_id, version_id, ordinal, chunk_sha256, start_line, end_line, heading, symbol, input_sha256)
select p.project_id, t.version_id, p.ordinal, p.chunk_sha256, p.start_line, p.end_line, p.heading, p.symbol, p.input_sha256
from unnest(%(version_ids)s::bigint[], %(donor_ids)s::bigint[]) as t (version_id, donor_id)
join placement p on p.version_id = t.donor_id and p.project_id = %(project_id)s;

-- name: clone_symbols
-- The symbols of versions with the same content, for new versions.
insert into symbol (
    project_id, collection_id, version_id, ordinal, name, qualified_name, kind, start_line, end_line, family)
select s.project_id, %(collection_id)s, t.version_id, s.ordinal, s.name, s.qualified_name, s.kind, s.start_line,
    s.end_line, t.family
from unnest(%(version_ids)s::bigint[], %(donor_ids)s::bigint[], %(families)b::text[]) as t (version_id, donor_id, family)
join symbol s on s.version_id = t.donor_id and s.project_id = %(project_id)s;

-- name: insert_mentions
-- What new versions say of other files. What a version has in common with its donor is copied from there. Lists come joined
-- by the separator, because arrays of arrays must be rectangles.
insert into mention (project_id, collection_id, version_id, family, reach, module, subjects, imports, names)
select %(project_id)s, %(collection_id)s, t.version_id, t.family, t.reach, nullif(t.module, ''),
    string_to_array(t.subjects, %(separator)s), string_to_array(t.imports, %(separator)s),
    coalesce(donor.names, string_to_array(t.names, %(separator)s))
from unnest(
    %(version_ids)s::bigint[], %(donor_ids)s::bigint[], %(families)b::text[], %(reaches)b::text[], %(modules)b::text[],
    %(subjects)b::text[], %(imports)b::text[], %(names)b::text[])
    as t (version_id, donor_id, family, reach, module, subjects, imports, names)
left join mention donor on donor.version_id = t.donor_id and donor.project_id = %(project_id)s;

-- name: retire_symbols
-- Nobody means the names of replaced or deleted versions any more.
update symbol set family = null
where project_id = %(project_id)s and version_id = any(%(version_ids)s) and family is not null;

-- name: retire_mentions
-- Nobody means the paths of replaced or deleted versions any more.
update mention set module = null
where project_id = %(project_id)s and version_id = any(%(version_ids)s) and module is not null;

-- name: retire_versions
-- Versions that were replaced or deleted; kept for the retention time.
update version set removed_at = now() where project_id = %(project_id)s and version_id = any(%(version_ids)s);

-- name: delete_documents
-- Tombstones: the documents keep their history, but have no findable version. Newer observations win, unless they are
-- from the future: then the clock was set back.
update document set version_id = null, deleted_at = now(), observed_ns = %(observed_ns)s
where project_id = %(project_id)s and document_id = any(%(document_ids)s) and version_id = any(%(version_ids)s)
  and (observed_ns <= %(observed_ns)s or observed_ns > %(now_ns)s)
returning document_id;

-- name: fetch_changes
-- The next entries of a collection's change log, with what followers need to know of added versions.
select c.seq, c.change, c.version_id, d.path, v.language, v.kind, extract(epoch from v.modified_at)::bigint as modified_at,
    v.chunks
from change_log c left join version v using (version_id) left join document d using (document_id)
where c.project_id = %(project_id)s and c.collection_id = %(collection_id)s
  and c.seq > %(after)s and c.seq <= %(until)s
order by c.seq limit %(limit)s;

-- name: fetch_live_versions
-- Every findable version of a collection after a given one, in order: what a rebuild feeds on.
select v.version_id, d.path, v.language, v.kind, extract(epoch from v.modified_at)::bigint as modified_at, v.chunks
from document d join version v using (version_id)
where d.project_id = %(project_id)s and d.collection_id = %(collection_id)s and v.version_id > %(after)s
order by v.version_id limit %(limit)s;

-- name: fetch_passages
-- The passages of some versions, with their text.
select p.version_id, p.ordinal, p.start_line, p.end_line, p.heading, p.symbol, c.text
from placement p join chunk c on c.project_id = p.project_id and c.sha256 = p.chunk_sha256
where p.project_id = %(project_id)s and p.version_id = any(%(version_ids)s)
order by p.version_id, p.ordinal;

-- name: fetch_symbols
-- What some versions define.
select version_id, qualified_name, start_line from symbol
where project_id = %(project_id)s and version_id = any(%(version_ids)s)
order by version_id, start_line, ordinal;

-- name: fetch_spans
-- Where the passages of some versions stand, without their text.
select version_id, start_line, end_line, symbol from placement
where project_id = %(project_id)s and version_id = any(%(version_ids)s)
order by version_id, ordinal;

-- name: fetch_version_files
-- The files some versions belong to.
select v.version_id, d.path, v.language, v.kind
from version v join document d using (document_id)
where v.project_id = %(project_id)s and v.version_id = any(%(version_ids)s);

-- name: fetch_hits
-- The passages that are shown as results, unless their document was deleted. One that was replaced a moment ago answers
-- with its former version until the index has the new one: better than not at all.
select p.version_id, p.ordinal, p.start_line, p.end_line, p.heading, p.symbol, c.text, encode(v.blob_sha256, 'hex')
from unnest(%(version_ids)s::bigint[], %(ordinals)s::int[]) as t (version_id, ordinal)
join placement p using (version_id, ordinal)
join version v using (version_id)
join document d using (document_id)
join chunk c on c.project_id = p.project_id and c.sha256 = p.chunk_sha256
where p.project_id = %(project_id)s and d.version_id is not null;

-- name: fetch_passage_at
-- The passage of a document that contains a line, or is the nearest; and where the document's last one ends. A document
-- without any passage has none here either. Of several documents with the path, one that reaches that far.
select p.version_id, p.ordinal, c.text, coalesce(e.last_line, 0) as last_line
from document d
cross join lateral (select max(end_line) as last_line from placement where version_id = d.version_id) e
left join placement p using (version_id)
left join chunk c on c.project_id = p.project_id and c.sha256 = p.chunk_sha256
where d.project_id = %(project_id)s and d.collection_id = any(%(collection_ids)s) and d.path = %(path)s
  and d.version_id is not null
order by coalesce(e.last_line, 0) >= %(line)s desc, p.start_line <= %(line)s desc, abs(p.start_line - %(line)s),
    p.ordinal desc
limit 1;

-- name: fetch_filter_values
-- The languages that collections have, with the number of files: the known values of a filter.
select v.language, count(*) as files
from document d join version v using (version_id)
where d.project_id = %(project_id)s and d.collection_id = any(%(collection_ids)s)
group by v.language order by v.language;

-- name: count_contents
-- Files and passages of every collection that are findable now.
select d.collection_id, count(*) as files, sum(v.chunks)::bigint as chunks
from document d join version v using (version_id)
where d.project_id = %(project_id)s
group by d.collection_id;

-- name: count_chunks
-- Passages of one collection that are findable now.
select coalesce(sum(v.chunks), 0)::bigint from document d join version v using (version_id)
where d.project_id = %(project_id)s and d.collection_id = %(collection_id)s;

-- name: count_languages
-- Findable files of every collection by language.
select d.collection_id, v.language, count(*) as files
from document d join version v using (version_id)
where d.project_id = %(project_id)s group by d.collection_id, v.language order by d.collection_id, count(*) desc;

-- name: upsert_follower
-- How far a follower on this machine has come; nothing when the collection was purged meanwhile.
insert into follower (project_id, collection_id, node, kind, applied_seq)
select project_id, collection_id, %(node)s, %(kind)s, %(applied_seq)s from collection
where project_id = %(project_id)s and collection_id = %(collection_id)s for key share
on conflict (collection_id, node, kind) do update set applied_seq = excluded.applied_seq, seen_at = now();

-- name: prune_change_log
-- Forget what every living follower has applied and nobody may still have to be told of; returns the new first number that
-- is kept minus one.
with floor as (
    select least(c.last_seq, coalesce(min(f.applied_seq), c.last_seq), coalesce((
        select max(l.seq) from change_log l
        where l.collection_id = c.collection_id and l.changed_at < now() - %(keep_changes)s::interval), 0)) as seq
    from collection c
    left join follower f on f.collection_id = c.collection_id and f.seen_at > now() - %(forget_followers)s::interval
    where c.project_id = %(project_id)s and c.collection_id = %(collection_id)s
    group by c.collection_id, c.last_seq
), gone as (
    delete from change_log l using floor
    where l.project_id = %(project_id)s and l.collection_id = %(collection_id)s and l.seq <= floor.seq
)
update collection set pruned_seq = greatest(pruned_seq, floor.seq) from floor
where project_id = %(project_id)s and collection_id = %(collection_id)s
returning pruned_seq;

-- name: lift_statement_timeout
-- For this transaction: statements that go through a whole project may rightly take long.
set local statement_timeout = 0;

-- name: fetch_collection_ids
-- Every collection of every project: for the housekeeping.
select project_id, collection_id from collection order by collection_id;

-- name: fetch_expired_collections
-- The collections of a project that have versions to expire.
select distinct collection_id from version
where project_id = %(project_id)s and removed_at < now() - %(keep)s::interval order by collection_id;

-- name: has_expired_versions
-- Whether there is anything to expire.
select exists (
    select from version where project_id = %(project_id)s and collection_id = %(collection_id)s
    and removed_at < now() - %(keep)s::interval);

-- name: expire_versions
-- Delete versions that were replaced or deleted long enough ago. Needs the content lock: they may be donors.
delete from version where project_id = %(project_id)s and collection_id = %(collection_id)s
  and removed_at < now() - %(keep)s::interval;

-- name: expire_documents
-- Delete tombstones none of whose versions are kept any more.
delete from document d where d.project_id = %(project_id)s and d.collection_id = %(collection_id)s
  and d.version_id is null and not exists (select from version v where v.document_id = d.document_id);

-- name: collect_chunks
-- Delete passages that stand nowhere. Needs the content lock.
delete from chunk c where c.project_id = %(project_id)s
  and not exists (select from placement p where p.project_id = c.project_id and p.chunk_sha256 = c.sha256);

-- name: collect_embeddings
-- Delete vectors of what is written nowhere any more. Needs the content lock.
delete from embedding e where e.project_id = %(project_id)s
  and not exists (select from placement p where p.project_id = e.project_id and p.input_sha256 = e.input_sha256);

-- name: collect_blobs
-- Delete original bytes that no version has. Needs the content lock.
delete from blob b where b.project_id = %(project_id)s
  and not exists (select from version v where v.project_id = b.project_id and v.blob_sha256 = b.sha256);

-- name: fetch_documents_matching
-- Living documents of a collection at a path or below it, or all of them; with their versions.
select document_id, path, version_id from document
where project_id = %(project_id)s and collection_id = %(collection_id)s and version_id is not null
  and (%(path)s::text is null or path = %(path)s or starts_with(path, %(path)s || '/'))
order by document_id;

-- name: fetch_documents_to_purge
-- Documents of a collection at a path or below it, deleted ones too.
select document_id, path, version_id from document
where project_id = %(project_id)s and collection_id = %(collection_id)s
  and (path = %(path)s or starts_with(path, %(path)s || '/'))
order by document_id;

-- name: erase_documents
-- Erase documents with all their versions, for good. Needs the content lock: the versions may be donors.
delete from document where project_id = %(project_id)s and document_id = any(%(document_ids)s);

-- name: clear_change_log
-- Let every follower, here and elsewhere, find itself left behind, so that it builds its files anew; and let whoever read
-- the documents before know that they were purged.
with gone as (
    delete from change_log where project_id = %(project_id)s and collection_id = %(collection_id)s
)
update collection set last_seq = last_seq + 1, pruned_seq = last_seq + 1, purged_ns = %(now_ns)s
where project_id = %(project_id)s and collection_id = %(collection_id)s;

-- name: count_versions
-- How many versions some documents have.
select count(*) from version where project_id = %(project_id)s and document_id = any(%(document_ids)s);

-- name: fetch_stored_files
-- Living documents of a collection with their original bytes: what verify rebuilds from.
select d.path, d.version_id, coalesce(v.document_id = d.document_id and v.removed_at is null, false) as is_findable,
    d.mtime_ns, extract(epoch from v.modified_at)::bigint as modified_at,
    v.language, v.kind, v.chunker, v.chunks, b.sha256, b.size_bytes, b.deflated
from document d left join version v using (version_id)
left join blob b on b.project_id = v.project_id and b.sha256 = v.blob_sha256
where d.project_id = %(project_id)s and d.collection_id = %(collection_id)s and d.version_id > %(after)s
order by d.version_id limit %(limit)s;

-- name: count_collection_documents
-- How many documents a collection has, deleted ones too.
select count(*) from document where project_id = %(project_id)s and collection_id = %(collection_id)s;

-- name: count_collection_versions
-- How many versions a collection has, kept ones too.
select count(*) from version where project_id = %(project_id)s and collection_id = %(collection_id)s;

-- name: give_vacuum_memory
-- An index of vectors is built many times as fast when it fits into memory.
set maintenance_work_mem = '512MB';

-- name: reset_vacuum_memory
-- As much memory for it as the server says, again.
reset maintenance_work_mem;

-- name: limit_lock_wait
-- For this connection: how long a statement may wait for a lock, in milliseconds. Whoever comes after it waits as long.
select set_config('lock_timeout', %(milliseconds)s::int::text, false);

-- name: reset_lock_wait
-- Back to what the connection was opened with.
reset lock_timeout;

-- name: vacuum_chunks
-- Write the table anew, without deleted passages: a plain vacuum frees their room and leaves their bytes there.
vacuum (full) chunk;

-- name: vacuum_blobs
-- Write the table anew, without deleted originals.
vacuum (full) blob;

-- name: vacuum_placements
-- Write the table anew, without deleted headings.
vacuum (full) placement;

-- name: vacuum_embeddings
-- Write the table anew, with its indexes, without deleted vectors: something of a text can be guessed from its vector.
vacuum (full) embedding;

-- name: vacuum_symbols
-- Write the table anew, without deleted names.
vacuum (full) symbol;

-- name: vacuum_mentions
-- Write the table anew, without deleted names and paths.
vacuum (full) mention;

-- name: vacuum_versions
-- Write the table anew, without deleted states.
vacuum (full) version;

-- name: vacuum_documents
-- Write the table anew, without deleted paths.
vacuum (full) document;

-- name: fetch_placed_chunks
-- The passages of some versions as verify compares them: with the hash of the text that is really there.
select p.version_id, sha256(convert_to(c.text, 'UTF8')), c.text, p.start_line, p.end_line, p.heading, p.symbol,
    p.input_sha256
from placement p join chunk c on c.project_id = p.project_id and c.sha256 = p.chunk_sha256
where p.project_id = %(project_id)s and p.version_id = any(%(version_ids)s)
order by p.version_id, p.ordinal;

-- name: fetch_whole_symbols
-- Everything stored about the symbols of some versions.
select version_id, name, qualified_name, kind, start_line, end_line, family from symbol
where project_id = %(project_id)s and version_id = any(%(version_ids)s)
order by version_id, ordinal;

-- name: open_space
-- The space of a model in the project, made at its first use.
select open_embedding_space(%(project_id)s, %(model)s, %(dimensions)s);

-- name: fetch_spaces
-- The spaces of the principal's project, by model.
select model, space_id from embedding_space where project_id = %(project_id)s;

-- name: fetch_embedding_work
-- Collections of every project with passages that a model may not have embedded yet.
select c.project_id, c.collection_id, c.name
from collection c
left join embedding_space s on s.project_id = c.project_id and s.model = %(model)s
left join embedding_progress p on p.collection_id = c.collection_id and p.space_id = s.space_id
where not c.embedding_paused and c.last_seq > greatest(coalesce(p.complete_seq, 0), 0)
order by p.updated_at nulls first, c.collection_id;

-- name: fetch_unembedded
-- What a model has not embedded yet of a collection's findable passages, from a version on, in order.
select p.version_id, p.input_sha256, c.text, p.symbol, p.heading
from document d join version v using (version_id) join placement p using (version_id)
join chunk c on c.project_id = p.project_id and c.sha256 = p.chunk_sha256
where d.project_id = %(project_id)s and d.collection_id = %(collection_id)s and p.version_id > %(after)s
  and not exists (select from embedding e where e.space_id = %(space_id)s and e.input_sha256 = p.input_sha256)
order by p.version_id, p.ordinal limit %(limit)s;

-- name: insert_embeddings
-- Vectors of what is still written somewhere. Needs the contents held, so that nothing is erased in between.
insert into embedding (space_id, project_id, input_sha256, vector)
select %(space_id)s, %(project_id)s, t.input_sha256, t.vector::halfvec
from unnest(%(sha256s)b::bytea[], %(vectors)s::text[]) as t (input_sha256, vector)
where exists (select from placement p where p.project_id = %(project_id)s and p.input_sha256 = t.input_sha256)
on conflict do nothing;

-- name: count_embedded
-- How many of a collection's findable passages there are, and how many of them a model has embedded.
select count(*), count(e.input_sha256)
from document d join version v using (version_id) join placement p using (version_id)
left join embedding e on e.space_id = %(space_id)s and e.input_sha256 = p.input_sha256
where d.project_id = %(project_id)s and d.collection_id = %(collection_id)s;

-- name: sample_embedded
-- Some of a collection's findable passages that have a vector, others each time, with it.
select d.path, c.text, p.symbol, p.heading, e.vector::text
from (
    select version_id, path, project_id from document
    where project_id = %(project_id)s and collection_id = %(collection_id)s and version_id is not null
    order by random() limit %(limit)s
) d
cross join lateral (
    select * from placement where version_id = d.version_id order by random() limit greatest(1, %(limit)s / 100)
) p
join chunk c on c.project_id = p.project_id and c.sha256 = p.chunk_sha256
join embedding e on e.space_id = %(space_id)s and e.input_sha256 = p.input_sha256
limit %(limit)s;

-- name: note_embedding_progress
-- How far a model is with a collection, counted now, with the end of the change log of the same moment: so complete is
-- complete. Nothing when the collection was purged meanwhile.
with counted as materialized (
    select c.collection_id, c.last_seq, n.embedded, n.total
    from collection c
    cross join lateral (
        select count(*) as total, count(e.input_sha256) as embedded
        from document d join version v using (version_id) join placement p using (version_id)
        left join embedding e on e.space_id = %(space_id)s and e.input_sha256 = p.input_sha256
        where d.project_id = c.project_id and d.collection_id = c.collection_id
    ) n
    where c.project_id = %(project_id)s and c.collection_id = %(collection_id)s
)
insert into embedding_progress (project_id, collection_id, space_id, complete_seq, embedded, total)
select c.project_id, c.collection_id, %(space_id)s,
    case when n.embedded = n.total then n.last_seq else -1 end, n.embedded, n.total
from counted n join collection c using (collection_id)
where c.project_id = %(project_id)s for key share of c
on conflict (collection_id, space_id) do update set
    complete_seq = greatest(embedding_progress.complete_seq, excluded.complete_seq),
    embedded = excluded.embedded, total = excluded.total, updated_at = now();

-- name: fetch_begun_spaces
-- The spaces in which vectors of a collection were begun.
select space_id from embedding_progress where project_id = %(project_id)s and collection_id = %(collection_id)s;

-- name: add_embedding_progress
-- So many more passages have a vector; and whether somebody asked to pause. Nothing when the collection was purged.
update embedding_progress p set embedded = least(p.embedded + %(added)s, p.total), updated_at = now()
from collection c
where p.project_id = %(project_id)s and p.collection_id = %(collection_id)s and p.space_id = %(space_id)s
  and c.collection_id = p.collection_id
returning c.embedding_paused;

-- name: fetch_embedding_progress
-- How far each model is with each collection of the project.
select c.collection_id, c.last_seq, c.embedding_paused as is_paused, s.model, p.complete_seq, p.embedded, p.total
from collection c
join embedding_progress p using (collection_id) join embedding_space s using (space_id)
where c.project_id = %(project_id)s order by c.name, s.model;

-- name: pause_embedding
-- Whether passages of a collection get vectors for now.
update collection set embedding_paused = %(is_paused)s
where project_id = %(project_id)s and collection_id = any(%(collection_ids)s);

-- name: count_matching
-- How many findable passages of some collections pass the filters.
select coalesce(sum(v.chunks), 0)::bigint from version v
where v.project_id = %(project_id)s and v.collection_id = any(%(collection_ids)s) and v.removed_at is null
  and (%(languages)s::text[] is null or v.language = any(%(languages)s))
  and (%(kinds)s::text[] is null or v.kind = any(%(kinds)s))
  and (%(modified_since)s::bigint is null or v.modified_at >= to_timestamp(%(modified_since)s))
  and (%(modified_until)s::bigint is null or v.modified_at <= to_timestamp(%(modified_until)s))
  and (%(path_pattern)s::text is null
    or exists (select from document d where d.document_id = v.document_id and d.path ~ %(path_pattern)s));

-- name: nearest_passages
-- Findable passages by the nearness of their vectors, through the index, which goes on until there are enough. :dimensions
-- and :limit are filled in, plain numbers: the index is on that type, and with a limit that is not known the database would plan
-- each of these anew (0.4 ms), because a tenth of all rows is what it then expects.
select p.version_id, p.ordinal, v.collection_id, -(e.vector::halfvec(:dimensions) <#> %(vector)s::halfvec(:dimensions)) as similarity
from embedding e
join placement p on p.project_id = e.project_id and p.input_sha256 = e.input_sha256
join version v on v.version_id = p.version_id
where e.space_id = %(space_id)s and e.project_id = %(project_id)s and v.removed_at is null
  and v.collection_id = any(%(collection_ids)s)
order by e.vector::halfvec(:dimensions) <#> %(vector)s::halfvec(:dimensions) limit :limit;

-- name: nearest_filtered_passages
-- The same for passages that pass the filters.
select p.version_id, p.ordinal, v.collection_id, -(e.vector::halfvec(:dimensions) <#> %(vector)s::halfvec(:dimensions)) as similarity
from embedding e
join placement p on p.project_id = e.project_id and p.input_sha256 = e.input_sha256
join version v on v.version_id = p.version_id
where e.space_id = %(space_id)s and e.project_id = %(project_id)s and v.removed_at is null
  and v.collection_id = any(%(collection_ids)s)
  and (%(languages)s::text[] is null or v.language = any(%(languages)s))
  and (%(kinds)s::text[] is null or v.kind = any(%(kinds)s))
  and (%(modified_since)s::bigint is null or v.modified_at >= to_timestamp(%(modified_since)s))
  and (%(modified_until)s::bigint is null or v.modified_at <= to_timestamp(%(modified_until)s))
  and (%(path_pattern)s::text is null
    or exists (select from document d where d.document_id = v.document_id and d.path ~ %(path_pattern)s))
order by e.vector::halfvec(:dimensions) <#> %(vector)s::halfvec(:dimensions) limit :limit;

-- name: nearest_passages_of_all
-- Findable passages of collections among the nearest vectors of a whole small space, each of which is looked at; perhaps
-- too few, when the space has much besides these collections.
with near as materialized (
    select e.project_id, e.input_sha256, e.vector <#> %(vector)s::halfvec as distance
    from embedding e where e.space_id = %(space_id)s and e.project_id = %(project_id)s
    order by distance limit 2 * %(limit)s
)
select p.version_id, p.ordinal, v.collection_id, -n.distance as similarity
from near n
join placement p on p.project_id = n.project_id and p.input_sha256 = n.input_sha256
join version v on v.version_id = p.version_id
where v.removed_at is null and v.collection_id = any(%(collection_ids)s) and v.project_id = %(project_id)s
order by n.distance limit %(limit)s;

-- name: nearest_passages_exactly
-- The same without the index: every vector of what passes the filters is looked at.
select p.version_id, p.ordinal, v.collection_id, -(e.vector <#> %(vector)s::halfvec) as similarity
from version v
join placement p on p.version_id = v.version_id
join embedding e on e.project_id = p.project_id and e.input_sha256 = p.input_sha256
where v.project_id = %(project_id)s and v.collection_id = any(%(collection_ids)s) and v.removed_at is null
  and e.space_id = %(space_id)s
  and (%(languages)s::text[] is null or v.language = any(%(languages)s))
  and (%(kinds)s::text[] is null or v.kind = any(%(kinds)s))
  and (%(modified_since)s::bigint is null or v.modified_at >= to_timestamp(%(modified_since)s))
  and (%(modified_until)s::bigint is null or v.modified_at <= to_timestamp(%(modified_until)s))
  and (%(path_pattern)s::text is null
    or exists (select from document d where d.document_id = v.document_id and d.path ~ %(path_pattern)s))
order by e.vector <#> %(vector)s::halfvec limit %(limit)s;

-- name: fetch_mentions
-- What some versions say of other files.
select version_id, family, reach, coalesce(module, ''), subjects, imports, names from mention
where project_id = %(project_id)s and version_id = any(%(version_ids)s);

-- name: count_stray_targets
-- Symbols and paths of a collection that can be meant although their version is not findable, or in another collection.
select count(*) from version v
where v.project_id = %(project_id)s and v.collection_id = %(collection_id)s and (
    exists (select from symbol s where s.version_id = v.version_id
        and (s.collection_id <> v.collection_id or v.removed_at is not null and s.family is not null))
    or exists (select from mention m where m.version_id = v.version_id
        and (m.collection_id <> v.collection_id or v.removed_at is not null and m.module is not null)));

-- name: fetch_leads
-- Where the module keys and names of some versions lead: to findable versions of the same collection. What leads to more than
-- the limit shows by one more. Lateral subqueries with a limit leave one plan, whatever is known of the tables: one look into
-- an index each, however many files have a name. The families of a version's reach are those from it to itself, or all.
with asked as materialized (
    select version_id, collection_id, reach, case reach when '' then '~' else reach end as last_family, subjects, imports, names
    from mention
    where project_id = %(project_id)s and collection_id = %(collection_id)s and version_id = any(%(version_ids)s::bigint[])
)
select a.version_id, k.kind, k.key, t.version_id
from asked a
cross join lateral (
    select unnest(a.subjects) as key, 'test' as kind
    union all
    select unnest(a.imports), case a.reach when '' then 'mention' else 'import' end) k
cross join lateral (
    select m.version_id from mention m
    where m.collection_id = a.collection_id and m.module is not null
      and m.module collate "C" >= k.key and m.module collate "C" < left(k.key, -1) || '0'
      and (right(k.key, 2) = '//' or m.family collate "C" between a.reach and a.last_family)
    limit %(limit)s + 1) t
union all
select a.version_id, case a.reach when '' then 'mention' else 'reference' end, n.name, t.version_id
from asked a
cross join lateral unnest(a.names) as n (name)
cross join lateral (
    select distinct s.family collate "C", s.version_id from symbol s
    where s.collection_id = a.collection_id and s.name collate "C" = n.name and s.family is not null
      and s.family collate "C" between a.reach and a.last_family
    limit %(limit)s + 1) t;

-- name: fetch_watched_sources
-- The folders of one machine that are indexed: of every project, or of one.
select p.project_id, p.name as project, c.collection_id, c.name as collection, s.source_id, s.root
from source s join collection c using (collection_id) join project p on p.project_id = s.project_id
where s.node = %(node)s and (%(project_id)s::bigint is null or s.project_id = %(project_id)s)
order by s.source_id;

-- name: upsert_watch
-- That somebody watches a folder, and how that goes. Nothing when it was purged meanwhile.
insert into watch (source_id, project_id, method, notice, lag_ms, looks, seen_at)
select source_id, project_id, %(method)s, %(notice)s, %(lag_ms)s, %(looks)s, now() from source
where project_id = %(project_id)s and source_id = %(source_id)s
on conflict (source_id) do update set method = excluded.method, notice = excluded.notice,
    lag_ms = coalesce(excluded.lag_ms, watch.lag_ms), looks = watch.looks + excluded.looks, seen_at = excluded.seen_at;

-- name: delete_watch
-- That nobody watches a folder any more. Another watcher of the same folder notes itself again.
delete from watch where project_id = %(project_id)s and source_id = %(source_id)s;

-- name: fetch_watches
-- How the folders of the principal's project are watched; a watch that was not seen for long is none.
select source_id, method, notice, lag_ms, looks, extract(epoch from now() - seen_at)::float8 as silent_seconds
from watch where project_id = %(project_id)s;

-- name: listen_changes
-- From here on this connection hears, by the number of its project, that a collection has changed.
listen skep_change;

-- name: fetch_change_window
-- What the changes after one number and up to another come to: how many files were added, changed and removed, the last
-- paths of each, and when. A file that came and went in between is none of them. A version that is older than its entry
-- only got another time.
with file as (
    select d.path, max(c.seq) as seq, max(c.changed_at) as changed_at,
        (array_agg(c.change = 'removed' or v.created_at < c.changed_at order by c.seq))[1] as was_there,
        (array_agg(c.change = 'added' order by c.seq desc))[1] as is_there
    from change_log c join version v using (version_id) join document d using (document_id)
    where c.project_id = %(project_id)s and c.collection_id = %(collection_id)s
      and c.seq > %(after)s and c.seq <= %(until)s
    group by d.document_id, d.path
)
select case when not was_there then 'added' when is_there then 'changed' else 'removed' end as kind, count(*) as files,
    (array_agg(path order by seq desc))[1:%(paths)s] as paths,
    to_char(max(changed_at) at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as at
from file where was_there or is_there group by 1;

-- name: fetch_originals
-- Living documents at a path in some collections, the first with its original bytes; and where their files are.
select c.name as collection, d.path, v.language, s.node, s.root, d.size_bytes, d.mtime_ns,
    to_char(v.created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') as indexed_at,
    case when row_number() over (order by c.name, s.root) = 1 then b.deflated end as deflated
from source s
join document d using (source_id)
join collection c on c.collection_id = s.collection_id
join version v on v.version_id = d.version_id
join blob b on b.project_id = v.project_id and b.sha256 = v.blob_sha256
where s.project_id = %(project_id)s and s.collection_id = any(%(collection_ids)s) and d.path = %(path)s
order by c.name, s.root limit 20;

-- name: fetch_lags
-- How far this machine's lexical index and a model's vectors are behind each collection: of one project, or of all. Without
-- collections of other machines that nobody ever searched on this one.
with behind as (
    select c.collection_id, c.name, 'lexical' as follower, c.last_seq, coalesce(f.applied_seq, 0) as applied_seq
    from collection c
    left join follower f on f.collection_id = c.collection_id and f.node = %(node)s and f.kind = %(kind)s
    where (%(project_id)s::bigint is null or c.project_id = %(project_id)s)
      and (f.applied_seq is not null
        or exists (select from source s where s.collection_id = c.collection_id and s.node = %(node)s))
    union all
    select c.collection_id, c.name, 'embedding', c.last_seq, greatest(coalesce(p.complete_seq, 0), 0)
    from collection c
    left join embedding_space s on s.project_id = c.project_id and s.model = %(model)s
    left join embedding_progress p on p.collection_id = c.collection_id and p.space_id = s.space_id
    where (%(project_id)s::bigint is null or c.project_id = %(project_id)s) and %(model)s <> ''
)
select b.name as collection, b.follower, greatest(b.last_seq - b.applied_seq, 0) as changes,
    case when b.applied_seq >= b.last_seq then 0.0
        when l.changed_at is not null then greatest(extract(epoch from clock_timestamp() - l.changed_at), 0) end::float8 as seconds
from behind b
left join lateral (
    select changed_at from change_log
    where collection_id = b.collection_id and seq > b.applied_seq and b.applied_seq < b.last_seq order by seq limit 1
) l on true;

-- name: fetch_watch_lag
-- How long the last change took until it was searchable, in the slowest of the folders that are watched now: of one project,
-- or of all.
select max(lag_ms) from watch
where (%(project_id)s::bigint is null or project_id = %(project_id)s)
  and seen_at > now() - make_interval(secs => %(silent_seconds)s);
