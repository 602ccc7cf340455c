-- Addresses of other programs that are told what happens.
CREATE TABLE webhooks (
    id            TEXT   NOT NULL PRIMARY KEY,
    owner         TEXT   NOT NULL,
    name          TEXT   NOT NULL,
    url           TEXT   NOT NULL,
    -- Between commas: ,workflow.completed,session.*,
    events        TEXT   NOT NULL,
    -- Whether it hears of everybody's runs or of its owner's.
    hears_all     BIGINT NOT NULL,
    -- The document's retryPolicy; none: the usual schedule.
    max_attempts  BIGINT,
    backoff       BIGINT,
    -- active, paused or disabled
    state         TEXT   NOT NULL,
    -- Why it is disabled.
    reason        TEXT,
    -- Since when every attempt has failed.
    failing_since BIGINT,
    -- Until when the secret before counts too.
    overlap_until BIGINT,
    created_at    BIGINT NOT NULL,
    updated_at    BIGINT NOT NULL
);

CREATE INDEX webhooks_active ON webhooks (id) WHERE state = 'active';

CREATE TABLE webhook_deliveries (
    id         TEXT   NOT NULL PRIMARY KEY,
    webhook    TEXT   NOT NULL,
    -- The same for every attempt and every replay.
    message    TEXT   NOT NULL,
    event      TEXT   NOT NULL,
    payload    TEXT   NOT NULL,
    -- waiting, delivered or failed
    state      TEXT   NOT NULL,
    attempt    BIGINT NOT NULL,
    -- Not before; while somebody is at it, the end of their lease.
    ready_at   BIGINT NOT NULL,
    -- Of the last attempt: the HTTP status, what went wrong, how long it took.
    status     BIGINT,
    error      TEXT,
    took       BIGINT,
    created_at BIGINT NOT NULL,
    ended_at   BIGINT
);

CREATE INDEX webhook_deliveries_waiting ON webhook_deliveries (ready_at) WHERE state = 'waiting';
CREATE INDEX webhook_deliveries_webhook ON webhook_deliveries (webhook, id);
CREATE INDEX webhook_deliveries_ended ON webhook_deliveries (ended_at) WHERE ended_at IS NOT NULL;
