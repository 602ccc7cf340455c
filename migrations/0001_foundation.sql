-- One text for SQLite and PostgreSQL: TEXT, BIGINT (times are Unix milliseconds), no other types.

CREATE TABLE meta (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);

-- The log. `head` is the newest seq of a stream; it rises in the commit that adds the event.
CREATE TABLE streams (
    stream TEXT   NOT NULL PRIMARY KEY,
    head   BIGINT NOT NULL
);

CREATE TABLE events (
    stream     TEXT   NOT NULL,
    seq        BIGINT NOT NULL,
    id         TEXT   NOT NULL,
    kind       TEXT   NOT NULL,
    principal  TEXT,
    client_id  TEXT,
    body_hash  TEXT,
    payload    TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (stream, seq)
);

-- A client id names one event of one principal in one stream, for as long as the event lives. It comes first, since ids
-- that sort by time then share a page that is written anyway, where the streams would have one each.
CREATE UNIQUE INDEX events_client_id ON events (client_id, stream, principal) WHERE client_id IS NOT NULL;

CREATE TABLE users (
    id         TEXT   NOT NULL PRIMARY KEY,
    name       TEXT   NOT NULL,
    roles      TEXT   NOT NULL,
    groups     TEXT   NOT NULL,
    created_at BIGINT NOT NULL
);

-- One-time links that open a login session; only the hash of the token is kept.
CREATE TABLE sign_in_links (
    token_hash TEXT   NOT NULL PRIMARY KEY,
    user_id    TEXT   NOT NULL REFERENCES users (id),
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at    BIGINT
);

CREATE TABLE login_sessions (
    id              TEXT   NOT NULL PRIMARY KEY,
    token_hash      TEXT   NOT NULL UNIQUE,
    user_id         TEXT   NOT NULL REFERENCES users (id),
    user_agent      TEXT   NOT NULL,
    created_at      BIGINT NOT NULL,
    last_seen_at    BIGINT NOT NULL,
    idle_expires_at BIGINT NOT NULL,
    expires_at      BIGINT NOT NULL,
    revoked_at      BIGINT
);

CREATE INDEX login_sessions_user ON login_sessions (user_id);

CREATE TABLE api_keys (
    id           TEXT   NOT NULL PRIMARY KEY,
    token_hash   TEXT   NOT NULL UNIQUE,
    name         TEXT   NOT NULL,
    roles        TEXT   NOT NULL,
    groups       TEXT   NOT NULL,
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT,
    last_used_at BIGINT,
    revoked_at   BIGINT
);

CREATE TABLE conversations (
    id         TEXT   NOT NULL PRIMARY KEY,
    bot        TEXT   NOT NULL,
    owner      TEXT   NOT NULL,
    channel    TEXT   NOT NULL,
    status     TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    closed_at  BIGINT
);

-- Without updated_at, which every message changes: one owner's open conversations are few enough to sort.
CREATE INDEX conversations_owner ON conversations (owner, status);

-- One run of a workflow. A command's invocation is an execution whose origin is a command.
CREATE TABLE executions (
    id              TEXT   NOT NULL PRIMARY KEY,
    request_id      TEXT   NOT NULL,
    bot             TEXT   NOT NULL,
    bot_version     TEXT   NOT NULL,
    command         TEXT   NOT NULL,
    status          TEXT   NOT NULL,
    principal       TEXT   NOT NULL,
    principal_name  TEXT   NOT NULL,
    origin          TEXT   NOT NULL,
    conversation    TEXT,
    request         TEXT   NOT NULL,
    responses       TEXT   NOT NULL,
    error           TEXT,
    idempotency_key TEXT,
    body_hash       TEXT,
    created_at      BIGINT NOT NULL,
    started_at      BIGINT,
    finished_at     BIGINT
);

CREATE UNIQUE INDEX executions_idempotency ON executions (principal, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX executions_recent ON executions (created_at);
