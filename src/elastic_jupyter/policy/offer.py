"""Which kernel specs a gateway offers: those of its list, or all of its namespace."""

from collections.abc import Collection, Sequence

#: The Python kernel that a gateway with a default image has without a JupyterKernelSpec.
BUILT_IN = "python3"
#: The name that the original's gateways give it.
BUILT_IN_ALIAS = "python_kubernetes"


def canonical(name: str, known: Collection[str]) -> str:
    """Return the name under which ``name`` is offered.

    ``known``, here and below: the names of the JupyterKernelSpecs, and ``BUILT_IN`` where there is.
    """
    return BUILT_IN if name == BUILT_IN_ALIAS and name not in known else name


def offered(listed: Sequence[str], known: Collection[str]) -> list[str]:
    """Return the names on offer, without doubles: in the list's order; with no list, sorted.

    ``listed`` is the gateway's ``spec.kernels``; what it names and is not there is left out.
    """
    if not listed:
        return sorted(known)
    return [n for n in dict.fromkeys(canonical(name, known) for name in listed) if n in known]


def default(wanted: str | None, listed: Sequence[str], known: Collection[str]) -> str:
    """Return the kernel that is started where none is asked for: always one on offer.

    ``wanted`` is the gateway's ``spec.defaultKernel``. Where it is absent or not on offer:
    ``python3``, else the first on offer, else the name that was wanted, which may come yet.
    """
    names = offered(listed, known)
    for name in (canonical(wanted or BUILT_IN, known), BUILT_IN):
        if name in names:
            return name
    return names[0] if names else wanted or BUILT_IN


def missing(wanted: str | None, listed: Sequence[str], known: Collection[str]) -> list[str]:
    """Return what a user of this gateway will look for in vain, as sentences that name the field.

    Empty: all of ``spec.kernels`` and ``spec.defaultKernel`` is on offer.
    """
    gone = sorted({name for name in listed if canonical(name, known) not in known})
    said = [f"spec.kernels: there is no JupyterKernelSpec {', '.join(gone)}"] if gone else []
    if wanted and canonical(wanted, known) not in offered(listed, known):
        instead = default(wanted, listed, known)
        if canonical(wanted, known) in known:
            why = "is not in spec.kernels"
        else:
            why = "is no JupyterKernelSpec"
        said.append(f"spec.defaultKernel: {wanted} {why}; the default is {instead}")
    return said
