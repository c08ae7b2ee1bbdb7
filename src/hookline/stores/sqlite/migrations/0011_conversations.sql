-- Conversations that stand open, to end those in which nothing is said any more, and those that ended, to delete them.
CREATE INDEX conversations_open ON conversations (started_at) WHERE completed_at IS NULL;
CREATE INDEX conversations_ended ON conversations (completed_at) WHERE completed_at IS NOT NULL;
