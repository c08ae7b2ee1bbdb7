-- The place of an ordered delivery among those of its webhook and key: the number of its event. Those behind the
-- first wait without a time, so that no claim finds them.

ALTER TABLE deliveries ADD COLUMN position bigint;

DROP INDEX deliveries_ordered;
CREATE INDEX deliveries_ordered ON deliveries (webhook_id, ordering_key, position)
    WHERE ordering_key IS NOT NULL AND ended_at IS NULL;
