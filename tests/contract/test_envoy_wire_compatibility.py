"""
Our subset of Envoy's ext_authz messages against Envoy's own descriptors, field by field.

The official descriptors come from the PyPI package xds-protos. It overwrites files of other packages, so it is never
installed: it is unpacked into a scratch folder, loaded by another process (two copies of one symbol cannot live in one
descriptor pool) and kept as serialized descriptors in pytest's cache.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor, FileDescriptor, ServiceDescriptor
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from authsvc.servicers._envoy import authsvc_ext_authz_pb2

VERSION = "1.85.0"
REQUIREMENT = f"xds-protos=={VERSION} --hash=sha256:e1e7bfd9936389936b2c85660d9db0dae380f12678a594b983da40dd472f1760\n"
PIP_INSTALL = (
    *("-m", "pip", "install", "--quiet", "--timeout=20", "--retries=1"),
    *("--no-deps", "--no-compile", "--only-binary=:all:", "--require-hashes"),
)
# The package's copies of these shadow the installed ones, google.protobuf with them.
SHADOWING = ("google", "opentelemetry")

DUMP = """
import sys
from envoy.service.auth.v3.external_auth_pb2 import DESCRIPTOR
from google.protobuf.descriptor_pb2 import FileDescriptorSet

files = {}
def collect(file):
    if file.name not in files:
        for dependency in file.dependencies:
            collect(dependency)
        files[file.name] = file.serialized_pb
collect(DESCRIPTOR)
result = FileDescriptorSet()
for serialized in files.values():
    result.file.add().ParseFromString(serialized)
sys.stdout.buffer.write(result.SerializeToString(deterministic=True))
"""

SUBSET = "envoy.service.auth.v3"
# Types that Envoy keeps in other packages: a type's name is not on the wire, its fields are.
OFFICIAL_NAMES = {
    f"{SUBSET}.Address": "envoy.config.core.v3.Address",
    f"{SUBSET}.SocketAddress": "envoy.config.core.v3.SocketAddress",
    f"{SUBSET}.HeaderMap": "envoy.config.core.v3.HeaderMap",
    f"{SUBSET}.HeaderValue": "envoy.config.core.v3.HeaderValue",
    f"{SUBSET}.HeaderValueOption": "envoy.config.core.v3.HeaderValueOption",
    f"{SUBSET}.HeaderValueOption.HeaderAppendAction": "envoy.config.core.v3.HeaderValueOption.HeaderAppendAction",
    f"{SUBSET}.HttpStatus": "envoy.type.v3.HttpStatus",
}
# Declared as an enum by Envoy and as a number by us, which is the same varint.
NUMBERS_FOR_ENUMS = {f"{SUBSET}.HttpStatus.code"}


def official_name(name: str) -> str:
    """Return Envoy's name for a type of ours."""
    return OFFICIAL_NAMES.get(name, name)


def messages(file: FileDescriptor) -> Iterator[Descriptor]:
    """Yield every message of a file, nested ones and map entries included."""
    pending = list(file.message_types_by_name.values())
    while pending:
        message = pending.pop()
        pending.extend(message.nested_types)
        yield message


def enums(file: FileDescriptor) -> Iterator[EnumDescriptor]:
    """Yield every enum of a file, nested ones included."""
    yield from file.enum_types_by_name.values()
    for message in messages(file):
        yield from message.enum_types


def shape(field: FieldDescriptor, name: Callable[[str], str] = str) -> dict[str, Any]:
    """Describe what of a field is visible on the wire, and what it refers to."""
    refers_to = field.message_type or field.enum_type
    return {
        "number": field.number,
        "type": field.type,
        "repeated": field.is_repeated,
        "packed": field.is_packed,
        "presence": field.has_presence,
        "oneof": field.containing_oneof.name if field.containing_oneof else None,
        "refers_to": name(refers_to.full_name) if refers_to else None,
    }


def compare_message(ours: Descriptor, official: Descriptor) -> Iterator[str]:
    """Yield how the fields of one message differ."""
    if ours.GetOptions().map_entry != official.GetOptions().map_entry:
        yield f"{ours.full_name}: a map on one side only"
    for field in ours.fields:
        counterpart = official.fields_by_name.get(field.name)
        if counterpart is None:
            yield f"{field.full_name}: unknown to Envoy"
            continue
        expected, actual = shape(counterpart), shape(field, official_name)
        if field.full_name in NUMBERS_FOR_ENUMS and expected["type"] == FieldDescriptor.TYPE_ENUM:
            expected |= {"type": FieldDescriptor.TYPE_INT32, "refers_to": None}
        if expected != actual:
            yield f"{field.full_name}: {actual}, Envoy has {expected}"


