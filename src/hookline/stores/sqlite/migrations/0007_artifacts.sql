-- Files that executions made. Blobs of dropped ones are deleted by whoever keeps blobs, and forgotten then.

CREATE TABLE artifacts (
    execution_id BLOB NOT NULL,
    name         TEXT NOT NULL,
    content_type TEXT NOT NULL,
    size         INTEGER NOT NULL,
    digest       TEXT NOT NULL,
    blob_id      TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    PRIMARY KEY (execution_id, name)
) WITHOUT ROWID;

CREATE TABLE dropped_blobs (
    blob_id TEXT PRIMARY KEY
) WITHOUT ROWID;
