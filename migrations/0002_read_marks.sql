-- How far each principal has read a conversation. A mark only ever rises.
CREATE TABLE read_marks (
    conversation TEXT   NOT NULL REFERENCES conversations (id),
    principal    TEXT   NOT NULL,
    read_seq     BIGINT NOT NULL,
    read_at      BIGINT NOT NULL,
    PRIMARY KEY (conversation, principal)
);
