-- With thousands of runs that wait, what is due and what is queued is found without looking at each of them.
DROP INDEX steps_deadline;
CREATE INDEX steps_due ON steps (status, deadline) WHERE deadline IS NOT NULL;
CREATE INDEX runs_queued ON runs (is_open, concurrency_key) WHERE wish = 'queue';
