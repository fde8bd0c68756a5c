"""What a person does with a report in a browser: looks, points, sorts, filters, compares, copies, prints."""

import json
import re
from pathlib import Path

import pytest
from browser import browser, chromium
from invented_study import invented

from search.report.report import write_report

pytestmark = pytest.mark.slow

HOSTILE = '<img src=x onerror="document.title=1"></script>\u202egnp.\u202c' + "x" * 10_000


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The page of a study of 40 trials, one of which failed for a reason that is meant as an attack."""
    record = invented(tmp_path_factory.mktemp("studies"), trials=40, epochs=5, description=HOSTILE, reason=HOSTILE)
    return write_report(record.folder) / "report.html"


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    if chromium() is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    with browser(tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture
def page(tab, report):
    """The report just opened, in light; afterwards it has complained of nothing and asked no host for anything."""
    tab.requests.clear()
    tab.complaints.clear()
    tab.open(report.as_uri())
    yield tab
    tab.js("localStorage.clear()")
    assert tab.complaints == []
    assert {url for url in tab.requests if not url.startswith("data:image/png;base64,")} <= {report.as_uri()}


def rows(page):
    return page.js("[...document.querySelectorAll('table.trials tbody th')].map((head) => parseInt(head.innerText))")


def marked(page):
    return page.js("[...document.querySelectorAll('.over .marked')].filter((mark) => mark.childElementCount).length")


def column(page, name):
    """The texts of the table's cells under a name."""
    heads = page.js("[...document.querySelectorAll('table.trials thead th')].map((head) => head.innerText)")
    heads = [head.rstrip(" \u2191\u2193") for head in heads]
    cells = f"row.children[{heads.index(name)}].innerText"
    return page.js(f"[...document.querySelectorAll('table.trials tbody tr')].map((row) => {cells})")


def sort_by(page, name):
    page.js(f"document.querySelector('[data-key={json.dumps('sort ' + name)}]').click()")


def test_a_trial_under_the_pointer_is_marked_everywhere(page):
    best = rows(page)[0]
    page.js("document.querySelector('[data-chart=history] svg').scrollIntoView({ block: 'center' })")
    x, y = page.js(
        f"(() => {{ page.mark({best}); const box = document.querySelector('[data-chart=history] .marked circle')"
        ".getBoundingClientRect(); page.mark(null); return [box.x + box.width / 2, box.y + box.height / 2]; })()"
    )
    page.move(x + 2, y)
    page.settle()
    assert page.js("page.marked") == best
    assert marked(page) == 10  # history, four slices, two params, two curves, timeline, parallel coordinates
    assert page.js("document.querySelector('tr.marked th').innerText").startswith(str(best))
    assert page.js("document.querySelector('.tip').innerText").startswith(f"trial {best} · complete")
    page.move(5, 5)
    page.settle()
    assert marked(page) == 0 and page.js("document.querySelector('.tip').hidden")


def test_the_keyboard_walks_through_a_chart_and_chooses(page):
    page.js("document.querySelector('[data-chart=history] svg').focus()")
    page.press("ArrowRight")
    first = page.js("page.marked")
    page.press("ArrowRight")
    assert first == 0 and page.js("page.marked") == 1
    assert page.js("document.querySelector('[aria-live]').textContent").startswith("trial 1, ")
    page.press("Enter")
    assert page.js("page.chosen") == [1]
    page.press("Escape")
    assert page.js("page.marked") is None


def test_the_table_sorts_both_ways_and_back(page):
    best_first = rows(page)
    sort_by(page, "lr")
    up = [float(text) for text in column(page, "lr")]
    sort_by(page, "lr")
    down = [float(text) for text in column(page, "lr")]
    assert up == sorted(up) and down == sorted(down, reverse=True) and up != down
    assert page.js("document.querySelector('th[aria-sort]').getAttribute('aria-sort')") == "descending"
    sort_by(page, "lr")
    assert rows(page) == best_first


def test_words_filter_every_chart_and_the_table(page):
    page.js("document.querySelector('#filter').focus()")
    page.write("lr<0.001 optimizer=adam|sgd state=complete")
    assert page.js("document.querySelector('output').textContent").endswith(" of 40 trials")
    assert (
        rows(page) and set(column(page, "optimizer")) <= {"adam", "sgd"} and set(column(page, "state")) == {"complete"}
    )
    assert all(float(text) < 0.001 for text in column(page, "lr"))
    assert page.js("document.querySelectorAll('[data-chart=history] .dots.pale').length") > 0
    page.write(" nonsense=1")
    assert page.js("document.querySelector('output').textContent") == "no trial has nonsense"


