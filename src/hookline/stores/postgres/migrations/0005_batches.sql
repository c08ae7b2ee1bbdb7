-- Events that wait to become part of a batch: what forming one asks of them without looking at the event.

ALTER TABLE batch_items ADD COLUMN ordering_key text;
ALTER TABLE batch_items ADD COLUMN size integer NOT NULL DEFAULT 0;
CREATE INDEX batch_items_waiting ON batch_items (webhook_id, event_key) WHERE batch_id IS NULL;
CREATE INDEX batch_items_of_event ON batch_items (event_key);
CREATE INDEX deliveries_batches ON deliveries (ended_at) WHERE batch_id IS NOT NULL;
