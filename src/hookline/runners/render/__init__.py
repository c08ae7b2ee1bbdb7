"""Render jobs: movies made into videos by FFmpeg (SEEDS PF)."""
