-- What a profile shows beside the name.
ALTER TABLE users ADD COLUMN username TEXT;
ALTER TABLE users ADD COLUMN first_name TEXT;
ALTER TABLE users ADD COLUMN last_name TEXT;
-- 1 when whoever vouches for the user has checked the address.
ALTER TABLE users ADD COLUMN email_verified BIGINT NOT NULL DEFAULT 0;
-- When the user last changed the profile here; a sign-in then changes it no more.
ALTER TABLE users ADD COLUMN profile_changed_at BIGINT;
-- Since when the user may no longer come in; none for everybody else.
ALTER TABLE users ADD COLUMN disabled_at BIGINT;

-- `groups` is what counts: what the last sign-in named, what the directory named when it was asked, and memberships here.
ALTER TABLE users ADD COLUMN claimed_groups TEXT NOT NULL DEFAULT '[]';
ALTER TABLE users ADD COLUMN directory_groups TEXT NOT NULL DEFAULT '[]';
UPDATE users SET claimed_groups = groups;

-- The user's id at the directory, and when that was last asked about them.
ALTER TABLE users ADD COLUMN directory_id TEXT;
ALTER TABLE users ADD COLUMN directory_asked_at BIGINT;

-- Groups that are kept here: made here (local), or pushed by a directory (scim). `name_key` is the name in lower case.
CREATE TABLE groups (
    id          TEXT   NOT NULL PRIMARY KEY,
    name        TEXT   NOT NULL,
    name_key    TEXT   NOT NULL UNIQUE,
    origin      TEXT   NOT NULL,
    external_id TEXT,
    version     BIGINT NOT NULL,
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL
);

CREATE TABLE group_members (
    group_id TEXT   NOT NULL REFERENCES groups (id),
    user_id  TEXT   NOT NULL REFERENCES users (id),
    added_at BIGINT NOT NULL,
    PRIMARY KEY (group_id, user_id)
);

CREATE INDEX group_members_user ON group_members (user_id);
