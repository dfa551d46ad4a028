"""What a person can configure, and how a mistake is answered."""

import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from candleworks.errors import ConfigurationError
from candleworks.settings import Settings, load_settings
from candleworks.settings.model import File

SECTIONS = "alerts, calendars, candles, feeds, ingest, quality, rest, silence, simulator, storage, web"
FEED_KEYS = "backfill_days, backfill_years, name, symbols, url"
INGEST_KEYS = (
    "accept_zero_prices, flush_interval_ms, max_age_days, max_batch_rows, max_buffered_bytes, max_buffered_ticks,"
    " max_future_seconds, max_price_factor, max_spool_bytes, price_confirming_ticks"
)
SYMBOL_RULE = "up to 32 letters, digits and . / : ^ _ -, starting with a letter or digit"
TEXT_RULE = "a string (quoted where YAML would read another type)"
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.dates()
ANYTHING = st.recursive(
    SCALARS | st.sampled_from(["AAPL", "a", {"symbol": "AAPL"}, {"name": "a", "symbols": ["A", {"type": "x"}]}]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | SCALARS, inner, max_size=3),
    max_leaves=6,
)
MANY = [f"A{number}" for number in range(1_000)]
NO_SECRETS = ", without user, password and query (the key is TWELVEDATA_API_KEY)"
WEBSOCKET_RULE = f"a WebSocket URL such as ws://127.0.0.1:8765/v1/quotes/price or wss://...{NO_SECRETS}"
CALENDAR_RULE = "FX, or a calendar of exchange_calendars such as XNYS, XLON or 24/7"


def read(tmp_path: Path, content: str | bytes) -> Settings:
    path = tmp_path / "c.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return load_settings({"CANDLEWORKS_CONFIG": str(path)})


def refusal(tmp_path: Path, content: str | bytes) -> str:
    with pytest.raises(ConfigurationError) as caught:
        read(tmp_path, content)
    return str(caught.value).replace(f"{tmp_path}/", "")


def test_nothing_configured_means_the_simulated_feed_on_an_embedded_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a file and without variables every setting has its documented default, and home is absolute."""
    monkeypatch.chdir(tmp_path)
    settings = load_settings({})
    assert settings.dsn is None
    assert settings.api_key is None
    assert settings.timescaledb is None
    assert settings.home == tmp_path / ".candleworks"
    assert settings.feed_url == "wss://ws.twelvedata.com/v1/quotes/price"
    assert settings.rest_url == "https://api.twelvedata.com"
    assert (settings.web_port, settings.prefect_port, settings.log_level) == (8050, 4200, "INFO")
    assert (settings.ingest.max_batch_rows, settings.ingest.flush_interval_ms) == (5_000, 100)
    assert [feed.name for feed in settings.feeds] == ["twelvedata"]
    assert settings.simulated


def test_an_empty_file_means_the_defaults(tmp_path: Path) -> None:
    """A file that holds nothing, or only comments, changes nothing."""
    assert read(tmp_path, "# nothing yet\n") == load_settings({})


def test_a_file_named_candleworks_yaml_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The default file is read from the working directory without being named."""
    (tmp_path / "candleworks.yaml").write_text("simulator: {rate: 7}")
    monkeypatch.chdir(tmp_path)
    assert load_settings({}).simulator.rate == 7.0


def test_file_and_environment_make_one_object(tmp_path: Path) -> None:
    """The file says what the platform does, variables say what differs per machine."""
    path = tmp_path / "c.yaml"
    path.write_text("feeds: [{name: eu, symbols: [BTC/USD, VOD:LSE]}]\ncalendars: {symbols: {'VOD:LSE': XLON}}\n")
    settings = load_settings(
        {
            "CANDLEWORKS_CONFIG": str(path),
            "CANDLEWORKS_HOME": str(tmp_path / "home"),
            "CANDLEWORKS_FEED_URL": "ws://127.0.0.1:9000/feed",
            "CANDLEWORKS_REST_URL": "http://127.0.0.1:9000",
            "CANDLEWORKS_WEB_PORT": "8051",
            "CANDLEWORKS_PREFECT_PORT": "4201",
            "CANDLEWORKS_LOG_LEVEL": "DEBUG",
            "CANDLEWORKS_TIMESCALEDB": "",
        }
    )
    assert settings.feeds[0].symbols == ("BTC/USD", "VOD:LSE")
    assert settings.calendars.symbols == {"VOD:LSE": "XLON"}
    assert settings.home == tmp_path / "home"
    assert settings.feed_url == "ws://127.0.0.1:9000/feed"
    assert (settings.web_port, settings.prefect_port, settings.log_level) == (8051, 4201, "DEBUG")
    assert settings.timescaledb is None
    assert not settings.simulated


