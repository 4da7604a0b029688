"""What the scheduler's words on a pod that it cannot place say about an accelerator.

The words are ``0/3 nodes are available: 1 node(s) had untolerated taint {a: b}, 2 Insufficient
nvidia.com/gpu. preemption: ...`` (FitError of kube-scheduler, 1.34): for each reason the number of
nodes that it rules out. A node is ruled out by one filter only, but by the filter for resources
with several reasons at once.
"""

import re
from collections.abc import Collection

_NODES = re.compile(r"^0/(\d{1,9}) nodes are available: ")
_REASON = re.compile(r"(\d{1,9}) (Insufficient (\S+)|\S.*)")


def lacks(message: str, resources: Collection[str]) -> bool:
    """Say whether some node may lack nothing but one of the resources.

    If not, a free accelerator would not help this pod, and may help another one. In doubt, as with
    another scheduler's words, it would.
    """
    found = _NODES.match(message)
    if found is None:
        return True
    named = False
    by_filters, by_resources = 0, [0]
    for part in message[found.end() :].split(". ")[0].rstrip(".").split(", "):
        reason = _REASON.fullmatch(part)
        if reason is None:
            continue
        if reason[3] in resources:
            named = True
        elif reason[3]:
            by_resources.append(int(reason[1]))
        else:
            by_filters += int(reason[1])
    return named and int(found[1]) - by_filters - max(by_resources) > 0
