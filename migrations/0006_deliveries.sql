-- Bots that a key may serve as a process elsewhere, separated by commas.
ALTER TABLE api_keys ADD COLUMN serves TEXT NOT NULL DEFAULT '';

-- Work for the processes of a bot: one row for each run of a remote command. Whoever holds the lease of an attempt does
-- it; every change names the attempt, so that a process that lost its lease changes nothing.
CREATE TABLE deliveries (
    id           TEXT   NOT NULL PRIMARY KEY,
    execution    TEXT   NOT NULL REFERENCES executions (id),
    bot          TEXT   NOT NULL,
    command      TEXT   NOT NULL,
    -- What the process is told, a JSON object; emptied when it is done.
    event        TEXT   NOT NULL,
    -- Where it answers: null for a caller that polls.
    conversation TEXT,
    owner        TEXT,
    reply_to     TEXT,
    -- waiting, leased, done
    state        TEXT   NOT NULL,
    attempt      BIGINT NOT NULL,
    -- How often a process lost it.
    losses       BIGINT NOT NULL,
    -- While it waits: not before.
    ready_at     BIGINT NOT NULL,
    lease_until  BIGINT,
    -- When the run has failed if it is not done.
    expires_at   BIGINT NOT NULL,
    created_at   BIGINT NOT NULL
);

CREATE INDEX deliveries_open ON deliveries (state, bot, created_at);
CREATE INDEX deliveries_execution ON deliveries (execution);
