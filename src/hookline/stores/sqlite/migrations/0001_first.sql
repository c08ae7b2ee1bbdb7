-- The first schema. Keys are 16-byte UUIDv7 blobs, instants are milliseconds since 1970 UTC.
-- The hot tables (events, deliveries, attempts, executions) carry columns for ordering, batches, lanes and poison
-- counting from the start: later releases add tables, they do not rebuild these.
--
-- Tables whose rows can be larger than 200 bytes have a rowid: rows are appended to a B+tree whatever their key is,
-- and secondary indexes hold a small integer. Small rows that are read together are WITHOUT ROWID.

CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
) WITHOUT ROWID;

-- Who is alive.
CREATE TABLE nodes (
    epoch     INTEGER PRIMARY KEY AUTOINCREMENT,
    name      TEXT NOT NULL,
    seen_at   INTEGER NOT NULL,
    lease_ms  INTEGER NOT NULL,
    closed_at INTEGER
);

-- Configuration: documents, their revisions, their unique names, and the feed of changes.
CREATE TABLE documents (
    kind            TEXT NOT NULL,
    id              BLOB NOT NULL,
    organization_id BLOB NOT NULL,
    revision        INTEGER NOT NULL,
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    document        BLOB NOT NULL,
    PRIMARY KEY (kind, id)
) WITHOUT ROWID;
CREATE INDEX documents_by_organization ON documents (kind, organization_id, id);

CREATE TABLE document_revisions (
    kind     TEXT NOT NULL,
    id       BLOB NOT NULL,
    revision INTEGER NOT NULL,
    at       INTEGER NOT NULL,
    document BLOB NOT NULL,
    PRIMARY KEY (kind, id, revision)
) WITHOUT ROWID;

CREATE TABLE document_names (
    kind  TEXT NOT NULL,
    space TEXT NOT NULL,
    value TEXT NOT NULL,
    id    BLOB NOT NULL,
    PRIMARY KEY (kind, space, value)
) WITHOUT ROWID;
CREATE INDEX document_names_by_id ON document_names (kind, id);

CREATE TABLE document_changes (
    version         INTEGER PRIMARY KEY,
    kind            TEXT NOT NULL,
    id              BLOB NOT NULL,
    organization_id BLOB NOT NULL
);

-- Events. seq is the order of commit, which the feed follows. The writer gives it out, never twice: what pruning
-- took is remembered in meta.
CREATE TABLE events (
    seq             INTEGER PRIMARY KEY,
    key             BLOB NOT NULL,
    organization_id BLOB NOT NULL,
    own_id          TEXT,
    type            TEXT NOT NULL,
    data            BLOB NOT NULL,
    occurred_at     INTEGER NOT NULL,
    received_at     INTEGER NOT NULL,
    execution_id    BLOB,
    sequence        INTEGER NOT NULL,
    ordering_key    TEXT,
    target_id       BLOB
);
CREATE UNIQUE INDEX events_by_key ON events (organization_id, key);
-- type: a feed of rare types is searched without touching the rows.
CREATE INDEX events_feed ON events (organization_id, seq, type);
CREATE UNIQUE INDEX events_own_id ON events (organization_id, own_id) WHERE own_id IS NOT NULL;
CREATE INDEX events_of_execution ON events (execution_id, sequence) WHERE execution_id IS NOT NULL;

-- Fan-outs that did not fit into their event's transaction.
CREATE TABLE fanouts (
    event_key       BLOB PRIMARY KEY,
    organization_id BLOB NOT NULL,
    after           BLOB NOT NULL
) WITHOUT ROWID;

