-- Executions that take turns, and those that a later request may recognize. Both stand on few rows: partial indexes.

ALTER TABLE executions ADD COLUMN gate BLOB;
ALTER TABLE executions ADD COLUMN gate_limit INTEGER NOT NULL DEFAULT 0;
ALTER TABLE executions ADD COLUMN is_blocked INTEGER NOT NULL DEFAULT 0;
ALTER TABLE executions ADD COLUMN mark BLOB;

DROP INDEX executions_runnable;
CREATE INDEX executions_runnable ON executions (is_blocked, id) WHERE status = 'queued' AND epoch IS NULL;
CREATE INDEX executions_gated ON executions (gate, id) WHERE gate IS NOT NULL AND completed_at IS NULL;
CREATE INDEX executions_marked ON executions (mark) WHERE mark IS NOT NULL AND status = 'waiting';
