-- The first schema: the tables and columns of the SQLite one, in PostgreSQL's types. Keys are 16-byte UUIDv7 bytea,
-- instants are milliseconds since 1970 UTC. Later releases add tables, they do not rebuild the hot ones.

CREATE TABLE meta (
    name  text PRIMARY KEY,
    value bytea NOT NULL
);

-- Who is alive, by the database's clock.
CREATE TABLE nodes (
    epoch     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name      text NOT NULL,
    seen_at   bigint NOT NULL,
    lease_ms  bigint NOT NULL,
    closed_at bigint
) WITH (fillfactor = 50);

-- Configuration. The one row of document_version is locked by every change until it commits, so versions follow the
-- order of commits without a gap.
CREATE TABLE document_version (
    version bigint NOT NULL
) WITH (fillfactor = 10);
INSERT INTO document_version VALUES (0);

CREATE TABLE documents (
    kind            text NOT NULL,
    id              bytea NOT NULL,
    organization_id bytea NOT NULL,
    revision        integer NOT NULL,
    created_at      bigint NOT NULL,
    updated_at      bigint NOT NULL,
    document        bytea NOT NULL,
    PRIMARY KEY (kind, id)
);
CREATE INDEX documents_by_organization ON documents (kind, organization_id, id);

CREATE TABLE document_revisions (
    kind     text NOT NULL,
    id       bytea NOT NULL,
    revision integer NOT NULL,
    at       bigint NOT NULL,
    document bytea NOT NULL,
    PRIMARY KEY (kind, id, revision)
);

CREATE TABLE document_names (
    kind  text NOT NULL,
    space text NOT NULL,
    value text NOT NULL,
    id    bytea NOT NULL,
    PRIMARY KEY (kind, space, value)
);
CREATE INDEX document_names_by_id ON document_names (kind, id);

CREATE TABLE document_changes (
    version         bigint PRIMARY KEY,
    kind            text NOT NULL,
    id              bytea NOT NULL,
    organization_id bytea NOT NULL
);

-- Events. seq alone is not the order of commit, because transactions that take numbers side by side commit in any
-- order: the feed shows a row once every transaction older than its own has ended, ordered by (xid, seq).
CREATE TABLE events (
    seq             bigint GENERATED ALWAYS AS IDENTITY,
    xid             xid8 NOT NULL DEFAULT pg_current_xact_id(),
    key             bytea NOT NULL,
    organization_id bytea NOT NULL,
    own_id          text,
    type            text NOT NULL,
    data            bytea NOT NULL,
    occurred_at     bigint NOT NULL,
    received_at     bigint NOT NULL,
    execution_id    bytea,
    sequence        integer NOT NULL,
    ordering_key    text,
    target_id       bytea,
    PRIMARY KEY (organization_id, key)
) WITH (autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.02);
CREATE INDEX events_feed ON events (organization_id, xid, seq);
CREATE UNIQUE INDEX events_own_id ON events (organization_id, own_id) WHERE own_id IS NOT NULL;
CREATE INDEX events_of_execution ON events (execution_id, sequence) WHERE execution_id IS NOT NULL;
-- For retention only; events never change, so a range summary is exact and costs an insert nothing.
CREATE INDEX events_by_age ON events USING brin (received_at);

-- Fan-outs that did not fit into their event's transaction.
CREATE TABLE fanouts (
    event_key       bytea PRIMARY KEY,
    organization_id bytea NOT NULL,
    after           bytea NOT NULL
);

