-- name: enter_queue_schema
-- For the rest of the transaction the queue's own functions find their tables.
select set_config('search_path', 'public, procrastinate', true);

-- name: lock_subject
-- One at a time asks for work on a subject, so that two requests cannot both find no waiting job.
select pg_advisory_xact_lock(7117003, hashtext(concat_ws('/', %(project_id)s::bigint, %(subject)s::text)));

-- name: fetch_waiting_twin
-- A job that waits to do exactly what is asked for.
select job_id from job
where project_id = %(project_id)s and kind = %(kind)s and subject = %(subject)s and queue = %(queue)s
  and state = 'queued' and arguments = %(arguments)s and requested_by = %(requested_by)s
order by created_at limit 1;

-- name: insert_job
-- A new job, and its place in the queue; the queue's lock lets one job per subject run at a time.
insert into job (job_id, project_id, kind, subject, queue, arguments, requested_by, priority, tries, state, queue_job_id)
values (
    %(job_id)s::text, %(project_id)s::bigint, %(kind)s, %(subject)s::text, %(queue)s::text, %(arguments)s, %(requested_by)s,
    %(priority)s::integer, %(tries)s, 'queued',
    (procrastinate_defer_jobs_v1(array[row(
        %(queue)s::text, %(task)s::text, 2 * %(priority)s::integer,
        public.job_lock(%(queue)s::text, %(project_id)s::bigint, %(subject)s::text), null,
        jsonb_build_object('job_id', %(job_id)s::text), null
    )]::procrastinate_job_to_defer_v1[]))[1]
);

-- name: fetch_job
-- One job of the principal's project.
select job_id, kind, subject, queue, priority, state, progress, result, error, attempts, cancel_requested_at is not null as cancel_requested,
    revision, created_at, started_at, finished_at
from job where project_id = %(project_id)s and job_id = %(job_id)s;

-- name: fetch_jobs
-- The newest jobs of the principal's project, of all states or one, of all queues or one.
select job_id, kind, subject, queue, priority, state, progress, result, error, attempts, cancel_requested_at is not null as cancel_requested,
    revision, created_at, started_at, finished_at
from job
where project_id = %(project_id)s and (%(state)s::text is null or state = %(state)s)
  and (%(queue)s::text is null or queue = %(queue)s)
order by created_at desc, job_id desc limit %(limit)s;

-- name: count_unfinished
-- How many jobs wait and how many run: of one project, or of all.
select s.state, count(j.state) from unnest(array['queued', 'running']) as s (state)
left join job j on j.state = s.state and j.state in ('queued', 'running')
    and (%(project_id)s::bigint is null or j.project_id = %(project_id)s)
group by s.state;

-- name: request_cancel
-- A waiting job ends at once; a running one is told, and ends when it looks.
update job set
    cancel_requested_at = coalesce(cancel_requested_at, now()), revision = revision + 1,
    finished_at = case state when 'queued' then now() end,
    state = case state when 'queued' then 'cancelled' else state end
where project_id = %(project_id)s and job_id = %(job_id)s and state in ('queued', 'running')
returning state, queue_job_id;

-- name: drop_from_queue
-- Take a waiting job's place in the queue away; nothing happens when a worker was quicker.
select procrastinate_cancel_job_v1(%(queue_job_id)s, false, true);

-- name: start_job
-- Whoever has a job's place in the queue begins; no row when there is nothing left to do, or when the place is not the
-- job's any more. A worker that was silent until a moment ago is alive, which nobody shall overlook now.
with alive as (
    update procrastinate.procrastinate_workers w set last_heartbeat = now()
    from procrastinate.procrastinate_jobs q
    where q.id = %(queue_job_id)s and w.id = q.worker_id and w.last_heartbeat < now() - interval '1 second'
)
update job set
    state = 'running', attempts = attempts + 1, started_at = now(), progress = '{}', revision = revision + 1
where job_id = %(job_id)s and queue_job_id = %(queue_job_id)s and state in ('queued', 'running')
  and cancel_requested_at is null
returning job_id, queue_job_id, project_id, kind, subject, arguments, requested_by, attempts, lost_attempts, tries,
    job_lock(queue, project_id, subject) as lock;

