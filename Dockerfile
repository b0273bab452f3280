# The board in a container. One image for every process; the command says which one: compose.yaml has them all.
# Nothing here compiles, runs as root or writes outside /tmp and /data.

FROM python:3.13-slim AS packages
COPY requirements.txt ./
RUN python -m venv /venv
# Exactly the locked files, checked by their hashes.
RUN /venv/bin/python -m pip install --no-cache-dir --disable-pip-version-check --only-binary :all: \
    --require-hashes -r requirements.txt

FROM python:3.13-slim
# A number, not a name: Kubernetes can then see that it is not root. Development files lie in /data, if any.
RUN useradd --system --uid 10001 --home-dir /app --shell /usr/sbin/nologin board && install -d -o 10001 /data
COPY --from=packages /venv /venv
WORKDIR /app
COPY .flaskenv pyproject.toml gunicorn.conf.py wsgi.py ./
COPY core core
COPY plugins plugins
COPY migrations migrations
COPY templates templates
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 APP_ENV=production INSTANCE_DIR=/data
RUN python -m compileall -q core plugins migrations
USER 10001
EXPOSE 8000
# Exec form, so that SIGTERM reaches the board and not a shell.
CMD ["python", "-m", "core.serve"]
