"""An installed Grafana server, configured with the dashboards and the database of candleworks."""

import os
import secrets
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import candleworks
from candleworks.database.connection import connect
from candleworks.database.profiles import ADMIN
from candleworks.database.reader_role import DataSourceAddress, address_of, save_page_url, set_up_reader
from candleworks.errors import ConfigurationError, TerminalError, UsageError
from candleworks.private_files import private_directory
from candleworks.processes import Child, stop_all
from candleworks.settings import Settings

GRAFANA = "Grafana"
STOP_SECONDS = 2.0
HOME_PAGE = "/d/candleworks-market"
HEALTH_PATH = "api/datasources/uid/candleworks/health"  # Grafana's own says nothing about the database
PACKAGED_PLUGINS = Path("/var/lib/grafana/plugins-bundled")
PACKAGED_HOMES = (
    "/usr/share/grafana",
    "/opt/homebrew/opt/grafana/share/grafana",
    "/usr/local/opt/grafana/share/grafana",
)


def find_grafana(settings: Settings) -> list[str] | None:
    """Return the command that starts the installed server; None when there is none."""
    named = settings.grafana_home
    if named is not None:
        for name in ("grafana", "grafana-server"):
            if (named / "bin" / name).is_file():
                return _command(named / "bin" / name, named)
        raise ConfigurationError(
            f"CANDLEWORKS_GRAFANA_HOME is {named}, which has no bin/grafana: set it to the directory that Grafana was"
            " unpacked into, or unset it."
        )
    for name in ("grafana", "grafana-server"):
        if found := shutil.which(name):
            return _command(Path(found), _home_of(Path(found)))
    return None


def _command(binary: Path, home: Path | None) -> list[str]:
    where = ["--homepath", str(home)] if home else []
    return [str(binary), *(["server"] if binary.name == "grafana" else []), *where]


def _home_of(binary: Path) -> Path | None:
    """Return the home of a Grafana on PATH: its archive's directory, or where packages install it."""
    homes = (binary.resolve().parent.parent, *map(Path, PACKAGED_HOMES))
    return next((home for home in homes if (home / "conf" / "defaults.ini").is_file()), None)


def bundled_plugins(command: Sequence[str]) -> Mapping[str, str]:
    """Return the variable that names the directory of Grafana's own plugins, from 13.2 on PostgreSQL among them.

    Grafana looks for it below its data, which are ours. Archives and images have it in data/ of its home, packages in
    /var/lib/grafana. Earlier releases have no such directory.
    """
    homes = [Path(command[-1])] if "--homepath" in command else []
    for found in (*(home / "data" / "plugins-bundled" for home in homes), PACKAGED_PLUGINS):
        if found.is_dir():
            return {"GF_PATHS_BUNDLED_PLUGINS": str(found)}
    return {}


def require_grafana(settings: Settings) -> list[str]:
    """Return what find_grafana() does; UsageError when there is none."""
    command = find_grafana(settings)
    if command is None:
        raise UsageError(
            "No Grafana was found: put grafana or grafana-server on PATH, or set CANDLEWORKS_GRAFANA_HOME to the"
            " directory that holds its bin/ and conf/."
        )
    return command


def grafana_address(settings: Settings) -> str:
    return f"http://127.0.0.1:{settings.grafana_port}/"


def set_up_grafana(settings: Settings, dsn: str) -> Mapping[str, str]:
    """Create or update the role that dashboards read with and what they link to, and return Grafana's environment."""
    address = address_of(dsn)
    password = settings.reader_password.get_secret_value() if settings.reader_password else ""
    if not (password or address.is_socket):
        raise ConfigurationError(
            "CANDLEWORKS_READER_PASSWORD is not set, and Grafana cannot sign in without it: set it, it becomes the"
            " password of candleworks_reader."
        )
    with connect(dsn, "grafana", profile=ADMIN) as connection:
        set_up_reader(connection, password or None)
        save_page_url(connection, settings.page_url)
    return _environment(settings, address, password)