def test_a_drag_along_an_axis_filters_and_a_click_takes_it_away(page):
    svg = "document.querySelector('[data-chart=parallel] .body svg')"
    page.js(f"{svg}.scrollIntoView({{ block: 'center' }})")
    box = page.js(f"{svg}.getBoundingClientRect().toJSON()")
    line = page.js(f"(page.mark(page.best[0].number), {svg}.querySelector('.marked path').getAttribute('d'))")
    x, y = (float(number) for number in re.match(r"M([\d.]+) ([\d.]+)L", line).groups())
    x, y = box["x"] + x, box["y"] + y
    page.click(x, y)
    assert page.js("page.chosen") == [], "a click on an axis chooses no trial"
    page.drag((x, y - 60), (x, y + 2))
    assert re.fullmatch(r"lr>=[\d.e-]+ lr<=[\d.e-]+", page.js("page.filter"))
    assert 0 < page.js("page.shown.size") < 40
    page.click(x, y)
    assert page.js("page.filter") == ""
    page.js("page.mark(page.best[0].number)")
    places = page.js(f"{svg}.querySelector('.marked path').getAttribute('d')")
    (x0, y0), (x1, y1) = [[float(number) for number in place.split()] for place in re.split("[ML]", places)[1:3]]
    page.click(box["x"] + (x0 + x1) / 2, box["y"] + (y0 + y1) / 2)
    assert len(page.js("page.chosen")) == 1


def test_two_trials_stand_side_by_side_with_what_differs_and_can_be_copied(page, report):
    first, second = rows(page)[:2]
    for number in (first, second):
        page.click(*page.center(f"[data-key='trial {number}']"))
    heads = page.js("[...document.querySelectorAll('.compare thead th')].map((head) => head.innerText)")
    assert [int(re.search(r"trial (\d+)", head)[1]) for head in heads] == [first, second]
    different = page.js("[...document.querySelectorAll('.compare .different th')].map((head) => head.innerText)")
    assert {"lr", "r"} <= set(different) <= {"lr", "r", "optimizer", "channels"}
    assert "batch_size: 32" in page.js("document.querySelector('#side-by-side > div > details pre').textContent")
    assert page.js("[...document.querySelectorAll('.compare details')].every((each) => !each.open)")
    page.js("navigator.clipboard.writeText = (text) => { globalThis.clip = text; return Promise.resolve(); }")
    page.click(*page.center(".compare tfoot button"))
    lr = page.js(f"page.byNumber.get({first}).lines.lr ?? page.study.base.lr")
    assert page.js("clip").startswith("params:\n") and f"  {lr}\n" in page.js("clip")
    page.click(*page.center(".compare tfoot button:nth-of-type(2)"))
    assert page.js("clip").startswith(f"python -m search.run --rerun {report.parents[1].name}/{first} ")


def test_names_of_any_kind_stay_text(page):
    assert page.js("document.title") == "joint-001"
    assert page.js("document.querySelectorAll('main img:not([src^=\"data:\"])').length") == 0
    page.js("page.setFilter('state=failed')")
    assert any(
        text.startswith('failed: <img src=x onerror="document.title=1"></script>') for text in column(page, "state")
    )
    assert page.js("document.documentElement.scrollWidth") == 1400
    assert page.js("[...document.querySelectorAll('svg text')].every((text) => text.textContent.length <= 60)")


@pytest.mark.parametrize("width", [1400, 390])
def test_nothing_is_wider_than_the_window_in_light_and_dark(page, report, width):
    for dark in (False, True):
        page.open(report.as_uri(), width=width, dark=dark)
        assert page.js("document.documentElement.scrollWidth") <= width
        paper = page.js("getComputedStyle(document.body).backgroundColor")
        assert paper == ("rgb(21, 24, 29)" if dark else "rgb(255, 255, 255)")
    page.js("document.querySelector('.theme').click()")  # from system to light
    assert page.js("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_it_prints_and_without_scripts_it_shows_its_pictures(page, report):
    assert page.pdf().startswith(b"%PDF")
    assert page.js("[...document.querySelectorAll('img')].filter((image) => image.offsetParent).length") == 0
    page.call("Emulation.setScriptExecutionDisabled", value=True)
    page.open_without_scripts(report.as_uri())
    shown = page.js("[...document.querySelectorAll('img')].filter((image) => image.offsetParent).length")
    page.call("Emulation.setScriptExecutionDisabled", value=False)
    assert shown == len(list(Path(report.parent).glob("*.png")))
