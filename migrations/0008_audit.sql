-- Who did what from where. Rows are only ever added; each one's hash covers the one before it.
CREATE TABLE audit (
    seq        BIGINT NOT NULL PRIMARY KEY,
    at         BIGINT NOT NULL,
    action     TEXT   NOT NULL,
    principal  TEXT,
    name       TEXT,
    credential TEXT,
    address    TEXT,
    request_id TEXT,
    target     TEXT,
    details    TEXT   NOT NULL,
    previous   TEXT   NOT NULL,
    hash       TEXT   NOT NULL
);

CREATE INDEX audit_principal ON audit (principal, seq);
CREATE INDEX audit_action ON audit (action, seq);

-- The end of the chain: one row, which whoever adds takes first.
CREATE TABLE audit_head (
    name TEXT   NOT NULL PRIMARY KEY,
    seq  BIGINT NOT NULL,
    hash TEXT   NOT NULL
);

INSERT INTO audit_head (name, seq, hash) VALUES ('audit', 0, '');
