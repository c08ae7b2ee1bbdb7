"""Where spans are collected: adapters of ``ports.tracing``."""
