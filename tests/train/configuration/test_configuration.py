import re
from typing import get_args

import pytest

from lockstep.errors import InvalidSetting, NotFound, Unreadable
from lockstep_train.configuration.configuration import Configuration
from lockstep_train.configuration.network import ActivationName, NetworkConfiguration
from lockstep_train.configuration.section import did_you_mean
from lockstep_train.configuration.training import TrainingConfiguration
from lockstep_train.network.member import ACTIVATIONS

NAN, INFINITY = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"dropout": 1.0}, "network.dropout must be less than 1, got 1.0."),
        ({"dropout": -0.1}, "network.dropout must be greater than or equal to 0, got -0.1."),
        ({"dropout": NAN}, "network.dropout must be a finite number, got nan."),
        ({"dropout": "much"}, "network.dropout must be a valid number, got 'much'."),
        ({"dropout": [0.1, 1.5]}, "network.dropout.1 must be less than 1, got 1.5."),
        ({"dropout": [0.1]}, "one for each of the 2 blocks, got 1 rates."),
        ({"dropout": [0.1, 0.2, 0.3]}, "one for each of the 2 blocks, got 3 rates."),
        ({"dropout": [0.1, 0.1], "output_dropout": 0.1}, "give one of the two."),
        ({"hidden": [8], "dropout": 0.1, "output_dropout": 0.1}, "give one of the two."),
        ({"input_dropout": 1}, "network.input_dropout must be less than 1, got 1."),
        ({"output_dropout": NAN}, "network.output_dropout must be a finite number, got nan."),
        ({"hidden": [0]}, "network.hidden.0 must be greater than or equal to 1, got 0."),
        ({"hidden": [8, -2]}, "network.hidden.1 must be greater than or equal to 1, got -2."),
        ({"hidden": [8.5]}, "network.hidden.0 must be a valid integer, got 8.5."),
        ({"hidden": []}, "network.hidden must"),
        ({"batch_norm_momentum": 0}, "network.batch_norm_momentum must be greater than 0"),
        ({"batch_norm_momentum": 1.1}, "network.batch_norm_momentum must be less than or equal"),
        ({"batch_norm_eps": 0}, "network.batch_norm_eps must be greater than 0, got 0."),
        ({"batch_norm_eps": -1e-5}, "network.batch_norm_eps must be greater than 0"),
        ({"batch_norm": "perhaps"}, "network.batch_norm must be a valid boolean"),
        ({"activation": "rellu"}, "got 'rellu'. Did you mean relu?"),
        ({"dropuot": 0.1}, "There is no setting network.dropuot. Did you mean dropout? There are"),
    ],
)
def test_a_network_that_makes_no_sense_is_refused_with_a_sentence(settings, sentence):
    with pytest.raises(InvalidSetting, match=re.escape(sentence)):
        NetworkConfiguration.model_validate(settings)
    with pytest.raises(InvalidSetting, match=re.escape(sentence)):
        Configuration.model_validate({"network": settings})


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"epochs": 0}, "training.epochs must be greater than or equal to 1, got 0."),
        ({"epochs": True}, "training.epochs must be a valid integer, got True."),
        ({"batch_size": 0}, "training.batch_size must be greater than or equal to 1"),
        ({"learning_rate": 0}, "training.learning_rate must be greater than 0"),
        ({"learning_rate": INFINITY}, "training.learning_rate must be a finite number"),
        ({"weight_decay": -1}, "training.weight_decay must be greater than or equal to 0"),
        ({"decay": "l1"}, "training.decay must be 'decoupled' or 'l2', got 'l1'."),
        ({"schedule": "onecycle"}, "Did you mean one_cycle?"),
        ({"label_smoothing": 1}, "training.label_smoothing must be less than 1"),
        ({"gradient_clip": NAN}, "training.gradient_clip must be a finite number"),
        ({"patience": -1}, "training.patience must be greater than or equal to 0"),
        ({"seed": -1}, "training.seed must be greater than or equal to 0"),
        ({"seed": 2**32}, "training.seed must be less than or equal to 4294967295"),
        ({"threads": 0}, "training.threads must be auto, or a whole number from 1 to 1024"),
    ],
)
def test_a_training_that_makes_no_sense_is_refused_with_a_sentence(settings, sentence):
    with pytest.raises(InvalidSetting, match=re.escape(sentence)):
        TrainingConfiguration(**settings)


def test_everything_that_is_wrong_with_a_section_is_said_at_once():
    with pytest.raises(InvalidSetting) as refusal:
        TrainingConfiguration(epochs=0, patience=-1)
    assert "training.epochs" in str(refusal.value)
    assert "training.patience" in str(refusal.value)


