"""The dashboard: pages rendered here, asked of the management API in this process, as the person who signed in.

A page has no query and no rule of its own: what it shows and does is a request to ``/api/v1``, so that tenants are kept
apart, input is checked and scopes are held in one place. Pages work without scripts; htmx keeps open ones up to date.
"""

from hookline.web.dashboard import Dashboard

__all__ = ["Dashboard"]
