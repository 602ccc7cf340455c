-- What came in from chats outside, kept before the chat is told that it arrived. The row stays for a while when it is
-- done, so that the same thing is known when it comes again; what it said does not.
CREATE TABLE inbox (
    id          TEXT   NOT NULL PRIMARY KEY,
    adapter     TEXT   NOT NULL,
    event_id    TEXT   NOT NULL,
    -- Another name of the same thing: a mention comes as two events of one message.
    message     TEXT,
    -- What is done one after the other.
    lane        TEXT   NOT NULL,
    payload     TEXT   NOT NULL,
    -- waiting, done, failed
    state       TEXT   NOT NULL,
    attempt     BIGINT NOT NULL,
    -- Not before; while somebody is at it, the end of their lease.
    ready_at    BIGINT NOT NULL,
    error       TEXT,
    received_at BIGINT NOT NULL
);

CREATE UNIQUE INDEX inbox_event ON inbox (adapter, event_id);
CREATE UNIQUE INDEX inbox_message ON inbox (adapter, message) WHERE message IS NOT NULL;
CREATE INDEX inbox_waiting ON inbox (lane, id) WHERE state = 'waiting';
CREATE INDEX inbox_received ON inbox (received_at);

-- Where outside a conversation is held: one for each person at each place.
CREATE TABLE conversation_places (
    place        TEXT   NOT NULL,
    owner        TEXT   NOT NULL,
    conversation TEXT   NOT NULL REFERENCES conversations (id),
    PRIMARY KEY (place, owner)
);

CREATE INDEX conversation_places_conversation ON conversation_places (conversation);

-- What a chat outside knows a message by, so that it is changed where it stands.
CREATE TABLE message_refs (
    message      TEXT   NOT NULL,
    place        TEXT   NOT NULL,
    conversation TEXT   NOT NULL,
    ref          TEXT   NOT NULL,
    -- SHA-256 of what stands there; what is the same is not sent again.
    digest       TEXT,
    updated_at   BIGINT NOT NULL,
    PRIMARY KEY (message, place)
);

CREATE INDEX message_refs_ref ON message_refs (ref, place);

-- What has to leave for a chat outside. What goes to one channel goes in the order of the ids.
CREATE TABLE outbox (
    id           TEXT   NOT NULL PRIMARY KEY,
    adapter      TEXT   NOT NULL,
    channel      TEXT   NOT NULL,
    place        TEXT   NOT NULL,
    -- What it carries: a message of a conversation as it stands when it leaves …
    conversation TEXT,
    message      TEXT,
    seq          BIGINT,
    -- … or something of its own, as JSON.
    content      TEXT,
    -- waiting, done, dead
    state        TEXT   NOT NULL,
    attempt      BIGINT NOT NULL,
    -- Whether an attempt may have arrived without our knowing.
    uncertain    BIGINT NOT NULL,
    -- Not before; while somebody is at it, the end of their lease.
    ready_at     BIGINT NOT NULL,
    error        TEXT,
    created_at   BIGINT NOT NULL,
    ended_at     BIGINT
);

CREATE INDEX outbox_waiting ON outbox (channel, id) WHERE state = 'waiting';
CREATE INDEX outbox_dead ON outbox (id) WHERE state = 'dead';
CREATE INDEX outbox_ended ON outbox (ended_at) WHERE state = 'done';
