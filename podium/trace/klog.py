"""Kubernetes' log lines: https://kubernetes.io/docs/concepts/cluster-administration/system-logs/#structured-logging."""

import json
import re
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

_HEAD = re.compile(r"^.*?\b[IWEF](\d{4} \d\d:\d\d:\d\d\.\d{6}) +\d+ [\w.-]+:\d+\] (.*)$")
_TIME = "%m%d %H:%M:%S.%f"
_AHEAD = 86400.0  # seconds: nobody's clock is that much ahead
_DECODER = json.JSONDecoder(strict=False)


@dataclass(frozen=True)
class Line:
    """One entry of a log.

    Attributes:
        time: Seconds since 1970.
        message: What it says, without its fields.
        text: The entry whole, with the lines that continue it.
    """

    time: float
    message: str
    text: str

    def __getitem__(self, key: str) -> str:
        """A field as text: ``line["node"]``; empty where there is none."""
        _, found, rest = self.text.partition(f" {key}=")
        if not found:
            return ""
        if rest[0] in '"[{':
            value = _unquoted(rest)
            return value if isinstance(value, str) else json.dumps(value)
        return re.split(r"\s", rest, maxsplit=1)[0]


def _unquoted(text: str) -> Any:
    """The value that a text begins with; its first line as it stands where Go quotes a character as JSON does not."""
    try:
        return _DECODER.raw_decode(text)[0]
    except json.JSONDecodeError:
        return text.partition("\n")[0]


def whole(log: str) -> list[str]:
    """The lines of a log, without one that is still being written and has no end yet."""
    return log[: log.rfind("\n") + 1].splitlines()


def parse(log: str, since: float = 0) -> list[Line]:
    """The entries of a log in klog's text format.

    The format has no year and no time zone: the components log in UTC.

    Args:
        log: The text.
        since: Leave out what was written before this moment, in seconds since 1970: logs get long.
    """
    lines: list[Line] = []
    year = datetime.now(UTC).year
    first, last = (f"{datetime.fromtimestamp(moment, UTC):{_TIME}}" for moment in (since, time.time() + _AHEAD))
    wanted = True
    for text in whole(log):
        head = _HEAD.match(text)
        if not head:
            if lines and wanted:
                lines[-1] = Line(lines[-1].time, lines[-1].message, f"{lines[-1].text}\n{text}")
            continue
        written = head[1]
        # On New Year's Day, New Year's Eve is the day before, though it is written as a later one.
        wanted = not since or (first <= written <= last if first <= last else not last < written < first)
        if not wanted:
            continue
        moment = datetime.strptime(f"{year}{written}+0000", f"%Y{_TIME}%z").timestamp()
        message = _unquoted(head[2]) if head[2].startswith('"') else head[2]
        lines.append(Line(moment, message, text))
    return lines


def shifted(lines: list[Line], offset: float, since: float) -> list[Line]:
    """The entries by another clock, ``offset`` seconds ahead: those of ``since`` (seconds since 1970) and later."""
    moved = (replace(line, time=line.time + offset) for line in lines)
    return [line for line in moved if line.time >= since]
