-- How credentials stand that somebody signs in for by OAuth 2.0. The tokens themselves are in `sealed`, field `token`, for
-- the same owner as the credential's other secrets.
CREATE TABLE credential_tokens (
    credential   TEXT   NOT NULL PRIMARY KEY,
    -- Why somebody has to sign in; none: there is a token.
    reason       TEXT,
    -- Another one with each token.
    generation   BIGINT NOT NULL,
    -- Of the access token; none: it is good until the service says otherwise.
    expires_at   BIGINT,
    -- When the next one is asked for, some time before the end.
    renew_at     BIGINT,
    signed_in_by TEXT,
    signed_in_at BIGINT,
    -- Whoever gets the next token has this until then; one that lapsed belonged to a process that died.
    lease        TEXT,
    lease_until  BIGINT
);

-- Sign-ins that have gone to a service and are not back yet: each is used once, by the session that began it.
CREATE TABLE credential_sign_ins (
    state_hash TEXT   NOT NULL PRIMARY KEY,
    credential TEXT   NOT NULL,
    session    TEXT   NOT NULL,
    verifier   TEXT   NOT NULL,
    expires_at BIGINT NOT NULL
);

CREATE INDEX credential_sign_ins_expiry ON credential_sign_ins (expires_at);
CREATE INDEX credential_sign_ins_credential ON credential_sign_ins (credential);