-- name: cancel_unstarted
-- A job that was cancelled after its worker died has nobody else to end it.
update job set state = 'cancelled', finished_at = now(), revision = revision + 1
where job_id = %(job_id)s and queue_job_id = %(queue_job_id)s and state in ('queued', 'running')
  and cancel_requested_at is not null;

-- name: take_place
-- The next place of the queues that are not paused, for this worker; all null when there is none.
select id, status, task_name, priority, lock, queueing_lock, args, scheduled_at, queue_name, attempts, worker_id
from procrastinate_fetch_job_v2(
    array(
        select name from unnest(%(queues)s::text[]) as name
        where not exists (select 1 from job_queue k where k.queue = name and k.paused_at is not null)
    )::varchar[], %(worker_id)s
);

-- name: hold_attempt
-- The job stays this attempt's until the transaction ends; no row when it is no longer its own, or shall stop.
select cancel_requested_at is not null from job
where job_id = %(job_id)s and attempts = %(attempt)s and state = 'running' for update;

-- name: note_progress
-- How far an attempt is; tells it whether it shall stop. No row when the job is no longer this attempt's.
update job set progress = %(progress)s, revision = revision + 1
where job_id = %(job_id)s and attempts = %(attempt)s and state = 'running'
returning cancel_requested_at is not null;

-- name: check_attempt
-- Whether an attempt shall stop; no row when the job is no longer its own.
select cancel_requested_at is not null from job
where job_id = %(job_id)s and attempts = %(attempt)s and state = 'running';

-- name: finish_attempt
-- An attempt's end, unless the job was given to another meanwhile.
update job set
    state = %(state)s, result = %(result)s, error = %(error)s, finished_at = now(), revision = revision + 1,
    progress = coalesce(%(progress)s, progress)
where job_id = %(job_id)s and attempts = %(attempt)s and state = 'running';

-- name: requeue_attempt
-- An attempt gives its job back, unless the place in the queue that it had is not the job's any more.
update job set
    state = 'queued', lost_attempts = lost_attempts + %(lost)s, progress = '{}', revision = revision + 1
where job_id = %(job_id)s and queue_job_id = %(queue_job_id)s and state in ('queued', 'running');

-- name: reopen_job
-- A job that failed or was cancelled begins anew, with all its tries.
update job set
    state = 'queued', lost_attempts = 0, progress = '{}', error = null, result = null, cancel_requested_at = null,
    finished_at = null, revision = revision + 1
where project_id = %(project_id)s and job_id = %(job_id)s and state in ('failed', 'cancelled')
returning job_id;

-- name: leave_place
-- A place in the queue is used up. It may be gone already.
delete from procrastinate_jobs where id = %(queue_job_id)s;

-- name: open_place
-- A job that was begun gets a new place in the queue, with a new number: whoever had the old one has nothing any more.
-- Before all of its priority that were never begun, so that the order within a subject stays.
update job set queue_job_id = (procrastinate_defer_jobs_v1(array[row(
        queue, %(task)s::text, 2 * priority + 1, public.job_lock(queue, project_id, subject), null,
        jsonb_build_object('job_id', job_id),
        case when %(pause_seconds)s > 0 then now() + make_interval(secs => %(pause_seconds)s) end
    )]::procrastinate_job_to_defer_v1[]))[1]
where job_id = %(job_id)s;

-- name: lock_stalled
-- What the queue believes to be running though its worker is gone or silent, under a lock: one process mends it.
select q.id, q.args ->> 'job_id'
from procrastinate_jobs q left join procrastinate_workers w on w.id = q.worker_id
where q.status = 'doing' and q.task_name = %(task)s and (%(queues)s::text[] is null or q.queue_name = any(%(queues)s))
  and (w.id is null or w.last_heartbeat <= now() - make_interval(secs => %(silent_seconds)s))
for update of q skip locked;

-- name: fetch_stalled
-- The same for people: jobs that nobody does though they are said to be running.
select j.job_id, j.kind, j.subject
from procrastinate.procrastinate_jobs q
left join procrastinate.procrastinate_workers w on w.id = q.worker_id
join job j on j.job_id = q.args ->> 'job_id'
where q.status = 'doing' and q.task_name = %(task)s and j.state in ('queued', 'running')
  and (w.id is null or w.last_heartbeat < now() - make_interval(secs => %(silent_seconds)s))
