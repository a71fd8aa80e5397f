"""An example in process, with one good key: for counting what a question costs, and for changed configurations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from authsvc.config import read
from authsvc.domain.api import Api
from authsvc.domain.key_text import KeyClass
from tests.conformance.inputs.callers import GOOD
from tests.support.builders import record
from tests.support.doors import Door, door, new_key
from tests.support.products import EXAMPLES


def local_api(name: str, **changes: Any) -> Api:
    """Read an example in which some sections are others."""
    data = yaml.safe_load((EXAMPLES / name / "authsvc.yaml").read_text())
    data["apis"][name] |= changes
    return read(json.dumps(data).encode(), Path("changed.yaml")).apis.by_name[name]


def local_class(name: str) -> KeyClass:
    """Return the class of an example's default keys."""
    api = local_api(name)
    return next(one for one in api.keys.classes if one.creates and one.kind == api.default_kind)


def local_key(name: str, seed: int = 0) -> str:
    """Return a well-formed key of an example; the one with seed 0 exists behind `local_door`."""
    return new_key(local_class(name), seed)


def local_door(name: str, *, changed: dict[str, Any] | None = None, **sections: Any) -> Door:
    """Return the data plane of an example and one key, which may make its good request; `changed` is of its record."""
    fields = {"api": name, "environment": local_class(name).environment, "scopes": (GOOD[name].scope,)}
    return door({local_key(name): record(**(fields | (changed or {})))}, local_api(name, **sections))


def place(name: str) -> dict[str, str]:
    """Return what an example's Envoy says about a request."""
    environment = local_class(name).environment
    return {"api": name} | ({"environment": environment} if environment else {})
