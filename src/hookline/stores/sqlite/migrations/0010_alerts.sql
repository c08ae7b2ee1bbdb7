-- How webhooks fare (a row only for those that ever failed), what their owners are told of it, and mails to be sent.

CREATE TABLE webhook_health (
    webhook_id      BLOB NOT NULL UNIQUE,
    organization_id BLOB NOT NULL,
    version         INTEGER NOT NULL,
    is_watched      INTEGER NOT NULL,
    document        BLOB NOT NULL
);
CREATE INDEX webhook_health_watched ON webhook_health (webhook_id) WHERE is_watched;

CREATE TABLE alerts (
    id              BLOB NOT NULL UNIQUE,
    organization_id BLOB NOT NULL,
    webhook_id      BLOB NOT NULL,
    cause           TEXT NOT NULL,
    opened_at       INTEGER NOT NULL,
    closed_at       INTEGER,
    document        BLOB NOT NULL
);
CREATE INDEX alerts_of_organization ON alerts (organization_id, id);
CREATE INDEX alerts_of_webhook ON alerts (webhook_id, id);
CREATE INDEX alerts_closed ON alerts (closed_at) WHERE closed_at IS NOT NULL;

-- due_at is set until a mail has ended.
CREATE TABLE mails (
    id              BLOB NOT NULL UNIQUE,
    organization_id BLOB NOT NULL,
    tries           INTEGER NOT NULL,
    due_at          INTEGER,
    ended_at        INTEGER,
    document        BLOB NOT NULL
);
CREATE INDEX mails_due ON mails (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX mails_ended ON mails (ended_at) WHERE ended_at IS NOT NULL;
