-- What a run of a document is beside its execution.
CREATE TABLE runs (
    execution         TEXT   NOT NULL PRIMARY KEY REFERENCES executions (id),
    definition        TEXT   NOT NULL REFERENCES definitions (hash),
    -- playbook, workflow, command; and which one: a path, an id, bot/command
    kind              TEXT   NOT NULL,
    source            TEXT   NOT NULL,
    title             TEXT   NOT NULL,
    inputs            TEXT   NOT NULL,
    vars              TEXT   NOT NULL,
    metadata          TEXT   NOT NULL,
    -- What started it, as expressions see it.
    cause             TEXT   NOT NULL,
    output            TEXT,
    error             TEXT,
    -- Why it ended before its steps did.
    halted            TEXT,
    -- run, pause, queue, cancel
    wish              TEXT   NOT NULL,
    -- Pauses after each step.
    debug             BIGINT NOT NULL,
    -- Counted up by whoever brings it further, so that of two only one does.
    revision          BIGINT NOT NULL,
    -- 1 until it has ended.
    is_open           BIGINT NOT NULL,
    deadline          BIGINT,
    -- Where it speaks: null for who polls.
    conversation      TEXT,
    owner             TEXT,
    reply_to          TEXT,
    -- The run that started it, and the step of it.
    parent            TEXT,
    parent_path       TEXT,
    depth             BIGINT NOT NULL,
    concurrency_key   TEXT,
    concurrency_limit BIGINT,
    created_at        BIGINT NOT NULL
);

CREATE INDEX runs_created ON runs (created_at, execution);
CREATE INDEX runs_source ON runs (kind, source, created_at);
CREATE INDEX runs_open ON runs (is_open, deadline);
CREATE INDEX runs_key ON runs (concurrency_key, is_open);

-- A row that is held while runs of one concurrency key are counted.
CREATE TABLE concurrency_keys (
    name TEXT   NOT NULL PRIMARY KEY,
    at   BIGINT NOT NULL
);

-- Every step that has begun. Claims count `fence` up, and so does whoever takes a step away: a worker that lost its
-- lease changes nothing any more.
CREATE TABLE steps (
    execution   TEXT   NOT NULL REFERENCES executions (id),
    path        TEXT   NOT NULL,
    -- pending, ready, running, active, waiting, uncertain, succeeded, failed, skipped, cancelled
    status      TEXT   NOT NULL,
    -- pure, idempotent, keyed, once
    effect      TEXT   NOT NULL,
    tries       BIGINT NOT NULL,
    round       BIGINT NOT NULL,
    fence       BIGINT NOT NULL,
    -- The fence under which its effect may have begun.
    intent      BIGINT,
    lease_owner TEXT,
    lease_until BIGINT,
    ready_at    BIGINT,
    deadline    BIGINT,
    -- How long one try may take, in milliseconds.
    timeout     BIGINT,
    -- The topic of the event it waits for.
    topic       TEXT,
    input       TEXT   NOT NULL,
    data        TEXT   NOT NULL,
    output      TEXT   NOT NULL,
    error       TEXT   NOT NULL,
    signal      TEXT   NOT NULL,
    position    BIGINT NOT NULL,
    started_at  BIGINT,
    finished_at BIGINT,
    PRIMARY KEY (execution, path)
);

CREATE INDEX steps_ready ON steps (status, ready_at);
CREATE INDEX steps_lease ON steps (status, lease_until);
CREATE INDEX steps_deadline ON steps (deadline) WHERE deadline IS NOT NULL;
CREATE INDEX steps_topic ON steps (topic) WHERE topic IS NOT NULL;

-- Every claim of a step and what came of it, for people who want to know.
CREATE TABLE step_attempts (
    execution  TEXT   NOT NULL,
    path       TEXT   NOT NULL,
    fence      BIGINT NOT NULL,
    worker     TEXT   NOT NULL,
    started_at BIGINT NOT NULL,
    ended_at   BIGINT,
    -- succeeded, failed, late_result, given_back; null while it is under way, or for ever when the worker died
    outcome    TEXT,
    PRIMARY KEY (execution, path, fence)
);
