"""Where spans go: a collector of OpenTelemetry's protocol (https://opentelemetry.io/docs/specs/otlp/#otlpgrpc).

``python -m podium.embedded.spans FOLDER`` listens on ``spans.sock`` there, for the folder's owner alone, and writes
what it is told into ``spans.log``, one span a line, until the folder is gone or another one listens there. It runs in
a cluster that was started with tracing.
"""

import json
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

SOCKET, LOG = "spans.sock", "spans.log"
SAMPLING: dict[str, Any] = {"samplingRatePerMillion": 1_000_000}
"""Every span: https://kubernetes.io/docs/concepts/cluster-administration/system-traces/."""
DELAY = {"OTEL_BSP_SCHEDULE_DELAY": "1000"}
"""Milliseconds from a span's end to its being told: https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/."""
_MOST = 50 << 20  # bytes of a log; the one before it is kept


def api_server_settings(endpoint: str) -> str:
    """What an API server is told of a collector, as YAML (which JSON is).

    Args:
        endpoint: The collector, as gRPC names it: https://grpc.github.io/grpc/core/md_doc_naming.html.
    """
    about = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "TracingConfiguration"}
    return json.dumps(about | SAMPLING | {"endpoint": endpoint}, indent=1)


def node_variables(node: str, address: str) -> dict[str, str]:
    """The environment of a kubelet and a containerd: https://github.com/containerd/containerd/blob/main/docs/tracing.md.

    Args:
        node: The node's name.
        address: The collector's, without ``http://``.
    """
    return DELAY | {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{address}",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
        "OTEL_SERVICE_NAME": "containerd",
        "OTEL_RESOURCE_ATTRIBUTES": f"host.name={node}",
        "OTEL_TRACES_SAMPLER": "parentbased_always_off",  # what the kubelet asks for, as part of the kubelet's own
    }


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
    mine = _number(folder / SOCKET)
    while _number(folder / SOCKET) == mine:
        server.wait_for_termination(timeout=1)


def _number(socket: Path) -> int:
    """The number of its inode; 0 where it is gone."""
    try:
        return socket.stat().st_ino
    except FileNotFoundError:
        return 0


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
