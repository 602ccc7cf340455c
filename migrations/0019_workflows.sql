-- A document of the form flow/v1, by the SHA-256 of its canonical JSON. It is never changed: runs are pinned to it.
CREATE TABLE definitions (
    hash       TEXT   NOT NULL PRIMARY KEY,
    name       TEXT   NOT NULL,
    title      TEXT   NOT NULL,
    document   TEXT   NOT NULL,
    created_at BIGINT NOT NULL
);

-- Workflows that were made over the API. Playbooks are files and have no rows here.
CREATE TABLE workflows (
    id          TEXT   NOT NULL PRIMARY KEY,
    name        TEXT   NOT NULL,
    description TEXT   NOT NULL,
    is_public   BIGINT NOT NULL,
    -- What counts now, and its number.
    definition  TEXT   NOT NULL REFERENCES definitions (hash),
    version     BIGINT NOT NULL,
    owner       TEXT   NOT NULL,
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL,
    deleted_at  BIGINT
);

CREATE INDEX workflows_created ON workflows (created_at, id);

-- Every version of a workflow. `source` is the definition as it was sent.
CREATE TABLE workflow_versions (
    workflow   TEXT   NOT NULL REFERENCES workflows (id),
    version    BIGINT NOT NULL,
    definition TEXT   NOT NULL REFERENCES definitions (hash),
    source     TEXT   NOT NULL,
    created_by TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (workflow, version)
);
