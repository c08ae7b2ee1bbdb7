"""Hookline: a webhook engine. Webhooks in, work done, webhooks out, without losing one.

``from hookline import App`` is all a user's ``app.py`` needs. Names are loaded on first use, so importing the
package costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hookline.context import AgentContext, Context
    from hookline.flow_settings import ConfigVariable, Queue, Retry, Signature
    from hookline.handling import HandlerContext, HttpResponse, Payload, Route, TriggerResult
    from hookline.sdk import App
    from hookline.siblings import FlowCallError, WorkflowError
    from hookline.steps import RetryPolicy, StepError

__version__ = "0.1.0"
__all__ = [
    "AgentContext",
    "App",
    "ConfigVariable",
    "Context",
    "FlowCallError",
    "HandlerContext",
    "HttpResponse",
    "Payload",
    "Queue",
    "Retry",
    "RetryPolicy",
    "Route",
    "Signature",
    "StepError",
    "TriggerResult",
    "WorkflowError",
    "__version__",
]

_HOMES = {
    "context": ("AgentContext", "Context"),
    "flow_settings": ("ConfigVariable", "Queue", "Retry", "Signature"),
    "handling": ("HandlerContext", "HttpResponse", "Payload", "Route", "TriggerResult"),
    "sdk": ("App",),
    "siblings": ("FlowCallError", "WorkflowError"),
    "steps": ("RetryPolicy", "StepError"),
}


def __getattr__(name: str) -> object:
    for module, names in _HOMES.items():
        if name in names:
            from importlib import import_module

            return getattr(import_module(f"hookline.{module}"), name)
    raise AttributeError(f"module 'hookline' has no attribute {name!r}")
