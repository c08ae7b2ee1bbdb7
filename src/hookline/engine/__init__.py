"""The use cases, one file each: receive, publish, execute, deliver, supervise. They see ports, never adapters."""