def test_a_key_or_another_address_ends_the_simulation() -> None:
    """`up` simulates only while there is nowhere else to get ticks from."""
    assert not load_settings({"TWELVEDATA_API_KEY": "k"}).simulated
    assert not load_settings({"CANDLEWORKS_FEED_URL": "ws://localhost:1"}).simulated


def test_home_follows_the_tilde() -> None:
    """`~` means the user's own directory, wherever the program runs."""
    assert load_settings({"CANDLEWORKS_HOME": "~/ticks"}).home == Path("~/ticks").expanduser()


def test_nothing_can_be_changed_afterwards() -> None:
    """The configuration is one frozen object, its sections too."""
    settings = load_settings({})
    with pytest.raises(ValidationError):
        settings.web_port = 1  # type: ignore[misc]
    with pytest.raises(ValidationError):
        settings.ingest.max_batch_rows = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("ingst: {}", f"c.yaml: unknown key ingst, expected one of {SECTIONS}."),
        ('"a\\nb": 1', f"c.yaml: unknown key 'a\\nb', expected one of {SECTIONS}."),
        ("dsn: postgresql://u:sesame@h/db", f"c.yaml: unknown key dsn, expected one of {SECTIONS}."),
        ("ingest: {max_batch: 1}", f"c.yaml: unknown key ingest.max_batch, expected one of {INGEST_KEYS}."),
        (
            "feeds: [{name: a}, {name: b, symbol: [X]}]",
            "c.yaml: unknown key feeds.1.symbol, expected one of backfill_days, backfill_years, name, symbols, url.",
        ),
        ("7: 8", f"c.yaml: invalid key 7, expected {TEXT_RULE}."),
        ("true: 1", f"c.yaml: invalid key True, expected {TEXT_RULE}."),
        (
            "calendars: {symbols: {NO: XNYS}}",
            f"c.yaml: invalid key False in calendars.symbols, expected {TEXT_RULE}.",
        ),
    ],
)
def test_an_unknown_key_is_refused_with_the_known_ones(tmp_path: Path, content: str, text: str) -> None:
    """At the top, in a section and in a feed."""
    assert refusal(tmp_path, content) == text


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (
            "ingest: {max_batch_rows: many}",
            "ingest.max_batch_rows is 'many', expected a whole number from 1 to 100,000",
        ),
        ("ingest: {max_batch_rows: '5'}", "ingest.max_batch_rows is '5', expected a whole number from 1 to 100,000"),
        ("ingest: {max_batch_rows: yes}", "ingest.max_batch_rows is True, expected a whole number from 1 to 100,000"),
        ("ingest: {max_batch_rows: 1.5}", "ingest.max_batch_rows is 1.5, expected a whole number from 1 to 100,000"),
        ("ingest: {max_batch_rows: }", "ingest.max_batch_rows is None, expected a whole number from 1 to 100,000"),
        ("simulator: {rate: fast}", "simulator.rate is 'fast', expected a number greater than 0 and at most 1,000,000"),
        ("ingest: [1]", f"ingest is [1], expected a mapping with the keys {INGEST_KEYS}"),
        ("ingest:", f"ingest is None, expected a mapping with the keys {INGEST_KEYS}"),
        ("feeds: {name: x}", "feeds is {'name': 'x'}, expected a list"),
        ("feeds: [x]", f"feeds.0 is 'x', expected a mapping with the keys {FEED_KEYS}"),
        ("feeds: [{symbols: AAPL}]", "feeds.0.symbols is 'AAPL', expected a list"),
        ("feeds: [{symbols: [1]}]", f"feeds.0.symbols.0 is 1, expected {TEXT_RULE}"),
        ("feeds: [{symbols: [NO]}]", f"feeds.0.symbols.0 is False, expected {TEXT_RULE}"),
        ("calendars: {stocks: 5}", f"calendars.stocks is 5, expected {TEXT_RULE}"),
        ("calendars: {symbols: [AAPL]}", "calendars.symbols is ['AAPL'], expected a mapping"),
    ],
)
def test_a_wrong_type_is_refused(tmp_path: Path, content: str, text: str) -> None:
    """The message says the key's path, the value and what is allowed; numbers are not guessed from texts."""
    assert refusal(tmp_path, content) == f"c.yaml: {text}."


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("ingest: {max_batch_rows: 0}", "ingest.max_batch_rows is 0, expected a whole number from 1 to 100,000"),
        (
            "ingest: {flush_interval_ms: 10001}",
            "ingest.flush_interval_ms is 10001, expected a whole number from 1 to 10,000",
        ),
        (
            "candles: {refresh_interval_seconds: .nan}",
            "candles.refresh_interval_seconds is nan, expected a number from 0.1 to 3,600",
        ),
        ("simulator: {rate: 0}", "simulator.rate is 0, expected a number greater than 0 and at most 1,000,000"),
        ("simulator: {seed: -1}", "simulator.seed is -1, expected a whole number of at least 0"),
        ("feeds: []", "feeds is [], expected a list with at least 1 item"),
        ("feeds: [{symbols: []}]", "feeds.0.symbols is [], expected a list with at least 1 item"),
        (
            "feeds: [{name: My Feed}]",
            "feeds.0.name is 'My Feed', expected up to 40 characters of a-z, 0-9 and -, not starting with -",
        ),
        ("feeds: [{symbols: ['A B']}]", f"feeds.0.symbols.0 is 'A B', expected {SYMBOL_RULE}"),
        ("feeds: [{symbols: ['A\\n']}]", f"feeds.0.symbols.0 is 'A\\\\n', expected {SYMBOL_RULE}"),
        (
            "calendars: {symbols: {'A B': XNYS}}",
            f"invalid key 'A B' in calendars.symbols, expected {SYMBOL_RULE}",
        ),
        ("calendars: {stocks: NYSE2}", f"calendars.stocks is 'NYSE2', expected {CALENDAR_RULE}"),
        ("calendars: {symbols: {SAP: FSE}}", f"calendars.symbols.SAP is 'FSE', expected {CALENDAR_RULE}"),
    ],
)
def test_a_value_out_of_range_is_refused(tmp_path: Path, content: str, text: str) -> None:
    """Bounds stand in the message, so that one look corrects the file."""
    assert refusal(tmp_path, content) == f"c.yaml: {text}."


