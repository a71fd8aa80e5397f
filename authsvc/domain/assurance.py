"""What holds for keys whose text nobody here has seen: nothing says how hard an imported digest is to guess."""

from __future__ import annotations

from authsvc.domain.administrator import KEYS_WRITE
from authsvc.domain.api import Api
from authsvc.domain.errors import InvalidInputError
from authsvc.domain.grants import Terms
from authsvc.domain.keys import Micros

LONGEST_DAYS = 90
_LONGEST: Micros = LONGEST_DAYS * 86_400_000_000

_WHY = "unless the import's assurance is `declared`; a rotated key's successor is free of this"


def hold(terms: Terms, api: Api, born: Micros) -> None:
    """Refuse terms that are too much for a key of unknown assurance, imported at `born`. Raises `InvalidInputError`."""
    if terms.expires_at is None or terms.expires_at - born > _LONGEST:
        raise InvalidInputError(f"expires_at: at most {LONGEST_DAYS} days after the import, {_WHY}")
    if KEYS_WRITE in terms.scopes:
        raise InvalidInputError(f"scopes: not {KEYS_WRITE}, {_WHY}")
    if terms.full_access and api.full_access_manages_keys:
        raise InvalidInputError(f"full_access: not where it includes {KEYS_WRITE}, {_WHY}")
