# Target `platform`: what the processes of candleworks need, pinned by requirements.lock. Target `files`: the same and the
# libraries that import and export files. docs/how-to/docker-compose.md
FROM python:3.11.14-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 UV_LINK_MODE=copy VIRTUAL_ENV=/opt/venv
WORKDIR /app
COPY pyproject.toml requirements.lock ./
COPY docker/omitted.txt docker/
# The lock also pins what tests need, so it bounds what pyproject.toml asks for instead of being installed as a whole.
RUN pip install --no-cache-dir "$(grep -E '^uv==' requirements.lock | cut -d' ' -f1)" \
    && python -m venv --without-pip /opt/venv \
    && uv pip install --no-cache --compile-bytecode --constraints requirements.lock --excludes docker/omitted.txt \
        --requirements pyproject.toml \
    && find /opt/venv -type d -name tests -prune -exec rm -r {} + \
    && echo /app > "$(echo /opt/venv/lib/python*/site-packages)/candleworks.pth"
COPY candleworks candleworks
COPY flows flows
COPY sql sql
COPY grafana grafana
COPY docker/entrypoint.sh docker/candleworks docker/
COPY prefect.yaml LICENSE ./
RUN python -m compileall -q candleworks flows

FROM python:3.11.14-slim-bookworm AS platform
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

FROM build AS file-libraries
RUN uv pip install --no-cache --compile-bytecode --constraints requirements.lock --target /opt/files \
        adbc-driver-manager adbc-driver-postgresql polars pyarrow \
    && find /opt/files -type d -name tests -prune -exec rm -r {} +

FROM platform AS files
ENV PYTHONPATH=/opt/files
COPY --from=file-libraries /opt/files /opt/files
