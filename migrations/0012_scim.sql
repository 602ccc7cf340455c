-- Users whose life a directory pushes (SCIM): what it said about them, as it said it. `name_key` is the user name in
-- lower case.
CREATE TABLE scim_users (
    user_id     TEXT   NOT NULL PRIMARY KEY REFERENCES users (id),
    user_name   TEXT   NOT NULL,
    name_key    TEXT   NOT NULL UNIQUE,
    external_id TEXT   UNIQUE,
    active      BIGINT NOT NULL,
    document    TEXT   NOT NULL,
    version     BIGINT NOT NULL,
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL
);
