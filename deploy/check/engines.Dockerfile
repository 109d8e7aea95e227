# Stand-ins for the images of the engines, where no registry can be reached: the same users, paths, variables and commands
# as the originals, as far as compose.yaml and swarm.yaml use them. Not for anything but trying these files: `deploy/check/engines`.
ARG BASE=debian:bookworm-slim

FROM ${BASE} AS postgres
RUN useradd --system --uid 999 --home-dir /var/lib/postgresql postgres \
 && install -D /dev/null /etc/postgresql-common/createcluster.conf && echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf \
 && apt-get update && apt-get install -y --no-install-recommends postgresql && rm -rf /var/lib/apt/lists/* \
 && ln -s /usr/lib/postgresql/* /opt/postgresql && install -d -o postgres -g postgres /var/lib/postgresql/data
COPY postgres /usr/local/bin/docker-entrypoint.sh
ENV PATH=/opt/postgresql/bin:$PATH PGDATA=/var/lib/postgresql/data
VOLUME ["/var/lib/postgresql/data"]
STOPSIGNAL SIGINT
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["postgres"]

FROM ${BASE} AS kafka
RUN useradd --uid 1000 appuser && apt-get update && apt-get install -y --no-install-recommends openjdk-17-jre-headless && rm -rf /var/lib/apt/lists/* \
 && install -d -o appuser /var/lib/kafka/data /opt/kafka/config
COPY kafka-jars /opt/kafka/libs
COPY kafka /etc/kafka/docker/run
USER appuser
VOLUME ["/var/lib/kafka/data"]
CMD ["/etc/kafka/docker/run"]

FROM ${BASE} AS minio
COPY s3s-fs /usr/bin/
COPY minio /usr/bin/docker-entrypoint.sh
VOLUME ["/data"]
ENTRYPOINT ["docker-entrypoint.sh"]

FROM ${BASE} AS prometheus
RUN apt-get update && apt-get install -y --no-install-recommends prometheus && rm -rf /var/lib/apt/lists/* \
 && rm -rf /etc/prometheus/* && install -d -o nobody -g nogroup /prometheus
USER nobody
WORKDIR /prometheus
VOLUME ["/prometheus"]
ENTRYPOINT ["/usr/bin/prometheus"]

# No package has Grafana: this one shows that the files are where Grafana looks for them, and nothing else.
FROM ${BASE} AS grafana
RUN apt-get update && apt-get install -y --no-install-recommends python3 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 472 --gid 0 grafana && install -d -o grafana /var/lib/grafana
USER grafana
WORKDIR /var/lib/grafana
ENTRYPOINT ["sh", "-c", "test -n \"$GF_SECURITY_ADMIN_PASSWORD\" && test -s /etc/grafana/provisioning/datasources/*.yaml && touch grafana.db && exec python3 -m http.server 3000"]