def test_a_symbol_stands_once_in_a_feed(tmp_path: Path) -> None:
    """Asking the vendor for a symbol twice is a mistake in the file."""
    assert refusal(tmp_path, "feeds: [{symbols: [AAPL, MSFT, AAPL]}]") == (
        "c.yaml: feeds.0.symbols is ['AAPL', 'MSFT', 'AAPL'], expected each symbol once (AAPL is repeated)."
    )


def test_a_symbol_is_in_one_feed(tmp_path: Path) -> None:
    """Two feeds would store every tick of it twice; another name under which one is stored tells them apart."""
    assert refusal(tmp_path, "feeds: [{name: a, symbols: [SAP, aapl]}, {name: b, symbols: [AAPL]}]") == (
        "c.yaml: feeds is [{'name': 'a', 'symbols': ['SAP', 'aapl']}, {'name': 'b', 'symbols': ['AAPL']}],"
        " expected each symbol in one feed (AAPL is in a and in b)."
    )
    both = "feeds: [{name: a, symbols: [AAPL]}, {name: b, symbols: [{symbol: AAPL, store_as: 'AAPL:B'}]}]"
    assert [feed.names for feed in read(tmp_path, both).feeds] == [("AAPL",), ("AAPL:B",)]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("candles: {}\nfeeds: []\ncandles: {}\n", "has the duplicate key candles in lines 1 and 3"),
        (
            "rest:\n  attempts: 1\n  attempts: 2\n",
            "has the duplicate key attempts in lines 2 and 3",
        ),
        ("feeds: " + "[" * 3_000, "is nested more than 50 levels deep in line 1"),
        ("feeds: " + "[" * 100_000, "is nested more than 50 levels deep in line 1"),
        ("feeds: " + "{a: " * 100_000, "is nested more than 50 levels deep in line 1"),
        ("- " * 100_000, "is nested more than 50 levels deep in line 1"),
        (
            "a: &a [1, 2, 3]\n"
            + "".join(f"{n}: &{n} [{', '.join([f'*{o}'] * 9)}]\n" for o, n in pairwise("abcdefghij")),
            "has more than 2,000,000 values once its aliases are expanded",
        ),
        (
            "a: &a {x: 1}\n"
            + "".join(f"{n}: &{n} {{<<: [{', '.join([f'*{o}'] * 9)}]}}\n" for o, n in pairwise("abcdefghij")),
            "has more than 2,000,000 values once its aliases are expanded",
        ),
        ("feeds: &a [*a]", "has the alias *a without a complete anchor before it in line 1"),
        ("feeds: !!timestamp 2026", "has the tag tag:yaml.org,2002:timestamp in line 1, and only !!str is allowed"),
        ("feeds: !!python/none x", "has the tag tag:yaml.org,2002:python/none in line 1, and only !!str is allowed"),
        ("#" * 16_777_217, "is larger than 16,777,216 bytes"),
    ],
    ids=range(12),
)
def test_a_hostile_document_is_refused(tmp_path: Path, content: str, text: str) -> None:
    """Equal keys, deep nesting, aliases that multiply and objects of Python end in one sentence, not in a crash."""
    assert refusal(tmp_path, content) == f"The configuration c.yaml {text}: correct it."


