"""Whatever a page shows as markdown or HTML is the project's own words, a number, or has gone through an escape.

Read from the source. An expression is followed through f-strings, conditions, joins and local names back to where it
comes from; what cannot be followed is listed below with the reason why it is harmless.
"""

import ast
import re
from collections.abc import Iterator

import pytest

from tests.test_architecture import within

BODY = ("markdown", "write", "caption", "error", "warning", "info", "success", "toast", "header", "subheader", "title")
LABEL = ("badge", "button", "toggle", "checkbox", "selectbox", "multiselect", "text_input", "text_area", "expander")
LABEL += ("number_input", "slider", "select_slider", "file_uploader", "metric", "page_link", "link_button", "popover")
LABEL += ("download_button", "radio", "segmented_control", "pills", "spinner", "tabs", "progress", "status")
CHOICES = ("radio", "segmented_control", "pills")  # whose choices are markdown; those of other lists are plain text
KEYWORDS = {"help", "label", "body", "text", "caption", "captions"}
ESCAPES = {"escape_markdown", "list_words"}
HTML_ESCAPES = {"escape", "escape_label"}
COUNTS = {"len", "int", "round", "sum", "float", "abs", "range", "columns", "container"}
OUR_WORDS = {  # functions whose answer is a number with its unit, or words of the project's own
    "elapsed": "a time",
    "format_number": "a number",
    "format_duration": "a time",
    "format_bytes": "a number",
    "minus": "a number",
    "score_text": "a number",
    "describe_shape": "numbers of a checked Shape",
    "describe_sharing": "numbers of a checked Shape",
    "list": "its elements are followed",
}
NUMBERS = {"shape", "layers", "heads", "step", "count", "longest", "ranking_rows", "p"}  # attributes: numbers of ours
FOLLOWED = {
    "join",
    "strip",
    "replace",
    "lower",
    "upper",
    "capitalize",
    "title",
    "partition",
    "split",
    "values",
    "items",
}
FOLLOWED |= {
    "keys",
    "get",
    "min",
    "max",
    "set",
    "list",
    "tuple",
    "sorted",
    "reversed",
    "enumerate",
    "zip",
    "dict",
    "fromkeys",
    "str",
    "format",
}
NUMERIC = re.compile(r"[+]?,?(\.\d+)?[dfeg%,]?")


def escape_calls(function: ast.AST) -> bool:
    """Whether a call is of an escaping function."""
    return isinstance(function, ast.Call) and ast.unparse(function.func).split(".")[-1] in ESCAPES | HTML_ESCAPES


class Scope:
    """The local names of a function, and every expression that is ever put into each."""

    def __init__(self, module: ast.Module, function: ast.AST) -> None:
        self.module = module
        self.functions = {node.name: node for node in module.body if isinstance(node, ast.FunctionDef)}
        self.values: dict[str, list[ast.expr]] = {}
        for scope in (module, function):
            for node in ast.walk(scope) if scope is function else scope.body:
                self._note(node)

    def _note(self, node: ast.AST) -> None:
        if isinstance(node, ast.Assign):
            for target in node.targets:
                self._bind(target, node.value)
        elif isinstance(node, ast.AnnAssign | ast.AugAssign | ast.NamedExpr) and node.value is not None:
            self._bind(node.target, node.value)
        elif isinstance(node, ast.For | ast.comprehension):
            self._bind(node.target, node.iter)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "append":
            self._bind(node.func.value, node.args[0])

    def _bind(self, target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, ast.Tuple):
            several = [value] * len(target.elts)
            if isinstance(value, ast.Tuple) and len(value.elts) == len(target.elts):
                several = value.elts
            elif isinstance(value, ast.Call) and ast.unparse(value.func) == "zip":
                several = value.args
            elif isinstance(value, ast.Call) and ast.unparse(value.func) == "enumerate":
                several = [ast.Constant(0), value.args[0]]
            for one, its_value in zip(target.elts, several, strict=True):
                self._bind(one, its_value)
        elif isinstance(target, ast.Subscript):
            self._bind(target.value, value)
        elif isinstance(target, ast.Name):
            self.values.setdefault(target.id, []).append(value)


