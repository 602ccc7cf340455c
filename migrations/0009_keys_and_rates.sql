-- Who made a key and may revoke it; none: the installation itself, by the command line.
ALTER TABLE api_keys ADD COLUMN owner TEXT;
-- Rates such as 60/min,1000/h; none: those of the settings.
ALTER TABLE api_keys ADD COLUMN rates TEXT;

CREATE INDEX api_keys_owner ON api_keys (owner);

-- What servers that share this database have taken of each window. A bucket is whose requests are counted, and for how long.
CREATE TABLE rate_counts (
    bucket    TEXT   NOT NULL,
    starts_at BIGINT NOT NULL,
    ends_at   BIGINT NOT NULL,
    used      BIGINT NOT NULL,
    PRIMARY KEY (bucket, starts_at)
);

CREATE INDEX rate_counts_ends_at ON rate_counts (ends_at);
