"""Where large data is kept: adapters of ``ports.blobs``."""
