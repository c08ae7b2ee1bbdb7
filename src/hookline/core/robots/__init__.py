"""Recordings of browser robots in Maxun's format (SEEDS MX-14 to MX-16): what they may say and what they mean."""