order by j.created_at;

-- name: revive_stalled
-- A job whose worker is gone waits again, if it has not been lost too often and nobody cancelled it.
update job set
    state = 'queued', lost_attempts = lost_attempts + 1, progress = '{}', revision = revision + 1
where job_id = %(job_id)s and queue_job_id = %(queue_job_id)s and state in ('queued', 'running')
  and cancel_requested_at is null and lost_attempts + 1 < tries
returning job_id;

-- name: give_up_stalled
-- A job that was lost too often ends here.
update job set
    state = 'failed', lost_attempts = lost_attempts + 1, finished_at = now(), revision = revision + 1,
    error = jsonb_set(%(error)s, '{detail}', to_jsonb(replace(%(error)s ->> 'detail', '{lost_attempts}', (lost_attempts + 1)::text)))
where job_id = %(job_id)s and queue_job_id = %(queue_job_id)s and state in ('queued', 'running')
  and cancel_requested_at is null;

-- name: fail_unqueued
-- Open jobs that have no place in the queue (after a restored backup, say) would wait for ever.
update job j set
    state = case when cancel_requested_at is null then 'failed' else 'cancelled' end,
    error = case when cancel_requested_at is null then %(error)s::jsonb end,
    finished_at = now(), revision = revision + 1
where j.state in ('queued', 'running') and j.created_at < now() - interval '1 minute'
  and not exists (select 1 from procrastinate_jobs q where q.id = j.queue_job_id);

-- name: delete_old_jobs
-- Jobs that ended long ago.
delete from job where finished_at < now() - make_interval(days => %(days)s);

-- name: count_jobs
-- How many jobs wait and run, whoever asked for them: for the operator.
select count(*) filter (where state = 'queued'), count(*) filter (where state = 'running') from job
where state in ('queued', 'running');

-- name: pause_queue
-- Nothing of it begins from now on.
insert into job_queue (queue, paused_at) values (%(queue)s, now())
on conflict (queue) do update set paused_at = coalesce(job_queue.paused_at, now());

-- name: resume_queue
-- It goes on.
delete from job_queue where queue = %(queue)s;

-- name: note_worker
-- What a worker is good for.
insert into job_worker (worker_id, node, process_id, queues, concurrency)
values (%(worker_id)s, %(node)s, %(process_id)s, %(queues)s, %(concurrency)s) on conflict do nothing;

-- name: forget_workers
-- Workers that the queue knows no more.
delete from job_worker w where not exists (select 1 from procrastinate.procrastinate_workers q where q.id = w.worker_id);

-- name: fetch_workers
-- Who works, and whether it gave a sign lately.
select w.node, w.process_id, w.queues, w.concurrency, w.started_at, q.last_heartbeat as seen_at,
    q.last_heartbeat > now() - make_interval(secs => %(silent_seconds)s) as online,
    (select count(*) from procrastinate.procrastinate_jobs j where j.worker_id = w.worker_id and j.status = 'doing') as active
from job_worker w join procrastinate.procrastinate_workers q on q.id = w.worker_id
order by w.started_at, w.worker_id;

-- name: fetch_queues
-- What waits, runs and failed in each queue that is known or has something: of one project, or of all.
select queue, p.paused_at, coalesce(c.depth, 0) as depth, coalesce(c.active, 0) as active, coalesce(f.failed, 0) as failed,
    coalesce(c.oldest_seconds, 0)::double precision as oldest_seconds
from (
    select queue, count(*) filter (where state = 'queued') as depth, count(*) filter (where state = 'running') as active,
        extract(epoch from now() - min(created_at) filter (where state = 'queued')) as oldest_seconds
    from job where state in ('queued', 'running') and (%(project_id)s::bigint is null or project_id = %(project_id)s)
    group by queue
) c
full join (
    select queue, count(*) as failed from job
    where state = 'failed' and (%(project_id)s::bigint is null or project_id = %(project_id)s) group by queue
) f using (queue)
full join unnest(%(known)s::text[]) as k (queue) using (queue)
left join job_queue p using (queue)
order by queue;
