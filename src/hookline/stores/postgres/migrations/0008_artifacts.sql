-- Files that executions made. Blobs of dropped ones are deleted by whoever keeps blobs, and forgotten then.

CREATE TABLE artifacts (
    execution_id bytea NOT NULL,
    name         text NOT NULL,
    content_type text NOT NULL,
    size         bigint NOT NULL,
    digest       text NOT NULL,
    blob_id      text NOT NULL,
    created_at   bigint NOT NULL,
    PRIMARY KEY (execution_id, name)
);

CREATE TABLE dropped_blobs (
    blob_id text PRIMARY KEY
);
