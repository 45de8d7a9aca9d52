# Vitviz with its weights; needs no network when it runs.
#
#   docker build -t vitviz .
#
# uv takes torch from PyTorch's own index: processor-only wheels, or those for TORCH_BACKEND, such as
# cu130. BASE_IMAGE may be any Debian with Python 3.11 or newer and its venv module.
ARG BASE_IMAGE=python:3.11-slim-bookworm

FROM ${BASE_IMAGE} AS build
ARG TORCH_BACKEND=cpu
WORKDIR /build
COPY constraints.txt pyproject.toml ./
# What Vitviz needs, in a layer of its own: changed code does not fetch it again.
RUN python3 -m venv /venv \
    && /venv/bin/pip install --no-cache-dir --disable-pip-version-check -c constraints.txt uv \
    && /venv/bin/uv pip install --no-cache --python /venv --torch-backend=$TORCH_BACKEND \
        -c constraints.txt -r pyproject.toml --extra app --extra heic --extra redis
COPY . .
RUN /venv/bin/uv pip install --no-cache --python /venv --no-deps . \
    && /venv/bin/pip uninstall --yes uv

FROM ${BASE_IMAGE}
COPY --from=build /venv /venv
WORKDIR /app
# Nothing is written outside /tmp, so the root file system can be read-only.
ENV PATH=/venv/bin:$PATH HOME=/tmp MPLCONFIGDIR=/tmp PYTHONDONTWRITEBYTECODE=1
USER 1000:1000
EXPOSE 8501
# Without proxies: a proxy set for the container would be asked for 127.0.0.1.
HEALTHCHECK --start-period=60s --interval=30s --timeout=5s \
    CMD ["python3", "-c", "from urllib.request import *; build_opener(ProxyHandler({})).open('http://127.0.0.1:8501/_stcore/health')"]
CMD ["vitviz", "app", "--port=8501"]
