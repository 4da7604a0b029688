"""What a kernel's environment has of its notebook server: real servers on loopback."""

import asyncio
import json
from pathlib import Path

from elastic_jupyter.policy import tokens
from tests.support.loopback import ANN, MASTER, loopback
from tests.support.objects import until
from tests.unit.notebook.servers import notebook_server

#: What a request has of its own: its folder, and a session its path.
FOLDER, PATH = "KERNEL_WORKING_DIR", "JPY_SESSION_NAME"


async def test_starts_at_the_same_time_through_one_server_do_not_mix_their_variables(
    tmp_path: Path,
) -> None:
    config = tmp_path / "config" / "jupyter_server_config.json"
    config.parent.mkdir()
    config.write_text(json.dumps({"GatewayClient": {"allowed_envs": PATH}}))
    async with loopback() as world:
        world.store.hold = True
        gateway = await world.gateway(allowed_env=frozenset({PATH}))
        token = tokens.mint(MASTER, ANN)
        async with notebook_server(tmp_path, gateway.port, gateway_token=token) as server:

            async def start(number: int) -> tuple[str, dict[str, str]]:
                folder = tmp_path / f"folder-{number}"
                folder.mkdir()
                where = f"{folder.name}/a.ipynb"
                if number % 2:
                    said = {"path": where, "name": "a.ipynb", "type": "notebook"}
                    answer = await server.rest(
                        "POST", "sessions", **said, kernel={"name": "python3"}
                    )
                    own = {FOLDER: str(folder), PATH: str(tmp_path / where)}
                else:
                    answer = await server.rest("POST", "kernels", path=where)
                    own = {FOLDER: str(folder)}
                assert answer.code == 201, (answer.body, server.log[-20:])
                model = json.loads(answer.body)
                return (model["kernel"] if number % 2 else model)["id"], own

            world.store.answering.clear()
            starts = [asyncio.create_task(start(number)) for number in range(40)]
            await until(lambda: len(gateway.kernels.kernels) >= 8)
            assert not world.store.objects, "they overlap"
            world.store.answering.set()
            want = dict(await asyncio.gather(*starts))

        have = {}
        for body in world.store.objects.values():
            env = body["spec"]["template"]["spec"]["containers"][0]["env"]
            own = {one["name"]: one["value"] for one in env if one["name"] in (FOLDER, PATH)}
            have[body["spec"]["kernelID"]] = own
        assert have == want
