"""How far a caller's changes may go."""

from __future__ import annotations

from authsvc.domain.administration import ADMIN_API
from authsvc.domain.administrator import Administrator
from authsvc.domain.api import Api
from authsvc.domain.errors import PermissionDeniedError
from authsvc.domain.grants import Terms, exceeded


def check_reach(caller: Administrator, api: Api, terms: Terms) -> None:
    """Raise `PermissionDeniedError` unless the caller may leave a key of the API with these terms behind."""
    # For a product's keys an operator is bound by the catalogue alone; its own like are bound by itself.
    if caller.is_operator and api.name != ADMIN_API:
        return
    dimension = exceeded(caller.record, api, terms)
    if dimension is not None:
        raise PermissionDeniedError(f"{dimension}: a key makes no key that can do more than itself")
