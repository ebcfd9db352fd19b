# An image of the program with its kernels compiled ahead. docs/install.md tells how to build and to run it.
#   docker build -t stereo3d .
# .ci/image.py carries out the same steps in a bare Debian root and runs the program there, for machines without Docker.
FROM debian:bookworm-slim

RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        python3 python3-venv libegl1 libgl1 libglib2.0-0 libgomp1 libusb-1.0-0 libx11-6 \
    && rm -rf /var/lib/apt/lists/*

COPY constraints.txt /src/
RUN python3 -m venv /usr/local/stereo3d \
    && /usr/local/stereo3d/bin/pip install --no-cache-dir --require-hashes -r /src/constraints.txt

COPY pyproject.toml setup.py README.md LICENSE THIRD_PARTY.md /src/
COPY stereo3d /src/stereo3d
RUN /usr/local/stereo3d/bin/pip install --no-cache-dir --no-deps --no-build-isolation /src \
    && rm -rf /src

# Kernels for any x86-64 processor with AVX2 (2013 and later), so that an image runs elsewhere without compiling again.
# On ARM, and for older processors: --build-arg CPU=generic
ARG CPU=x86-64-v3
ENV NUMBA_CPU_NAME=$CPU NUMBA_CPU_FEATURES="" NUMBA_CACHE_DIR=/usr/local/stereo3d/kernels
RUN /usr/local/stereo3d/bin/stereo3d warmup

ENV PATH=/usr/local/stereo3d/bin:/usr/local/bin:/usr/bin:/bin
WORKDIR /photos
USER 10001:10001
ENTRYPOINT ["stereo3d"]
CMD ["--help"]