def unsafe_parts(node: ast.AST, scope: Scope, seen: frozenset[str] = frozenset()) -> Iterator[str]:
    """The parts of an expression of which nobody knows what they say."""

    def parts(*nodes: ast.AST | None) -> Iterator[str]:
        for one in nodes:
            if one is not None:
                yield from unsafe_parts(one, scope, seen)

    if isinstance(node, ast.Constant | ast.Compare):
        return
    if isinstance(node, ast.JoinedStr):
        yield from parts(*node.values)
    elif isinstance(node, ast.FormattedValue):
        spec = ast.unparse(node.format_spec)[2:-1] if node.format_spec else ""
        if not (spec and NUMERIC.fullmatch(spec)):
            yield from parts(node.value)
    elif isinstance(node, ast.Name):
        if node.id.isupper() or node.id in seen or node.id in ESCAPES:
            return
        if node.id not in scope.values:
            yield node.id
        for value in scope.values.get(node.id, []):
            yield from unsafe_parts(value, scope, seen | {node.id})
    elif isinstance(node, ast.Attribute):
        if node.attr == "__getitem__":
            yield from parts(node.value)
        elif not node.attr.isupper() and node.attr not in NUMBERS:
            yield ast.unparse(node)
    elif isinstance(node, ast.Subscript):
        yield from parts(node.value)
    elif isinstance(node, ast.IfExp):
        yield from parts(node.body, node.orelse)
    elif isinstance(node, ast.BinOp):
        yield from parts(node.left, node.right)
    elif isinstance(node, ast.BoolOp):
        yield from parts(*node.values)
    elif isinstance(node, ast.List | ast.Tuple | ast.Set):
        yield from parts(*node.elts)
    elif isinstance(node, ast.Dict):
        yield from parts(*node.values)
    elif isinstance(node, ast.Starred):
        yield from parts(node.value)
    elif isinstance(node, ast.GeneratorExp | ast.ListComp):
        yield from parts(node.elt)
    elif isinstance(node, ast.DictComp):
        yield from parts(node.value)
    elif isinstance(node, ast.Lambda):
        yield from parts(node.body)
    elif isinstance(node, ast.Call):
        name = ast.unparse(node.func).split(".")[-1].split("(")[-1]
        if escape_calls(node) or name in COUNTS | set(OUR_WORDS):
            return
        if isinstance(node.func, ast.Name) and name in scope.functions:
            inside = scope.functions[name]
            if f"{name}()" not in seen:
                returns = [it.value for it in ast.walk(inside) if isinstance(it, ast.Return) and it.value is not None]
                for value in returns:
                    yield from unsafe_parts(value, Scope(scope.module, inside), frozenset({*seen, f"{name}()"}))
        elif name in FOLLOWED:
            base = node.func.value if isinstance(node.func, ast.Attribute) else None
            yield from parts(base, *node.args)
        else:
            yield f"{ast.unparse(node.func)}()"
    else:
        yield ast.unparse(node)


