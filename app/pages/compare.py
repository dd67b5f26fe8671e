"""Compare: experiments with their seeds and intervals, shipped and own, and any finished runs. Needs no torch."""

from collections import Counter

import streamlit as st

from app.compare.experiment import show_experiment
from app.compare.own_runs import show_own_runs
from app.elements.text import escape_markdown
from app.session import caches
from app.session.link import link_value, set_link_value
from app.session.widget_values import persistent_choice
from engine.experiments.outcome import FOLDER, list_outcomes
from engine.settings import project
from engine.storage.runs import RunError, list_runs

MY_RUNS = "My runs"
MOST_PROBLEMS = 5  # runs that are said to be unreadable
CHOSEN = "compared_experiment"

st.title("Compare")
shipped, problems = list_outcomes(project.EXPERIMENTS)
own_outcomes, own_problems = list_outcomes(caches.RUNS / FOLDER)
try:
    everyone = list_runs(caches.RUNS)
    runs = [run for run in everyone if run.card_path.is_file() and run.status() == "finished"]
    own_problems += [problem for run in everyone if (problem := run.problem())][:MOST_PROBLEMS]
except RunError as error:
    runs, own_problems = [], [*own_problems, str(error)]
for problem in [*problems, *own_problems]:
    st.warning(escape_markdown(problem), icon=":material/broken_image:")

leading = ["family", "family-english", "albert-sharing"]
shipped.sort(key=lambda found: (leading.index(found.name) if found.name in leading else len(leading), found.name))
titles = Counter(found.title for found in shipped)
choices = {
    found.name: (found.title if titles[found.title] == 1 else f"{found.title}: {found.card.get('machine', '')}", found)
    for found in shipped
}
choices |= {f"own:{found.name}": (f"Mine: {found.name}", found) for found in own_outcomes}
names = [*choices, MY_RUNS]
linked = link_value("experiment")
if linked and linked not in names:
    st.info(
        f"There is no experiment {escape_markdown(linked[:80])} here; this is another one.", icon=":material/link_off:"
    )
default = linked if linked in names else names[0]  # a link is where the choice begins; afterwards it follows the choice
chosen = st.selectbox(
    "Experiment",
    format_func=lambda name: choices[name][0] if name in choices else name,
    help="Those that come with the project, those that you ran with `python -m engine recipe`, and single runs.",
    **persistent_choice(CHOSEN, names, default),
)
set_link_value("experiment", chosen)
if chosen == MY_RUNS:
    show_own_runs(runs)
else:
    show_experiment(choices[chosen][1], runs)
