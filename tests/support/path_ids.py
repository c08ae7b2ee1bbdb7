"""Ids as the routes of the API name them in their paths: how each begins."""

from __future__ import annotations

from typing import Final

PREFIXES: Final = {
    "organization_id": "org_",
    "member_id": "mem_",
    "key_id": "key_",
    "trigger_id": "trg_",
    "webhook_id": "wh_",
    "execution_id": "exec_",
    "delivery_id": "dlv_",
    "event_id": "evt_",
    "request_id": "req_",
    "instance_id": "inst_",
    "replay_id": "rpl_",
    "job_id": "",
    "robot_id": "rob_",
    "script_id": "scr_",
    "template_id": "tpl_",
    "conversation_id": "conv_",
    "name": "file-",
    "alert_id": "alr_",
}
