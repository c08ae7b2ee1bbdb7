"""Run recordings of robots in real browsers, each in a process of its own."""
