-- What a run leaves to be looked at: pictures of pages, and pages. The bytes stand in the folder of files, under the id.
CREATE TABLE artifacts (
    id         TEXT   NOT NULL PRIMARY KEY,
    execution  TEXT   NOT NULL,
    -- The path of the step that made it.
    step       TEXT   NOT NULL,
    name       TEXT   NOT NULL,
    media_type TEXT   NOT NULL,
    size       BIGINT NOT NULL,
    sha256     TEXT   NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE INDEX artifacts_of_runs ON artifacts (execution, created_at, id);
CREATE INDEX artifacts_recent ON artifacts (created_at);
