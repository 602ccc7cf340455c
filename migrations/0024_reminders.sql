-- When whoever is asked is reminded, once; none: they were, or are not.
ALTER TABLE dialogs ADD COLUMN reminds_at BIGINT;

CREATE INDEX dialogs_reminders ON dialogs (reminds_at);

-- What can be done no more, for clearing it away.
CREATE INDEX actions_used ON actions (used_at) WHERE used_at IS NOT NULL;
CREATE INDEX actions_expired ON actions (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX deliveries_done ON deliveries (expires_at) WHERE state = 'done';