def _environment(settings: Settings, address: DataSourceAddress, password: str) -> Mapping[str, str]:
    """Return the variables that Grafana and the files in grafana/provisioning read.

    Anonymous users of this machine may view; the administrator's password is generated at the first start.
    """
    files, data = _files(), settings.home / "grafana"
    return {
        "CANDLEWORKS_GRAFANA_DATABASE_HOST": address.host,
        "CANDLEWORKS_GRAFANA_DATABASE": address.database,
        "CANDLEWORKS_GRAFANA_SSLMODE": address.sslmode,
        "CANDLEWORKS_READER_PASSWORD": password,
        "CANDLEWORKS_GRAFANA_DASHBOARDS": str(files / "dashboards"),
        "CANDLEWORKS_GRAFANA_ALERTS_PAUSED": os.environ.get("CANDLEWORKS_GRAFANA_ALERTS_PAUSED") or "true",
        "CANDLEWORKS_GRAFANA_ALERT_WEBHOOK": os.environ.get("CANDLEWORKS_GRAFANA_ALERT_WEBHOOK") or "http://127.0.0.1/",
        "CANDLEWORKS_GRAFANA_ALERT_REPEAT": os.environ.get("CANDLEWORKS_GRAFANA_ALERT_REPEAT") or "4h",
        "GF_PATHS_PROVISIONING": str(files / "provisioning"),
        "GF_PATHS_DATA": str(data),
        "GF_PATHS_LOGS": str(data / "log"),
        "GF_PATHS_PLUGINS": str(data / "plugins"),
        **_address(settings),
        "GF_SECURITY_ADMIN_PASSWORD": _administrator_password(data),
        "GF_AUTH_ANONYMOUS_ENABLED": "true",
        "GF_AUTH_ANONYMOUS_ORG_ROLE": "Viewer",
        "GF_USERS_HOME_PAGE": HOME_PAGE,
        "GF_LOG_MODE": "console",
        "GF_ANALYTICS_REPORTING_ENABLED": "false",
        "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
        "GF_ANALYTICS_CHECK_FOR_PLUGIN_UPDATES": "false",
        "GF_NEWS_NEWS_FEED_ENABLED": "false",
        "GF_PLUGINS_PREINSTALL_DISABLED": "true",
    }


def _address(settings: Settings) -> Mapping[str, str]:
    """Return where Grafana listens, and that only pages of its own may ask it.

    A viewer may have it run any query that its role may. Pages whose name leads to this machine are redirected, because
    their host is not the domain, and requests of other pages are refused, because their origin is not the host.
    """
    return {
        "GF_SERVER_HTTP_ADDR": "127.0.0.1",
        "GF_SERVER_HTTP_PORT": str(settings.grafana_port),
        "GF_SERVER_DOMAIN": "127.0.0.1",
        "GF_SERVER_ENFORCE_DOMAIN": "true",
        "GF_SERVER_ROOT_URL": grafana_address(settings),
        "GF_SECURITY_CSRF_ALWAYS_CHECK": "true",  # by default only of requests with a cookie
    }


def _files() -> Path:
    """Return the directory of dashboards: beside the package in a checkout, inside it when installed from a wheel."""
    package = Path(candleworks.__file__).parent
    installed = package / "_grafana"
    return installed if installed.is_dir() else package.parent / "grafana"


def _administrator_password(data: Path) -> str:
    private_directory(data)
    kept = data / "admin-password"
    if not kept.exists():
        kept.touch(mode=0o600)
        kept.write_text(secrets.token_urlsafe(24) + "\n")
    return kept.read_text().strip()


def run_grafana(command: Sequence[str], environment: Mapping[str, str]) -> None:
    """Run it in the foreground until it exits or a signal stops us; TerminalError when it fails."""
    grafana = Child(GRAFANA, command, environment)
    grafana.start()
    try:
        status = grafana.wait()
    finally:
        stop_all([grafana], STOP_SECONDS)
    if status:
        raise TerminalError(f"Grafana exited with status {status}: see its output above.")
