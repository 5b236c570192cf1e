"""What `auto` computes in."""

from pathlib import Path

import pytest

from toolbox.files import InputError
from toolbox.training import checkpoint, precision
from toolbox.training.run_records import Run


def run_in(folder: Path, fresh: bool = False) -> Run:
    return Run("net", 0, 1, 1, 32, fresh, folder, folder)


@pytest.mark.parametrize(
    ("wanted", "width", "instructions", "expected"),
    [
        ("auto", 64, ["amx_bf16"], "bfloat16"),
        ("auto", 64, [], "float32"),
        ("auto", 24, ["amx_bf16"], "float32"),
        ("bfloat16", 24, [], "bfloat16"),
        ("float32", 64, ["amx_bf16"], "float32"),
    ],
)
def test_auto_is_bfloat16_on_a_fast_processor_for_a_wide_network(
    wanted, width, instructions, expected, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(precision, "bfloat16_instructions", lambda: instructions)
    monkeypatch.setattr(precision.tf.config, "list_physical_devices", lambda kind: [])
    assert precision.choose_for_run(wanted, width, run_in(tmp_path)) == expected
    said = capsys.readouterr().out
    assert (expected in said) == (wanted == "auto")


def test_a_resumed_run_keeps_its_precision(tmp_path, monkeypatch):
    monkeypatch.setattr(precision, "bfloat16_instructions", list)
    run = run_in(tmp_path)
    checkpoint.save(run.state, {"precision": "bfloat16"}, [], {})
    assert precision.choose_for_run("auto", 64, run) == "bfloat16"
    assert precision.choose_for_run("auto", 64, run_in(tmp_path, fresh=True)) == "float32"
    run.state.write_bytes(b"no state")
    with pytest.raises(InputError, match="is damaged"):
        precision.choose_for_run("auto", 64, run)
