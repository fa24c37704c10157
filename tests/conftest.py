"""What the whole run of the tests has to say at its end."""

import sys


def pytest_terminal_summary(terminalreporter):
    """Print the table of model files and networks, as far as this run has filled it."""
    table = sys.modules.get("tests.convert.table")
    if table and table.ROWS:
        terminalreporter.section("model files and networks")
        for line in table.lines(table.ROWS.values()):
            terminalreporter.write_line(line)
