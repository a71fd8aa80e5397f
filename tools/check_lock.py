"""
Holds requirements.lock to pyproject.toml: complete, nothing left over, all hashed, no trace of where it came from.

Nothing is asked of a registry: the environment was installed from the lock, so the metadata of what is installed says
what each package needs.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"
OURS = {canonicalize_name("authsvc"): ROOT, canonicalize_name("authsvc-client"): ROOT / "clients" / "python"}
EXTRAS = frozenset({"dev"})  # the one that takes in all others

_PIN = re.compile(r"(?P<name>[A-Za-z0-9._-]+)==(?P<version>[A-Za-z0-9.!+_-]+)(?: ; (?P<marker>[^\\]+?))?(?: \\)?")
_HASH = re.compile(r" {4}--hash=sha256:[0-9a-f]{64}(?: \\)?")
# An index, a mirror, a file or a checkout: whose they are is nobody's business.
_SOURCE = re.compile(r"://|--\S*index|--find-links|--trusted-host|\s@\s|\bfile:|[a-z0-9-]\.(?:org|com|net|io|dev)\b")


def read_lock(text: str) -> tuple[dict[NormalizedName, list[Requirement]], list[str]]:
    """Return the pins (one a marker), and what is wrong with the text itself."""
    pins: dict[NormalizedName, list[Requirement]] = {}
    problems, hashed = [], True
    for number, line in enumerate(text.splitlines(), start=1):
        if _SOURCE.search(line):
            problems.append(f"line {number} names a source")
        elif _HASH.fullmatch(line):
            hashed = True
        elif (pin := _PIN.fullmatch(line)) is not None:
            if not hashed:
                problems.append(f"the pin before line {number} has no hash")
            hashed = False
            marker = f"; {pin['marker']}" if pin["marker"] else ""
            pins.setdefault(canonicalize_name(pin["name"]), []).append(
                Requirement(f"{pin['name']}=={pin['version']}{marker}")
            )
        else:
            problems.append(f"line {number} is neither a pin nor a hash")
    if not hashed:
        problems.append("the last pin has no hash")
    return pins, problems


def applies(requirement: Requirement, extras: frozenset[str]) -> bool:
    """Whether a requirement counts on this machine with these extras."""
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in extras | {""})


def requirements_of(name: NormalizedName, extras: frozenset[str]) -> Iterator[Requirement]:
    """Yield what a distribution needs: ours by its pyproject.toml as it stands, others by what is installed."""
    if name in OURS:
        project = tomllib.loads((OURS[name] / "pyproject.toml").read_text("utf-8"))["project"]
        yield from map(Requirement, project["dependencies"])
        for extra in extras:
            yield from map(Requirement, project.get("optional-dependencies", {}).get(extra, ()))
    else:
        for text in metadata.requires(name) or ():
            if applies(requirement := Requirement(text), extras):
                yield requirement


def walk(pins: dict[NormalizedName, list[Requirement]]) -> tuple[set[NormalizedName], list[str]]:
    """Follow every requirement from our packages on; return what was reached, and what the lock does not satisfy."""
    seen: set[tuple[NormalizedName, frozenset[str]]] = set()
    waiting = [(name, EXTRAS if name == "authsvc" else frozenset[str]()) for name in OURS]
    problems = []
    while waiting:
        name, extras = waiting.pop()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        for requirement in requirements_of(name, extras):
            if not applies(requirement, extras):
                continue
            needed = canonicalize_name(requirement.name)
            problem = None if needed in OURS else unsatisfied(requirement, pins.get(needed, []))
            if problem is None:
                waiting.append((needed, frozenset(requirement.extras)))
            else:
                problems.append(f"{name} needs {requirement}: {problem}")
    return {name for name, _ in seen}, problems


def unsatisfied(requirement: Requirement, pins: list[Requirement]) -> str | None:
    """Say why the lock does not give what is required; None when it does."""
    pin = next((pin for pin in pins if applies(pin, frozenset())), None)
    if pin is None:
        return "not in the lock"
    version = next(iter(pin.specifier)).version
    if not requirement.specifier.contains(version, prereleases=True):
        return f"the lock has {version}"
    try:
        installed = metadata.version(pin.name)
    except metadata.PackageNotFoundError:
        return f"the lock's {version} is not installed"
    return None if installed == version else f"the lock has {version}, installed is {installed}"


def problems_of(text: str) -> list[str]:
    """Return everything that is wrong with a lock file, one line each."""
    pins, problems = read_lock(text)
    reached, missing = walk(pins)
    # A package for other machines only is not followed here, and so not judged.
    here = {name for name, choices in pins.items() if all(pin.marker is None for pin in choices)}
    return [*problems, *missing, *(f"nothing needs {name} (any more)" for name in sorted(here - reached))]


def main() -> int:
    """Return 0 when the lock is current."""
    problems = problems_of(LOCK.read_text("utf-8"))
    for problem in problems:
        sys.stderr.write(f"{LOCK.name}: {problem}\n")
    if problems:
        sys.stderr.write("Run `make lock`, then `make check` again.\n")
        return 1
    sys.stdout.write(f"{LOCK.name} is current\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
