-- How many deliveries of ours led to an event: what keeps automations that call each other from doing so for ever.

ALTER TABLE events ADD COLUMN hops integer NOT NULL DEFAULT 0;
