-- The messages that bots gave a name: saying one again rewrites it where it stands. A name points at the newest message
-- of that name; `ts` is when that was said or rewritten last, `ttl` how many milliseconds from then on it is rewritten.
CREATE TABLE message_keys (
    conversation TEXT   NOT NULL REFERENCES conversations (id),
    speaker      TEXT   NOT NULL,
    name         TEXT   NOT NULL,
    message      TEXT   NOT NULL,
    seq          BIGINT NOT NULL,
    digest       TEXT   NOT NULL,
    ts           BIGINT NOT NULL,
    ttl          BIGINT,
    PRIMARY KEY (conversation, speaker, name)
);
