-- Rights given and taken away, beside what bots write as access.
CREATE TABLE grants (
    id         TEXT   NOT NULL PRIMARY KEY,
    -- allow or deny.
    effect     TEXT   NOT NULL,
    -- user:ID, group:NAME, role:NAME or service:ID.
    subject    TEXT   NOT NULL,
    -- verbs:kind:name?argument=value|value.
    reach      TEXT   NOT NULL,
    note       TEXT   NOT NULL,
    created_by TEXT   NOT NULL,
    created_at BIGINT NOT NULL
);

-- What a key is narrowed to, a JSON array of reaches; none: whatever its role may.
ALTER TABLE api_keys ADD COLUMN scopes TEXT;

-- Programs that another issuer vouches for.
CREATE TABLE services (
    id           TEXT   NOT NULL PRIMARY KEY,
    name         TEXT   NOT NULL,
    issuer       TEXT   NOT NULL,
    client_id    TEXT   NOT NULL,
    roles        TEXT   NOT NULL,
    groups       TEXT   NOT NULL,
    scopes       TEXT,
    created_at   BIGINT NOT NULL,
    last_used_at BIGINT,
    revoked_at   BIGINT
);

CREATE UNIQUE INDEX services_client ON services (issuer, client_id) WHERE revoked_at IS NULL;

-- Keys that somebody asked for in a conversation and has yet to take, at an address that opens once.
CREATE TABLE key_offers (
    token_hash TEXT   NOT NULL PRIMARY KEY,
    owner      TEXT   NOT NULL,
    -- What was wished for, as JSON. The key itself is made when it is taken.
    wish       TEXT   NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at    BIGINT
);