-- Deliveries. next_attempt_at is set only while one waits for a claim, epoch only while it is claimed: the two
-- partial indexes hold just what waits and what is in flight, however long the history is. Settling a claim clears
-- epoch, so it is never a heap-only update; a table of claims beside this one would make it so, and measured the
-- same (PostgreSQL 15, 128 a commit), because the second table's rows cost what the index entries save. No index
-- has the id alone: who settles knows the webhook and who asks knows the organization.
CREATE TABLE deliveries (
    id               bytea NOT NULL,
    organization_id  bytea NOT NULL,
    webhook_id       bytea NOT NULL,
    event_key        bytea,
    event_type       text NOT NULL,
    batch_id         bytea,
    state            text NOT NULL,
    state_reason     text,
    lane             smallint NOT NULL,
    webhook_revision integer NOT NULL,
    attempts_made    integer NOT NULL,
    failures         integer NOT NULL,
    crashes          integer NOT NULL,
    interruptions    integer NOT NULL,
    ordering_key     text,
    created_at       bigint NOT NULL,
    next_attempt_at  bigint,
    ended_at         bigint,
    epoch            bigint,
    last_status      integer,
    last_ms          bigint,
    body_size        bigint,
    body             bytea,
    PRIMARY KEY (webhook_id, id)
) WITH (
    fillfactor = 85, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02,
    autovacuum_vacuum_cost_delay = 1
);
CREATE UNIQUE INDEX deliveries_of_organization ON deliveries (organization_id, id);
CREATE UNIQUE INDEX deliveries_of_event ON deliveries (event_key, webhook_id) WHERE event_key IS NOT NULL;
CREATE INDEX deliveries_waiting ON deliveries (webhook_id, lane, next_attempt_at, id) WHERE next_attempt_at IS NOT NULL;
CREATE INDEX deliveries_claimed ON deliveries (epoch) WHERE epoch IS NOT NULL;
CREATE INDEX deliveries_held ON deliveries (webhook_id, id) WHERE state = 'held';
CREATE INDEX deliveries_ordered ON deliveries (webhook_id, ordering_key, id)
    WHERE ordering_key IS NOT NULL AND ended_at IS NULL;

-- Which events a batch carries, or will carry while batch_id is null.
CREATE TABLE batch_items (
    webhook_id bytea NOT NULL,
    event_key  bytea NOT NULL,
    batch_id   bytea,
    added_at   bigint NOT NULL,
    PRIMARY KEY (webhook_id, event_key)
);
CREATE INDEX batch_items_of_batch ON batch_items (batch_id) WHERE batch_id IS NOT NULL;

-- Attempts: append-only.
CREATE TABLE attempts (
    delivery_id      bytea NOT NULL,
    number           integer NOT NULL,
    id               bytea NOT NULL,
    started_at       bigint NOT NULL,
    duration_ms      bigint NOT NULL,
    outcome          text NOT NULL,
    status           integer,
    error            text,
    address          text,
    url              text NOT NULL,
    cause            text NOT NULL,
    request_headers  bytea NOT NULL, -- msgpack
    response_headers bytea NOT NULL, -- msgpack
    response_body    bytea NOT NULL,
    is_response_cut  boolean NOT NULL,
    PRIMARY KEY (delivery_id, number)
) WITH (autovacuum_vacuum_insert_scale_factor = 0.05);

-- Counters of a webhook per node and minute; nodes never touch one another's rows. what: 'delivered', 'exhausted',
-- 'attempt', 'failed', 'class:2xx', 'latency:7' ...
CREATE TABLE webhook_minutes (
    webhook_id bytea NOT NULL,
    minute     bigint NOT NULL,
    epoch      bigint NOT NULL,
    what       text NOT NULL,
    count      bigint NOT NULL,
    PRIMARY KEY (webhook_id, minute, epoch, what)
) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.05);
CREATE TABLE webhook_totals (
    webhook_id       bytea NOT NULL,
    epoch            bigint NOT NULL,
    delivered        bigint NOT NULL,
    exhausted        bigint NOT NULL,
    last_delivery_at bigint,
    PRIMARY KEY (webhook_id, epoch)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);