def test_a_number_of_too_many_digits_is_refused(tmp_path: Path) -> None:
    """Python converts at most 4,300 digits, and writes no more of a hexadecimal number."""
    assert refusal(tmp_path, f"ingest: {{max_batch_rows: {'9' * 5_000}}}").startswith(
        "The configuration c.yaml has an invalid value (Exceeds the limit"
    )
    assert refusal(tmp_path, f"ingest: {{max_batch_rows: 0x{'f' * 5_000}}}") == (
        "c.yaml: ingest.max_batch_rows is a number of 20000 bits, expected a whole number from 1 to 100,000."
    )


@pytest.mark.parametrize("date", ["2026-99-99", "2026-11-29", "2026-11-29T14:30:00Z"])
def test_a_date_is_a_text(tmp_path: Path, date: str) -> None:
    """No setting is a date, and one that does not exist is a wrong text like any other."""
    assert refusal(tmp_path, f"calendars: {{stocks: {date}}}") == (
        f"c.yaml: calendars.stocks is '{date}', expected {CALENDAR_RULE}."
    )


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    """The message says which key is required, and where."""
    assert refusal(tmp_path, "feeds: [{symbols: [{type: ETF}]}]") == (
        "c.yaml: the key feeds.0.symbols.0.symbol is required: add it."
    )


def nested_keys(model: type[BaseModel]) -> st.SearchStrategy[Any]:
    """Anything where the model has a key, keys of the model and others, to any depth."""
    fields = {name: field.default for name, field in model.model_fields.items()}
    inner = {name: type(default) for name, default in fields.items() if isinstance(default, BaseModel)}
    known = {name: nested_keys(inner[name]) if name in inner else ANYTHING for name in fields}
    return ANYTHING | st.fixed_dictionaries({}, optional=known)


