"""Recipes: each of them can be run."""

import pytest

from engine.experiments.recipes import RECIPES, _run_config, find_recipe
from engine.methods.registry import METHODS
from engine.tasks.catalog import TASKS

pytestmark = pytest.mark.usefixtures("few_held_out")


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_can_be_run(name):
    """Harm: an experiment that fails after its first hour, for its last task is not there."""
    recipe = find_recipe(name)
    assert set(recipe.tasks) <= set(TASKS)
    for method in recipe.methods:
        config = _run_config(recipe, method)
        assert METHODS[method].Options(**config.options)
