"""Message brokers that events may come in by, one file each. None is imported before it is named in the settings."""
