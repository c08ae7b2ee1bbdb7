-- Until when the time of a webhook with a rate is given out to nodes, in microseconds. Not logged: after a crash of the
-- server an empty table only means that nobody has reserved anything.

CREATE UNLOGGED TABLE paces (
    webhook_id bytea PRIMARY KEY,
    free_at    bigint NOT NULL
) WITH (fillfactor = 50);
