"""Run the command line as ``python -m hookline``."""

from hookline.cli import main

main()
