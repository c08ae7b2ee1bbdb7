-- How often the events came from a server that counts transactions by itself: a cursor of the feed says by which count
-- it was made.

CREATE TABLE feed_era (era integer NOT NULL);
INSERT INTO feed_era (era) VALUES (0);
