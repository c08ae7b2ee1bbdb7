-- A request that was merged into an earlier execution: its repeats mean that one, whatever became of its answer.
ALTER TABLE onces ADD COLUMN instead bytea;
