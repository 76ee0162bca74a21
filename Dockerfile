# One image for api and worker. All dependencies, including the build's own tools, are pinned and checked by hash.
FROM python:3.11-slim AS build
WORKDIR /build
COPY requirements.txt requirements-image.txt ./
RUN pip install --no-cache-dir --require-hashes --requirement requirements-image.txt
RUN uv venv /venv \
    && uv pip sync --no-cache --compile-bytecode --python /venv/bin/python --require-hashes requirements.txt
COPY . .
RUN uv pip install --no-cache --compile-bytecode --python /venv/bin/python --no-deps \
    --build-constraints requirements-image.txt .

FROM python:3.11-slim
RUN useradd --system --no-create-home gateway && install --directory --owner gateway /data /data/media
COPY --from=build /venv /venv
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 GATEWAY_DATA_DIR=/data
WORKDIR /app
COPY gateway.yaml .
USER gateway
EXPOSE 3000
ENTRYPOINT ["gateway"]
CMD ["api"]
