"""What children see of the environment."""

import os
import sys

from app.execution.backends.environment import Shape, importing, inherited, shaped


def test_only_what_is_allowed_or_named_is_inherited() -> None:
    source = {
        "PATH": "/bin", "LC_ALL": "C", "PYTHONUTF8": "1", "TASK_EXECUTOR_DATABASE_URL": "postgresql://secret@h/d",
        "AWS_SECRET_ACCESS_KEY": "secret", "MINE": "1", "TASK_EXECUTOR_SOURCES_FILE": "sources.toml",
    }  # fmt: skip
    assert inherited(source, ["MINE"]) == {
        "PATH": "/bin", "LC_ALL": "C", "PYTHONUTF8": "1", "MINE": "1", "TASK_EXECUTOR_SOURCES_FILE": "sources.toml",
    }  # fmt: skip


def test_a_shape_sets_threads_and_devices() -> None:
    two = shaped({"CUDA_VISIBLE_DEVICES": "0,1", "OMP_NUM_THREADS": "64"}, Shape(threads=2, gpus="1"))
    assert two["OMP_NUM_THREADS"] == two["OPENBLAS_NUM_THREADS"] == "2"
    assert two["CUDA_VISIBLE_DEVICES"] == "1"
    assert shaped({"CUDA_VISIBLE_DEVICES": "0,1"}, Shape())["CUDA_VISIBLE_DEVICES"] == ""
    assert shaped({"CUDA_VISIBLE_DEVICES": "0,1"}, Shape(gpus=None))["CUDA_VISIBLE_DEVICES"] == "0,1"


def test_children_start_with_the_import_path_of_the_service() -> None:
    path = importing({"PATH": "/bin"})["PYTHONPATH"].split(os.pathsep)
    assert "" not in path
    assert set(sys.path) - {""} <= set(path)
