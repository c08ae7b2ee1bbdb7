"""Run a program that is not trusted, behind as many walls as this machine has.

``enter.py`` is executed as a program of its own, with the standard library alone: it makes the walls and starts what is
to run behind them. ``kernel.py``, ``view.py``, ``landlock.py``, ``seccomp.py`` and ``init.py`` are its parts;
``cell.py`` is the node's side. What each wall gives is told in docs/explanation/script-isolation.md.
"""
