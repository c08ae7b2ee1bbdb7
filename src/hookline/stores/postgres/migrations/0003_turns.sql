-- Executions that take turns, and those that a later request may recognize. Both stand on few rows: partial indexes.

ALTER TABLE executions ADD COLUMN gate bytea;
ALTER TABLE executions ADD COLUMN gate_limit integer NOT NULL DEFAULT 0;
ALTER TABLE executions ADD COLUMN is_blocked boolean NOT NULL DEFAULT false;
ALTER TABLE executions ADD COLUMN mark bytea;

DROP INDEX executions_runnable;
CREATE INDEX executions_runnable ON executions (is_blocked, id) WHERE status = 'queued' AND epoch IS NULL;
CREATE INDEX executions_gated ON executions (gate, id) WHERE gate IS NOT NULL AND completed_at IS NULL;
CREATE INDEX executions_marked ON executions (mark) WHERE mark IS NOT NULL AND status = 'waiting';
