-- Workspaces that our Slack app was installed in. The token of each is sealed for `slack:<team>`.
CREATE TABLE slack_installs (
    team         TEXT   NOT NULL PRIMARY KEY,
    name         TEXT   NOT NULL,
    -- The bot's own user there.
    bot_user     TEXT   NOT NULL,
    -- Between commas, as Slack granted them.
    scopes       TEXT   NOT NULL,
    -- Principal id of who installed it.
    installed_by TEXT   NOT NULL,
    installed_at BIGINT NOT NULL
);
