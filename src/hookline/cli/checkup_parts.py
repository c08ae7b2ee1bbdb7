"""What ``hookline doctor`` looks at of the parts that are not in every install: drivers, tracing, models, runners."""

from __future__ import annotations

import asyncio
import os
import socket
from importlib.util import find_spec
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from hookline.cli.finding import Finding, Level

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hookline.config import Settings


def drivers() -> Iterator[Finding]:
    if find_spec("asyncpg"):
        yield Finding("postgres driver", "ok", "installed")
    else:
        yield Finding(
            "postgres driver", "note", "not installed", "for PostgreSQL: pip install 'hookline[postgres]'"
        )


def tracing() -> Iterator[Finding]:
    from hookline.errors import SettingError
    from hookline.telemetry.wanted import wanted_exporter

    try:
        exporter = wanted_exporter(os.environ)
    except SettingError as error:
        yield Finding(
            "tracing", "fail", error.message, "mend the OTEL_ variables, or set OTEL_SDK_DISABLED=true"
        )
        return
    if exporter is None:
        yield Finding("tracing", "ok", "spans are not collected; traceparent headers are carried on")
    elif find_spec("opentelemetry.sdk") is None:
        mend = "pip install 'hookline[otel]'"
        yield Finding(
            "tracing", "warn", "OTEL_ variables ask for spans, and the extra is not installed", mend
        )
    else:
        yield Finding("tracing", "ok", f"spans are collected by {exporter}")


def model(settings: Settings) -> Iterator[Finding]:
    """Say whether agents that a model answers for can be asked."""
    from hookline.core.addresses import AddressPolicy, how_to_allow
    from hookline.model_agent.definition import OPENAI_URL

    if find_spec("openai") is None:
        told = "the OpenAI client is not installed: agents made with `app.openai_agent` cannot answer"
        is_wanted = settings.openai_model or settings.openai_base_url or settings.openai_api_key
        level: Level = "warn" if is_wanted else "note"
        yield Finding("model", level, told, "pip install 'hookline[agent]'")
        return
    url = settings.openai_base_url or OPENAI_URL
    key = "no key" if settings.openai_api_key is None else "a key"
    told = f"{settings.openai_model or 'no model of the server'}, {key}, at {url}"
    host = urlsplit(url).hostname or ""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM) if settings.openai_base_url else []
    except OSError as error:
        yield Finding(
            "model", "warn", f"{told}: the name is not found: {error}", "set HOOKLINE_OPENAI_BASE_URL"
        )
        return
    policy = AddressPolicy(settings.allow_networks)
    for address in {str(one[4][0]) for one in found}:
        if (reason := policy.check(address)) is not None:
            yield Finding(
                "model", "warn", f"{told}: {address} is not allowed: {reason}", how_to_allow(address).strip()
            )
            return
    yield Finding("model", "ok", told)


def runners(settings: Settings) -> Iterator[Finding]:
    """Say what each kind of work beside the app's code needs of this machine."""
    from hookline.adapters import data_runners
    from hookline.core.addresses import AddressPolicy
    from hookline.model.states import Kind
    from hookline.senders.http import HttpSender

    for kind, make in data_runners(settings, HttpSender(AddressPolicy(settings.allow_networks))).items():
        try:
            checks = asyncio.run(make().check())
        except ImportError as exc:
            mend = f"to run {kind}s: pip install 'hookline[{kind}]'"
            yield Finding(f"{kind}s", "note", f"a part is not installed: {exc}", mend)
            continue
        for check in checks:
            # Other kinds are not for everybody; what keeps scripts apart is.
            unmet: Level = "warn" if kind is Kind.SCRIPT else "note"
            level: Level = "ok" if check.is_met else unmet
            yield Finding(f"{kind} {check.name}", level, check.told, check.remedy or "")
