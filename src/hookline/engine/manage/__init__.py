"""What may be set up, changed and taken away: the decisions behind the management API, without HTTP.

One file per object. Each takes plain values and the store, checks everything that a schema cannot, and writes once.
"""

from hookline.engine.manage.start import first_admin_key, prepare

__all__ = ["first_admin_key", "prepare"]
