"""Who is calling? Administrators are authenticated by the rules that hold for any key."""

from __future__ import annotations

from authsvc.domain.administrator import Administrator
from authsvc.domain.api import Api, Apis
from authsvc.domain.decision import Attempt, Bearer, Deny, KnownSender, Purpose, decide
from authsvc.domain.errors import AuthsvcError, PermissionDeniedError, UnauthenticatedError
from authsvc.domain.reasons import WORDING, Reason
from authsvc.ports import Clock, RecordUsage, uncounted
from authsvc.usecases.authorize import spend_nothing
from authsvc.usecases.find_bearer import FindBearer

# What must not tell one broken key from another.
_UNAUTHENTICATED = frozenset({Reason.UNAUTHORIZED, Reason.INVALID_KEY})


class RefusedKeyError(PermissionDeniedError):
    """A live key that may not be used like this: from here, or while its organization is suspended."""

    def __init__(self, text: str, caller: Administrator) -> None:
        super().__init__(text)
        self.caller = caller


class Administer:
    """Turns a credential into an administrator, or raises. What they may do is `administrator.permit`."""

    def __init__(self, find: FindBearer, apis: Apis, clock: Clock, record: RecordUsage = uncounted) -> None:
        self._find = find
        self._apis = apis
        self._clock = clock
        self._record = record

    async def __call__(self, credential: str | None, address: str | None) -> Administrator:
        """Authenticate the key as of now; its status, organization, networks and kind all count."""
        if credential is None:
            raise UnauthenticatedError(WORDING[Reason.UNAUTHORIZED].message)
        bearer = await self._find(credential, fresh=True)
        api = None if bearer is None else self._apis.by_name.get(bearer.record.api)
        if bearer is None or api is None:
            raise UnauthenticatedError(WORDING[Reason.INVALID_KEY].message)
        decision = decide(bearer, self._attempt(bearer, api, address))
        reason = decision.reason if isinstance(decision, Deny) else None
        self._record(bearer, api, None, reason, KnownSender(address))
        caller = Administrator(api=api, record=bearer.record, address=address or "", as_of=bearer.as_of)
        if isinstance(decision, Deny):
            raise _refusal(caller, decision)
        return caller

    def _attempt(self, bearer: Bearer, api: Api, address: str | None) -> Attempt:
        return Attempt(
            api=api,
            now=self._clock.now(),
            purpose=Purpose.AUTHENTICATE,
            route=None,
            required=(),
            # Administration is for no environment: what it touches is compared with the key's instead.
            environment=bearer.record.environment,
            origin=None,
            sender=KnownSender(address),
            organization_id=None,
            spend=spend_nothing,
        )


def _refusal(caller: Administrator, decision: Deny) -> AuthsvcError:
    text = WORDING[decision.reason].message
    unknown = decision.reason in _UNAUTHENTICATED
    error = UnauthenticatedError(text) if unknown else RefusedKeyError(text, caller)
    # For the log, which may tell expired from revoked; callers get the text alone.
    error.add_note(f"{caller.record.id}: {decision.detail}")
    return error
