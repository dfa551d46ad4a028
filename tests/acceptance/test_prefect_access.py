"""Who may drive Prefect under `up`: whoever knows the password, from a program or from Prefect's own pages."""

import http.server
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.acceptance.platform import PATIENCE_SECONDS, Platform, platform
from tests.feed.streaming import until
from tests.web.browser import Browser, Page, chromium

pytestmark = pytest.mark.timeout(300)

# What a page of another origin may try. Each becomes its answer's status, or the error that the browser made of it.
ATTEMPTS = """
Promise.all([
  fetch(API + '/flow_runs/filter', {method: 'POST', body: '{}'}),
  fetch(API + '/flow_runs/filter', {method: 'POST', body: '{}', headers: {'Content-Type': 'application/json'}}),
  fetch(API + '/deployments/filter', {method: 'POST', headers: {Authorization: 'Basic eDp5'}}),
  fetch(API + '/flow_runs/filter', {method: 'POST', body: '{}', credentials: 'include'}),
  fetch(API + '/health'),
].map((one) => one.then((answer) => answer.status, (error) => error.name)))
"""
SOCKET = """
new Promise((done) => {
  const socket = new WebSocket(API.replace('http', 'ws') + '/events/out', 'prefect');
  socket.onopen = () => done('open');
  socket.onerror = () => done('refused');
})
"""


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A platform whose flows are deployed."""
    with platform(tmp_path_factory.mktemp("up"), prefect=True) as found:
        until(lambda: deployments(found) >= 9, 2 * PATIENCE_SECONDS)
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = chromium()
    if program is None:
        pytest.skip("needs Chromium: install it, for example Debian's package chromium")
    with Browser(program) as found:
        yield found


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with browser.page(1280, 900) as found:
        yield found


def deployments(up: Platform) -> int:
    try:
        return len(up.prefect("/deployments/filter"))
    except (httpx.TransportError, FileNotFoundError):
        return 0


def password(up: Platform) -> str:
    return (up.home / "prefect" / "password").read_text()


def address(up: Platform) -> str:
    return f"http://127.0.0.1:{up.prefect_port}"


@pytest.fixture
def foreign(tmp_path: Path) -> Iterator[str]:
    """The address of an empty page that is not ours."""
    (tmp_path / "index.html").write_text("<title>elsewhere</title>")
    handler = type("Quiet", (http.server.SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), lambda *a: handler(*a, directory=str(tmp_path))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


def test_only_the_owner_of_the_home_knows_the_password(up: Platform) -> None:
    """No other user can read it; it is not guessed."""
    assert stat.S_IMODE((up.home / "prefect" / "password").stat().st_mode) == 0o600
    assert len(password(up)) > 40


@pytest.mark.parametrize("auth", [None, ("candleworks", "wrong")])
def test_without_the_password_nothing_is_answered(up: Platform, auth: tuple[str, str] | None) -> None:
    """Nothing but whether the server runs."""
    with httpx.Client(base_url=f"{address(up)}/api", auth=auth) as client:
        assert client.post("/flow_runs/filter", json={}).status_code == 401
        assert client.get("/admin/settings").status_code == 401
        assert client.get("/health").json() is True


def test_foreign_host_names_and_origins_are_refused(up: Platform) -> None:
    """Also with the password, and for websockets: a name that resolves to this machine is somebody else's."""
    signed_in = tuple(password(up).split(":", 1))
    with httpx.Client(base_url=f"{address(up)}/api", auth=(signed_in[0], signed_in[1])) as client:
        for headers in (
            {"Host": "evil.example"},
            {"Host": f"evil.example:{up.prefect_port}"},
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Origin": f"http://127.0.0.1:{up.port}"},
            {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
        ):
            answer = client.post("/flow_runs/filter", json={}, headers=headers)
            assert (answer.status_code, answer.headers.get("access-control-allow-origin")) == (403, None), headers
        preflight = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
        assert client.options("/flow_runs/filter", headers=preflight).status_code == 403
    socket = f"ws://127.0.0.1:{up.prefect_port}/api/events/out"
    with pytest.raises(InvalidStatus), connect(socket, origin="https://evil.example", subprotocols=["prefect"]):
        pass


def test_a_page_of_another_origin_can_do_nothing(up: Platform, page: Page, foreign: str) -> None:
    """Even in a browser that is signed in; neither can a name of its own that resolves to this machine."""
    page.goto(f"{address(up)}/#{quote(password(up))}")
    page.wait_for("location.pathname === '/dashboard'")
    page.goto(foreign)
    page.evaluate(f"globalThis.API = '{address(up)}/api'; 1")
    assert set(page.evaluate(ATTEMPTS)) == {"TypeError"}
    assert page.evaluate(SOCKET) == "refused"
    page.goto(f"http://evil.localhost:{up.prefect_port}/")
    page.evaluate("globalThis.API = '/api'; 1")
    assert set(page.evaluate(ATTEMPTS)) == {403}


def test_the_pages_work_once_signed_in(up: Platform, page: Page) -> None:
    """The address that `up` prints signs in; a wrong password is asked for again; logs arrive while a run goes on."""
    page.goto(f"{address(up)}/api/health")
    page.evaluate("localStorage.clear()")  # of another test
    page.goto(f"http://localhost:{up.prefect_port}/#wrong")
    page.wait_for("document.querySelector('main')?.hidden === false")
    assert page.evaluate("location.href") == f"{address(up)}/"
    page.click("#password")
    page.type("wrong")
    page.click("button")
    page.wait_for("!document.getElementById('wrong').hidden")
    page.console.clear()
    page.goto(f"{address(up)}/#{quote(password(up))}")
    page.wait_for("location.pathname === '/dashboard'")
    runs = up.prefect(
        "/flow_runs/filter", flow_runs={"name": {"like_": "stream"}, "state": {"type": {"any_": ["RUNNING"]}}}
    )
    page.goto(f"{address(up)}/runs/flow-run/{runs[0]['id']}")
    page.wait_for("document.body.textContent.includes('stream twelvedata')")
    page.wait_for("document.body.textContent.includes('ticks/s')", 90)
    page.goto(f"{address(up)}/events")
    page.wait_for("document.body.textContent.includes('Flow run')")
    assert not [line for line in page.console if "401" in line or "403" in line], page.console


def test_a_run_cannot_choose_what_the_worker_executes(up: Platform, tmp_path: Path) -> None:
    """Its command, directory and environment are those of the deployment; it is executed all the same."""
    (found,) = up.prefect("/deployments/filter", deployments={"name": {"any_": ["maintain-storage"]}})
    mark = tmp_path / "mark"
    run = up.prefect(
        f"/deployments/{found['id']}/create_flow_run",
        state={"type": "SCHEDULED"},
        job_variables={"command": f"touch {mark}", "working_dir": str(tmp_path), "env": {"PYTHONSTARTUP": str(mark)}},
    )

    def state() -> str:
        (same,) = up.prefect("/flow_runs/filter", flow_runs={"id": {"any_": [run["id"]]}})
        return str(same["state"]["type"])

    until(lambda: state() in ("COMPLETED", "FAILED", "CRASHED"), 2 * PATIENCE_SECONDS)
    logs = up.prefect("/logs/filter", logs={"flow_run_id": {"any_": [run["id"]]}})
    assert not mark.exists()
    assert logs, state()
    assert (
        "its job variables ['command', 'env', 'working_dir'] are not used"
        in (up.home / "logs" / "prefect-worker.log").read_text()
    )
