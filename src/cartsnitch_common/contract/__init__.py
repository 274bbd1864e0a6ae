"""The contract at work: which event goes where, which rules hold, the JSON form."""

from __future__ import annotations

from cartsnitch_common.contract.bindings import EventBinding, binding_of, bindings, find_binding
from cartsnitch_common.contract.json_form import from_json, from_json_value, to_json, to_json_value
from cartsnitch_common.contract.rules import check, json_path, violations

__all__ = [
    "EventBinding",
    "binding_of",
    "bindings",
    "check",
    "find_binding",
    "from_json",
    "from_json_value",
    "json_path",
    "to_json",
    "to_json_value",
    "violations",
]
