"""Compare: experiments with their seeds and intervals, shipped and own, and any finished runs. Needs no torch."""

from collections import Counter

import streamlit as st

from app.compare.experiment import outcome_view
from app.compare.own_runs import own_view
from app.elements.text import plain
from app.session import caches as state
from app.session import widget_values as given
from engine.experiments.outcome import FOLDER, list_outcomes
from engine.settings import project
from engine.storage.runs import RunError, list_runs

MY_RUNS = "My runs"
CHOSEN = "compared_experiment"

st.title("Compare")
shipped, problems = list_outcomes(project.EXPERIMENTS)
own, own_problems = list_outcomes(state.RUNS / FOLDER)
try:
    runs = [run for run in list_runs(state.RUNS) if run.card_path.is_file() and run.status() == "finished"]
except RunError as error:
    runs, own_problems = [], [*own_problems, str(error)]
for problem in [*problems, *own_problems]:
    st.warning(plain(problem), icon=":material/broken_image:")

first = ["family", "family-english", "albert-sharing"]
shipped.sort(key=lambda found: (first.index(found.name) if found.name in first else len(first), found.name))
titles = Counter(found.title for found in shipped)
choices = {
    found.name: (found.title if titles[found.title] == 1 else f"{found.title}: {found.card.get('machine', '')}", found)
    for found in shipped
}
choices |= {f"own:{found.name}": (f"Mine: {found.name}", found) for found in own}
names = [*choices, MY_RUNS]
wanted = state.link("experiment")
if wanted and wanted not in names:
    st.info(f"There is no experiment {plain(wanted[:80])} here; this is another one.", icon=":material/link_off:")
begin = wanted if wanted in names else names[0]  # a link is where the choice begins; afterwards it follows the choice
chosen = st.selectbox(
    "Experiment",
    format_func=lambda name: choices[name][0] if name in choices else name,
    help="Those that come with the project, those that you ran with `python -m engine recipe`, and single runs.",
    **given.kept_choice(CHOSEN, names, begin),
)
state.set_link("experiment", chosen)
if chosen == MY_RUNS:
    own_view(runs)
else:
    outcome_view(choices[chosen][1], runs)
