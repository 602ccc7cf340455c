-- Runs of playbooks and workflows that begin by themselves, at their time.
CREATE TABLE schedules (
    id             TEXT   NOT NULL PRIMARY KEY,
    name           TEXT   NOT NULL,
    -- playbook or workflow, and which one; its title when the schedule was written
    kind           TEXT   NOT NULL,
    source         TEXT   NOT NULL,
    title          TEXT   NOT NULL,
    -- JSON
    inputs         TEXT   NOT NULL,
    rule           TEXT   NOT NULL,
    -- skip, run_once or run_all
    missed         TEXT   NOT NULL,
    -- allow, skip or cancel_running
    overlap        TEXT   NOT NULL,
    -- Whom its runs act for, and how they are found again.
    owner          TEXT   NOT NULL,
    owner_name     TEXT   NOT NULL,
    cause          TEXT   NOT NULL,
    is_active      BIGINT NOT NULL,
    -- Why it was switched off by the server.
    reason         TEXT,
    -- Null: never again.
    next_at        BIGINT,
    last_at        BIGINT,
    last_execution TEXT,
    -- Why the last time brought no run.
    last_error     TEXT,
    created_at     BIGINT NOT NULL,
    updated_at     BIGINT NOT NULL
);

CREATE INDEX schedules_due ON schedules (next_at) WHERE is_active = 1 AND next_at IS NOT NULL;
