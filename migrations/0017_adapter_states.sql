-- What the adapter of a chat outside remembers across a restart, such as its session there, by names of its own.
CREATE TABLE adapter_states (
    adapter    TEXT   NOT NULL,
    name       TEXT   NOT NULL,
    value      TEXT   NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (adapter, name)
);
