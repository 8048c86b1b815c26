# The service with everything it needs, embedded Postgres included: `docker run -p 8000:8000 -v tasks:/data IMAGE`
# starts it alone; with DATABASE_URL it uses that database (see deploy/compose.yaml).

FROM python:3.13-slim AS build
WORKDIR /srv/task-executor
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv .venv
COPY requirements.lock requirements-dev.lock ./
# The build backend is in the developers' lock; its entries (with their hashes) are taken from there.
RUN awk '/^(editables|hatchling|packaging|pathspec|pluggy|tomlkit|trove-classifiers)==/ { on = 1 } on { print } on && !/\\$/ { on = 0 }' \
        requirements-dev.lock > build.lock \
    && .venv/bin/pip install --require-hashes -r requirements.lock \
    && .venv/bin/pip install --require-hashes -r build.lock
COPY pyproject.toml README.md ./
COPY app app
COPY migrations migrations
# Editable, so that migrations/ is found beside app/.
RUN .venv/bin/pip install --no-deps --no-build-isolation --editable . \
    && .venv/bin/python -m compileall -q app \
    && .venv/bin/pip uninstall --yes pip

FROM python:3.13-slim
# An account with a name and a number that does not change: Postgres wants the one, volumes the other.
RUN useradd --uid 10001 --create-home --shell /usr/sbin/nologin task-executor \
    && install --directory --owner task-executor --group task-executor --mode 0700 /data
COPY --from=build /srv/task-executor /srv/task-executor
ENV PATH=/srv/task-executor/.venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    TASK_EXECUTOR_DATA_DIR=/data \
    TASK_EXECUTOR_HOST=0.0.0.0 \
    TASK_EXECUTOR_PORT=8000
USER task-executor
WORKDIR /data
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ[\"TASK_EXECUTOR_PORT\"]}/readyz', timeout=4)"]
ENTRYPOINT ["task-executor"]
CMD ["serve"]
