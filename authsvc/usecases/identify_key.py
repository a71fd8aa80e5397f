"""Whose is this text?"""

from __future__ import annotations

from authsvc.domain.administration import Key
from authsvc.domain.api import Apis
from authsvc.domain.candidates import Candidates
from authsvc.domain.errors import InvalidInputError, NotFoundError
from authsvc.domain.hashing import PepperSet
from authsvc.domain.key_text import presentable
from authsvc.domain.secret import Secret
from authsvc.ports import Registry
from authsvc.usecases.get_key import NO_SUCH_KEY


class IdentifyKey:
    """Finds the record of a key that was found somewhere."""

    def __init__(self, registry: Registry, peppers: PepperSet, apis: Apis) -> None:
        self._registry = registry
        self._candidates = Candidates(peppers, apis.by_name.values())
        self._apis = apis

    async def __call__(self, secret: Secret) -> Key:
        """Return the record of the key with this text, whatever its status."""
        text = secret.reveal()
        if not presentable(text):
            raise InvalidInputError("secret: 1 to 128 characters that a key can have")
        if all(api.keys.parse(text) is None for api in self._apis.by_name.values()):
            raise NotFoundError(NO_SUCH_KEY)
        try:
            return await self._registry.find_key(self._candidates.all(text))
        except NotFoundError as error:
            raise NotFoundError(NO_SUCH_KEY) from error
