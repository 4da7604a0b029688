"""The operator process: ``elastic-jupyter-operator``."""

import asyncio
import contextlib
import signal
import sys

from elastic_jupyter import logs
from elastic_jupyter.clock import SystemClock
from elastic_jupyter.errors import ConfigError
from elastic_jupyter.kube.client import Client
from elastic_jupyter.operator import livez
from elastic_jupyter.operator.config import OperatorConfig
from elastic_jupyter.operator.wiring import Operator

log = logs.get(__name__)


def main() -> None:
    """Run until SIGTERM; exit status 2 when the environment is not complete."""
    try:
        config = OperatorConfig.from_environment()
        logs.configure(config.log_level, config.log_format)
        client = Client.from_environment()
    except (ConfigError, ValueError) as error:
        print(f"elastic-jupyter-operator: {error}", file=sys.stderr)
        sys.exit(2)
    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(run(client, config))


async def run(client: Client, config: OperatorConfig) -> None:
    """Run the operator until cancelled or told to end; it leaves everything as it is."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    async with client, livez.serving():
        log.info("operator starts", images=config.images)
        await Operator(client, config, SystemClock()).run()


if __name__ == "__main__":
    main()
