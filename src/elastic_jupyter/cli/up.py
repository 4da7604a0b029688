"""``elastic-jupyter up``: JupyterLab on this machine, with elastic kernels."""

import asyncio
import contextlib
import os
import signal
import threading
import webbrowser
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click
from click.core import ParameterSource

from elastic_jupyter.api.gateway import Start
from elastic_jupyter.api.kernel import Fallback, ReclaimPolicy
from elastic_jupyter.cli import settings
from elastic_jupyter.cli.duration import DURATION
from elastic_jupyter.cli.exits import INTERRUPTED, Failure, Misuse, require_jupyter
from elastic_jupyter.cli.settings import UserPath
from elastic_jupyter.errors import ConfigError, ElasticJupyterError

if TYPE_CHECKING:
    from elastic_jupyter.local.machine import Machine, MachineConfig

_NEVER = timedelta()
_POLICIES = {"hibernate": ReclaimPolicy.HIBERNATE, "delete": ReclaimPolicy.DELETE}
_FALLBACKS = {"keep": Fallback.KEEP, "delete": Fallback.DELETE}
_STARTS = {"on-create": Start.ON_CREATE, "on-first-execute": Start.ON_FIRST_EXECUTE}
#: Of a number of GPUs: each of them is a file that is looked at.
_DIGITS = 3
F = TypeVar("F", bound=Callable[..., Any])


class Gpus(click.ParamType[int | Literal["auto"]]):
    """``auto``, or a number of stand-ins."""

    name = "auto|N"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | Literal["auto"]:
        """Return ``auto`` or a number; a usage error names the option."""
        text = str(value).lower()
        if text == "auto":
            return "auto"
        if not text.isdecimal() or len(text) > _DIGITS:
            self.fail(f"{value!r} is neither auto nor a number of GPUs", param, ctx)
        return int(text)


def is_setting(param: click.Parameter) -> bool:
    """Say whether the file may have what a flag or argument says, under its name."""
    return param.name not in ("config", "help_all")


def _read_file(ctx: click.Context, param: click.Parameter, value: Path | None) -> Path | None:
    """Make the file's settings the defaults: flags win over environment, that over the file."""
    path = value or settings.config_file()
    try:
        said = settings.read(value)
    except ConfigError as error:
        raise click.BadParameter(str(error), ctx, param) from None
    known = {one.name or "" for one in ctx.command.params if is_setting(one)}
    unknown = sorted(said.keys() - known)
    if unknown:
        raise click.BadParameter(
            f"{path} has the unknown setting {unknown[0]}; known are {', '.join(sorted(known))}",
            ctx,
            param,
        )
    ctx.default_map = {**(ctx.default_map or {}), **said}
    return path


class _Command(click.Command):
    """Says of a bad value in which file or variable it is, if in no flag."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse as click does; a usage error names where the value comes from."""
        try:
            return super().parse_args(ctx, args)
        except click.BadParameter as error:
            if error.param is not None and error.param.name is not None:
                match ctx.get_parameter_source(error.param.name):
                    case ParameterSource.ENVIRONMENT:
                        error.param_hint = f"{error.param.envvar}"
                    case ParameterSource.DEFAULT_MAP:
                        error.param_hint = f"{error.param.name} in {ctx.params['config']}"
            raise


