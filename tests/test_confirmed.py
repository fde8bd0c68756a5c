"""What a confirmed config is called in sentences and tables."""

import pytest

from search.confirmed import ConfirmedConfig

MANY = {"model": "se_cnn", "lr": 0.001, "dropout": 0.25, "batch_size": 32, "r": 31.4283}


@pytest.mark.parametrize(
    ("varying", "role", "name"),
    [
        ({"r": 31.4283}, "best 1", "r = 31.43"),
        ({"r": 16.0}, "default", "r = 16 (default)"),
        ({"r": 16.0}, "best 2, default", "r = 16"),
        ({}, "default", "the only config"),
        (MANY, "best 2", "best 2 of the search (model = se_cnn, lr = 0.001, dropout = 0.25 and 2 more params)"),
        (MANY, "default", "model = se_cnn, lr = 0.001, dropout = 0.25 and 2 more params (default)"),
    ],
)
def test_a_config_is_called_by_what_varies_or_of_many_params_by_its_rank(varying, role, name):
    config = ConfirmedConfig(varying=varying, role=role, trials=(), vote="sum", said_S=(), validation=())
    assert config.name == name
