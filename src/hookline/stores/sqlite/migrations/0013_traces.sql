-- The trace that led to an event or an execution, so that what another node does hours later still belongs to it.

ALTER TABLE events ADD COLUMN trace TEXT;
ALTER TABLE executions ADD COLUMN trace TEXT;
