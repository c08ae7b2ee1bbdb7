-- How large each request's body was, and where it is kept when that is not here.

ALTER TABLE trigger_requests ADD COLUMN body_size INTEGER; -- null: it was never read
ALTER TABLE trigger_requests ADD COLUMN body_blob TEXT;

-- Refused ones are few among many: they are listed and checked again without a look at the others.
CREATE INDEX trigger_requests_refused ON trigger_requests (trigger_id, id) WHERE reason IS NOT NULL;
CREATE INDEX trigger_requests_refused_anywhere ON trigger_requests (organization_id, id) WHERE reason IS NOT NULL;
