import re

import pytest

from lockstep.errors import InvalidSetting
from lockstep_train.configuration.flags import configured
from lockstep_train.job import Job, model_name


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("digits", "digits"),
        ("data/people.csv", "people"),
        ("my people (2).parquet", "my_people_2"),
        ("rows.csv.gz", "rows"),
        ("../fashion/", "fashion"),
    ],
)
def test_a_model_is_called_as_its_source_is(source, name):
    assert model_name(source) == name


def test_a_folder_gives_its_own_name(tmp_path, monkeypatch):
    folder = tmp_path / "images"
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert model_name(".") == "images"


def test_a_source_that_makes_no_name_is_refused_with_the_flag():
    with pytest.raises(InvalidSetting, match=re.escape("give one with --name NAME.")):
        model_name("???")


def test_a_fold_ensemble_needs_folds_and_folds_are_not_resumed(tmp_path):
    with pytest.raises(InvalidSetting, match="--fold-ensemble needs --folds"):
        Job("digits", "digits", tmp_path, ensemble=True)
    with pytest.raises(InvalidSetting, match="leave out one of the two"):
        Job("digits", "digits", tmp_path, folds=3, resume=True)


def test_cross_validation_alone_needs_no_repository(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    assert not Job("digits", "digits", file, folds=3).writes
    with pytest.raises(InvalidSetting):
        Job("digits", "digits", file)


def test_a_flag_wins_over_the_file_and_a_flag_that_is_not_given_does_not(tmp_path):
    file = tmp_path / "settings.toml"
    file.write_text('[data]\ntarget = "a"\ndrop = ["x"]\n[columns]\nzip = "numeric"\n')
    made = configured(file, ["zip=categorical", "a=b=boolean"], data={"target": "b", "drop": None})
    assert (made.data.target, made.data.drop) == ("b", ("x",))
    assert made.columns == {"zip": "categorical", "a=b": "boolean"}


@pytest.mark.parametrize("flag", ["zip", "=categorical"])
def test_a_kind_without_a_column_is_refused(flag):
    with pytest.raises(InvalidSetting, match="COLUMN=KIND"):
        configured(None, [flag])


def test_a_kind_that_there_is_not_is_refused():
    with pytest.raises(InvalidSetting, match=r"columns\.zip must be 'numeric', 'categorical' or"):
        configured(None, ["zip=text"])
