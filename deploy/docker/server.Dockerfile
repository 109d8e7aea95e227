# The server with the runtime it needs and its built-in models. `./dev image server` makes the context and builds it.
ARG BASE=debian:bookworm-slim
FROM ${BASE}

# A font: labels on pictures. curl: the health check.
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates curl fonts-dejavu-core tini \
 && rm -rf /var/lib/apt/lists/* \
 && groupadd --system --gid 10001 myelin && useradd --system --uid 10001 --gid myelin --home-dir /data --shell /usr/sbin/nologin myelin \
 && install -d -o myelin -g myelin /models /run/myelin && install -d -m 700 -o myelin -g myelin /data

COPY dotnet /usr/share/dotnet
COPY myelin /opt/myelin
RUN ln -s /opt/myelin/myelin-server /usr/local/bin/myelin-server

# ORT_DISABLE_TELEMETRY: the library asks the real environment. MALLOC_ARENA_MAX: fewer arenas, less memory held back.
ENV DOTNET_ROOT=/usr/share/dotnet DOTNET_gcServer=0 ORT_DISABLE_TELEMETRY=1 MALLOC_ARENA_MAX=4 \
    MYELIN_URLS=http://0.0.0.0:8080 MYELIN_DATA=/data MYELIN_MODELS=/models MYELIN_SIDECARS_RUN_FOLDER=/run/myelin
USER myelin
WORKDIR /data
VOLUME ["/data", "/models"]
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s CMD ["curl", "-fsS", "-o", "/dev/null", "http://127.0.0.1:8080/health/live"]
STOPSIGNAL SIGTERM
# tini: sidecars whose parent has gone are reaped.
ENTRYPOINT ["tini", "--", "myelin-server"]