-- Deliveries. next_attempt_at is set only while one waits for a claim, epoch only while it is claimed: the two
-- partial indexes hold just what waits and what is in flight, however long the history is.
CREATE TABLE deliveries (
    id               BLOB NOT NULL UNIQUE,
    organization_id  BLOB NOT NULL,
    webhook_id       BLOB NOT NULL,
    event_key        BLOB,
    event_type       TEXT NOT NULL,
    batch_id         BLOB,
    state            TEXT NOT NULL,
    state_reason     TEXT,
    lane             INTEGER NOT NULL,
    webhook_revision INTEGER NOT NULL,
    attempts_made    INTEGER NOT NULL,
    failures         INTEGER NOT NULL,
    crashes          INTEGER NOT NULL,
    interruptions    INTEGER NOT NULL,
    ordering_key     TEXT,
    created_at       INTEGER NOT NULL,
    next_attempt_at  INTEGER,
    ended_at         INTEGER,
    epoch            INTEGER,
    last_status      INTEGER,
    last_ms          INTEGER,
    body_size        INTEGER,
    body             BLOB
);
CREATE INDEX deliveries_of_webhook ON deliveries (webhook_id, id);
CREATE INDEX deliveries_of_organization ON deliveries (organization_id, id);
CREATE UNIQUE INDEX deliveries_of_event ON deliveries (event_key, webhook_id) WHERE event_key IS NOT NULL;
CREATE INDEX deliveries_waiting ON deliveries (webhook_id, lane, next_attempt_at, id) WHERE next_attempt_at IS NOT NULL;
CREATE INDEX deliveries_claimed ON deliveries (epoch) WHERE epoch IS NOT NULL;
CREATE INDEX deliveries_held ON deliveries (webhook_id, id) WHERE state = 'held';
CREATE INDEX deliveries_exhausted ON deliveries (organization_id, id) WHERE state = 'exhausted';
CREATE INDEX deliveries_ordered ON deliveries (webhook_id, ordering_key, id)
    WHERE ordering_key IS NOT NULL AND ended_at IS NULL;

-- Which events a batch carries, or will carry while delivery_id is null.
CREATE TABLE batch_items (
    webhook_id  BLOB NOT NULL,
    event_key   BLOB NOT NULL,
    batch_id    BLOB,
    added_at    INTEGER NOT NULL,
    PRIMARY KEY (webhook_id, event_key)
) WITHOUT ROWID;
CREATE INDEX batch_items_of_batch ON batch_items (batch_id) WHERE batch_id IS NOT NULL;

-- Attempts: append-only.
CREATE TABLE attempts (
    delivery_id      BLOB NOT NULL,
    number           INTEGER NOT NULL,
    id               BLOB NOT NULL,
    started_at       INTEGER NOT NULL,
    duration_ms      INTEGER NOT NULL,
    outcome          TEXT NOT NULL,
    status           INTEGER,
    error            TEXT,
    address          TEXT,
    url              TEXT NOT NULL,
    cause            TEXT NOT NULL,
    request_headers  BLOB NOT NULL, -- msgpack
    response_headers BLOB NOT NULL, -- msgpack
    response_body    BLOB NOT NULL,
    is_response_cut  INTEGER NOT NULL,
    UNIQUE (delivery_id, number)
);

-- Counters of a webhook per node and minute; nodes never touch one another's rows. what: 'delivered', 'exhausted',
-- 'attempt', 'failed', 'class:2xx', 'latency:7' ...
CREATE TABLE webhook_minutes (
    webhook_id BLOB NOT NULL,
    minute     INTEGER NOT NULL,
    epoch      INTEGER NOT NULL,
    what       TEXT NOT NULL,
    count      INTEGER NOT NULL,
    PRIMARY KEY (webhook_id, minute, epoch, what)
) WITHOUT ROWID;
CREATE TABLE webhook_totals (
    webhook_id       BLOB NOT NULL,
    epoch            INTEGER NOT NULL,
    delivered        INTEGER NOT NULL,
    exhausted        INTEGER NOT NULL,
    last_delivery_at INTEGER,
    PRIMARY KEY (webhook_id, epoch)
) WITHOUT ROWID;

