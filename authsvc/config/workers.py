"""Several workers: what each one finds in its environment."""

from __future__ import annotations

from collections.abc import Mapping

from authsvc.config.settings import Settings
from authsvc.domain.errors import StartupError


def worker_environments(environment: Mapping[str, str], workers: int) -> list[dict[str, str]]:
    """
    Return the environment of each worker: the given one, with every listener at an address of its own.

    Raises `StartupError` where the environment cannot be used, or not by several.
    """
    settings = Settings.from_environment(environment)
    url = settings.database_url
    if url is None or url.get_secret_value().startswith("sqlite"):
        raise StartupError("--workers: several processes need PostgreSQL; set AUTHSVC_DATABASE_URL")
    made = [{**environment, **_listeners(settings, number)} for number in range(workers)]
    taken: dict[str, str] = {}
    for number, each in enumerate(made):
        for variable, address in Settings.from_environment(each).listeners.items():
            if address is None or not (address.path or address.port):
                continue  # off, or any free port
            name = str(address) if address.is_unix else f"port {address.port}"
            if (other := taken.setdefault(name, variable)) != variable:
                raise StartupError(f"--workers: {variable} of worker {number} and {other} are one: {name}")
    return made


def _listeners(settings: Settings, number: int) -> dict[str, str]:
    moved = {}
    for variable, address in settings.listeners.items():
        if address is None:
            continue
        own = address.of_worker(number)
        if own is None:
            raise StartupError(f"--workers: {variable}: there is no address for worker {number} beside {address}")
        moved[variable] = str(own)
    return moved
