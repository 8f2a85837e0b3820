# A small image of the worker: the binary on Distroless (glibc, CA certificates, no shell), as an unprivileged user.

FROM rust:1-slim-bookworm AS build
# Embeds the list of crates in the program, for `cargo audit bin`.
RUN cargo install --locked --version 0.7.7 cargo-auditable
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo auditable build --release --locked -p mission-worker \
    && install -D target/release/worker /out/usr/local/bin/worker \
    && install -d -m 0700 /out/var/lib/mission-worker

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /out/usr/local/bin/worker /usr/local/bin/worker
# The first start creates the device key here. Keep it: gateways approve devices by their key.
COPY --from=build --chown=nonroot:nonroot /out/var/lib/mission-worker /var/lib/mission-worker
# glibc keeps large freed blocks unless it maps them: 31 MiB frames of a gateway would stay in memory.
ENV MISSION_DATA_DIR=/var/lib/mission-worker MISSION_HTTP_ADDR=0.0.0.0:8787 MALLOC_MMAP_THRESHOLD_=1048576
VOLUME /var/lib/mission-worker
EXPOSE 8787
# The image has no redis-server, so MISSION_REDIS_URL must be set.
HEALTHCHECK --interval=10s --timeout=6s --start-period=10s CMD ["/usr/local/bin/worker", "health"]
ENTRYPOINT ["/usr/local/bin/worker"]
CMD ["run"]