-- Executions.
CREATE TABLE executions (
    id                  bytea PRIMARY KEY,
    organization_id     bytea NOT NULL,
    kind                text NOT NULL,
    automation_id       text NOT NULL,
    automation_name     text NOT NULL,
    status              text NOT NULL,
    source              text NOT NULL,
    trigger_id          bytea,
    request_id          bytea,
    replay_of           bytea,
    conversation_id     bytea,
    callback_id         bytea,
    input               bytea,
    trigger             bytea,
    output              bytea,
    error               bytea, -- JSON of Failure
    created_at          bigint NOT NULL,
    started_at          bigint,
    completed_at        bigint,
    wake_at             bigint,
    wait_name           text,
    is_cancel_requested boolean NOT NULL DEFAULT false,
    launch_ms           bigint,
    run_ms              bigint,
    attempt             integer NOT NULL DEFAULT 0,
    steps               integer NOT NULL DEFAULT 0,
    credits_used        double precision NOT NULL DEFAULT 0,
    event_sequence      integer NOT NULL DEFAULT 0,
    epoch               bigint
) WITH (
    fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02,
    autovacuum_vacuum_cost_delay = 1
);
CREATE INDEX executions_of_organization ON executions (organization_id, id);
CREATE INDEX executions_of_automation ON executions (kind, automation_id, id);
CREATE INDEX executions_of_conversation ON executions (conversation_id, id) WHERE conversation_id IS NOT NULL;
CREATE INDEX executions_runnable ON executions (id) WHERE status = 'queued' AND epoch IS NULL;
CREATE INDEX executions_waking ON executions (wake_at) WHERE status = 'waiting';
CREATE INDEX executions_claimed ON executions (epoch) WHERE epoch IS NOT NULL;
CREATE INDEX executions_by_age ON executions USING brin (created_at);

CREATE TABLE journal (
    execution_id bytea NOT NULL,
    op           text NOT NULL,
    name         text NOT NULL,
    occurrence   integer NOT NULL,
    value        bytea,
    started_at   bigint NOT NULL,
    duration_ms  bigint NOT NULL,
    position     bigint GENERATED ALWAYS AS IDENTITY, -- order of recording
    PRIMARY KEY (execution_id, op, name, occurrence)
) WITH (fillfactor = 90);

CREATE TABLE logs (
    execution_id bytea NOT NULL,
    position     bigint NOT NULL,
    at           bigint NOT NULL,
    stream       text NOT NULL,
    level        text NOT NULL,
    text         bytea NOT NULL, -- UTF-8; a program may print a NUL, which the type text cannot hold
    fields       bytea,
    PRIMARY KEY (execution_id, position)
);

CREATE TABLE conversations (
    id                 bytea PRIMARY KEY,
    organization_id    bytea NOT NULL,
    agent_id           text NOT NULL,
    user_id            text,
    status             text NOT NULL,
    started_at         bigint NOT NULL,
    completed_at       bigint,
    message_count      integer NOT NULL,
    credits_used       double precision NOT NULL,
    satisfaction_score double precision,
    resolution         bytea
);
CREATE INDEX conversations_of_organization ON conversations (organization_id, id);

-- Inbound requests, accepted and refused.
CREATE TABLE trigger_requests (
    id              bytea PRIMARY KEY,
    organization_id bytea NOT NULL,
    trigger_id      bytea,
    execution_id    bytea,
    received_at     bigint NOT NULL,
    method          text NOT NULL,
    path            text NOT NULL,
    query           text NOT NULL,
    headers         bytea NOT NULL, -- msgpack
    body            bytea NOT NULL,
    remote_address  text NOT NULL,
    status          integer NOT NULL,
    reason          text
);
CREATE INDEX trigger_requests_of_organization ON trigger_requests (organization_id, id);
CREATE INDEX trigger_requests_of_trigger ON trigger_requests (trigger_id, id);
CREATE INDEX trigger_requests_by_age ON trigger_requests USING brin (received_at);

-- Answers that must not be given twice.
CREATE TABLE onces (
    scope      bytea NOT NULL,
    name       text NOT NULL,
    digest     bytea NOT NULL,
    answer     bytea,            -- null while reserved
    epoch      bigint NOT NULL,
    expires_at bigint NOT NULL,
    PRIMARY KEY (scope, name)
);
CREATE INDEX onces_expiring ON onces (expires_at);
