-- Large data that every node must be able to read. A blob is whole when its row is there; chunks without one are swept.

CREATE TABLE blobs (
    id       bytea PRIMARY KEY,
    size     bigint NOT NULL,
    added_at bigint NOT NULL
);

CREATE TABLE blob_chunks (
    blob_id  bytea NOT NULL,
    position integer NOT NULL,
    added_at bigint NOT NULL,
    data     bytea NOT NULL,
    PRIMARY KEY (blob_id, position)
);
ALTER TABLE blob_chunks ALTER COLUMN data SET STORAGE EXTERNAL;
CREATE INDEX blob_chunks_by_age ON blob_chunks USING brin (added_at);
