"""The dashboard's pages in a real browser, against a real server with a worker and toy jobs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx2
import pytest

from db.records import JobKind, SupernetRecord
from predictors.device import Device
from service.client import Client
from service.stores import Stores, open_database, open_stores
from tests.service.browser import Browser, chromium, find_chromium
from tests.service.conftest import DEVICE, SPACE, Live, eventually, seed_front, start_server, stop_server

CHROMIUM = find_chromium()
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium here (Debian: apt-get install chromium)"
)
HOSTILE = '<img src=x onerror="window.hacked=1">'
TOKEN = "a-token-of-the-tests"


@pytest.fixture(scope="module")
def chrome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    assert CHROMIUM is not None
    with chromium(CHROMIUM, tmp_path_factory.mktemp("browser") / "profile") as browser:
        yield browser


@pytest.fixture
def browser(chrome: Browser) -> Iterator[Browser]:
    """The browser on an empty page; whatever a page complains about fails the test."""
    chrome.show_as(width=1200)
    chrome.open("about:blank")
    chrome.complaints.clear()
    yield chrome
    chrome.evaluate("1")  # collects what has been said until now
    assert chrome.complaints == []


@pytest.fixture(scope="module")
def front(live: Live) -> list[str]:
    """Subnet ids of a front of four; the fastest is measured. A second study has two of them."""
    database = open_database(live.settings())
    stores = open_stores(database, live.settings())
    subnets = seed_front(stores, "older", 2) and seed_front(stores, "newer", 4)
    stores.studies.record_measured("newer", 0, latency_ms=1.03, top1_test=0.47)
    seed_hostile(stores)
    database.close()
    return subnets


def seed_hostile(stores: Stores) -> None:
    """Markup wherever free text is kept."""
    stores.devices.put_device(Device("strange", HOSTILE, "eager", HOSTILE))
    stores.supernets.put(
        SupernetRecord(
            "strange",
            SPACE.id,
            HOSTILE,
            10,
            1,
            8,
            "nowhere",
            "0" * 64,
            {"top1_largest": 0.9},
            None,
            datetime.now(UTC),
        )
    )
    stores.jobs.submit(JobKind.TRAIN, {"supernet": HOSTILE, "data": HOSTILE, "config": {"epochs": 1}})


def show(browser: Browser, live: Live, view: str = "fronts", ready: str = ".point") -> None:
    browser.open(f"{live.url}/dashboard/#/{view}")
    browser.until(f"document.querySelector('{ready}')")


def test_front_is_drawn_and_listed(browser: Browser, live: Live, front: list[str]) -> None:
    show(browser, live)
    drawn = browser.evaluate("[...document.querySelectorAll('.point.series-0')].map((p) => p.dataset.subnet)")
    assert drawn == front  # of the newer study, fastest first
    assert browser.count(".point.series-1") == 2
    assert browser.count(".step") == 2
    assert browser.count(".point.series-0 .mark.filled") == 1  # the measured one
    assert browser.count(".point.series-0 .whisker") == 3  # the others have their interval
    listed = browser.evaluate(
        "[...document.querySelectorAll('tbody tr')].map((row) => row.cells[0].innerText)"
    )
    assert listed == front
    first = browser.evaluate("[...document.querySelector('tbody tr').cells].map((cell) => cell.innerText)")
    assert first == [front[0], "50.00 %", "47.00 %", "1.03", "1", "0.9 – 1.1", "–", "–", "newer"]
    assert "80.00 % top-1 at 4 ms (predicted)" in browser.text(".answer")


def test_points_stand_where_their_numbers_are(browser: Browser, live: Live, front: list[str]) -> None:
    show(browser, live, "fronts?study=newer")
    places = browser.evaluate(
        "[...document.querySelectorAll('.point')].map((p) => p.getAttribute('transform'))"
    )
    where = [[float(number) for number in re.findall(r"[\d.]+", place)] for place in places]
    (x0, y0), (x1, y1), (x2, y2), (x3, y3) = where
    assert (x3 - x2) == pytest.approx(x2 - x1, abs=0.01)  # latencies 1.03, 2, 3, 4
    assert (x1 - x0) == pytest.approx(0.97 * (x2 - x1), abs=0.01)
    assert (y0 - y1) == pytest.approx(y1 - y2, abs=0.01)
    assert (y1 - y2) == pytest.approx(y2 - y3, abs=0.01)
    assert y3 < y2


def test_budget_picks_the_best_subnet_under_it(browser: Browser, live: Live, front: list[str]) -> None:
    show(browser, live)
    browser.type("#budget", "3.5")
    browser.until("document.querySelector('.budget')")
    assert "Best under 3.5 ms: 70.00 % top-1 at 3 ms" in browser.text(".answer")
    with live.client as client:
        best = client.best(device=DEVICE.name, max_latency_ms=3.5)
    assert best["subnet_id"] in browser.text(".answer")
    assert browser.count("tbody tr") == 3
    assert browser.count(".point.series-0.out") == 1
    csv = httpx2.get(browser.evaluate("document.querySelector('a[download]').href"))
    assert csv.headers["content-type"].startswith("text/csv")
    assert len(csv.text.strip().splitlines()) == 1 + 3
    browser.open(f"{live.url}/dashboard/#/fronts?max_latency_ms=0.5")
    browser.until("document.querySelector('.answer')?.innerText.includes('Nothing is under 0.5 ms')")
    assert front[0] in browser.text(".answer")


def test_point_is_selected_by_mouse_and_stays_in_the_address(
    browser: Browser, live: Live, front: list[str]
) -> None:
    show(browser, live)
    browser.click(f".point.series-0[data-subnet='{front[2]}']")
    browser.until("document.querySelector('.selection details')")
    assert browser.text(".selection h2") == front[2]
    server = browser.evaluate("location.origin")
    command = f"nas extract {front[2]} --to onnx --to pt2 --device {DEVICE.name} --server {server}"
    assert browser.text(".selection .command") == command
    assert browser.text("tr.selected button") == front[2]
    assert "at 90 %" in browser.text(".tooltip")
    address = browser.evaluate("location.href")
    browser.open("about:blank")
    browser.open(address)
    browser.until("document.querySelector('tr.selected')")
    assert browser.text(".selection h2") == front[2]


def test_points_are_reached_by_keyboard(browser: Browser, live: Live, front: list[str]) -> None:
    show(browser, live, "fronts?study=newer")
    assert browser.count(".point[tabindex='0']") == 1  # one stop of the tab key
    browser.evaluate("document.querySelector('.point[tabindex=\"0\"]').focus()")
    assert "47.00 % (test)" in browser.text(".tooltip")
    browser.press("ArrowRight")
    browser.press("ArrowRight")
    assert browser.evaluate("document.activeElement.dataset.subnet") == front[2]
    browser.press("Enter")
    assert browser.text(".selection h2") == front[2]
    assert browser.evaluate("document.activeElement.dataset.subnet") == front[2]  # drawn anew, focus kept
    browser.press("End")
    assert browser.evaluate("document.activeElement.dataset.subnet") == front[3]


def test_subnet_is_extracted_and_its_files_are_linked(browser: Browser, live: Live, front: list[str]) -> None:
    show(browser, live, f"fronts?subnet={front[1]}", "#extract")
    browser.click("#extract")
    browser.until("document.querySelector('.files a')", timeout_s=40)
    assert browser.text(".files").startswith("model.onnx")
    url = browser.evaluate("document.querySelector('.files a').href")
    assert httpx2.get(url).content == b"not a model"
    with live.client as client:
        (job,) = client.jobs(kind="extract")
    assert job["payload"] == {"subnet": front[1], "formats": ["onnx", "pt2"], "device": DEVICE.name}


def test_jobs_are_followed_and_cancelled(browser: Browser, live: Live, client: Client) -> None:
    show(browser, live, "jobs", "main h1")
    job = client.submit("train", supernet="shown", data="digits", config={"epochs": 10_000})
    card = f"[data-job='{job['id']}']"
    browser.until(f'document.querySelector("{card} progress")?.value > 2', timeout_s=40)
    assert browser.text(f"{card} h2") == "train shown"
    assert " left" in browser.text(f"{card} .progress-text")
    browser.click(f"{card} button")
    browser.until(f"document.querySelector(\"{card} .state\").innerText === 'cancelled'", timeout_s=40)
    assert not browser.evaluate(f'document.querySelector("{card} button").checkVisibility()')


def test_hostile_text_is_shown_as_text(
    browser: Browser, live: Live, front: list[str], client: Client
) -> None:
    eventually(
        lambda: any(HOSTILE in (job["error"] or "") for job in client.jobs(state="failed")), "the job fails"
    )
    for view, where in (("devices", "td"), ("supernets", "td"), ("jobs", ".subject"), ("jobs", ".error")):
        show(browser, live, view, where)
        browser.until(
            f"[...document.querySelectorAll('{where}')].some((e) => e.innerText.includes('<img src=x'))"
        )
        assert browser.count("main img") == 0
    assert browser.evaluate("typeof window.hacked") == "undefined"


def test_pages_fit_a_phone_in_light_and_dark(browser: Browser, live: Live, front: list[str]) -> None:
    colours = set()
    for scheme in ("light", "dark"):
        browser.show_as(width=360, scheme=scheme)
        for view, ready in (
            (f"fronts?subnet={front[0]}", "#extract"),
            ("jobs", ".job"),
            ("devices", "td"),
            ("supernets", "td"),
        ):
            show(browser, live, view, ready)
            assert browser.evaluate("document.documentElement.scrollWidth") == 360, view
        colours.add(browser.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert len(colours) == 2


def test_predictor_quality_and_extremes_are_shown(browser: Browser, live: Live, front: list[str]) -> None:
    show(browser, live, "devices", "section, td")
    assert {DEVICE.name, "0.99", "100"} <= set(browser.text("main").split())
    show(browser, live, "supernets", "td")
    eventually(lambda: "90.00 %" in browser.text("main"), "the supernets replace the devices")


def test_token_is_asked_for_and_then_the_page_says_what_to_do(browser: Browser, tmp_path: Path) -> None:
    server = start_server(tmp_path / "data", "--no-worker", NAS_TOKEN=TOKEN)
    try:
        browser.open(f"{server.url}/dashboard/")
        form = "document.getElementById('token-form')"
        browser.until(f"{form}?.checkVisibility()")
        browser.type("#token", "wrong")
        browser.press("Enter")
        browser.until("document.body.innerText.includes('refused')")
        browser.type("#token", TOKEN)
        browser.press("Enter")
        browser.until(f"!{form}.checkVisibility() && document.querySelector('.command')")
        assert browser.text(".command") == "nas train --data digits"
        for view, command in (("jobs", "train --data digits"), ("devices", "profile --device here")):
            browser.evaluate(f"location.hash = '#/{view}'")
            browser.until(f"document.querySelector('.command')?.innerText === 'nas {command}'")
        assert browser.evaluate("sessionStorage.length + localStorage.length") == 1
        browser.open("about:blank")
    finally:
        stop_server(server)
    refused = [line for line in browser.complaints if "401" in line]
    browser.complaints[:] = [line for line in browser.complaints if line not in refused]
    assert refused  # the browser itself notes every refused request
