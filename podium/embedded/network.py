"""The addresses of an embedded cluster. Every cluster has a network of its own, so all of them use the same ones."""

SUBNET = "10.244.0.0/15"  # nodes and Pods stand on one wire
PODS = "10.244.0.0/16"
GATEWAY = "10.245.0.1"
SERVICES = "10.96.0.0/16"
API_SERVICE = "10.96.0.1"  # the first address of SERVICES is the Service "kubernetes"
DNS_SERVICE = "10.96.0.10"
AGENT_PORT = 10270
SPANS_PORT = 4317  # of the gateway: https://opentelemetry.io/docs/specs/otlp/#otlpgrpc-default-port


def node_address(number: int) -> str:
    """The address of ``node-<number>``."""
    return f"10.245.0.{10 + number}"
