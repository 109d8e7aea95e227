# The base of Python sidecars that compute on NVIDIA GPUs: CUDA's runtime, Python, the SDK, NumPy. Build on top of it:
#   FROM myelin-cuda-sidecar
#   RUN pip install torch diffusers
#   COPY my-model /model
# and run with `docker run --gpus all` (compose: deploy.resources.reservations.devices). CUDA_VISIBLE_DEVICES chooses among them.
ARG BASE=nvidia/cuda:12.6.3-cudnn-runtime-ubuntu24.04
FROM ${BASE}
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends python3 python3-numpy python3-pip python3-venv tini \
 && rm -rf /var/lib/apt/lists/* \
 && groupadd --system --gid 10001 myelin && useradd --system --uid 10001 --gid myelin --create-home --home-dir /home/myelin --shell /usr/sbin/nologin myelin \
 && install -d -o myelin -g myelin /run/myelin /model \
 && python3 -m venv --system-site-packages /opt/venv

COPY sidecars/python/myelin_sidecar /opt/sdk/myelin_sidecar

ENV PATH=/opt/venv/bin:$PATH PYTHONPATH=/opt/sdk PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER myelin
WORKDIR /model
VOLUME ["/run/myelin"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["tini", "--", "python3", "serve.py"]
CMD ["--listen", "unix:/run/myelin/sidecar.sock"]
