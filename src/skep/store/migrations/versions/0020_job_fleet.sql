alter table job
    add column priority smallint not null default 0 check (priority between -100 and 100),
    add column tries smallint not null default 3 check (tries between 1 and 100);
comment on column job.priority is 'Higher ones begin first, within their queue and their subject.';
comment on column job.tries is 'So often it may end without an answer (lost_attempts); then it failed.';
create index job_queued on job (queue, created_at) where state in ('queued', 'running');
create index job_failed on job (queue) where state = 'failed';

-- What only one job at a time may have: on a machine its folders, elsewhere what a project's job works on, whichever queue
-- it stands in. Null: nothing.
create function job_lock(queue text, project_id bigint, subject text) returns text language sql immutable parallel safe as $$
    select case when subject <> '' then
        concat_ws('/', case when queue like 'node-%' then queue else 'fleet' end, project_id, subject)
    end
$$;

create table job_queue (
    queue text primary key,
    paused_at timestamptz
);
comment on table job_queue is 'Queues about which something was said; any other is not paused.';
comment on column job_queue.paused_at is 'Since when nothing of it is begun; null when it is not paused.';

create table job_worker (
    worker_id bigint primary key,
    node text not null,
    process_id integer not null,
    queues text[] not null,
    concurrency integer not null,
    started_at timestamptz not null default now()
);
comment on table job_worker is 'What a worker of the queue is good for. Whether it lives says procrastinate.procrastinate_workers.';
