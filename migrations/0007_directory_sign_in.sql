-- Who a user is in the company's directory; none for users that are only known here.
ALTER TABLE users ADD COLUMN issuer TEXT;
ALTER TABLE users ADD COLUMN subject TEXT;
ALTER TABLE users ADD COLUMN email TEXT;
CREATE UNIQUE INDEX users_directory ON users (issuer, subject);

-- Which session of the directory opened this one.
ALTER TABLE login_sessions ADD COLUMN issuer TEXT;
ALTER TABLE login_sessions ADD COLUMN sid TEXT;
CREATE INDEX login_sessions_directory ON login_sessions (issuer, sid) WHERE sid IS NOT NULL;

-- Sign-ins under way at the directory: each is used once, by the browser that began it.
CREATE TABLE login_attempts (
    state_hash  TEXT   NOT NULL PRIMARY KEY,
    cookie_hash TEXT   NOT NULL,
    nonce       TEXT   NOT NULL,
    verifier    TEXT   NOT NULL,
    return_to   TEXT   NOT NULL,
    expires_at  BIGINT NOT NULL
);

CREATE INDEX login_attempts_expiry ON login_attempts (expires_at);

-- Logout tokens that were used, for as long as they could be used again.
CREATE TABLE logout_tokens (
    id_hash    TEXT   NOT NULL PRIMARY KEY,
    expires_at BIGINT NOT NULL
);

CREATE INDEX logout_tokens_expiry ON logout_tokens (expires_at);
