# One image for both roles: `memdiag agent` on every node, `memdiag operator` once.
#
#   docker build -t REGISTRY/memdiag:0.1.0 .
#
# PYTHON_IMAGE may be any image with a python3 on its PATH that has the venv module, 3.11 or newer.
#
# Behind a proxy or a private package index, hand in what pip needs as build secrets; neither stays in the image:
#   --secret id=ca-bundle,src=/etc/ssl/certs/ca-certificates.crt   the certificates that pip trusts, as PEM
#   --secret id=pip-conf,src=$HOME/.config/pip/pip.conf            pip's own settings (index-url, proxy, ...)
ARG PYTHON_IMAGE=python:3.13-slim-trixie

FROM ${PYTHON_IMAGE} AS builder

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_NO_INPUT=1 \
    PIP_ROOT_USER_ACTION=ignore \
    PIP_CONFIG_FILE=/run/secrets/pip-conf \
    PYTHONDONTWRITEBYTECODE=1

# pip lives in a venv of its own beside the one that ships. The interpreter is a link, so it is the base's own in both stages.
RUN python3 -m venv /opt/build \
 && python3 -m venv --symlinks --without-pip /opt/memdiag

# Dependencies first: this layer stays cached until a pin changes. Wheels only, so nothing is compiled and no setup.py runs.
# Their own tests and the client's asyncio twin, which nothing imports, stay behind. Bytecode never looks at file times:
# copying layers may change them, and the root file system is read-only at run time.
COPY requirements/runtime.txt requirements/build.txt /src/requirements/
RUN --mount=type=secret,id=ca-bundle --mount=type=secret,id=pip-conf \
    if [ -f /run/secrets/ca-bundle ]; then export PIP_CERT=/run/secrets/ca-bundle; fi \
 && /opt/build/bin/pip --python /opt/memdiag/bin/python install \
      --require-hashes --only-binary :all: --no-compile --requirement /src/requirements/runtime.txt \
 && rm -rf /opt/memdiag/lib/python3*/site-packages/kubernetes/aio \
 && find /opt/memdiag/lib -type d -name tests -prune -exec rm -rf {} + \
 && /opt/memdiag/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/memdiag/lib \
 && /opt/build/bin/pip install \
      --require-hashes --only-binary :all: --no-compile --requirement /src/requirements/build.txt

COPY pyproject.toml README.md LICENSE /src/
COPY operator /src/operator
RUN /opt/build/bin/pip wheel --no-index --no-deps --no-build-isolation --wheel-dir /wheels /src \
 && /opt/build/bin/pip --python /opt/memdiag/bin/python install \
      --no-index --no-deps --no-compile /wheels/memdiag-*.whl \
 && /opt/memdiag/bin/python -m compileall -q --invalidation-mode unchecked-hash \
      /opt/memdiag/lib/python3*/site-packages/memdiag \
 && /opt/memdiag/bin/memdiag --version

FROM ${PYTHON_IMAGE}

# What installs packages goes: by dpkg where it is Debian's, so that its list stays true, else by pip itself.
# The official base ships its standard library without bytecode. Compiled here once, not in memory at every start on every node.
# Where it is compiled already nothing is written.
RUN installers="$(dpkg-query --show --showformat '${Package} ' 'python3*-venv' 'python3-*-whl' 2>/dev/null || true)" \
 && if [ -n "$installers" ]; then PATH="$PATH:/usr/sbin:/sbin" dpkg --purge $installers; fi \
 && if python3 -m pip --version >/dev/null 2>&1; then python3 -m pip uninstall --yes pip; fi \
 && rm -rf "$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')/ensurepip" /var/lib/dpkg/*-old /var/log/dpkg.log \
 && python3 -m compileall -q -j 0 -x '/(test|tests|idlelib|tkinter|site-packages|dist-packages)/' \
      "$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"

COPY --from=builder /opt/memdiag /opt/memdiag

ENV PATH=/opt/memdiag/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1

# Numeric, so that runAsNonRoot can be checked without the image's user table.
USER 65532:65532

ENTRYPOINT ["/opt/memdiag/bin/memdiag"]

ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="memdiag" \
      org.opencontainers.image.description="Says why a Kubernetes container was OOM-killed, and what memory limit it should have" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
