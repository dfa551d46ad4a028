"""docker-compose.yml and what belongs to it: valid, pinned, closed to the outside, and nothing secret in it."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer
from jsonschema import Draft202012Validator
from jsonschema.validators import validator_for
from prefect.settings.legacy import _get_valid_setting_names
from prefect.settings.models.root import Settings as PrefectSettings
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.errors import InsufficientPrivilege

from candleworks.cli.main import app
from candleworks.database.connection import connect
from candleworks.database.engine import Engine, engine_of
from candleworks.database.migrations import migrate
from candleworks.database.reader_role import READER
from candleworks.settings import load_settings
from candleworks.settings.document import read_document
from tests.compose.command import DOCKER_COMPOSE

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
COMPOSE: dict[str, Any] = read_document((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
ONE_SHOT = {"databases", "migrate", "deploy", "addresses", "files"}
LASTING = set(SERVICES) - ONE_SHOT
UNWATCHED = {"watch", "backup"}  # they have no address to ask
INTERPOLATION = re.compile(r"(?<!\$)\$\{(\w+)(:?[-?+][^}]*)?\}")
EXAMPLE = dict(
    line.split("=", 1) for line in (ROOT / ".env.example").read_text().splitlines() if line and not line.startswith("#")
)
PASSWORDS = {name for name in EXAMPLE if name.endswith("_PASSWORD")}


def text_of(*services: str) -> str:
    return json.dumps([SERVICES[name] for name in services or SERVICES])


def test_it_is_a_compose_file() -> None:
    """By the schema of the Compose Specification."""
    schema = json.loads((HERE / "compose-spec.json").read_text())
    validator = validator_for(schema, Draft202012Validator)(schema)
    assert [error.message for error in validator.iter_errors(COMPOSE)] == []


def config(env_file: Path, home: Path) -> subprocess.CompletedProcess[str]:
    """What the real Docker Compose makes of the file, with all profiles."""
    files = ["--file", ROOT / "docker-compose.yml", "--env-file", env_file, "--profile", "*"]
    environment = {"PATH": os.environ["PATH"], "HOME": str(home)}
    command = [DOCKER_COMPOSE, *files, "config", "--format", "json"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_docker_compose_understands_it(tmp_path: Path) -> None:
    """With every variable set it is complete, and what it reads is what the other tests look at."""
    whole = tmp_path / "env"
    whole.write_text("".join(f"{name}={value or 'x'}\n" for name, value in EXAMPLE.items()))
    understood = config(whole, tmp_path)
    assert understood.stderr == ""
    services = json.loads(understood.stdout)["services"]
    assert set(services) == set(SERVICES)
    assert services["worker"]["environment"]["CANDLEWORKS_CONFIG"] == "/etc/candleworks/candleworks.yaml"


def test_docker_compose_refuses_an_empty_password(tmp_path: Path) -> None:
    """And says how to make one."""
    refused = config(ROOT / ".env.example", tmp_path)
    assert refused.returncode != 0
    assert "run docker/new-env.sh" in refused.stderr


def test_every_service_is_documented() -> None:
    """In the table of the page, once, and no other."""
    page = (ROOT / "docs/how-to/docker-compose.md").read_text()
    table = page.partition("## Services")[2].partition("\n## ")[0]
    named = [
        name for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for name in re.findall(r"`([\w-]+)`", row)
    ]
    assert sorted(named) == sorted(SERVICES)


@pytest.mark.parametrize("name", SERVICES)
def test_images_are_pinned(name: str) -> None:
    """To a whole version, so that a pull changes nothing; TimescaleDB under its community licence."""
    image = SERVICES[name]["image"]
    if "build" in SERVICES[name]:
        assert image == ("candleworks:files" if name == "files" else "candleworks:local")
    else:
        assert re.search(r":v?\d+\.\d+\.\d+(-pg18)?$", image)
    assert not image.endswith("-oss")


def test_grafana_has_the_fixes_of_its_version_line() -> None:
    """13.2.2 at least."""
    version = SERVICES["grafana"]["image"].partition(":")[2]
    assert tuple(map(int, version.split("."))) >= (13, 2, 2)


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_confined(name: str) -> None:
    """No root, no capabilities, limits of memory and processors, logs that end."""
    service = SERVICES[name]
    assert service["user"] not in {"root", "0", "0:0"}
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory"}
    assert service["logging"]["options"]["max-size"]
    assert (service["restart"] == "no") == (name in ONE_SHOT)
    if "build" in service:
        assert service["read_only"]
        assert service["user"] == "10001:10001"


@pytest.mark.parametrize("name", sorted(LASTING))
def test_a_lasting_service_is_watched_and_comes_back(name: str) -> None:
    """It has a health check, or says that it has none, and is started again."""
    health = SERVICES[name]["healthcheck"]
    assert health == {"disable": True} or {"test", "interval", "timeout", "retries", "start_period"} <= set(health)
    assert SERVICES[name]["restart"] == ("on-failure" if name == "simulator" else "unless-stopped")
    assert (name in UNWATCHED) == (health == {"disable": True})


def test_ports_are_open_to_this_machine_only() -> None:
    """Whoever wants more puts a proxy with TLS in front."""
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(ports) == 4
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_services_start_in_order() -> None:
    """Nothing waits for a name only: for health, or for the end of what happens once."""
    for name, service in SERVICES.items():
        for other, wait in service.get("depends_on", {}).items():
            expected = {
                "timescaledb": "service_healthy",
                "prefect-server": "service_healthy",
                "simulator": "service_started",  # ends at once where there is a key
                "web": "service_healthy",
                "grafana": "service_healthy",
            }
            assert wait["condition"] == expected.get(other, "service_completed_successfully"), (name, other)
    assert order_of("worker") > order_of("migrate") > order_of("databases") > order_of("timescaledb")
    assert order_of("worker") > order_of("deploy") > order_of("prefect-server") > order_of("databases")
    assert min(order_of("grafana"), order_of("web"), order_of("watch")) > order_of("migrate")


def test_a_page_that_does_not_start_holds_up_nothing_else() -> None:
    """`up` starts nothing more after a dependency failed, unless it is one that is not required."""
    waits = [service.get("depends_on", {}).get(page) for service in SERVICES.values() for page in ("web", "grafana")]
    assert [wait["required"] for wait in waits if wait] == [False, False]


def order_of(name: str) -> int:
    return 1 + max((order_of(other) for other in SERVICES[name].get("depends_on", {})), default=0)


def test_nothing_starts_with_an_empty_or_default_password() -> None:
    """Every password is demanded, and the example has none."""
    used = INTERPOLATION.findall(text_of())
    for name, rule in used:
        if name in PASSWORDS:
            assert rule == ":?run docker/new-env.sh", name
    assert {name for name, _ in used if name in PASSWORDS} == PASSWORDS
    assert all(EXAMPLE[name] == "" for name in PASSWORDS)


def test_no_secret_is_written_down() -> None:
    """Whatever is called a password or key comes from .env."""
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            if re.search("PASSWORD|KEY|SECRET|TOKEN", name):
                assert INTERPOLATION.fullmatch(value), name
    assert not re.search(r"://[^@/\s\"]+:[^@/\s\"]+@", text_of())


def test_the_example_names_every_variable() -> None:
    """What the file asks for, no more and no less."""
    assert {name for name, _ in INTERPOLATION.findall(text_of())} == set(EXAMPLE)


def test_a_default_is_what_the_example_says() -> None:
    """Without .env.example's line the same would happen."""
    for name, rule in INTERPOLATION.findall(text_of()):
        if rule.startswith(":-"):
            assert rule.removeprefix(":-") == EXAMPLE[name], name


