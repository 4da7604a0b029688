"""Where the kernels are that a person means, by flags, environment and settings."""

import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

import click
from click.core import ParameterSource

from elastic_jupyter.cli import settings
from elastic_jupyter.cli.settings import NamedState
from elastic_jupyter.errors import ConfigError
from elastic_jupyter.store import stores
from elastic_jupyter.store.state_directory import database, default_directory

#: May say in the place of ``--store`` where the kernels are.
STORE_VARIABLE = "ELASTIC_JUPYTER_STORE"


@dataclass(frozen=True)
class Where:
    """Where a person has said that the kernels are; it makes of that the store to work on.

    Each field is the option of its name, None where neither a flag nor a variable has it.
    ``by_flag`` has the names of those that were typed: they win over variables, and errors name
    the flag instead of the variable.
    """

    store: str | None = None
    state: Path | None = None
    context: str | None = None
    namespace: str | None = None
    by_flag: frozenset[str] = frozenset()

    @classmethod
    def of(cls, ctx: click.Context) -> "Where":
        """Return what a command was called with, or is being typed with."""
        said = {name: ctx.params.get(name) for name in OPTIONS}
        typed = {
            name
            for name in OPTIONS
            if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE
        }
        return cls(**said, by_flag=frozenset(typed))

    def url(self) -> str:
        """Return the URL of the store (``store.stores``).

        A flag wins over the environment, that over the file with settings, that over what there is
        on this machine. A state directory that was named is meant, whether there is a database in
        it or not. Raises ``ConfigError`` when what was said contradicts itself.
        """
        if "state" in self.by_flag:
            for other in ("store", "context", "namespace"):
                if other in self.by_flag:
                    raise ConfigError(
                        f"--state is of this machine, and --{other} says where else the kernels "
                        "are: give one of them"
                    )
        elif self.store or self.context or self.namespace:
            try:
                return stores.personal_url(
                    self.store, context=self.context, namespace=self.namespace
                )
            except ConfigError as error:
                raise self._wrong(error) from error
        if (named := self._named_state()) is not None:
            return stores.sqlite_url(database(named.directory))
        return stores.personal_url(state=default_directory())

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncGenerator[stores.TeamStores, None]:
        """Open the store. Raises ``ConfigError``, which names what must be changed."""
        url = self.url()
        async with contextlib.AsyncExitStack() as stack:
            try:
                team = await stack.enter_async_context(stores.opened(url))
            except ConfigError as error:
                raise self._wrong(error) from error
            yield team

    def _wrong(self, error: ConfigError) -> ConfigError:
        """Return an error with the names of what was said, or with what might have been."""
        if "state" not in self.by_flag:
            said = {
                "--store" if "store" in self.by_flag else STORE_VARIABLE: self.store,
                "--context": self.context,
                "--namespace": self.namespace,
            }
            names = [name for name, value in said.items() if value]
            if names:
                return ConfigError(f"{', '.join(names)}: {error}")
        if (named := self._named_state()) is not None:
            return ConfigError(f"{named.by}: {error}")
        return ConfigError(
            f"{error}; nor has an elastic-jupyter up of this machine made a database in "
            f"{default_directory()} (--state names another directory)"
        )

    def _named_state(self) -> NamedState | None:
        """Return the state directory of a flag, a variable or the file, None: no one names it."""
        if self.state is None:
            return settings.state()
        by = "--state" if "state" in self.by_flag else settings.STATE_VARIABLE
        return NamedState(self.state, by)


#: The options of ``Where``.
OPTIONS = ("store", "state", "context", "namespace")