def _help_all(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if not value or ctx.resilient_parsing:
        return
    click.echo(ctx.get_help())
    click.echo("\nEvery option is also an environment variable, and a setting of the file:\n")
    for one in ctx.command.params:
        if is_setting(one) and one.envvar:
            click.echo(f"  {one.envvar:<32} {one.name}")
    usual = settings.config_file()
    click.echo(
        f'\nThe file, in TOML (idle = "10m"), is what --config names, else\n  {usual}\n'
        "A flag wins over the environment, that over the file, that over the default."
    )
    ctx.exit()


def _option(*names: str, **more: Any) -> Callable[[F], F]:
    """Make an option that is an environment variable, too: ELASTIC_JUPYTER_UP_<NAME>."""
    name = names[0].split("/")[0].removeprefix("--").replace("-", "_")
    more = {"envvar": f"ELASTIC_JUPYTER_UP_{name.upper()}", "show_default": True, **more}
    return click.option(*names, **more)


@click.command(cls=_Command)
@click.option(
    "--config",
    type=UserPath(path_type=Path),
    envvar=settings.VARIABLE,
    is_eager=True,
    callback=_read_file,
    show_default="~/.config/elastic-jupyter/config.toml",
    help="A TOML file with settings.",
)
@_option(
    "--gpus",
    type=Gpus(),
    metavar="auto|N",
    default="auto",
    help="auto: the GPUs that there are; a number: so many stand-ins.",
)
@_option(
    "--idle",
    type=DURATION,
    default="10m",
    help="A kernel that is idle for so long gives its GPU back: 90s, 10m, 1h30m; 0: none does.",
)
@_option(
    "--policy",
    type=click.Choice([*_POLICIES, "keep"]),
    default="hibernate",
    help="What becomes of an idle kernel. hibernate: its variables are saved, and are back when "
    "the next cell runs; delete: they are gone; keep: it keeps its GPU.",
)
@_option(
    "--fallback",
    type=click.Choice([*_FALLBACKS]),
    default="keep",
    help="With --policy hibernate, what becomes of an idle kernel whose variables can never be "
    "saved: R, or Python without elastic-jupyter-agent. keep: it keeps its GPU; delete: they are "
    "gone.",
)
@_option(
    "--max-extension",
    type=DURATION,
    default="4h",
    help="The most by which elastic-jupyter extend can have a kernel reclaimed later.",
)
@_option(
    "--start",
    type=click.Choice([*_STARTS]),
    default="on-create",
    help="When a kernel starts and asks for its GPU: when its notebook is opened, or with its "
    "first cell.",
)
@_option(
    "--port",
    type=click.IntRange(1, 65535),
    metavar="PORT",
    default=8888,
    help="Port of JupyterLab, on 127.0.0.1.",
)
@_option(
    "--browser/--no-browser",
    default=True,
    help="Open JupyterLab in a browser; as a variable and in the file: true or false.",
)
@_option(
    "--state",
    type=settings.STATE,
    default=None,
    show_default="~/.local/state/elastic-jupyter",
    help="Directory of what is remembered; one up at a time has it.",
)
@_option(
    "--user",
    metavar="NAME",
    default=None,
    show_default="login name",
    help="Whom others see that wait for a GPU.",
)
@_option(
    "--log-level",
    type=click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"], case_sensitive=False),
    default="INFO",
    help="Least level of what the logs in the state directory tell.",
)
@click.argument(
    "directory", type=UserPath(exists=True, file_okay=False, path_type=Path), default="."
)
@click.option(
    "--help-all",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_help_all,
    help="Show this message, environment variables and settings of the file, and exit.",
)
def up(
    config: Path | None,
    gpus: Any,
    idle: timedelta,
    policy: str,
    fallback: str,
    max_extension: timedelta,
    start: str,
    port: int,
    browser: bool,
    state: Path | None,
    user: str | None,
    log_level: str,
    directory: Path,
) -> None:
    """Start JupyterLab in DIRECTORY, with kernels that give their GPU back when idle.

    Ctrl-C ends all of it, kernels included (exit code 0); a second one does so at once (130). Exit
    code 2: a setting is wrong, or something is missing; 1: a part did not come up.
    """
    require_jupyter()
    from elastic_jupyter.local.machine import MachineConfig, login_name

    settings = MachineConfig(
        directory=directory.absolute(),
        port=port,
        gpus=gpus,
        idle=idle if policy in _POLICIES else _NEVER,
        policy=_POLICIES.get(policy, ReclaimPolicy.HIBERNATE),
        fallback=_FALLBACKS[fallback],
        max_extension=max_extension,
        start=_STARTS[start],
        user=user or login_name(),
        log_level=log_level.upper(),
    )
    try:
        run(settings, state=state, browser=browser)
    except ElasticJupyterError as error:
        kind = Misuse if isinstance(error, ConfigError) else Failure
        raise kind(str(error)) from error


def run(settings: "MachineConfig", *, state: Path | None, browser: bool) -> None:
    """Run the machine until a signal ends it.

    Raises ``ConfigError`` for what a person must change first, ``LaunchFailed`` when a part does
    not come up.
    """
    from elastic_jupyter import logs
    from elastic_jupyter.local.machine import Machine
    from elastic_jupyter.local.state import State
    from elastic_jupyter.store.state_directory import default_directory

    logs.configure("WARNING", "text")
    with State(state or default_directory()) as held:
        asyncio.run(_run(Machine(settings, held, say=_say), browser=browser))


async def _run(machine: "Machine", *, browser: bool) -> None:
    """Run until a signal; then end everything, and at the second Ctrl-C or SIGTERM at once.

    What fails by itself leaves the kernels, as a crash does.
    """
    running = asyncio.ensure_future(machine.run(ready=lambda: _ready(machine.url, browser)))
    loop = asyncio.get_running_loop()
    asked = False

    def stop() -> None:
        nonlocal asked
        if not asked:
            asked = True
            _say("stopping; Ctrl-C again ends everything at once")
            running.cancel()

    def stop_or_kill() -> None:
        if asked:
            machine.kill()
            os._exit(INTERRUPTED)
        stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop_or_kill)
    # Kernels that nobody looks after would keep their GPUs. A closed terminal may say so twice.
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # which nohup makes it
        loop.add_signal_handler(signal.SIGHUP, stop)
    try:
        with contextlib.suppress(asyncio.CancelledError):
            await running
    except BaseException:
        if await machine.abandon():
            _say("the kernels run on, and the next elastic-jupyter up finds them")
        raise
    await machine.close()
    _say("stopped")


def _say(line: str) -> None:
    with contextlib.suppress(OSError):  # the terminal was closed, or who read it has ended
        click.echo(line)


def _ready(url: str, browser: bool) -> None:
    _say(f"JupyterLab: {url}")
    if browser:  # some browsers hold up whoever opens them until they end
        threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()