def test_what_is_mounted_exists() -> None:
    """Docker would make an empty directory in the place of a file that is missing. Data is in named volumes."""
    named = set()
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            source, _, options = volume.partition(":")
            if source.startswith("."):
                assert (ROOT / source).exists(), volume
                assert options.endswith(":ro"), volume
            else:
                named.add(source)
    assert named == set(COMPOSE["volumes"])
    assert "database:/var/lib/postgresql" in SERVICES["timescaledb"]["volumes"]


def test_grafana_is_given_what_its_files_ask_for() -> None:
    """Every variable of the provisioning, and the directory of the dashboards."""
    text = "".join(path.read_text() for path in (ROOT / "grafana/provisioning").rglob("*.yaml"))
    assert set(re.findall(r"\$(CANDLEWORKS_[A-Z_]+)", text)) <= set(SERVICES["grafana"]["environment"])
    mounted = dict(volume.split(":")[:2] for volume in SERVICES["grafana"]["volumes"])
    assert mounted["./grafana/dashboards"] == SERVICES["grafana"]["environment"]["CANDLEWORKS_GRAFANA_DASHBOARDS"]


def test_grafana_answers_nobody_else() -> None:
    """Without a sign-in, only where that is asked for; under one host name, so that no page can send SQL through it."""
    environment = SERVICES["grafana"]["environment"]
    assert EXAMPLE["GRAFANA_ANONYMOUS"] == "false"
    assert environment["GF_AUTH_ANONYMOUS_ENABLED"] == "${GRAFANA_ANONYMOUS:-false}"
    assert environment["GF_SERVER_ENFORCE_DOMAIN"] == "true"
    assert environment["GF_SERVER_DOMAIN"] == "${GRAFANA_DOMAIN:-127.0.0.1}"
    assert environment["GF_AUTH_PROXY_WHITELIST"] == "127.0.0.1"


