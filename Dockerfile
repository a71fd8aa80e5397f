# Any image with CPython 3.11 or newer and glibc; both stages need the same one.
ARG BASE=python:3.13-slim-bookworm

FROM ${BASE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
COPY requirements.lock ./
# Every package of the lock, by its hash; the next steps can take from this folder only.
RUN python3 -m pip wheel --require-hashes --no-deps --wheel-dir /wheels -r requirements.lock
COPY LICENSE README.md pyproject.toml ./
COPY clients/python clients/python
COPY authsvc authsvc
RUN python3 -m venv --without-pip /opt/authsvc \
  && python3 -m pip wheel --no-index --find-links /wheels --no-deps --wheel-dir /ours ./clients/python . \
  && python3 -m pip --python /opt/authsvc install --no-index --find-links /wheels --find-links /ours 'authsvc[fast]' \
  && install --directory --mode 0700 --owner 10001 --group 10001 /image/var/lib/authsvc

FROM ${BASE}
COPY --from=build /opt/authsvc /opt/authsvc
# State of the embedded database, where one is used. Nothing else is ever written.
COPY --from=build /image /
# The fast listener is for an Envoy in the same pod, hence the loopback address.
ENV PATH=/opt/authsvc/bin:$PATH \
  PYTHONDONTWRITEBYTECODE=1 \
  PYTHONUNBUFFERED=1 \
  AUTHSVC_FAST_LISTEN=127.0.0.1:50053 \
  AUTHSVC_CONFIG=/etc/authsvc/authsvc.yaml \
  AUTHSVC_HOME=/var/lib/authsvc
VOLUME ["/var/lib/authsvc"]
WORKDIR /var/lib/authsvc
USER 10001:10001
EXPOSE 50051 50052 9464
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["python3", "-m", "authsvc.cli.health_probe"]
ENTRYPOINT ["authsvc"]
CMD ["serve"]
