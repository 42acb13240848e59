"""What a shell expects of a program."""

import os
import subprocess


def test_a_reader_that_goes_away_is_no_error() -> None:
    """``podium bundle status | head``."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as output:
        done = subprocess.run(
            ["podium", "bundle", "status"],
            stdout=output, stderr=subprocess.PIPE, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (141, "")
