"""Instances: the flows of integrations, each deployed for a customer, and the calls between them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hookline.engine.calls import FlowCalls
from hookline.engine.contexts import Contexts
from hookline.engine.deploy import Deployer
from hookline.engine.routing import Router

if TYPE_CHECKING:
    from hookline.engine.parts.ground import Ground
    from hookline.engine.parts.running import Running
    from hookline.ports.runner import Runner


def contexts_of(ground: Ground, runner: Runner) -> Contexts:
    """What flows are shown of their customer and instance."""
    return Contexts(
        integrations=lambda: runner.integrations,
        directory=ground.directory,
        vault=ground.vault,
        public_url=ground.url,
    )


class Instances:
    """Who deploys them, and who finds the one that a request is for."""

    def __init__(self, ground: Ground, running: Running, runner: Runner, contexts: Contexts) -> None:
        store, directory, clock = ground.store, ground.directory, ground.clock
        running.executor.connect(
            FlowCalls(
                contexts=contexts,
                directory=directory,
                archive=store,
                clock=clock,
                automation=running.catalogue.of_app,
                start=running.receiver.start,
                resume=running.executor.resume,
                cancel=running.executor.cancel,
            )
        )
        self.router = Router(contexts=contexts, directory=directory, runner=runner, clock=clock)
        self.deployer = Deployer(
            store=store,
            onces=ground.reservations,
            runner=runner,
            contexts=contexts,
            directory=directory,
            lease=ground.lease,
            clock=clock,
            start=running.receiver.start,
        )

    def __repr__(self) -> str:
        return f"Instances({self.router!r})"
