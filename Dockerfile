# One image for api and worker. Its dependencies are the locked ones, checked by hash.
FROM python:3.11-slim AS dependencies
RUN pip install --no-cache-dir uv
COPY requirements.txt .
RUN uv venv /venv && uv pip sync --no-cache --python /venv/bin/python --require-hashes requirements.txt

FROM python:3.11-slim
RUN useradd --system --no-create-home gateway
ENV PATH=/venv/bin:$PATH PYTHONPATH=/app PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
COPY --from=dependencies /venv /venv
WORKDIR /app
COPY cli.py worker.py settings.py gateway.yaml ./
COPY activities activities
COPY api api
COPY console console
COPY contracts contracts
COPY workflows workflows
RUN printf '#!/bin/sh\nexec python -m cli "$@"\n' > /usr/local/bin/gateway && chmod +x /usr/local/bin/gateway \
    && python -m compileall -q /app
USER gateway
EXPOSE 3000
ENTRYPOINT ["gateway"]
CMD ["api"]