@given(nested_keys(File))
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=300)
def test_every_refusal_is_a_sentence_of_ours(tmp_path: Path, content: object) -> None:
    """Anything is accepted, or rejected in one line that names the file and ends with a full stop."""
    path = tmp_path / "c.yaml"
    path.write_text(yaml.safe_dump(content, allow_unicode=True))
    message = None
    try:
        load_settings({"CANDLEWORKS_CONFIG": str(path)})
    except ConfigurationError as error:
        message = str(error)
    if message is not None:
        assert re.fullmatch(r"(The configuration )?\S+c\.yaml:? [^\n]*\.", message)
        assert not re.search(
            r"Field required|Input should|a valid (string|number|tuple|dictionary|key)|Keys should", message
        )


@pytest.mark.parametrize(
    "content",
    [
        f"feeds: [{{symbols: [{'X' * 1_000_000}]}}]",
        f"feeds: {['A'] * 100_000}",
        f"{'x' * 1_000_000}: 1",
        f"calendars: {{symbols: {{{'x' * 1_000_000}: XNYS}}}}",
        f"feeds: [{{symbols: {['A'] * 100_000}}}]",
        f"feeds: [{{name: a, symbols: {MANY}}}, {{name: b, symbols: {MANY}}}]",
        "'" + "y" * 1_000_000 + "'",
        f"feeds: !!{'t' * 1_000} x",
    ],
    ids=range(8),
)
def test_a_message_shows_the_beginning_of_a_long_value(tmp_path: Path, content: str) -> None:
    """A megabyte in the file is no megabyte in the terminal."""
    assert len(refusal(tmp_path, content)) < 1_000


def test_a_hundred_thousand_symbols_are_read_in_one_pass(tmp_path: Path) -> None:
    """A name is compared with its like, not with every other one: that took minutes of a processor, not seconds."""
    path = tmp_path / "c.yaml"
    path.write_text(f"feeds: [{{name: a, symbols: {[f'S{number}' for number in range(100_000)]}}}]")
    script = (
        "import resource; resource.setrlimit(resource.RLIMIT_CPU, (40, 40));"
        "from candleworks.settings import load_settings; print(len(load_settings().feeds[0].names))"
    )
    variables = {**os.environ, "CANDLEWORKS_CONFIG": str(path)}
    done = subprocess.run([sys.executable, "-c", script], env=variables, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "100000\n"), done.stderr


def test_feeds_have_names_of_their_own(tmp_path: Path) -> None:
    """`--feed NAME` has to mean one feed."""
    assert refusal(tmp_path, "feeds: [{name: a}, {name: a}]") == (
        "c.yaml: feeds is [{'name': 'a'}, {'name': 'a'}], expected a unique name for each feed (the names are a, a)."
    )


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("- a", "The configuration c.yaml is ['a'], expected a mapping with keys such as `feeds:`."),
        ("hello", "The configuration c.yaml is 'hello', expected a mapping with keys such as `feeds:`."),
        (
            "feeds: [",
            (
                "The configuration c.yaml is not valid YAML (while parsing a flow node did not find expected node"
                " content in line 2, column 1): correct it."
            ),
        ),
        (
            b"# \xe9\n",
            (
                "The configuration c.yaml is not valid YAML ('utf-8' codec can't decode byte 0xe9 in position 2:"
                " invalid continuation byte): correct it."
            ),
        ),
    ],
)
def test_a_file_that_is_no_mapping_or_no_yaml_is_refused(tmp_path: Path, content: str | bytes, text: str) -> None:
    """One line says which file it is and where it goes wrong."""
    assert refusal(tmp_path, content) == text


def test_a_configuration_that_was_named_must_exist(tmp_path: Path) -> None:
    """A typing error in CANDLEWORKS_CONFIG does not silently mean the defaults."""
    missing = tmp_path / "missing.yaml"
    with pytest.raises(ConfigurationError) as caught:
        load_settings({"CANDLEWORKS_CONFIG": str(missing)})
    assert str(caught.value) == (
        f"The configuration {missing} named by CANDLEWORKS_CONFIG does not exist: create it, or correct the path."
    )