def test_batches_of_one_row_are_refused_under_batch_norm_only():
    single = {"batch_size": 1}
    with pytest.raises(InvalidSetting, match="batch_size must be at least 2"):
        Configuration.model_validate({"training": single})
    Configuration.model_validate({"training": single, "network": {"batch_norm": False}})


@pytest.mark.parametrize(
    ("settings", "rates"),
    [
        ({}, (0.2, 0.0)),
        ({"dropout": 0.3}, (0.3, 0.0)),
        ({"dropout": 0.3, "output_dropout": 0.1}, (0.3, 0.1)),
        ({"dropout": [0.3, 0.1]}, (0.3, 0.1)),
        ({"hidden": [8]}, (0.0,)),
        ({"hidden": [8], "dropout": 0.3}, (0.3,)),
        ({"hidden": [8], "dropout": [0.3]}, (0.3,)),
        ({"hidden": [8], "output_dropout": 0.3}, (0.3,)),
        ({"hidden": [8, 8, 8], "dropout": 0.3}, (0.3, 0.3, 0.0)),
    ],
)
def test_no_dropout_stands_right_before_the_head_unless_asked_for(settings, rates):
    assert NetworkConfiguration.model_validate(settings).block_dropout == rates


def test_the_default_decay_fits_the_way_in_which_it_is_applied():
    assert TrainingConfiguration().weight_decay == 1.0
    assert TrainingConfiguration(decay="l2").weight_decay == 1e-4
    assert TrainingConfiguration(decay="l2", weight_decay=0.5).weight_decay == 0.5


@pytest.mark.parametrize("hidden", [(8,), (8, 4)])
def test_a_configuration_written_down_and_read_again_is_the_same(hidden):
    configuration = Configuration(network=NetworkConfiguration(hidden=hidden))
    assert Configuration.model_validate(configuration.model_dump()) == configuration
    assert Configuration.model_validate_json(configuration.model_dump_json()) == configuration


def test_every_setting_says_what_it_is_for():
    for section in (NetworkConfiguration, TrainingConfiguration):
        assert all(field.description for field in section.model_fields.values())


def test_every_activation_that_may_be_chosen_exists():
    assert set(get_args(ActivationName)) == set(ACTIVATIONS)


def test_a_settings_file_is_read_and_what_it_leaves_out_has_its_default(tmp_path):
    file = tmp_path / "lockstep.toml"
    file.write_text('[network]\nhidden = [32, 16]\ndropout = [0.1, 0]\n[training]\ndecay = "l2"\n')
    configuration = Configuration.from_toml(file)
    assert configuration.network.hidden == (32, 16)
    assert configuration.network.block_dropout == (0.1, 0)
    assert configuration.training == TrainingConfiguration(decay="l2")


def test_a_change_wins_over_the_settings_file(tmp_path):
    file = tmp_path / "lockstep.toml"
    file.write_text("[training]\nepochs = 5\nseed = 3\n")
    changes = {"training": {"epochs": 7}, "network": {"batch_norm": False}}
    configuration = Configuration.from_toml(file, changes)
    assert configuration.training == TrainingConfiguration(epochs=7, seed=3)
    assert not configuration.network.batch_norm


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[training]\nepoch = 5", "no setting training.epoch. Did you mean epochs?"),
        ("[trainning]\nepochs = 5", "no setting trainning. Did you mean training?"),
        ("[network]\ndropout = 2.0", "network.dropout must be less than 1, got 2.0."),
        ("[network]\ndropout = nan", "network.dropout must be a finite number, got nan."),
        ("network = 3", "network must be a table of settings, got 3."),
    ],
)
def test_what_is_wrong_in_a_settings_file_is_named_with_the_file(tmp_path, text, sentence):
    file = tmp_path / "lockstep.toml"
    file.write_text(text)
    with pytest.raises(InvalidSetting, match=rf"lockstep\.toml: .*{re.escape(sentence)}"):
        Configuration.from_toml(file)


def test_a_settings_file_that_is_not_there_or_not_toml_is_refused(tmp_path):
    with pytest.raises(NotFound, match="no settings file"):
        Configuration.from_toml(tmp_path / "absent.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("[network\n")
    with pytest.raises(Unreadable, match="cannot be read as TOML"):
        Configuration.from_toml(broken)
    with pytest.raises(Unreadable, match="cannot be read as TOML"):
        Configuration.from_toml(tmp_path)


def test_a_near_word_is_asked_about_and_a_far_one_is_not():
    assert did_you_mean("Digit", ("digits", "wine")) == " Did you mean digits?"
    assert did_you_mean("zzz", ("digits", "wine")) == ""
