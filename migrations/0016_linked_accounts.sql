-- Which account of a chat outside belongs to which user.
CREATE TABLE linked_accounts (
    platform  TEXT   NOT NULL,
    team      TEXT   NOT NULL,
    account   TEXT   NOT NULL,
    name      TEXT   NOT NULL,
    user_id   TEXT   NOT NULL REFERENCES users (id),
    linked_at BIGINT NOT NULL,
    PRIMARY KEY (platform, team, account)
);

CREATE INDEX linked_accounts_user ON linked_accounts (user_id);

-- One-time links that end in such a link; only the hash of the token is kept.
CREATE TABLE link_tokens (
    token_hash TEXT   NOT NULL PRIMARY KEY,
    platform   TEXT   NOT NULL,
    team       TEXT   NOT NULL,
    account    TEXT   NOT NULL,
    name       TEXT   NOT NULL,
    -- Where it was asked for.
    place      TEXT   NOT NULL,
    expires_at BIGINT NOT NULL
);

CREATE INDEX link_tokens_expiry ON link_tokens (expires_at);