def shown(tree: ast.Module) -> Iterator[tuple[ast.expr, ast.AST]]:
    """(expression shown as markdown, the function around it) in a module."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        name = node.func.attr
        if name not in (*BODY, *LABEL) or ast.unparse(node.func.value).split(".")[0] in ("figure", "re"):
            continue
        within_functions = [it for it in functions if it.lineno <= node.lineno <= (it.end_lineno or 0)]
        around: ast.AST = min(within_functions, key=lambda it: (it.end_lineno or 0) - it.lineno, default=tree)
        given = node.args[1:2] if name == "progress" else node.args[:1]
        given += node.args[2:3] if name == "metric" else []  # what stands below its number is markdown, too
        given += [it.value for it in node.keywords if it.arg in KEYWORDS]
        if name in CHOICES:
            formatted = [it.value for it in node.keywords if it.arg == "format_func"]
            given += formatted or node.args[1:2]
        yield from ((it, around) for it in given)


ROLE = "Teacher or Student, or what is being done"
BESIDE = "stands beside it in a tuple or a dict; what is shown of it is a number, ours, or escaped"
ESCAPED = "escaped where it is made: on app/pages/examine.py, or by list_words"
REGISTRY = "of a method, a task, a preset or a paper of ours"
OURS = "words that a page of ours gives"
NUMBERS_OF_OURS = "numbers, drawn or counted"
HARMLESS: dict[str, dict[str, str]] = {
    "app.watch.run_choice": {
        "label": OURS,
        "empty": OURS,
    },
    "app.size.answers": {
        "part_label": REGISTRY,
    },
    "app.size.controls": {
        "label": REGISTRY,
        "str.upper": REGISTRY,
        "PRESETS[chosen.preset].label": REGISTRY,
        "help": REGISTRY,
    },
    "app.size.comparison_state": {
        "label": OURS,
        "help": OURS,
    },
    "app.size.training_cost": {
        "caches.machine_rates()": NUMBERS_OF_OURS,
    },
    "app.size.formula": {
        "formula_symbols()": REGISTRY,
        "part_label()": REGISTRY,
        "term.symbols": REGISTRY,
    },
    "app.size.papers": {
        "paper.title": REGISTRY,
        "paper.source": REGISTRY,
        "paper.score": REGISTRY,
    },
    "app.size.tensors": {
        "part_label()": REGISTRY,
    },
    "app.size.what_if": {
        "title": REGISTRY,
    },
    "app.session.options_form": {
        "notes": ESCAPED,
        "persistent_segments()": REGISTRY,
        "spec.metadata": REGISTRY,
        "spec.name": REGISTRY,
    },
    "app.session.widgets": {
        "label": OURS,
        "help": OURS,
        "format_func": OURS,
    },
    "app.examine.cka": {
        "caches.compute_once()": NUMBERS_OF_OURS,
        "pair.models": ROLE,
    },
    "app.examine.fill_in": {
        "teacher": ROLE,
        "caches.fill_blanks()": NUMBERS_OF_OURS,
    },
    "app.examine.film": {
        "words": OURS,
    },
    "app.examine.head_ablation": {
        "interval_text()": NUMBERS_OF_OURS,
        "p_value()": NUMBERS_OF_OURS,
        "damage.by_layer()": NUMBERS_OF_OURS,
        "found": NUMBERS_OF_OURS,
        "role": ROLE,
    },
    "app.examine.head_roles": {
        "caches.compute_once()": NUMBERS_OF_OURS,
        "pair.models": ROLE,
        "positional_attention()": NUMBERS_OF_OURS,
    },
    "app.examine.heads": {
        "noun": OURS,
        "role": ROLE,
        "sides": ESCAPED,
    },
    "app.examine.inheritance": {
        "report.attention_among_words": NUMBERS_OF_OURS,
        "report.sharpness": NUMBERS_OF_OURS,
        "report.notes": ESCAPED,
        "doing": ROLE,
    },
    "app.examine.interventions": {
        "role": ROLE,
        "pair.models": ROLE,
        "linked_choice()": ROLE,
    },
    "app.examine.layers": {
        "run.id": BESIDE,
        "layer_movement()": BESIDE,
        "caches.compute_once()": BESIDE,
        "pair.corpus": BESIDE,
        "teacher.corpus": BESIDE,
        "teacher.length": BESIDE,
        "model.card": BESIDE,
    },
    "app.examine.tasks": {
        "task.about": REGISTRY,
        "task.metrics": REGISTRY,
        "role": ROLE,
        "doing": ROLE,
        "score_bars()": BESIDE,
    },
    "app.examine.bertviz.tab": {
        "sides": ESCAPED,
    },
    "app.examine.ancestry.dims": {
        "title": OURS,
        "unit": OURS,
        "binned_shares()": NUMBERS_OF_OURS,
    },
    "app.examine.ancestry.heads": {
        "choose_student_layer()": NUMBERS_OF_OURS,
        "layer_shares.argmax(1).tolist()": NUMBERS_OF_OURS,
    },
    "app.examine.ancestry.lineage": {
        "label": OURS,
    },
    "app.examine.ancestry.tab": {
        "moment_of_compactors()": NUMBERS_OF_OURS,
        "layer_origins()": NUMBERS_OF_OURS,
    },
    "app.compare.experiment": {
        "label": OURS,
        "axis.title": REGISTRY,
        "Dot()": BESIDE,
        "place.selectbox()": BESIDE,
        "found.nulls": BESIDE,
    },
    "app.build.method": {
        "description()": REGISTRY,
        "method.about.paper": REGISTRY,
    },
    "app.build.teacher": {
        "method.about.label": REGISTRY,
    },
    "app.pages.build": {
        "waiting_for_text()": ESCAPED,
        "about.label": REGISTRY,
    },
    "app.pages.examine": {
        "text_notices()": ESCAPED,
    },
}


@pytest.mark.parametrize(
    ("source", "strange"),
    [
        ("st.error(str(error))", True),
        ("st.error(escape_markdown(error))", False),
        ("st.caption(f'{count:,} words')", False),
        ("st.caption(f'{count} words')", True),
        ("words = run.id\nst.metric('A', 'b', help=words)", True),
        ("words = escape_markdown(run.id)\nst.info(f'The run {words}')", False),
        ("st.radio('A', names)", True),
        ("st.radio('A', names, format_func=escape_markdown)", False),
        ("for name, value in zip(('a', 'b'), card.values()):\n    st.markdown(name + value)", True),
        ("st.progress(0.5, event['message'])", True),
        ("st.selectbox('A', names)", False),
    ],
)
def test_what_a_stranger_says_is_found(source: str, strange: bool) -> None:
    """Harm: the law below looks at nothing."""
    tree = ast.parse(source)
    found = [part for expression, around in shown(tree) for part in unsafe_parts(expression, Scope(tree, around))]
    assert bool(found) == strange, found


def test_what_a_page_shows_is_our_own_or_escaped() -> None:
    """Harm: a run's name in a link, a card, an event or an error makes the browser of whoever looks fetch a picture
    from a stranger's server, or turns an address into a link that looks like ours."""
    found, used = [], set()
    for name, tree in within("app", "streamlit_app"):
        allowed = HARMLESS.get(name, {})
        for expression, around in shown(tree):
            for part in unsafe_parts(expression, Scope(tree, around)):
                if part in allowed:
                    used.add((name, part))
                else:
                    found.append(f"{name}:{expression.lineno} {part}")
    assert not found, "Put escape_markdown around these, or say in HARMLESS why not:\n" + "\n".join(
        dict.fromkeys(found)
    )
    listed = {(name, part) for name, allowed in HARMLESS.items() for part in allowed}
    assert listed == used, f"No longer needed: {sorted(listed - used)}"
