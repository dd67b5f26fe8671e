"""Commands that start processes, read back by those who will read them."""

import shlex
import sys
from pathlib import Path

import pytest
from torch.distributed.run import get_args_parser

from engine.settings.project import PROJECT
from engine.training.launch import cluster_command, command_for


def read(words):
    """What torchrun understands of the words behind "python -m torch.distributed.run"."""
    assert words[1:3] == ["-m", "torch.distributed.run"]
    return get_args_parser().parse_args(words[3:])


def test_one_process_needs_no_torchrun():
    """Harm: the simplest run depends on the network of its machine."""
    assert command_for(1) == [sys.executable, "-m", "engine.training.job"]


def test_several_processes_are_started_by_torchrun_and_stay_on_this_machine():
    """Harm: a typo in an option shows when a person with two GPUs presses Start."""
    words = command_for(3)
    understood = read([*words, "runs/RUN"])
    assert words[0] == sys.executable
    assert (understood.nproc_per_node, understood.standalone, understood.local_addr) == ("3", True, "127.0.0.1")
    assert (understood.module, understood.training_script) == (True, "engine.training.job")
    assert understood.training_script_args == ["runs/RUN"]


@pytest.mark.parametrize("folder", ["/shared/runs/20261123-wid", "/my shared/runs/a'b; rm -rf $HOME"])
def test_the_cluster_command_says_to_torchrun_what_the_page_says(folder):
    """Harm: a command that is copied to eight machines and starts the wrong run, or another command."""
    words = shlex.split(cluster_command(Path(folder), nodes=8, processes=4, first="node-1"))
    assert words[:3] == ["cd", str(PROJECT), "&&"]
    understood = read(words[3:])
    assert (understood.nnodes, understood.nproc_per_node) == ("8", "4")
    assert (understood.rdzv_backend, understood.rdzv_endpoint) == ("c10d", "node-1:29400")
    assert understood.rdzv_id == Path(folder).name
    assert (understood.module, understood.training_script) == (True, "engine.training.job")
    assert understood.training_script_args == [folder]
