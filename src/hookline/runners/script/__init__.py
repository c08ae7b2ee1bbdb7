"""Run script agents: Python and JavaScript that people store, each run in a process of its own behind walls."""
