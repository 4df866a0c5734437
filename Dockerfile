# docker build -t lockstep .                                               the service, without torch
# docker build -t lockstep-torchscript --build-arg EXTRAS=torchscript .   with torch, for that engine
#
# The extra is an argument and not a stage of its own: a builder without BuildKit builds every stage
# that stands before the last one, and would fetch torch for everybody.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
ARG EXTRAS=
ARG EXTRA_INDEX=
WORKDIR /build
RUN python -m venv --without-pip /opt/lockstep
# The libraries first: they change seldom, and their layer is the large one. Each is held to its hash,
# and none is built here, since what builds it would have no hash. A folder wheels/ beside this file,
# where there is one, is looked into before the package index.
COPY requirements wheels* wheels/
RUN pip --python /opt/lockstep/bin/python install --no-cache-dir --quiet --find-links wheels \
      --require-hashes --only-binary :all: -r wheels/serving.txt \
 && cd /opt/lockstep/lib/python3*/site-packages \
 && rm -rf onnx/backend/test onnx/test onnxruntime/tools onnxruntime/transformers onnxruntime/quantization onnxruntime/datasets
# An extra is held to its version only: which build of torch comes, is for EXTRA_INDEX to say.
COPY pyproject.toml constraints.txt ./
RUN if [ -n "${EXTRAS}" ]; then \
      python -c "import sys, tomllib; p = tomllib.load(open('pyproject.toml', 'rb'))['project']; print(*(r for e in sys.argv[1:] for r in p['optional-dependencies'][e]), sep='\n')" ${EXTRAS} > extras.txt \
   && pip --python /opt/lockstep/bin/python install --no-cache-dir --quiet --find-links wheels \
        ${EXTRA_INDEX:+--extra-index-url ${EXTRA_INDEX}} -c constraints.txt -r extras.txt; \
    fi
# What builds the package is held to its hash too, and stays out of the image.
RUN python -m venv --without-pip /opt/build \
 && pip --python /opt/build/bin/python install --no-cache-dir --quiet --find-links wheels \
      --require-hashes --only-binary :all: -r wheels/build.txt
COPY README.md LICENSE ./
COPY lockstep lockstep
COPY service service
# pip compiles what it installs: the root file system is read-only where it runs, and a cold start
# without compiled files takes over a second longer.
RUN pip --python /opt/build/bin/python wheel --quiet --no-deps --no-build-isolation --wheel-dir dist . \
 && pip --python /opt/lockstep/bin/python install --no-cache-dir --quiet --no-deps --no-index dist/*.whl

FROM ${BASE}
COPY --from=build /opt/lockstep /opt/lockstep
ENV PATH=/opt/lockstep/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /srv
COPY models models
# A number, so that a platform can see that it is not root; any other uid works as well.
USER 10001:10001
EXPOSE 8080
HEALTHCHECK --interval=15s --timeout=3s --start-period=20s CMD ["python", "-m", "lockstep_service.process.health"]
# `docker run IMAGE` and `docker run IMAGE serve` both serve; the other commands work too.
ENTRYPOINT ["lockstep"]
CMD ["serve"]
