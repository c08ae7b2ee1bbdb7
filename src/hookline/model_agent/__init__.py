"""Agents whose turns are answered by a model behind an OpenAI-compatible endpoint.

All of it runs in the child process, within steps: what a model said and what a tool returned is recorded before the
turn goes on, so a turn that starts again asks and calls nothing twice. ``client.py`` alone loads the ``openai``
package (extra ``agent``), in processes that run such turns.
"""
