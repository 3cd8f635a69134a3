# One image for every process of the portal: web, worker, system, observer (and the lab, for demos).
FROM python:3.11-slim-bookworm AS build
WORKDIR /app
RUN python -m venv /venv
COPY requirements.lock .
RUN /venv/bin/pip install --no-cache-dir --require-hashes -r requirements.lock
COPY . .
# Byte code is part of the image: a read-only root would pay for compiling at every start.
RUN /venv/bin/python -m compileall -q /app && \
    PORTAL_STATE_DIR=/tmp/state PORTAL_STATIC_ROOT=/app/staticfiles /venv/bin/python manage.py collectstatic --noinput --verbosity 0

FROM python:3.11-slim-bookworm
# /kube: a new volume takes its owner from the image, and the lab writes its kubeconfig there.
RUN useradd --uid 10001 --create-home --home-dir /var/lib/phaseboard phaseboard && \
    mkdir /kube && chown 10001:10001 /kube
WORKDIR /app
COPY --from=build /venv /venv
COPY --from=build /app /app
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 LOG_FORMAT=json PORTAL_STATE_DIR=/var/lib/phaseboard PORTAL_STATIC_ROOT=/app/staticfiles
USER 10001:10001
EXPOSE 8000
CMD ["uvicorn", "portal.asgi:application", "--host", "0.0.0.0", "--port", "8000", "--timeout-graceful-shutdown", "3", "--no-access-log"]
