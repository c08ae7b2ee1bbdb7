-- By which interval, in microseconds, a webhook's time was given out last: another one begins anew.

ALTER TABLE paces ADD COLUMN step bigint NOT NULL DEFAULT 0;