def test_grafana_has_the_port_of_its_address() -> None:
    """Its links and redirects name the port on which it listens, so that has to be the one on the host."""
    port = "${CANDLEWORKS_GRAFANA_PORT:-3000}"
    assert SERVICES["grafana"]["environment"]["GF_SERVER_HTTP_PORT"] == port
    assert SERVICES["grafana"]["ports"] == [f"127.0.0.1:{port}:{port}"]


def test_grafana_is_healthy_only_with_its_data_source() -> None:
    """The check asks for the data source that is provisioned, as a viewer of its own."""
    provisioned = read_document((ROOT / "grafana/provisioning/datasources/candleworks.yaml").read_text())
    (source,) = provisioned["datasources"]
    environment = SERVICES["grafana"]["environment"]
    script = (ROOT / "docker/grafana-health.sh").read_text()
    assert f"/api/datasources/uid/{source['uid']}/health" in script
    assert f"{environment['GF_AUTH_PROXY_HEADER_NAME']}: " in script
    assert SERVICES["grafana"]["healthcheck"]["test"][-1] in " ".join(SERVICES["grafana"]["volumes"])


def test_folders_of_provisioning_exist() -> None:
    """Grafana logs an error for each that does not."""
    assert {"plugins", "notifiers"} <= {path.name for path in (ROOT / "grafana/provisioning").iterdir()}


def test_prefect_has_a_database_of_its_own() -> None:
    """On the same server, and its leases outlive it."""
    environment = SERVICES["prefect-server"]["environment"]
    assert environment["PREFECT_SERVER_DATABASE_CONNECTION_URL"].endswith("://prefect@timescaledb:5432/prefect")
    assert f"prefect:{environment['PREFECT_HOME']}" in SERVICES["prefect-server"]["volumes"]


def test_prefect_knows_its_settings() -> None:
    """A misspelt one would be passed over in silence."""
    known = _get_valid_setting_names(PrefectSettings)
    for name in ("prefect-server", "deploy", "worker"):
        given = {setting for setting in SERVICES[name]["environment"] if setting.startswith("PREFECT_")}
        assert given <= known


@pytest.mark.parametrize(("key", "feed"), [("", "ws://simulator:8765/v1/quotes/price"), ("a-key", "")])
def test_the_feed_is_simulated_unless_there_is_a_key(key: str, feed: str) -> None:
    """The image's entry point decides."""
    environment = {"PATH": os.environ["PATH"], "CANDLEWORKS_SIMULATOR": "simulator:8765", "TWELVEDATA_API_KEY": key}
    command = [ROOT / "docker/entrypoint.sh", "sh", "-c", 'printf %s "${CANDLEWORKS_FEED_URL:-}"']
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert result.stdout == feed


def test_the_page_is_told_whether_prices_are_simulated_and_not_the_key() -> None:
    """It listens to browsers, and needs no secret of the vendor."""
    assert SERVICES["web"]["environment"]["TWELVEDATA_API_KEY"] == "${TWELVEDATA_API_KEY:+set}"
    environment = {"PATH": os.environ["PATH"], "CANDLEWORKS_SIMULATOR": "simulator:8765"}
    command = [ROOT / "docker/entrypoint.sh", "sh", "-c", 'printf %s "${CANDLEWORKS_SIMULATED:-}"']
    for key, simulated in (("", "true"), ("set", "")):
        told = subprocess.run(command, env=environment | {"TWELVEDATA_API_KEY": key}, capture_output=True, check=True)
        assert told.stdout.decode() == simulated


@pytest.mark.parametrize("name", ["worker", "deploy"])
def test_modules_of_the_containers_exist(name: str) -> None:
    """What the services run with python -m is there, and takes these options."""
    _, _, module, *arguments = SERVICES[name]["command"]
    source = (ROOT / f"{module.replace('.', '/')}.py").read_text()
    assert [argument for argument in arguments if argument.startswith("--") and f'"{argument}"' not in source] == []


def test_commands_of_the_containers_exist() -> None:
    """What the services run with candleworks is there, and takes these options."""
    program: Any = typer.main.get_command(app)
    helps = {name: lazy.load() for name, lazy in program.commands.items()}
    assert {"migrate", "reader", "serve", "simulate", "alerts"} <= set(helps)
    for name, command in (("web", "serve"), ("simulator", "simulate")):
        known = {option for parameter in helps[command].params for option in parameter.opts}
        assert set(re.findall(r"--[a-z]+", " ".join(SERVICES[name]["command"]))) <= known


