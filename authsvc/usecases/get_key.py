"""Read one key."""

from __future__ import annotations

from authsvc.domain import inputs
from authsvc.domain.administration import Key
from authsvc.domain.administrator import Administrator
from authsvc.domain.errors import ConflictError, NotFoundError
from authsvc.ports import Registry

NO_SUCH_KEY = "no such key"


def check_etag(current: str, meant: str) -> None:
    """Raise `ConflictError` unless the current version is the one that is meant, or any is."""
    if meant not in ("", current):
        raise ConflictError(f"it has changed since it was read: its etag is now {current}")


class GetKey:
    """Finds a key within the caller's reach; what is beyond it answers exactly as what does not exist."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def __call__(self, caller: Administrator, key_id: str, etag: str = "") -> Key:
        """Return the key, of this version if one is meant, whatever its status; a deleted one is not found."""
        try:
            key = await self._registry.get_key(inputs.key_id(key_id))
        except NotFoundError as error:
            raise NotFoundError(NO_SUCH_KEY) from error
        if not caller.reaches(key.record):
            raise NotFoundError(NO_SUCH_KEY)
        check_etag(key.etag, etag)
        return key
