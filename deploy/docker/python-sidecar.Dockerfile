# A sidecar in Python on the processor: the SDK, NumPy, and what PACKAGES names from Debian. MODEL is a model folder with a
# serve.py. `./dev image python-sidecar` builds the NumPy example; for PyTorch:
#   docker build -f deploy/docker/python-sidecar.Dockerfile --build-arg MODEL=sidecars/python/examples/torch_classifier \
#     --build-arg PACKAGES=python3-torch -t my-sidecar .
ARG BASE=debian:bookworm-slim
FROM ${BASE}
ARG PACKAGES=""
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3 python3-numpy tini ${PACKAGES} \
 && rm -rf /var/lib/apt/lists/* \
 && groupadd --system --gid 10001 myelin && useradd --system --uid 10001 --gid myelin --no-create-home --shell /usr/sbin/nologin myelin \
 && install -d -o myelin -g myelin /run/myelin

COPY sidecars/python/myelin_sidecar /usr/lib/python3/dist-packages/myelin_sidecar
ARG MODEL=sidecars/python/examples/numpy_blur
COPY ${MODEL} /model

# The same user id as the server's image: both open the socket and map the ring in the shared volume.
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER myelin
WORKDIR /model
VOLUME ["/run/myelin"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["tini", "--", "python3", "serve.py"]
CMD ["--listen", "unix:/run/myelin/sidecar.sock"]
