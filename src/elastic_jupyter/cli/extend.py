"""``elastic-jupyter extend``: keep an idle kernel for longer."""

from datetime import UTC, datetime, timedelta

import click

from elastic_jupyter.cli import kernels
from elastic_jupyter.cli.duration import DURATION
from elastic_jupyter.cli.explain import MAX_EXTENSION
from elastic_jupyter.cli.options import on_kernel, run
from elastic_jupyter.cli.table import clock
from elastic_jupyter.cli.view import KernelView
from elastic_jupyter.cli.where import Where
from elastic_jupyter.store.stores import TeamStores


@click.command()
@on_kernel
@click.argument("duration", type=DURATION)
def extend(
    kernel: str,
    duration: timedelta,
    where: Where,
) -> None:
    """Have KERNEL reclaimed later than it would be by DURATION: 30m, 2h, 1h30m.

    Its gateway limits how much later (reclaim.maxExtensionSeconds of the JupyterGateway, on one
    machine --max-extension); by how much it is later, then, is said.
    """

    async def wish(team: TeamStores) -> None:
        one = await kernels.find(team, kernel)
        _, key, uid = kernels.alive(one, "extend")
        now = datetime.now(UTC)
        try:
            until = later(one, duration, now=now)
        except OverflowError:
            raise click.BadParameter("that is longer than any calendar has days") from None
        await team.kernels.wish(key, uid=uid, keep_until=until)
        click.echo(f"kernel {one.id} {outcome(one, until, now=now)}")

    run(wish, where)


def later(one: KernelView, duration: timedelta, *, now: datetime) -> datetime:
    """Return until when a kernel is kept so that it is reclaimed later by this duration."""
    return max(filter(None, (now, one.reclaim_at, one.keep_until))) + duration


def outcome(one: KernelView, until: datetime, *, now: datetime) -> str:
    """Return what the gateway will make of a kernel that is to be kept until then."""
    limit = one.keep_limit
    if limit is None or until <= limit:
        return f"is kept until {clock(until, now=now)}, if it is idle or not"
    asked = f"not until {clock(until, now=now)}: {MAX_EXTENSION} limits it"
    if one.reclaim_at is not None and limit <= one.reclaim_at:
        return f"is reclaimed at {clock(one.reclaim_at, now=now)} as before, {asked}"
    return f"is kept until {clock(limit, now=now)}, if it is idle or not, and {asked}"
