"""What kube-proxy did: its log, and the rules on each node.

https://kubernetes.io/docs/reference/networking/virtual-ips/#proxy-mode-iptables.
"""

from podium.cluster import Cluster
from podium.trace.klog import Line
from podium.trace.model import Step

SOURCE = "kube-proxy's log and rules"


def rules(cluster: Cluster, node: str, address: str) -> str:
    """The rules of a node that name an address."""
    saved = cluster.node_exec(node, ["iptables-save", "-t", "nat"])
    return "\n".join(line for line in saved.splitlines() if f" {address}/32" in line or f" {address}:" in line)


def steps(lines: list[Line], node: str, writes: list[Step], present: dict[str, str]) -> list[Step]:
    """The first rewriting of the rules after each write of an EndpointSlice.

    Args:
        lines: kube-proxy's log.
        node: Its node.
        writes: The writes, as etcd's watch tells them.
        present: The rules there now, by the Pod's address.
    """
    found = []
    ends = [line for line in lines if line.message == "SyncProxyRules complete"]
    for write in writes:
        end = next((line for line in ends if line.time >= write.start), None)
        if not end:
            continue
        text = "\n".join([end.text, *(present.values() if write is writes[-1] else [])])
        count = sum(map(len, map(str.splitlines, present.values()))) if write is writes[-1] else 0
        detail = f"rewritten in {end['elapsed']}" + (f"; {count} of them name the Pod" if count else "")
        step = Step(f"{node}/kube-proxy", "rules", f"rules of {node}", end.time, None, detail, SOURCE, text)
        step.facts = {"node": node, "rules": count}
        step.cause = write
        found.append(step)
    return found
