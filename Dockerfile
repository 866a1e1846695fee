# The Python that the tests run on.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
WORKDIR /src
RUN python -m venv /opt/clarion
COPY requirements.lock requirements-build.lock ./
RUN /opt/clarion/bin/pip install --no-cache-dir --require-hashes -r requirements.lock \
 && pip install --no-cache-dir --require-hashes -r requirements-build.lock
COPY . .
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /dist . \
 && /opt/clarion/bin/pip install --no-cache-dir --no-deps /dist/clarion-*.whl

FROM ${BASE}
RUN apt-get update \
 && apt-get install --yes --no-install-recommends libopus0 \
 && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/clarion /opt/clarion
ENV PATH=/opt/clarion/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    CLARION_HTTP_HOST=0.0.0.0 \
    CLARION_HTTP_PORT=8080 \
    CLARION_UDP_PORT=7882 \
    CLARION_DATA_DIR=/data
RUN install -d -o 10001 -g 10001 -m 700 /data
VOLUME /data
# A number, so that Kubernetes can see that it is not root.
USER 10001:10001
WORKDIR /tmp
EXPOSE 8080/tcp 7882/udp
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 CMD ["python", "-c", \
    "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ[\"CLARION_HTTP_PORT\"]}/healthz', timeout=2)"]
# Exec form: clarion is process 1 and gets SIGTERM itself.
ENTRYPOINT ["clarion"]
CMD ["serve"]
