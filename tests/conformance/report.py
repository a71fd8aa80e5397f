"""
The table of all lines, with pass or fail for each database; the run fails when a line does.

Use: `pytest -p tests.conformance.report tests/conformance`.
"""

from __future__ import annotations

from collections import defaultdict

import pytest

from tests.conformance.lines import DATABASES, LINES

PASS, FAIL, MISSING = "pass", "FAIL", "no test"


class Report:
    """What the tests of each line came to, by database."""

    def __init__(self) -> None:
        self._outcomes: dict[tuple[str, int, str], str] = defaultdict(lambda: MISSING)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a test's outcome; a line passes when all of its tests do."""
        for name, value in report.user_properties:
            if name == "line" and (report.when == "call" or not report.passed):
                product, number, database = str(value).split(" ")
                for one in (database,) if database else DATABASES:
                    at = product, int(number), one
                    failed = not report.passed or self._outcomes[at] == FAIL
                    self._outcomes[at] = FAIL if failed else PASS

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the table."""
        for product, lines in LINES.items():
            terminalreporter.write_sep("=", product)
            for number, text in lines.items():
                told = [f"{self._outcomes[product, number, database]:8}" for database in DATABASES]
                terminalreporter.write_line(f"{number:3}  {'  '.join(told)}  {text}")
        outcomes = self._all()
        held = sum(outcome == PASS for outcome in outcomes)
        terminalreporter.write_sep("=", f"{held} of {len(outcomes)} pass ({' and '.join(DATABASES)})")

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fail the run when a line has no test or does not hold."""
        if session.exitstatus == pytest.ExitCode.OK and any(outcome != PASS for outcome in self._all()):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _all(self) -> list[str]:
        return [
            self._outcomes[product, number, database]
            for product, lines in LINES.items()
            for number in lines
            for database in DATABASES
        ]


def pytest_configure(config: pytest.Config) -> None:
    """Report where the results come together, not in the processes that run the tests."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Report(), "lines")
