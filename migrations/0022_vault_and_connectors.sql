-- Keys that seal, each sealed itself by the master key it names. One is active; the others only open.
CREATE TABLE data_keys (
    id         TEXT   NOT NULL PRIMARY KEY,
    master     TEXT   NOT NULL,
    wrapped    TEXT   NOT NULL,
    state      TEXT   NOT NULL,
    -- Counts what was sealed under it; taking the row keeps a rotation from overlooking what is being sealed.
    uses       BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL
);

CREATE UNIQUE INDEX data_keys_active ON data_keys (state) WHERE state = 'active';

-- Everything that is sealed, by whose it is. The place is part of what is sealed: moved elsewhere it does not open.
CREATE TABLE sealed (
    owner    TEXT NOT NULL,
    field    TEXT NOT NULL,
    data_key TEXT NOT NULL,
    text     TEXT NOT NULL,
    PRIMARY KEY (owner, field)
);

CREATE INDEX sealed_data_key ON sealed (data_key);

CREATE TABLE credentials (
    id           TEXT   NOT NULL PRIMARY KEY,
    owner        TEXT   NOT NULL,
    name         TEXT   NOT NULL,
    description  TEXT   NOT NULL,
    type         TEXT   NOT NULL,
    provider     TEXT   NOT NULL,
    -- What of it is no secret, JSON.
    fields       TEXT   NOT NULL,
    -- The hosts it goes to, with commas; empty: those of its connector.
    hosts        TEXT   NOT NULL,
    metadata     TEXT   NOT NULL,
    version      BIGINT NOT NULL,
    created_at   BIGINT NOT NULL,
    updated_at   BIGINT NOT NULL,
    last_used_at BIGINT,
    expires_at   BIGINT
);

CREATE UNIQUE INDEX credentials_name ON credentials (owner, name);

CREATE TABLE connector_instances (
    id         TEXT   NOT NULL PRIMARY KEY,
    owner      TEXT   NOT NULL,
    name       TEXT   NOT NULL,
    type       TEXT   NOT NULL,
    credential TEXT,
    config     TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE UNIQUE INDEX connector_instances_name ON connector_instances (owner, name);
CREATE INDEX connector_instances_credential ON connector_instances (credential);
