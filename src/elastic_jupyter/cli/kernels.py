"""Finding kernels: all that there are, and the one that a person names."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from elastic_jupyter.api.kernel import JupyterKernel, Phase
from elastic_jupyter.cli import view
from elastic_jupyter.cli.view import KernelView
from elastic_jupyter.errors import Forbidden, NotFound
from elastic_jupyter.policy.lifecycle import RESTING
from elastic_jupyter.store.protocol import Key
from elastic_jupyter.store.stores import TeamStores


@dataclass(frozen=True)
class Found:
    """``hidden``: why kernels that sleep are not among them, all or some; empty: they are."""

    views: tuple[KernelView, ...]
    hidden: str


async def all_of(team: TeamStores, kernels: Sequence[JupyterKernel] | None = None) -> Found:
    """Return all kernels; ``kernels``: those that have an object, where they are known.

    Raises ``StoreError``.
    """
    if kernels is None:
        kernels = await team.kernels.list(team.namespace)
    now = datetime.now(UTC)
    views = [view.of_kernel(kernel, now=now) for kernel in kernels]
    awake = {one.id for one in views}
    hidden = ""
    unreadable: list[str] = []
    try:
        for kernel_id, tombstone in (await team.tombstones.load()).items():
            if kernel_id in awake:
                continue
            try:
                views.append(view.of_tombstone(kernel_id, tombstone, now=now))
            except (KeyError, TypeError, ValueError):
                unreadable.append(kernel_id)
        if unreadable:
            hidden = (
                "what is remembered of these kernels is unreadable, and they are not shown: "
                f"{', '.join(sorted(unreadable))}"
            )
    except Forbidden as error:
        hidden = f"kernels that were reclaimed are not shown: {error}"
    return Found(tuple(sorted(views, key=_order)), hidden)


def _order(one: KernelView) -> tuple[str, str, str]:
    return one.user, one.notebook, one.name


async def find(team: TeamStores, word: str) -> KernelView:
    """Return the kernel that a person means. Raises ``NotFound`` when it is not exactly one."""
    found = await all_of(team)
    return choose(found, word)


def choose(found: Found, word: str) -> KernelView:
    """Return the one whose id or object name begins so, or whose notebook has this path.

    The whole of one of these is enough, whatever else begins with it. Raises ``NotFound``,
    which names the candidates, or all that there are.
    """
    for matches in (_is, _begins):
        fitting = [one for one in found.views if matches(one, word)]
        if len(fitting) == 1:
            return fitting[0]
        if fitting:
            raise NotFound(f"{word!r} may be any of these kernels:\n{listing(fitting)}")
    if not found.views:
        text = f"there is no kernel {word!r}, nor any other"
    else:
        text = f"there is no kernel {word!r}; there are:\n{listing(found.views)}"
    raise NotFound("\n".join(filter(None, (text, found.hidden))))


def listing(views: Sequence[KernelView]) -> str:
    """Return a line for each."""
    user = max((len(one.user) for one in views), default=0)
    lines = (
        f"  {one.id}  {one.phase:<9}  {one.user:<{user}}  {one.notebook}".rstrip() for one in views
    )
    return "\n".join(lines)


def awake(one: KernelView, what: str) -> tuple[JupyterKernel, Key, str]:
    """Return object, key and uid of a kernel that has them.

    Raises ``NotFound``, which says that there is nothing to do ``what`` with, when it sleeps.
    """
    if one.kernel is None:
        raise NotFound(
            f"kernel {one.id} is {one.phase}, there is nothing to {what}: its notebook's next cell "
            "starts a new one"
        )
    metadata = one.kernel.metadata
    return one.kernel, Key(metadata.namespace or "", metadata.name or ""), metadata.uid or ""


def alive(one: KernelView, what: str) -> tuple[JupyterKernel, Key, str]:
    """Return the same of a kernel that holds resources. Raises ``NotFound``."""
    found = awake(one, what)
    if one.phase in RESTING:
        raise NotFound(
            f"kernel {one.id} is {one.phase}, there is nothing to {what}: its notebook's next cell "
            "wakes it"
        )
    if one.phase in (Phase.FAILED, Phase.SUCCEEDED):
        raise NotFound(f"kernel {one.id} is {one.phase}, there is nothing to {what}: why says more")
    return found


def _is(one: KernelView, word: str) -> bool:
    return bool(word) and word in (one.id, one.name, one.notebook)


def _begins(one: KernelView, word: str) -> bool:
    begins = one.id.startswith(word) or one.name.startswith(word)
    return bool(word) and (begins or one.notebook.endswith(f"/{word}"))
