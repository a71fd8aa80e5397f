"""Read one key."""

from __future__ import annotations

from authsvc.domain import inputs
from authsvc.domain.administration import Key
from authsvc.domain.administrator import Administrator
from authsvc.domain.errors import NotFoundError
from authsvc.ports import Registry

NO_SUCH_KEY = "no such key"


class GetKey:
    """Finds a key within the caller's reach; what is beyond it answers exactly as what does not exist."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def __call__(self, caller: Administrator, key_id: str) -> Key:
        """Return the key, whatever its status; a deleted one is not found."""
        try:
            key = await self._registry.get_key(inputs.key_id(key_id))
        except NotFoundError as error:
            raise NotFoundError(NO_SUCH_KEY) from error
        if not caller.reaches(key.record):
            raise NotFoundError(NO_SUCH_KEY)
        return key
