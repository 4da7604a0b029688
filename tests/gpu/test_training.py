"""A training that sleeps: its GPU is another's meanwhile, and it goes on as if nothing had been."""

import json
import time
from pathlib import Path

import pytest

from elastic_jupyter.local.gpus import Gpu
from tests.gpu.memory import given_back, used
from tests.scenarios.hibernation import asleep
from tests.support.jupyter_tab import Tab
from tests.support.machine import a_machine

pytest.importorskip("torch")

IDLE = 5.0
#: Model and optimizer have 1 GB on the GPU; data and dropout draw from its random generator.
BEGIN = """
import json, torch
torch.manual_seed(0)
model = torch.nn.Sequential(
    torch.nn.Linear(4096, 8192), torch.nn.ReLU(), torch.nn.Dropout(0.1),
    torch.nn.Linear(8192, 4096), torch.nn.ReLU(), torch.nn.Linear(4096, 4096),
).cuda()
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=3)
best = model[0].weight  # the same memory as in the model

def train(steps):
    losses = []
    for _ in range(steps):
        batch = torch.randn(64, 4096, device="cuda")
        loss = (model(batch) - batch.flip(1)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return losses
"""
TRAIN = "print(json.dumps(train(4)))"
STATE = """
print(json.dumps({
    "on": str(next(model.parameters()).device),
    "bytes": torch.cuda.memory_allocated() > 900_000_000,
    "shared": best is model[0].weight,
    "trained": optimizer.param_groups[0]["params"][0] is best,
}))
"""


def said(tab: Tab, code: str) -> object:
    cell = tab.run(code, within=120)
    assert cell.reply["status"] == "ok", cell.outputs
    return json.loads(cell.stdout.splitlines()[-1])


def test_a_training_goes_on_after_its_gpu_was_another_kernels(
    tmp_path: Path, gpus: tuple[Gpu, ...]
) -> None:
    before = used(gpus)
    how = {"idle": IDLE, "gpus": "auto", "policy": "hibernate"}
    with a_machine(tmp_path / "one", leases=tmp_path / "leases", **how) as machine:
        machine.up()
        with machine.server.notebook(machine.gpu) as tab:
            tab.run(BEGIN, within=120)
            through = [said(tab, TRAIN) for _ in range(3)]
            tab.restart()
            tab.run(BEGIN, within=120)
            losses = [said(tab, TRAIN)]
            for _ in range(2):
                asleep(machine, tab, within=IDLE + machine.slack + 60)
                given_back(before, gpus, within=10)
                with machine.server.notebook(machine.gpu) as other:
                    assert (
                        said(
                            other,
                            "import torch; x = torch.ones(2**30, device='cuda'); print(int(x[-1]))",
                        )
                        == 1
                    )
                given_back(before, gpus, within=10)
                asked = time.monotonic()
                losses.append(said(tab, TRAIN))
                print(f"the next step came {time.monotonic() - asked:.1f} s after Shift-Enter")
            assert losses == through
            assert said(tab, STATE) == {
                "on": "cuda:0",
                "bytes": True,
                "shared": True,
                "trained": True,
            }
