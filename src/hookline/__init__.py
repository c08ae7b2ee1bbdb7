"""Hookline: a webhook engine. Webhooks in, work done, webhooks out, without losing one.

``from hookline import App`` is all a user's ``app.py`` needs. Names are loaded on first use, so importing the
package costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hookline.sdk import AgentContext, App, Context

__version__ = "0.1.0"
__all__ = ["AgentContext", "App", "Context", "__version__"]


def __getattr__(name: str) -> object:
    if name in {"App", "AgentContext", "Context"}:
        from hookline import sdk

        return getattr(sdk, name)
    raise AttributeError(f"module 'hookline' has no attribute {name!r}")
