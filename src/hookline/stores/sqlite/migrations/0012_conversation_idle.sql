-- Silence that ends a conversation, in milliseconds; null for the server's own.
ALTER TABLE conversations ADD COLUMN idle_ms INTEGER;
