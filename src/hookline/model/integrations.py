"""Integrations: what an app declares once, and the instances that customers have of it.

An integration and its flows are code and shared by all organizations; an instance is a document of one
organization. A flow is an automation of kind workflow whose id is ``integration.flow``.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar

import msgspec

from hookline.model.configuration import Document
from hookline.model.ids import Key


class Endpoint(StrEnum):
    """What has a URL of its own (PR-8): each flow of each instance, each instance, or the integration."""

    FLOW = "flow"
    INSTANCE = "instance"
    SHARED = "shared"


class Security(StrEnum):
    """Who may call (PR-17).

    UNSECURED: anyone.  CUSTOMER_OPTIONAL: whoever has a key of the flow, anyone while the flow has none.
    CUSTOMER_REQUIRED: whoever has a key of the flow.  ORGANIZATION: whoever has a key of the organization.
    """

    UNSECURED = "unsecured"
    CUSTOMER_OPTIONAL = "customer_optional"
    CUSTOMER_REQUIRED = "customer_required"
    ORGANIZATION = "organization"


class Handler(StrEnum):
    """Functions of an app that are called beside executions, each in a child process."""

    ON_TRIGGER = "on_trigger"
    ON_DEPLOY = "on_deploy"
    ON_REMOVE = "on_remove"
    ROUTE = "route"


class Variable(msgspec.Struct, frozen=True, kw_only=True):
    """A config variable, to which each instance gives a value.

    type: ``string``, ``number``, ``boolean`` or ``json``.  default: None for none.
    is_secret: sealed at rest and shown to nobody but the running code.
    """

    name: str
    type: str = "string"
    default: Any = None
    is_required: bool = False
    is_secret: bool = False
    description: str = ""


class FlowSignature(msgspec.Struct, frozen=True, kw_only=True):
    """How a flow's requests are signed. definition: a preset's name or an own scheme's fields (``core.inbound``).

    secrets: the config variables that hold its secrets, newest first.  verify_token: the one with the word that Meta
    shows, or None.
    """

    definition: dict[str, Any]
    secrets: tuple[str, ...]
    verify_token: str | None = None

    @property
    def variables(self) -> tuple[str, ...]:
        """The config variables that it needs."""
        return self.secrets if self.verify_token is None else (*self.secrets, self.verify_token)


class Flow(msgspec.Struct, frozen=True, kw_only=True):
    """A flow, as declared. automation_id: of the workflow that it is.  handlers: those it has.

    is_synchronous: callers wait for its result.  runs_on_deploy: it is also started by every deployment (PR-20).
    signature: None when its requests are not signed.
    """

    name: str
    automation_id: str
    is_synchronous: bool = False
    runs_on_deploy: bool = False
    handlers: tuple[Handler, ...] = ()
    signature: FlowSignature | None = None


class Integration(msgspec.Struct, frozen=True, kw_only=True):
    """An integration, as declared.

    flow_name_field, customer_id_field: where a request names its flow and its customer (``core.routing``); None where
    the endpoint does not need it or ``has_route``: a function of the app says both.
    """

    id: str
    name: str
    endpoint: Endpoint = Endpoint.FLOW
    security: Security = Security.CUSTOMER_OPTIONAL
    variables: tuple[Variable, ...] = ()
    flows: tuple[Flow, ...] = ()
    flow_name_field: str | None = None
    customer_id_field: str | None = None
    has_route: bool = False
    description: str = ""

    def flow(self, name: str) -> Flow | None:
        """Return the flow of this name, None when there is none."""
        return next((flow for flow in self.flows if flow.name == name), None)


class InstanceStatus(StrEnum):
    """DEPLOYING and ACTIVE instances take requests; the others answer as if they were not there.

    FAILED: a handler failed, ``status_reason`` says which and why; nothing of it is registered anywhere, unless that
    is what failed.  REMOVING: it is going away.
    """

    DEPLOYING = "deploying"
    ACTIVE = "active"
    FAILED = "failed"
    DISABLING = "disabling"
    DISABLED = "disabled"
    REMOVING = "removing"

    @property
    def is_under_way(self) -> bool:
        """Whether a deployment is on its way to another status."""
        return self in {InstanceStatus.DEPLOYING, InstanceStatus.DISABLING, InstanceStatus.REMOVING}


class Customer(msgspec.Struct, frozen=True, kw_only=True):
    """Whom an instance is for. external_id: the organization's own name for them."""

    external_id: str
    name: str | None = None


class Place(msgspec.Struct, frozen=True):
    """A URL of an instance, chosen before its trigger is stored, so that storing it again changes nothing."""

    trigger_id: Key
    path_id: str


class Instance(Document, frozen=True, kw_only=True):
    """One customer's use of an integration.

    config: values of the variables that are not secret.  sealed_config: JSON object of the secret ones.
    sealed_keys: JSON object, flow name to its keys.  key_digests: SHA-256 of those keys, by flow name.
    sealed_states: JSON object, flow name to what its ``on_deploy`` returned; a flow without an entry is not deployed.
    places: URLs by flow name, by ``""`` when all flows share one.  deployment: counts deployments, 1 for the first.
    deployed_flows: those whose part of this deployment is done, so that whoever goes on with it leaves them out.
    """

    kind: ClassVar[str] = "instance"
    integration_id: str
    name: str
    customer: Customer
    status: InstanceStatus = InstanceStatus.DEPLOYING
    status_reason: str | None = None
    config: dict[str, Any] = msgspec.field(default_factory=dict)
    sealed_config: bytes | None = None
    sealed_keys: bytes | None = None
    key_digests: dict[str, tuple[bytes, ...]] = msgspec.field(default_factory=dict)
    sealed_states: bytes | None = None
    places: dict[str, Place] = msgspec.field(default_factory=dict)
    deployment: int = 1
    deployed_flows: tuple[str, ...] = ()
    deployed_at: datetime | None = None

    @property
    def takes_requests(self) -> bool:
        """Whether its URLs answer. They do while it is deployed: the other side may try a URL it is given."""
        return self.status in {InstanceStatus.DEPLOYING, InstanceStatus.ACTIVE}


class Deployment(Document, frozen=True, kw_only=True):
    """An instance is being deployed, disabled or removed. Written first and deleted last, so that whoever finds one
    whose node is dead goes on with it.

    is_creation: the instance is stored after it.  skips_handlers: a removal that calls no ``on_remove``.
    """

    kind: ClassVar[str] = "deployment"
    instance_id: Key
    is_creation: bool = False
    skips_handlers: bool = False
