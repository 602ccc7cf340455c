-- Files that came in. The bytes are no part of the database; they stand in a folder, under the id.
CREATE TABLE files (
    id           TEXT   NOT NULL PRIMARY KEY,
    owner        TEXT   NOT NULL,
    name         TEXT   NOT NULL,
    media_type   TEXT   NOT NULL,
    size         BIGINT NOT NULL,
    sha256       TEXT   NOT NULL,
    client_id    TEXT,
    created_at   BIGINT NOT NULL,
    -- The message it was sent with; none as long as it was not sent.
    conversation TEXT,
    message_id   TEXT,
    sent_at      BIGINT
);

CREATE UNIQUE INDEX files_client_id ON files (owner, client_id) WHERE client_id IS NOT NULL;
CREATE INDEX files_unsent ON files (created_at) WHERE message_id IS NULL;

-- How much each principal keeps here: the sum over their files, so that a quota is one row to look at and to lock.
CREATE TABLE file_usage (
    owner TEXT   NOT NULL PRIMARY KEY,
    bytes BIGINT NOT NULL
);
