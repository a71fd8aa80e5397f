"""
Measures how fast authsvc is, beside what it is compared with, in interleaved rounds.

`python -m bench` measures this tree; `python -m bench compare A B` measures two commits.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench import golang, load
from bench.figures import LARGE_KEYS, MANY_KEYS, QUICK_KEYS, BenchError, Comparators, Conditions, Samples
from bench.plot import svg
from bench.registry import MEASURES
from bench.report import Run, markdown, write_into

# Rounds, and seconds of one burst of load.
USUAL, QUICK = (7, 2), (3, 1)


def main(arguments: Sequence[str]) -> int:
    """Run what is asked for; 2 when it cannot be run here. A goal that is missed is told, and no failure."""
    try:
        if arguments[:1] == ["compare"]:
            from bench.compare import compare  # noqa: PLC0415 (it runs this module, in other processes)

            return compare(arguments[1:])
        return _measure(_parser().parse_args(arguments))
    except BenchError as error:
        sys.stderr.write(f"bench: {error}\n")
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--list", action="store_true", help="name the measures, and stop")
    parser.add_argument("--only", nargs="+", choices=MEASURES, metavar="NAME", help="these measures (default: all)")
    parser.add_argument("--rounds", type=_positive, help=f"of which medians are told (default: {USUAL[0]})")
    parser.add_argument("--seconds", type=_positive, help=f"of one burst of load (default: {USUAL[1]})")
    parser.add_argument(
        "--quick", action="store_true", help=f"{QUICK[0]} short rounds, {QUICK_KEYS:,} keys: to see that it works"
    )
    parser.add_argument(
        "--large", action="store_true", help=f"{LARGE_KEYS:,} keys where there are many, not {MANY_KEYS:,}"
    )
    parser.add_argument("--json", type=Path, default=Path("bench.json"), help="for the figures (default: bench.json)")
    parser.add_argument("--keep", action="store_true", help="keep what that file has of other measures")
    parser.add_argument("--svg", type=Path, help="for the plot (default: beside the JSON)")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the tables into this page, the plot beside it")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _measure(options: argparse.Namespace) -> int:
    if options.list:
        for name, measure in MEASURES.items():
            print(f"{name:15} {measure.title}: {measure.how}")
        return 0
    usual = QUICK if options.quick else USUAL
    options.rounds, options.seconds = options.rounds or usual[0], options.seconds or usual[1]
    if not load.available():
        _say(f"{load.MISSING}. Measures that need it are left out")
    if golang.compiler() is None:
        _say("Go is not installed: its programs are left out of the comparison")
    run = _kept(options.json) if options.keep else Run(facts={}, samples={}, missing={})
    with tempfile.TemporaryDirectory(prefix="authsvc-bench-") as folder:
        comparators = functools.cache(lambda: golang.build(Path(folder)))
        for name in options.only or MEASURES:
            run = _with(run, name, options, comparators)
            _save(run, options.json)
    _show(run, options)
    return 0


def _with(run: Run, name: str, options: argparse.Namespace, comparators: Comparators) -> Run:
    """Make a measure, and return the run with it. One that cannot be made is named, with the reason."""
    _say(f"{name} …")
    began = time.monotonic()
    samples = {key: found for key, found in run.samples.items() if key != name}
    missing = {key: why for key, why in run.missing.items() if key != name}
    try:
        samples[name] = _made(name, options, comparators)
    except BenchError as error:
        missing[name] = str(error).partition("\n")[0]
        _say(f"{name}: {error}")
    except Exception as error:  # noqa: BLE001 - whatever breaks, the other measures' figures are worth having
        missing[name] = f"it failed with {type(error).__name__}"
        _say(f"{name} failed:\n{traceback.format_exc()}")
    else:
        _say(f"{name}: {time.monotonic() - began:.0f} s")
    ordered = {key: samples[key] for key in MEASURES if key in samples}
    return Run(facts=_facts(options), samples=ordered, missing=missing)


def _made(name: str, options: argparse.Namespace, comparators: Comparators) -> Samples:
    with tempfile.TemporaryDirectory(prefix="authsvc-bench-") as folder:
        conditions = Conditions(
            folder=Path(folder),
            rounds=options.rounds,
            seconds=options.seconds,
            keys=QUICK_KEYS if options.quick else LARGE_KEYS if options.large else MANY_KEYS,
            comparators=comparators,
        )
        return MEASURES[name].run(conditions)


def _facts(options: argparse.Namespace) -> Mapping[str, str]:
    head = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    commit = subprocess.run(head, capture_output=True, text=True, check=False).stdout.strip()
    return {
        "Commit": commit or "unknown",
        "CPython": platform.python_version(),
        "Go": golang.version() or "not installed, so nothing is compared with it",
        "cores": f"{os.cpu_count()} ({platform.machine()})",
        "other load": f"{os.getloadavg()[2]:.1f} processes",
        "rounds": f"{options.rounds} of {options.seconds} s",
    }


def _show(run: Run, options: argparse.Namespace) -> None:
    measures = list(MEASURES.values())
    print(markdown(run, measures))
    picture = options.svg or options.json.with_suffix(".svg")
    picture.write_text(svg(run, measures))
    if options.write is not None:
        beside = options.write.with_suffix(".svg")
        beside.write_text(svg(run, measures))
        write_into(options.write, markdown(run, measures, beside.name))


def _kept(file: Path) -> Run:
    try:
        return Run(**json.loads(file.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise BenchError(f"{file} has no figures to keep: {error}") from None


def _save(run: Run, file: Path) -> None:
    whole = {"facts": run.facts, "samples": run.samples, "missing": run.missing}
    file.write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n")


def _say(text: str) -> None:
    sys.stderr.write(f"bench: {text}\n")


if __name__ == "__main__":
    # So that whatever was started is ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    sys.exit(main(sys.argv[1:]))
