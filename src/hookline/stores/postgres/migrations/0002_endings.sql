-- Callbacks: a hidden target serves many addresses, so the address stands with the execution and with each delivery.
ALTER TABLE executions ADD COLUMN callback_url text;
ALTER TABLE deliveries ADD COLUMN url text;

-- The epoch of the node that waits for the end; 0 when several do; null when nobody needs a signal.
ALTER TABLE executions ADD COLUMN awaited_by bigint;
