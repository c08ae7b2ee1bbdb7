-- Events that wait to become part of a batch: what forming one asks of them without looking at the event.

ALTER TABLE batch_items ADD COLUMN ordering_key text;
ALTER TABLE batch_items ADD COLUMN size integer NOT NULL DEFAULT 0;

-- Led by the event: else the planner would take the key for the search of what waits, and walk through all that went.
ALTER TABLE batch_items DROP CONSTRAINT batch_items_pkey;
ALTER TABLE batch_items ADD PRIMARY KEY (event_key, webhook_id);
CREATE INDEX batch_items_waiting ON batch_items (webhook_id, event_key) WHERE batch_id IS NULL;
CREATE INDEX deliveries_batches ON deliveries (ended_at) WHERE batch_id IS NOT NULL;
