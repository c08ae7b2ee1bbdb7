-- Callbacks: a hidden target serves many addresses, so the address stands with the execution and with each delivery.
ALTER TABLE executions ADD COLUMN callback_url TEXT;
ALTER TABLE deliveries ADD COLUMN url TEXT;
