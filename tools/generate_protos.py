"""
Generates the Python stubs from `protos/`, or checks that the committed ones are current.

The API goes into the client package as `authsvc_client.v1`; the subset of Envoy's messages stays inside the server.
protoc writes imports after file paths, so they are rewritten to the packages the stubs are installed in. Descriptors
keep the paths that buf sees. Works offline: everything imported is in this repository or in grpcio-tools.
"""

from __future__ import annotations

import argparse
import difflib
import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import grpc_tools
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
INCLUDES = (PROTOS, ROOT / "third_party" / "googleapis", Path(grpc_tools.__file__).parent / "_proto")


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A folder of `protos/`, and the Python package its stubs are installed as."""

    source: str
    target: str
    folder: Path

    @property
    def protos(self) -> list[Path]:
        """The package's .proto files, in a fixed order."""
        return sorted((PROTOS / self.source).glob("*.proto"))

    @property
    def source_module(self) -> str:
        """The package as protoc writes it into imports."""
        return self.source.replace("/", ".")


PACKAGES = (
    Package(
        source="authsvc/v1",
        target="authsvc_client.v1",
        folder=Path("clients/python/authsvc_client/v1"),
    ),
    Package(
        source="envoy",
        target="authsvc.servicers._envoy",
        folder=Path("authsvc/servicers/_envoy"),
    ),
)


def run_protoc(protos: list[Path], out: Path) -> None:
    """Let protoc and its plugins write their files below `out`."""
    plugins = Path(sys.executable).parent  # not resolved: a venv's python is a link, its scripts lie beside the link
    status = protoc.main(
        [
            "protoc",
            *(f"-I{include}" for include in INCLUDES),
            f"--plugin=protoc-gen-mypy={plugins / 'protoc-gen-mypy'}",
            f"--plugin=protoc-gen-mypy_grpc={plugins / 'protoc-gen-mypy_grpc'}",
            f"--python_out={out}",
            f"--grpc_python_out={out}",
            f"--mypy_out=quiet:{out}",
            # Concrete: an RPC that is not implemented yet answers UNIMPLEMENTED, in types as at run time.
            f"--mypy_grpc_out=quiet,generate_concrete_servicer_stubs:{out}",
            *map(str, protos),
        ]
    )
    if status != 0:
        raise SystemExit(f"protoc failed with status {status}")


def rewrite(text: str, package: Package) -> str:
    """Make imports, and the module names that messages carry for pickling, those of the installed package."""
    module = re.escape(package.source_module)
    text = re.sub(rf"^(from|import) {module}\b", rf"\1 {package.target}", text, flags=re.MULTILINE)
    return re.sub(rf"(DESCRIPTOR, '){module}\.", rf"\1{package.target}.", text)


def wanted(stub: Path, proto: Path) -> bool:
    """Whether a stub has content: plugins write empty service stubs for files without a service."""
    return "_pb2_grpc." not in stub.name or re.search(r"^service ", proto.read_text("utf-8"), re.MULTILINE) is not None


def generate() -> dict[Path, str]:
    """Return what the stubs should be: path below the repository's root → text."""
    stubs: dict[Path, str] = {}
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch)
        for package in PACKAGES:
            run_protoc(package.protos, out)
            for proto in package.protos:
                for stub in sorted((out / package.source).glob(f"{proto.stem}_pb2*")):
                    if wanted(stub, proto):
                        stubs[package.folder / stub.name] = rewrite(stub.read_text("utf-8"), package)
    return stubs


def committed() -> dict[Path, str]:
    """Return the stubs as they are in the work tree."""
    return {
        stub.relative_to(ROOT): stub.read_text("utf-8")
        for package in PACKAGES
        for stub in sorted((ROOT / package.folder).glob("*_pb2*.py*"))
        if stub.is_file()
    }


def summarize(expected: dict[Path, str], actual: dict[Path, str]) -> list[str]:
    """Say in one line each which stubs are missing, left over or different."""
    lines = []
    for path in sorted(expected.keys() | actual.keys()):
        if path not in actual:
            lines.append(f"missing  {path}")
        elif path not in expected:
            lines.append(f"extra    {path}")
        elif expected[path] != actual[path]:
            delta = list(difflib.unified_diff(actual[path].splitlines(), expected[path].splitlines(), n=0))[2:]
            added, removed = (sum(line.startswith(sign) for line in delta) for sign in "+-")
            lines.append(f"stale    {path} (+{added} -{removed})")
    return lines


def write(expected: dict[Path, str], actual: dict[Path, str]) -> None:
    """Bring the work tree to what is expected, leaving current files untouched."""
    for path, text in expected.items():
        if actual.get(path) != text:
            (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
            (ROOT / path).write_text(text, "utf-8", newline="\n")
    for path in actual.keys() - expected.keys():
        (ROOT / path).unlink()


def main() -> int:
    """Run the command line: 0 when all is current, 1 when `--check` found a difference."""
    parser = argparse.ArgumentParser(description="Generate the Python stubs from protos/.")
    parser.add_argument("--check", action="store_true", help="change nothing, fail when the stubs are not current")
    check: bool = parser.parse_args().check
    expected, actual = generate(), committed()
    report = summarize(expected, actual)
    if not check:
        write(expected, actual)
    sys.stdout.write("".join(f"{line}\n" for line in report) or f"{len(expected)} stubs are current\n")
    if check and report:
        sys.stderr.write("The stubs are not what protos/ generates: run tools/generate_protos.py\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
