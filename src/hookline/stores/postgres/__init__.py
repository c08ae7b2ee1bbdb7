"""The store for many nodes over one PostgreSQL 15 or newer."""
