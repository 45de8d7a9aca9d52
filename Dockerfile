# Vitviz with its weights; needs no network when it runs.
#
#   docker build --build-arg TORCH_INDEX=… -t vitviz .
#
# TORCH_INDEX is the address of PyTorch's index of processor-only wheels, as its "Get started" page
# gives it for Linux, pip and CPU. "default" takes pip's own index, whose wheel for x86-64 brings
# 5 GB of CUDA libraries. BASE_IMAGE may be any Debian with Python 3.11 or newer and its venv module.
ARG BASE_IMAGE=python:3.11-slim-bookworm

FROM ${BASE_IMAGE} AS build
ARG TORCH_INDEX=""
COPY requirements.txt /build/
RUN if [ -z "$TORCH_INDEX" ]; then \
        echo "Say where processor-only torch wheels are: --build-arg TORCH_INDEX=… (see Dockerfile)"; \
        exit 1; \
    fi
RUN python3 -m venv /venv \
    && if [ "$TORCH_INDEX" != default ]; then export PIP_EXTRA_INDEX_URL="$TORCH_INDEX"; fi \
    && /venv/bin/pip install --no-cache-dir --disable-pip-version-check -r /build/requirements.txt

FROM ${BASE_IMAGE}
COPY --from=build /venv /venv
WORKDIR /app
COPY . .
# Nothing is written outside /tmp, so the root file system can be read-only.
ENV PATH=/venv/bin:$PATH HOME=/tmp MPLCONFIGDIR=/tmp PYTHONDONTWRITEBYTECODE=1 HF_HUB_OFFLINE=1
USER 1000:1000
EXPOSE 8501
HEALTHCHECK --start-period=60s --interval=30s --timeout=5s \
    CMD ["python3", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8501/_stcore/health')"]
CMD ["streamlit", "run", "app.py", "--server.port=8501"]
