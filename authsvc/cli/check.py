"""`authsvc check`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from authsvc.cli.options import AsJson

if TYPE_CHECKING:
    from authsvc_client.v1.decision_service_pb2 import ExplainDecisionRequest, ExplainDecisionResponse, Header

# Headers that hold credentials; other users of the machine can read a command line.
_SECRET_HEADERS = frozenset({"authorization", "proxy-authorization", "x-api-key", "cookie"})


def check(  # noqa: PLR0913 - one parameter a flag
    *,
    api: Annotated[str, typer.Option("--api", help="An API of the configuration. Default: the host names it.")] = "",
    method: Annotated[str, typer.Option("--method", help="Of the request.")] = "GET",
    path: Annotated[str, typer.Option("--path", help="Of the request, with its query.")] = "/",
    host: Annotated[str, typer.Option("--host", help="Of the request.")] = "",
    header: Annotated[
        list[str] | None, typer.Option("--header", metavar="'NAME: VALUE'", help="A header, no secret; repeat it.")
    ] = None,
    source_ip: Annotated[str | None, typer.Option("--source-ip", help="Address of the client.")] = None,
    environment: Annotated[str | None, typer.Option("--environment", help="What the request is for.")] = None,
    key_file: Annotated[
        str | None, typer.Option("--key-file", help="A file with the key; - is standard input.")
    ] = None,
    stdin: Annotated[
        str | None, typer.Argument(metavar="[-]", help="Read the key from standard input.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> int:
    """
    Decide about a request and show every rule's verdict. Spends no limit.

    The exit status is 0 when the request is allowed and 1 when it is denied.

    Example: authsvc check --api shop --method GET --path /v1/orders --key-file key.txt
    """
    from authsvc_client.v1.decision_pb2 import VERDICT_ALLOW
    from authsvc_client.v1.decision_service_pb2 import ExplainDecisionRequest
    from authsvc_client.v1.decision_service_pb2_grpc import DecisionServiceStub

    from authsvc.cli import output
    from authsvc.cli.client import Client
    from authsvc.cli.errors import REFUSED

    request = ExplainDecisionRequest(
        api=api,
        method=method,
        path=path,
        host=host,
        headers=_headers(header or ()),
        source_ip=source_ip,
        environment=environment,
    )
    _add_key(request, key_file, stdin)
    client = Client.from_environment()
    response = client.call(client.stub(DecisionServiceStub).ExplainDecision, request)
    if as_json:
        output.print_json(response)
    else:
        _show(response)
    return 0 if response.decision.verdict == VERDICT_ALLOW else REFUSED


def _headers(texts: Sequence[str]) -> list[Header]:
    from authsvc_client.v1.decision_service_pb2 import Header

    from authsvc.cli.errors import USAGE, CommandError

    headers = []
    for text in texts:
        name, colon, value = text.partition(":")
        if not colon or not name.strip():
            raise CommandError("--header: write 'Name: value'", USAGE)
        if name.strip().lower() in _SECRET_HEADERS:
            raise CommandError(f"--header: {name.strip()} holds a secret; give the key with --key-file", USAGE)
        headers.append(Header(name=name.strip(), value=value.strip()))
    return headers


def _add_key(request: ExplainDecisionRequest, key_file: str | None, stdin: str | None) -> None:
    from authsvc.cli.errors import USAGE, CommandError
    from authsvc.cli.secrets import STANDARD_INPUT, read_key

    if stdin is not None and (stdin != STANDARD_INPUT or key_file is not None):
        raise CommandError("a key comes from --key-file, or from standard input with -, never from an argument", USAGE)
    source = stdin or key_file
    if source is not None:
        request.credential = read_key(source).reveal()


def _show(response: ExplainDecisionResponse) -> None:
    from authsvc_client.v1.decision_pb2 import VERDICT_ALLOW
    from authsvc_client.v1.decision_service_pb2 import RuleOutcome

    from authsvc.cli import output

    rows = [
        (rule.rule, RuleOutcome.Name(rule.outcome).removeprefix("RULE_OUTCOME_").lower(), rule.detail)
        for rule in response.rules
    ]
    output.print_table(("RULE", "VERDICT", "DETAIL"), rows)
    decision = response.decision
    if decision.verdict == VERDICT_ALLOW:
        output.say(f"allowed, {response.key_id}" if response.key_id else "allowed, without a key")
    else:
        output.say(f"denied: {decision.reason} ({decision.http_status}) {decision.message}")
