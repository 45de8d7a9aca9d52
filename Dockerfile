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
# torch comes from that index alone: as an extra index, a mistyped address would be passed over
# without a word and the CUDA build taken instead.
RUN python3 -m venv /venv \
    && grep '^torch' /build/requirements.txt > /build/torch.txt \
    && if [ "$TORCH_INDEX" != default ]; then \
        /venv/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps \
            --index-url "$TORCH_INDEX" -r /build/torch.txt; \
    fi \
    && /venv/bin/pip install --no-cache-dir --disable-pip-version-check -r /build/requirements.txt

FROM ${BASE_IMAGE}
COPY --from=build /venv /venv
WORKDIR /app
COPY . .
# Nothing is written outside /tmp, so the root file system can be read-only.
ENV PATH=/venv/bin:$PATH HOME=/tmp MPLCONFIGDIR=/tmp PYTHONDONTWRITEBYTECODE=1
USER 1000:1000
EXPOSE 8501
# Without proxies: a proxy set for the container would be asked for 127.0.0.1.
HEALTHCHECK --start-period=60s --interval=30s --timeout=5s \
    CMD ["python3", "-c", "from urllib.request import *; build_opener(ProxyHandler({})).open('http://127.0.0.1:8501/_stcore/health')"]
CMD ["streamlit", "run", "app.py", "--server.port=8501"]