def test_an_older_env_gets_the_passwords_that_it_lacks(tmp_path: Path) -> None:
    """What it has stays; without anything missing nothing is written."""
    (tmp_path / "docker").mkdir()
    shutil.copy(ROOT / ".env.example", tmp_path)
    script = shutil.copy(ROOT / "docker/new-env.sh", tmp_path / "docker")
    old = "".join(f"{name}=old\n" for name in sorted(PASSWORDS - {"PREFECT_PASSWORD"}))
    (tmp_path / ".env").write_text(old)
    added = subprocess.run([script], check=True, capture_output=True, text=True).stdout
    assert added == "added to .env: PREFECT_PASSWORD\n"
    assert re.fullmatch(re.escape(old) + r"\nPREFECT_PASSWORD=[0-9a-f]{48}\n", (tmp_path / ".env").read_text())
    assert subprocess.run([script], check=False, capture_output=True).returncode == 1


def test_a_new_env_has_passwords_of_its_own(tmp_path: Path) -> None:
    """Long ones, only the owner can read them, and an existing file stays."""
    (tmp_path / "docker").mkdir()
    shutil.copy(ROOT / ".env.example", tmp_path)
    script = shutil.copy(ROOT / "docker/new-env.sh", tmp_path / "docker")
    subprocess.run([script], check=True, capture_output=True)
    made = dict(
        line.split("=", 1) for line in (tmp_path / ".env").read_text().splitlines() if "=" in line and line[0] != "#"
    )
    assert set(made) == set(EXAMPLE)
    assert all(len(made[name]) == 48 for name in PASSWORDS)
    assert len({made[name] for name in PASSWORDS}) == len(PASSWORDS)
    assert (tmp_path / ".env").stat().st_mode & 0o077 == 0
    again = subprocess.run([script], capture_output=True, text=True, check=False)
    assert again.returncode == 1
    assert ".env is there already" in again.stderr


@pytest.mark.parametrize("engine", [Engine.TIMESCALE], indirect=True)
def test_the_databases_are_made_for_ordinary_roles(server_dsn: str) -> None:
    """The script of the container makes both, twice without harm; no superuser is needed from there on."""
    from candleworks.database.binaries import Binaries  # noqa: PLC0415 - its psql

    parts = conninfo_to_dict(server_dsn)
    script = (ROOT / "docker/databases.sh").read_text().replace("DATABASE candleworks", "DATABASE compose")
    environment = {
        "PATH": f"{Binaries().programs}:{os.environ['PATH']}",
        "PGHOST": str(parts["host"]), "PGUSER": "postgres", "PGDATABASE": "compose",
        "CANDLEWORKS_DB_PASSWORD": "it's $a \\ \"password\"", "PREFECT_DB_PASSWORD": "another",
        "RESTRICTIONS": str(ROOT / "sql/queries/restrictions.sql"),
    }  # fmt: skip
    with connect(server_dsn) as admin:
        admin.execute("CREATE DATABASE compose")
        try:
            for _ in range(2):
                subprocess.run(["/bin/sh", "-c", script], env=environment, check=True)
            migrate(make_conninfo(server_dsn, dbname="compose", user="candleworks"), load_settings({}))
            with connect(make_conninfo(server_dsn, dbname="compose", user="candleworks")) as connection:
                assert engine_of(connection) is Engine.TIMESCALE
                assert connection.execute("SELECT candleworks.make_reader()").fetchall() == [(None,)]
                assert connection.execute("SELECT pg_try_advisory_lock(1)").fetchone() == (True,)
            reader = make_conninfo(server_dsn, dbname="compose", user=READER)
            with connect(reader) as connection, pytest.raises(InsufficientPrivilege):
                connection.execute("SELECT pg_try_advisory_lock(1)")
            hashed = admin.execute(
                "SELECT count(*) FROM pg_authid WHERE rolname IN ('candleworks', 'prefect')"
                " AND rolpassword LIKE 'SCRAM%' AND NOT rolsuper"
            ).fetchall()
            assert hashed == [(2,)]
        finally:
            admin.execute("DROP DATABASE IF EXISTS compose WITH (FORCE)")
            admin.execute("DROP DATABASE IF EXISTS prefect WITH (FORCE)")


def test_the_image_holds_what_runs_and_no_more() -> None:
    """Everything that the Dockerfile copies is let through, and nothing else is."""
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    allowed = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    dockerfile = (ROOT / "Dockerfile").read_text()
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile, re.MULTILINE)
    assert {source for sources in copied for source in sources.split()} == allowed
    assert all((ROOT / path).exists() for path in allowed)
    assert ignored[0] == "*"
    images = re.findall(r"^FROM (\S+) AS (\S+)$", dockerfile, re.MULTILINE)
    stages = {stage for _, stage in images}
    assert {"platform", "files"} <= stages
    assert all(image in stages or re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", image) for image, _ in images)
    assert re.search(r"^USER 10001:10001$", dockerfile, re.MULTILINE)
    assert "PYTHONDONTWRITEBYTECODE" not in dockerfile
