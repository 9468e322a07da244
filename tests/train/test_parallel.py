"""Two processes on one machine give the loss curve of one, and batch norms that see the whole batch."""

import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from people import shards_of_people
from wholebody.errors import WholebodyError
from wholebody.networks.checkpoints import save_pose
from wholebody.networks.rtmpose import rtmpose
from wholebody.train import loop
from wholebody.train.config import Augment, DataSource, Distill, Optim, TrainConfig

RUN = """
import json, sys, torch
from wholebody.train import loop
from wholebody.train.config import Augment, DataSource, Distill, Optim, TrainConfig
torch.set_num_threads(1)
d = json.loads(sys.argv[1])
for name, kind in (("optim", Optim), ("augment", Augment), ("distill", Distill)):
    d[name] = d[name] and kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in d[name].items()})
d["sources"] = tuple(DataSource(**each) for each in d["sources"])
d["input_size"] = tuple(d["input_size"])
loop.fit(TrainConfig(**d), sys.argv[2])
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = shards_of_people(tmp_path_factory.mktemp("shards"))
    return TrainConfig(
        name="two", network="t", sources=(DataSource("shards", str(folder)),), input_size=(64, 64), steps=3, batch=4,
        optim=Optim(lr=1e-3, warmup=1, flat=1.0, clip=0.1), augment=Augment(cutout=0.0), workers=0,
    )  # fmt: skip


def run(config, out: Path, processes: int) -> list[dict]:
    script = out.parent / f"{out.name}.py"
    script.write_text(RUN)
    words = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={processes}"]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*words, "--standalone", str(script), json.dumps(asdict(config)), str(out)],
        env=env, capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize("stage", [0, 1])
def test_two_processes_follow_the_curve_of_one(config, tmp_path, stage):
    if stage:
        torch.manual_seed(0)
        save_pose(rtmpose("s", (64, 64)), tmp_path / "teacher.safetensors")
        distill = Distill(teachers=(str(tmp_path / "teacher.safetensors"),))
        config = replace(config, distill=distill)
    alone = loop.fit(config, tmp_path / "one").state_dict()
    one = [json.loads(line) for line in (tmp_path / "one" / "metrics.jsonl").read_text().splitlines()]
    two = run(config, tmp_path / "two", 2)
    for name in ("ori", "fea", "logit") if stage else ("ori",):
        np.testing.assert_allclose([row[name] for row in two], [row[name] for row in one], rtol=2e-4)
    both = load_file(tmp_path / "two" / "model.safetensors")
    for name, value in alone.items():
        if value.is_floating_point():
            torch.testing.assert_close(both[name], value, rtol=1e-2, atol=3e-3, msg=lambda text, n=name: f"{n}: {text}")


@pytest.mark.slow
def test_two_processes_run_both_stages(config, tmp_path):
    """Stage 2 of both begins with what stage 1 has left, and one of them exports."""
    torch.manual_seed(0)
    save_pose(rtmpose("s", (64, 64)), tmp_path / "teacher.safetensors")
    source = config.sources[0].path
    words = ["-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone", "-m", "wholebody.cli", "distill"]
    options = [
        "student-t",
        "--out",
        str(tmp_path / "out"),
        "--data",
        f"shards:{source}",
        "--validate-on",
        f"shards:{source}",
    ]
    for stage in ("first", "second"):
        options += [f"--{stage}.steps", "2", f"--{stage}.batch", "2", f"--{stage}.workers", "0", f"--{stage}.init", ""]
        options += [f"--{stage}.input-size", "64", "64", f"--{stage}.precision", "fp32"]
    options += ["--first.distill.teachers", str(tmp_path / "teacher.safetensors")]
    done = subprocess.run(
        [sys.executable, *words, *options],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("model.onnx") == 1
    first, second = (load_file(tmp_path / "out" / f"stage{n}" / "model.safetensors") for n in (1, 2))
    for name, value in first.items():
        if name.startswith("backbone.") and value.is_floating_point():
            assert torch.equal(value, second[name]), name


def test_a_batch_that_cannot_be_shared_is_refused(config, tmp_path):
    with pytest.raises(WholebodyError, match="cannot be cut"):
        replace(config, accumulate=3)


@pytest.mark.slow
def test_parts_of_a_batch_add_up_to_it(config, tmp_path):
    """Accumulated gradients are those of the whole batch, where no batch norm looks at it."""
    distill = Distill(stage=2)
    torch.manual_seed(0)
    save_pose(rtmpose("t", (64, 64)), tmp_path / "own.safetensors")
    config = replace(config, distill=replace(distill, teachers=(str(tmp_path / "own.safetensors"),)))
    whole = loop.fit(config, tmp_path / "whole").state_dict()
    parts = loop.fit(replace(config, accumulate=2), tmp_path / "parts").state_dict()
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value, rtol=1e-3, atol=1e-5)