def compare_service(ours: ServiceDescriptor, official: ServiceDescriptor) -> Iterator[str]:
    """Yield how the methods of one service differ."""
    for method in ours.methods:
        counterpart = official.methods_by_name.get(method.name)
        if counterpart is None:
            yield f"{method.full_name}: unknown to Envoy"
            continue
        signatures = [
            (each.input_type.full_name, each.output_type.full_name, each.client_streaming, each.server_streaming)
            for each in (method, counterpart)
        ]
        if signatures[0] != signatures[1]:
            yield f"{method.full_name}: {signatures[0]}, Envoy has {signatures[1]}"


def differences(ours: FileDescriptor, official: DescriptorPool) -> Iterator[str]:
    """Yield every difference between our file and Envoy's descriptors; a type that Envoy lacks raises KeyError."""
    for message in messages(ours):
        yield from compare_message(message, official.FindMessageTypeByName(official_name(message.full_name)))
    for enum in enums(ours):
        counterpart = official.FindEnumTypeByName(official_name(enum.full_name))
        values = [{value.name: value.number for value in each.values} for each in (enum, counterpart)]
        if values[0] != values[1]:
            yield f"{enum.full_name}: {values[0]}, Envoy has {values[1]}"
    for service in ours.services_by_name.values():
        yield from compare_service(service, official.FindServiceByName(service.full_name))