def test_a_directory_is_no_configuration(tmp_path: Path) -> None:
    """What cannot be read is named with the system's reason."""
    with pytest.raises(ConfigurationError) as caught:
        load_settings({"CANDLEWORKS_CONFIG": str(tmp_path)})
    assert str(caught.value) == (
        f"The configuration {tmp_path} cannot be read (Is a directory): check the path and its permissions."
    )


@pytest.mark.parametrize(
    ("variable", "value", "allowed"),
    [
        ("CANDLEWORKS_WEB_PORT", "http", "a whole number from 1 to 65,535"),
        ("CANDLEWORKS_WEB_PORT", "0", "a whole number from 1 to 65,535"),
        ("CANDLEWORKS_PREFECT_PORT", "65536", "a whole number from 1 to 65,535"),
        ("CANDLEWORKS_LOG_LEVEL", "loud", "'DEBUG', 'INFO', 'WARNING' or 'ERROR'"),
        ("CANDLEWORKS_FEED_URL", "ws.example.com", WEBSOCKET_RULE),
        ("CANDLEWORKS_FEED_URL", "ws://a b c/%zz", WEBSOCKET_RULE),
        ("CANDLEWORKS_FEED_URL", "ws://example.com/%zz", WEBSOCKET_RULE),
        ("CANDLEWORKS_FEED_URL", "ws://example.com:port/", WEBSOCKET_RULE),
        ("CANDLEWORKS_FEED_URL", "ws://example.com:65536/", WEBSOCKET_RULE),
        ("CANDLEWORKS_FEED_URL", "ws://[::1/", WEBSOCKET_RULE),
        ("CANDLEWORKS_FEED_URL", "ws://:80/", WEBSOCKET_RULE),
        ("CANDLEWORKS_REST_URL", "ws://example.com", f"a URL such as http://127.0.0.1:8765 or https://...{NO_SECRETS}"),
        ("CANDLEWORKS_HOME", "~nobody-of-this-name/x", "a directory, with ~ only for an existing user"),
    ],
)
def test_a_bad_variable_is_named_as_a_variable(variable: str, value: str, allowed: str) -> None:
    """Whoever set it in the environment reads the name they set."""
    with pytest.raises(ConfigurationError) as caught:
        load_settings({variable: value})
    assert str(caught.value) == f"the environment: {variable} is {value!r}, expected {allowed}."


def test_secrets_are_never_shown() -> None:
    """Neither the printed configuration nor its dump holds a password or a key."""
    settings = load_settings({"CANDLEWORKS_DSN": "postgresql://u:hunter2@h/db", "TWELVEDATA_API_KEY": "sesame"})
    shown = f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"
    assert "hunter2" not in shown
    assert "sesame" not in shown
    assert settings.dsn is not None
    assert settings.dsn.get_secret_value() == "postgresql://u:hunter2@h/db"


def test_a_refused_file_does_not_show_what_the_environment_holds(tmp_path: Path) -> None:
    """A message about one setting never carries another one's secret."""
    path = tmp_path / "c.yaml"
    path.write_text("simulator: {rate: 0}")
    variables = {"CANDLEWORKS_CONFIG": str(path), "CANDLEWORKS_DSN": "hunter2", "TWELVEDATA_API_KEY": "sesame"}
    for extra in ({}, {"CANDLEWORKS_CONFIG": "", "CANDLEWORKS_WEB_PORT": "0"}):
        with pytest.raises(ConfigurationError) as caught:
            load_settings(variables | extra)
        assert "hunter2" not in str(caught.value)
        assert "sesame" not in str(caught.value)


def test_the_only_feed_needs_no_name_and_others_do(tmp_path: Path) -> None:
    """`feed(None)` means the only feed; where there are more, the message names them."""
    assert load_settings({}).feed(None).name == "twelvedata"
    settings = read(tmp_path, "feeds: [{name: us}, {name: eu, symbols: [SAP]}]")
    assert settings.feed("eu").name == "eu"
    for name in (None, "asia"):
        with pytest.raises(ConfigurationError) as caught:
            settings.feed(name)
        assert str(caught.value) == f"There is no feed {name!r} in the configuration: choose one of us, eu."


