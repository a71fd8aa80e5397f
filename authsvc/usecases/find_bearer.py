"""Find the bearer of a key's text, whichever API it belongs to."""

from __future__ import annotations

from authsvc.domain.api import Apis
from authsvc.domain.candidates import Candidates
from authsvc.domain.decision import Bearer
from authsvc.domain.hashing import PepperSet
from authsvc.ports import Absent, KeyCache


class FindBearer:
    """
    Asks the cache, and the database where that does not know. `budget` is in seconds.

    Administrators ask: people, not proxies. They wait for a busy database, who must revoke a key now.
    """

    def __init__(self, keys: KeyCache, peppers: PepperSet, apis: Apis, budget: float) -> None:
        self._keys = keys
        self._candidates = Candidates(peppers, apis.by_name.values())
        self._apis = apis
        self._budget = budget

    async def __call__(self, key: str, *, fresh: bool) -> Bearer | None:
        """
        Return the bearer, or None. Raises `UnavailableError`.

        A fresh one comes from the database, whatever is cached: an administrator who was revoked
        elsewhere a moment ago must not get in here.
        """
        # Text that no API's keys look like costs no query.
        if all(api.keys.parse(key) is None for api in self._apis.by_name.values()):
            return None
        digest = self._candidates.peppers.current.digest(key)
        known = self._keys.get(digest)
        if isinstance(known, Absent):
            return None
        if known is not None and not fresh:
            return known
        return await self._keys.fetch((digest, *self._candidates.others(key)), self._budget, None, patient=True)