def run(command: list[str], **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run a command to its end, for three minutes at most."""
    return subprocess.run(command, env=os.environ | environment, capture_output=True, check=False, timeout=180)


def unpack_package(scratch: Path) -> Path:
    """Let pip unpack the official package; without it, fail in CI and skip elsewhere."""
    target, requirement = scratch / "unpacked", scratch / "requirements.txt"
    requirement.write_text(REQUIREMENT, "utf-8")
    try:
        installed = run([sys.executable, *PIP_INSTALL, f"--requirement={requirement}", f"--target={target}"])
        problem = installed.stderr.decode(errors="replace").strip() if installed.returncode else ""
    except subprocess.TimeoutExpired:
        problem = "pip took too long"
    if problem:
        altered = "DO NOT MATCH THE HASHES" in problem
        last_line = problem.splitlines()[-1]
        (pytest.fail if altered or os.environ.get("CI") else pytest.skip)(f"xds-protos {VERSION}: {last_line}")
    for name in SHADOWING:
        shutil.rmtree(target / name)
    return target


def fetch_descriptors(folder: Path) -> bytes:
    """Return the official descriptors, serialized, having fetched them once; safe with parallel test workers."""
    cached = folder / f"xds-protos-{VERSION}.binpb"
    if not cached.exists():
        with tempfile.TemporaryDirectory(dir=folder) as name:
            scratch = Path(name)
            dumped = run([sys.executable, "-c", DUMP], PYTHONPATH=str(unpack_package(scratch)))
            assert dumped.returncode == 0, dumped.stderr.decode(errors="replace")
            (scratch / cached.name).write_bytes(dumped.stdout)
            (scratch / cached.name).replace(cached)
    return cached.read_bytes()


@pytest.fixture(scope="module")
def official(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> DescriptorPool:
    """Envoy's own descriptors, in a pool of their own."""
    cache: pytest.Cache | None = getattr(request.config, "cache", None)
    folder = cache.mkdir("envoy-descriptors") if cache else tmp_path_factory.mktemp("envoy-descriptors")
    pool = DescriptorPool()
    for file in FileDescriptorSet.FromString(fetch_descriptors(folder)).file:
        pool.AddSerializedFile(file.SerializeToString())
    return pool


def subset_with(change: Callable[[FileDescriptorProto], None]) -> FileDescriptor:
    """Return our file with one thing changed, in a pool of its own."""
    pool = DescriptorPool()
    for dependency in authsvc_ext_authz_pb2.DESCRIPTOR.dependencies:
        for file in (*dependency.dependencies, dependency):
            pool.AddSerializedFile(file.serialized_pb)
    changed = FileDescriptorProto.FromString(authsvc_ext_authz_pb2.DESCRIPTOR.serialized_pb)
    change(changed)
    pool.AddSerializedFile(changed.SerializeToString())
    return pool.FindFileByName(changed.name)


def field_of(file: FileDescriptorProto, message: str, field: str) -> FieldDescriptorProto:
    """Return one field of a top-level message."""
    [found] = [each for each in file.message_type if each.name == message]
    [result] = [each for each in found.field if each.name == field]
    return result


def renumber_field(file: FileDescriptorProto) -> None:
    """Move a field to another number."""
    field_of(file, "HeaderValue", "raw_value").number = 9


def retype_field(file: FileDescriptorProto) -> None:
    """Make text of bytes."""
    field_of(file, "HeaderValue", "raw_value").type = FieldDescriptorProto.TYPE_STRING


def unrepeat_field(file: FileDescriptorProto) -> None:
    """Make one of many."""
    field_of(file, "HeaderMap", "headers").label = FieldDescriptorProto.LABEL_OPTIONAL


def leave_oneof(file: FileDescriptorProto) -> None:
    """Let a field be set beside its alternatives."""
    field_of(file, "CheckResponse", "ok_response").ClearField("oneof_index")


def redirect_field(file: FileDescriptorProto) -> None:
    """Give a field another message type."""
    field_of(file, "CheckResponse", "ok_response").type_name = f".{SUBSET}.DeniedHttpResponse"


def invent_field(file: FileDescriptorProto) -> None:
    """Give a field a name that Envoy does not have."""
    field_of(file, "OkHttpResponse", "headers_to_remove").name = "headers_to_drop"


def swap_enum_values(file: FileDescriptorProto) -> None:
    """Exchange the names of two enum values."""
    [option] = [each for each in file.message_type if each.name == "HeaderValueOption"]
    values = option.enum_type[0].value
    values[2].name, values[3].name = values[3].name, values[2].name


def retype_method(file: FileDescriptorProto) -> None:
    """Let the method take another message."""
    file.service[0].method[0].input_type = f".{SUBSET}.CheckResponse"


def test_every_field_is_as_envoy_declares_it(official: DescriptorPool) -> None:
    """Numbers, types, repetition, oneofs, enums and the service's names all equal Envoy's."""
    assert not list(differences(authsvc_ext_authz_pb2.DESCRIPTOR, official))


def test_the_comparison_covers_the_whole_file() -> None:
    """The walk reaches nested messages, map entries and nested enums, so that nothing escapes the comparison."""
    reached = {each.full_name for each in messages(authsvc_ext_authz_pb2.DESCRIPTOR)}

    assert set(OFFICIAL_NAMES) <= reached | {each.full_name for each in enums(authsvc_ext_authz_pb2.DESCRIPTOR)}
    assert f"{SUBSET}.AttributeContext.HttpRequest.HeadersEntry" in reached


@pytest.mark.parametrize(
    ("change", "where"),
    [
        pytest.param(renumber_field, "HeaderValue.raw_value", id="field-number"),
        pytest.param(retype_field, "HeaderValue.raw_value", id="field-type"),
        pytest.param(unrepeat_field, "HeaderMap.headers", id="repetition"),
        pytest.param(leave_oneof, "CheckResponse.ok_response", id="oneof"),
        pytest.param(redirect_field, "CheckResponse.ok_response", id="message-type"),
        pytest.param(invent_field, "OkHttpResponse.headers_to_drop", id="field-name"),
        pytest.param(swap_enum_values, "HeaderValueOption.HeaderAppendAction", id="enum-values"),
        pytest.param(retype_method, "Authorization.Check", id="method-input"),
    ],
)
def test_the_comparison_notices_a_change(
    official: DescriptorPool, change: Callable[[FileDescriptorProto], None], where: str
) -> None:
    """Control: one change to our file is reported, at the place where it was made and nowhere else."""
    [difference] = differences(subset_with(change), official)

    assert f"{SUBSET}.{where}" == difference.split(":")[0]


def fill(message: Message) -> Message:
    """Set every field of a message to something, oneofs to their last member."""
    for field in message.DESCRIPTOR.fields:
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            getattr(message, field.name)["name"] = "value"
        elif field.message_type is not None and field.message_type.file.package != SUBSET:
            (getattr(message, field.name).add if field.is_repeated else getattr(message, field.name).SetInParent)()
        elif field.message_type is not None:
            fill(getattr(message, field.name).add() if field.is_repeated else getattr(message, field.name))
        else:
            set_scalar(message, field.name)
    return message


def set_scalar(message: Message, name: str) -> None:
    """Set a field that is no message to something other than its default."""
    field = message.DESCRIPTOR.fields_by_name[name]
    values: dict[int, object] = {FieldDescriptor.CPPTYPE_STRING: "text", FieldDescriptor.CPPTYPE_BOOL: True}
    value = b"\xff" if field.type == FieldDescriptor.TYPE_BYTES else values.get(field.cpp_type, 3)
    if field.is_repeated:
        getattr(message, name).append(value)
    else:
        setattr(message, name, value)


@pytest.mark.parametrize("name", ["CheckRequest", "CheckResponse"])
def test_envoy_reads_and_writes_the_same_bytes(official: DescriptorPool, name: str) -> None:
    """A full message of ours, read and written again by Envoy's class, comes back as it was."""
    sent = fill(getattr(authsvc_ext_authz_pb2, name)())
    read = GetMessageClass(official.FindMessageTypeByName(f"{SUBSET}.{name}")).FromString(sent.SerializeToString())
    read_bytes = read.SerializeToString()
    read.DiscardUnknownFields()

    assert sent == type(sent).FromString(read_bytes)
    assert read_bytes == read.SerializeToString()