def test_the_process_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Called without a mapping, the variables of the process count."""
    monkeypatch.setitem(os.environ, "CANDLEWORKS_WEB_PORT", "8123")
    monkeypatch.delitem(os.environ, "CANDLEWORKS_CONFIG", raising=False)
    assert load_settings().web_port == 8123


def test_symbols_may_be_singled_out_by_exchange(tmp_path: Path) -> None:
    """An object names the listing; its ticks are stored under the symbol with the exchange, or as the file says."""
    feed = read(
        tmp_path,
        "feeds: [{name: a, symbols: [aapl, 'RY:TSX', {symbol: ry, mic_code: XTSE},"
        " {symbol: X, type: ETF, store_as: XX}]}]",
    ).feeds[0]
    assert feed.names == ("AAPL", "RY:TSX", "RY:XTSE", "XX")
    assert feed.tickers == ("AAPL", "RY:TSX", "RY", "X")


def test_unknown_key_of_a_symbol_is_refused(tmp_path: Path) -> None:
    """The message says where it stands and which keys a symbol has."""
    with pytest.raises(ConfigurationError) as error:
        read(tmp_path, "feeds: [{name: a, symbols: [{symbol: RY, mic: XTSE}]}]")
    assert str(error.value).endswith(
        "unknown key feeds.0.symbols.0.mic, expected one of exchange, mic_code, store_as, symbol, type."
    )


def test_silence_of_a_symbol_is_bounded(tmp_path: Path) -> None:
    """Below five seconds every pause would count as a gap."""
    assert refusal(tmp_path, "silence: {symbols: {AAPL: 1}}") == (
        "c.yaml: silence.symbols.AAPL is 1, expected a whole number from 5 to 86,400."
    )


SECRET_URLS = (
    "{}://example.com/v1?apikey=s3cret",
    "{}://example.com?s3cret",
    "{}://s3cret@example.com/v1",
    "{}://me:s3cret@example.com/v1",
    "{}://me:s3%40cret@example.com:x",
    "{}://me:" + "s3cret" * 100 + "@example.com",
    "example.com/v1?apikey=s3cret",
    "ftp://example.com/v1?apikey=s3cret",
)


@pytest.mark.parametrize("url", SECRET_URLS)
@pytest.mark.parametrize(("name", "scheme"), [("CANDLEWORKS_FEED_URL", "wss"), ("CANDLEWORKS_REST_URL", "https")])
def test_a_url_with_a_key_or_a_password_is_refused(name: str, scheme: str, url: str) -> None:
    """They are logged and shown, so no secret may be in them; the sentence says where it belongs."""
    with pytest.raises(ConfigurationError) as caught:
        load_settings({name: url.format(scheme)})
    assert str(caught.value).startswith(f"the environment: {name} is (secret), expected a ")
    assert str(caught.value).endswith(", without user, password and query (the key is TWELVEDATA_API_KEY).")


@pytest.mark.parametrize("url", SECRET_URLS)
@pytest.mark.parametrize(
    "content",
    [
        "feeds: [{{name: a, symbols: [A], url: '{}'}}]",
        "feeds: {{url: '{}'}}",
        "alerts: {{dashboard_url: '{}', page_url: 'x'}}",
    ],
)
def test_a_secret_in_a_url_of_the_file_is_not_repeated(tmp_path: Path, content: str, url: str) -> None:
    """Whatever is wrong with it, or with what it is a part of."""
    assert "s3cret" not in refusal(tmp_path, content.format(url.format("wss")))


def test_the_address_of_a_dashboard_may_have_a_query(tmp_path: Path) -> None:
    """People open it; what it has is not for candleworks alone."""
    url = "https://grafana.example/d/overview?orgId=1"
    assert read(tmp_path, f"alerts: {{dashboard_url: '{url}'}}").alerts.dashboard_url == url
