# syntax=docker/dockerfile:1
# One image with the three programs, for amd64 and arm64:
#
#   docker buildx build --platform linux/amd64,linux/arm64 --build-arg VERSION=0.1.0 --build-arg REVISION="$(git rev-parse HEAD)" .
#
# BASE is what the programs run on: the C library, libgcc, certificates and time zones, and nothing else.
ARG RUST=1.95.0
ARG BASE=gcr.io/distroless/cc-debian12:nonroot

# Debian 12, as BASE is: a newer C library here would be missing there.
FROM docker.io/library/rust:${RUST}-bookworm AS build
WORKDIR /src
# Queries are checked against the committed descriptions; no database is needed.
ENV SQLX_OFFLINE=true CARGO_INCREMENTAL=0 CARGO_TERM_COLOR=never
# Each platform has a folder of its own for what it compiled.
ARG TARGETARCH
COPY . .
# Dependencies stay in the cache mounts, so only what changed is compiled. What shall be in the image is copied out of them.
RUN --mount=type=cache,id=watchstate-registry,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,id=watchstate-target-${TARGETARCH},target=/src/target,sharing=locked \
    cargo build --locked --profile dist \
      --package watchstate-operator --package watchstate-worker --package watchstate-webhook \
 && mkdir /out \
 && cp target/dist/watchstate-operator target/dist/watchstate-worker target/dist/watchstate-webhook /out/

FROM ${BASE}
ARG VERSION=0.1.0
ARG REVISION=
LABEL org.opencontainers.image.title="Watch State Sync" \
      org.opencontainers.image.description="Keeps Plex, Jellyfin and Emby in agreement about what you have watched: operator, worker and webhook." \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.source="https://github.com/watchstate/watchstate" \
      org.opencontainers.image.documentation="https://github.com/watchstate/watchstate/tree/main/docs" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# No step runs here: BASE needs no shell, and a build for another platform no emulator for this stage.
COPY --from=build --chmod=0755 /out/* /usr/local/bin/
# By number, so that Kubernetes sees that it isn't root. Any other user works as well.
USER 65532:65532
# Webhooks; the admin port.
EXPOSE 8080 9090
ENTRYPOINT ["/usr/local/bin/watchstate-operator"]
