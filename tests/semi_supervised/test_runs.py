from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_task import FACES, build_small_cnn, make_record, make_run

from toolbox.files import InputError
from toolbox.semi_supervised import runs
from toolbox.semi_supervised.few_labels import Learned
from toolbox.semi_supervised.runs import Task

TASK = Task(FACES, np.arange(14), np.arange(14, 56), np.arange(56, 84))


def test_the_name_tells_every_setting(tmp_path):
    run = make_run(tmp_path, "fixmatch", own="_temperature0.5")
    assert run.name == "fixmatch_2_width8_updates40_temperature0.5_seed3"
    assert run.setting == "2_width8_updates40_seed3"
    run = replace(run, shared="_zoom0.2", faces=FACES._replace(path=Path("ck.csv.gz")))
    assert run.name == "fixmatch_2_width8_updates40_ck_zoom0.2_temperature0.5_seed3"
    assert run.setting == "2_width8_updates40_ck_zoom0.2_seed3"
    assert run.title == "2 labels per class, width 8, 40 updates, ck, zoom0.2, seed 3"
    assert run.models == tmp_path / "models" / "semi_supervised"
    synthetic = replace(run, faces=FACES._replace(synthetic=True))
    assert synthetic.figures == tmp_path / "figures" / "sample" / "semi_supervised"


def test_a_finished_run_is_found_and_another_configuration_refused(tmp_path):
    run = make_run(tmp_path)
    assert runs.load_finished(run) is None
    learned = Learned(build_small_cnn(), np.empty(0, int), np.empty((0, 42), np.int8))
    record = make_record(run) | runs.describe(run, learned, TASK, [{"update": 40, "seconds": 90}])
    runs.save_run(run, learned.model, record)
    model, found = runs.load_finished(run)
    assert found["metrics"] == record["metrics"] and found["minutes"] == 1.5
    np.testing.assert_array_equal(model.get_weights()[0], learned.model.get_weights()[0])
    with pytest.raises(InputError, match=r"another configuration \(the faces are others\)"):
        runs.load_finished(replace(run, faces=FACES._replace(sha256="def")))
    run.model.with_suffix(".json").write_text("{")
    assert runs.load_finished(run) is None  # damaged: it is trained again
