-- What a conversation's command still needs from the person who invoked it. A row is there for as long as it is asked
-- for; the execution keeps what became of it.
CREATE TABLE dialogs (
    execution    TEXT   NOT NULL PRIMARY KEY REFERENCES executions (id),
    conversation TEXT   NOT NULL UNIQUE REFERENCES conversations (id),
    principal    TEXT   NOT NULL,
    -- Another one after each step.
    token        TEXT   NOT NULL,
    state        TEXT   NOT NULL,
    expires_at   BIGINT NOT NULL
);

CREATE INDEX dialogs_due ON dialogs (expires_at);

-- The token of the open dialog. Whoever says something states which one they knew.
ALTER TABLE conversations ADD COLUMN dialog TEXT;

-- What can be done at a message. Readers know the opaque id only.
CREATE TABLE actions (
    id           TEXT   NOT NULL PRIMARY KEY,
    conversation TEXT   NOT NULL REFERENCES conversations (id),
    message      TEXT   NOT NULL,
    -- Who may take it.
    principal    TEXT   NOT NULL,
    -- How it looks, and what it does: a command with its parameters, or a step of a dialog.
    look         TEXT   NOT NULL,
    deed         TEXT   NOT NULL,
    single_use   BIGINT NOT NULL,
    expires_at   BIGINT,
    used_at      BIGINT
);

CREATE INDEX actions_message ON actions (conversation, message);
