"""Which namespaces' notebooks a gateway serves."""

from collections.abc import Mapping

from elastic_jupyter.api.gateway import (
    AllowedNamespaces,
    From,
    LabelSelector,
    LabelSelectorRequirement,
    SelectorOperator,
)


def admits(
    allowed: AllowedNamespaces | None,
    *,
    gateway: str,
    notebook: str,
    labels: Mapping[str, str],
) -> bool:
    """Say whether a gateway serves the notebooks of a namespace.

    ``gateway`` and ``notebook`` are the namespaces, ``labels`` those of the notebook's. A gateway
    that says nothing serves all, as the original did; its own namespace it always serves.
    """
    if allowed is None or allowed.from_ is From.ALL or gateway == notebook:
        return True
    return allowed.from_ is From.SELECTOR and _selects(allowed.selector, labels)


def _selects(selector: LabelSelector | None, labels: Mapping[str, str]) -> bool:
    """Match as ``metav1.LabelSelector`` does: all must hold; an empty selector matches all."""
    if selector is None:
        return False
    wanted = (selector.match_labels or {}).items()
    return all(labels.get(key) == value for key, value in wanted) and all(
        _holds(requirement, labels) for requirement in selector.match_expressions or ()
    )


def _holds(requirement: LabelSelectorRequirement, labels: Mapping[str, str]) -> bool:
    value, values = labels.get(requirement.key), requirement.values or ()
    match requirement.operator:
        case SelectorOperator.IN:
            return value in values
        case SelectorOperator.NOT_IN:
            return value not in values
        case SelectorOperator.EXISTS:
            return value is not None
        case SelectorOperator.DOES_NOT_EXIST:
            return value is None
