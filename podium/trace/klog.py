"""Kubernetes' log lines: https://kubernetes.io/docs/concepts/cluster-administration/system-logs/#structured-logging."""

import json
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime

_HEAD = re.compile(r"^.*?\b[IWEF](\d{4} \d\d:\d\d:\d\d\.\d{6}) +\d+ [\w.-]+:\d+\] (.*)$")
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
            try:
                value, _ = _DECODER.raw_decode(rest)
            except json.JSONDecodeError:  # Go quotes a few characters as JSON does not
                return rest.partition("\n")[0]
            return value if isinstance(value, str) else json.dumps(value)
        return re.split(r"\s", rest, maxsplit=1)[0]


def parse(log: str) -> list[Line]:
    """The entries of a log in klog's text format.

    The format has no year and no time zone: the components log in UTC.
    """
    lines: list[Line] = []
    year = datetime.now(UTC).year
    for text in log.splitlines():
        head = _HEAD.match(text)
        if not head:
            if lines:
                lines[-1] = Line(lines[-1].time, lines[-1].message, f"{lines[-1].text}\n{text}")
            continue
        moment = datetime.strptime(f"{year}{head[1]}+0000", "%Y%m%d %H:%M:%S.%f%z").timestamp()
        quoted = head[2].startswith('"')
        message = _DECODER.raw_decode(head[2])[0] if quoted else head[2]
        lines.append(Line(moment, message, text))
    return lines


def shifted(lines: list[Line], offset: float, since: float) -> list[Line]:
    """The entries by another clock, ``offset`` seconds ahead: those of ``since`` (seconds since 1970) and later."""
    moved = (replace(line, time=line.time + offset) for line in lines)
    return [line for line in moved if line.time >= since]
