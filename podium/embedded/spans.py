"""Where spans go: a collector of OpenTelemetry's protocol (https://opentelemetry.io/docs/specs/otlp/#otlpgrpc).

It listens on ``spans.sock`` in the cluster's folder, for the folder's owner alone, and writes what it is told into
``spans.log``, one span a line. The supervisor runs it in a cluster that was started with tracing.
"""

import json
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

SOCKET, LOG = "spans.sock", "spans.log"
_MOST = 50 << 20  # bytes of a log; the one before it is kept


def records(request: Any) -> Iterator[dict[str, Any]]:
    """The spans of an ``ExportTraceServiceRequest``, each as a plain object.

    ``service``, ``host`` (a node, or empty), ``name``, ``trace``, ``id`` and ``parent`` (hexadecimal, as everywhere),
    ``start`` and ``end`` in seconds since 1970, ``attributes``, and ``events``: pairs of a moment and a name.
    """
    for resource in request.resource_spans:
        about = _values(resource.resource.attributes)
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield {
                    "service": about.get("service.name", ""),
                    "host": about.get("host.name", ""),
                    "name": span.name,
                    "trace": span.trace_id.hex(),
                    "id": span.span_id.hex(),
                    "parent": span.parent_span_id.hex(),
                    "start": span.start_time_unix_nano / 1e9,
                    "end": span.end_time_unix_nano / 1e9,
                    "attributes": _values(span.attributes),
                    "events": [[event.time_unix_nano / 1e9, event.name] for event in span.events],
                }


def _values(attributes: Any) -> dict[str, Any]:
    return {each.key: _value(each.value) for each in attributes}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    return (
        [_value(each) for each in value.array_value.values] if kind == "array_value" else getattr(value, kind or "", "")
    )


def lines(folder: Path) -> Iterator[str]:
    """What the collector of a cluster has written, oldest first."""
    for path in (folder / f"{LOG}.1", folder / LOG):
        if path.exists():
            with path.open() as file:
                yield from file


def _serve(folder: Path) -> None:
    import grpc
    from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as messages
    from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as service

    os.umask(0o177)
    log = (folder / LOG).open("a")

    class Collector(service.TraceServiceServicer):
        def Export(self, request: Any, _: Any) -> Any:
            nonlocal log
            log.writelines(json.dumps(record) + "\n" for record in records(request))
            log.flush()
            if log.tell() > _MOST:
                log.close()
                (folder / LOG).rename(folder / f"{LOG}.1")
                log = (folder / LOG).open("a")
            return messages.ExportTraceServiceResponse()

    (folder / SOCKET).unlink(missing_ok=True)
    server = grpc.server(ThreadPoolExecutor(1))
    service.add_TraceServiceServicer_to_server(Collector(), server)
    server.add_insecure_port(f"unix:{folder / SOCKET}")
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
