"""Parts of bertviz: the libraries that it needs are there, or it says what to install."""

import pytest

from app.examine.bertviz import parts


@pytest.mark.parametrize(
    ("package", "path", "banner"),
    [
        ("mpld3", "js/missing.js", "d3js.org v5."),
        ("mpld3", "js/d3.v3.min.js", "d3js.org v5."),
        ("no_such_package.pkg", "data/jquery.min.js", "jQuery v3."),
        ("no_such_package", "data/jquery.min.js", "jQuery v3."),
    ],
)
def test_missing_or_other_library_fails_loudly(package, path, banner) -> None:
    """Harm: a page without d3, or with a d3 that bertviz cannot use, that shows nothing and says nothing."""
    with pytest.raises(RuntimeError, match=r"pip install -r requirements.txt"):
        parts.installed_script(package, path, banner)
