-- How webhooks fare (a row only for those that ever failed), what their owners are told of it, and mails to be sent.

CREATE TABLE webhook_health (
    webhook_id      bytea PRIMARY KEY,
    organization_id bytea NOT NULL,
    version         integer NOT NULL,
    is_watched      boolean NOT NULL,
    document        bytea NOT NULL
);
CREATE INDEX webhook_health_watched ON webhook_health (webhook_id) WHERE is_watched;

CREATE TABLE alerts (
    id              bytea PRIMARY KEY,
    organization_id bytea NOT NULL,
    webhook_id      bytea NOT NULL,
    cause           text NOT NULL,
    opened_at       bigint NOT NULL,
    closed_at       bigint,
    document        bytea NOT NULL
);
CREATE INDEX alerts_of_organization ON alerts (organization_id, id);
CREATE INDEX alerts_of_webhook ON alerts (webhook_id, id);
CREATE INDEX alerts_closed ON alerts (closed_at) WHERE closed_at IS NOT NULL;

-- due_at is set until a mail has ended.
CREATE TABLE mails (
    id              bytea PRIMARY KEY,
    organization_id bytea NOT NULL,
    tries           integer NOT NULL,
    due_at          bigint,
    ended_at        bigint,
    document        bytea NOT NULL
);
CREATE INDEX mails_due ON mails (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX mails_ended ON mails (ended_at) WHERE ended_at IS NOT NULL;