-- Executions.
CREATE TABLE executions (
    id                  BLOB NOT NULL UNIQUE,
    organization_id     BLOB NOT NULL,
    kind                TEXT NOT NULL,
    automation_id       TEXT NOT NULL,
    automation_name     TEXT NOT NULL,
    status              TEXT NOT NULL,
    source              TEXT NOT NULL,
    trigger_id          BLOB,
    request_id          BLOB,
    replay_of           BLOB,
    conversation_id     BLOB,
    callback_id         BLOB,
    input               BLOB,
    trigger             BLOB,
    output              BLOB,
    error               BLOB, -- JSON of Failure
    created_at          INTEGER NOT NULL,
    started_at          INTEGER,
    completed_at        INTEGER,
    wake_at             INTEGER,
    wait_name           TEXT,
    is_cancel_requested INTEGER NOT NULL DEFAULT 0,
    launch_ms           INTEGER,
    run_ms              INTEGER,
    attempt             INTEGER NOT NULL DEFAULT 0,
    steps               INTEGER NOT NULL DEFAULT 0,
    credits_used        REAL NOT NULL DEFAULT 0,
    event_sequence      INTEGER NOT NULL DEFAULT 0,
    epoch               INTEGER
);
CREATE INDEX executions_of_organization ON executions (organization_id, id);
CREATE INDEX executions_of_automation ON executions (kind, automation_id, id);
CREATE INDEX executions_of_conversation ON executions (conversation_id, id) WHERE conversation_id IS NOT NULL;
CREATE INDEX executions_runnable ON executions (id) WHERE status = 'queued' AND epoch IS NULL;
CREATE INDEX executions_waking ON executions (wake_at) WHERE status = 'waiting' AND wake_at IS NOT NULL;
CREATE INDEX executions_unfinished ON executions (status) WHERE status IN ('queued', 'running', 'waiting');
CREATE INDEX executions_claimed ON executions (epoch) WHERE epoch IS NOT NULL;

CREATE TABLE journal (
    position     INTEGER PRIMARY KEY, -- order of recording
    execution_id BLOB NOT NULL,
    op           TEXT NOT NULL,
    name         TEXT NOT NULL,
    occurrence   INTEGER NOT NULL,
    value        BLOB,
    started_at   INTEGER NOT NULL,
    duration_ms  INTEGER NOT NULL,
    UNIQUE (execution_id, op, name, occurrence)
);

CREATE TABLE logs (
    execution_id BLOB NOT NULL,
    position     INTEGER NOT NULL,
    at           INTEGER NOT NULL,
    stream       TEXT NOT NULL,
    level        TEXT NOT NULL,
    text         TEXT NOT NULL,
    fields       BLOB,
    PRIMARY KEY (execution_id, position)
) WITHOUT ROWID;

CREATE TABLE conversations (
    id                 BLOB PRIMARY KEY,
    organization_id    BLOB NOT NULL,
    agent_id           TEXT NOT NULL,
    user_id            TEXT,
    status             TEXT NOT NULL,
    started_at         INTEGER NOT NULL,
    completed_at       INTEGER,
    message_count      INTEGER NOT NULL,
    credits_used       REAL NOT NULL,
    satisfaction_score REAL,
    resolution         BLOB
) WITHOUT ROWID;
CREATE INDEX conversations_of_organization ON conversations (organization_id, id);

-- Inbound requests, accepted and refused.
CREATE TABLE trigger_requests (
    id              BLOB NOT NULL UNIQUE,
    organization_id BLOB NOT NULL,
    trigger_id      BLOB,
    execution_id    BLOB,
    received_at     INTEGER NOT NULL,
    method          TEXT NOT NULL,
    path            TEXT NOT NULL,
    query           TEXT NOT NULL,
    headers         BLOB NOT NULL, -- msgpack
    body            BLOB NOT NULL,
    remote_address  TEXT NOT NULL,
    status          INTEGER NOT NULL,
    reason          TEXT
);
CREATE INDEX trigger_requests_of_organization ON trigger_requests (organization_id, id);
CREATE INDEX trigger_requests_of_trigger ON trigger_requests (trigger_id, id);

-- Answers that must not be given twice.
CREATE TABLE onces (
    scope      BLOB NOT NULL,
    name       TEXT NOT NULL,
    digest     BLOB NOT NULL,
    answer     BLOB,             -- null while reserved
    epoch      INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (scope, name)
) WITHOUT ROWID;
CREATE INDEX onces_expiring ON onces (expires_at);
