-- Runs that wait for a word: their requester's, or that of others. A row stays as the record of what was decided.
CREATE TABLE approvals (
    execution      TEXT   NOT NULL PRIMARY KEY REFERENCES executions (id),
    -- Who asked, and the person behind it when that was a key.
    principal      TEXT   NOT NULL,
    principal_name TEXT   NOT NULL,
    person         TEXT   NOT NULL,
    bot            TEXT   NOT NULL,
    command        TEXT   NOT NULL,
    bot_version    TEXT   NOT NULL,
    -- SHA-256 over command, version, arguments and requester: what the word is about.
    digest         TEXT   NOT NULL,
    -- The request with its arguments, as JSON.
    request        TEXT   NOT NULL,
    -- How many of whom must approve, as JSON; none: nobody but the requester is asked.
    rule           TEXT,
    -- confirm, approve, approved, started, denied, cancelled, expired, void.
    state          TEXT   NOT NULL,
    -- Another one after each step.
    token          TEXT   NOT NULL,
    -- Whether those who may approve were told.
    notified       BIGINT NOT NULL,
    conversation   TEXT REFERENCES conversations (id),
    reply_to       TEXT,
    created_at     BIGINT NOT NULL,
    expires_at     BIGINT NOT NULL
);

CREATE INDEX approvals_open ON approvals (state, expires_at);

-- One word of each person.
CREATE TABLE approval_votes (
    execution TEXT   NOT NULL REFERENCES approvals (execution),
    person    TEXT   NOT NULL,
    principal TEXT   NOT NULL,
    name      TEXT   NOT NULL,
    granted   BIGINT NOT NULL,
    reason    TEXT   NOT NULL,
    at        BIGINT NOT NULL,
    PRIMARY KEY (execution, person)
);

-- Every message that shows it.
CREATE TABLE approval_cards (
    execution    TEXT   NOT NULL REFERENCES approvals (execution),
    conversation TEXT   NOT NULL,
    owner        TEXT   NOT NULL,
    message      TEXT   NOT NULL,
    -- 1: it asks for approval; 0: it is the requester's.
    approver     BIGINT NOT NULL,
    PRIMARY KEY (conversation, message)
);

CREATE INDEX approval_cards_execution ON approval_cards (execution);
