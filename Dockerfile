# syntax=docker/dockerfile:1

FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
COPY . .
# Queries are checked against .sqlx: no database at build time.
ENV SQLX_OFFLINE=true
# The caches keep downloaded and built dependencies between builds; they are no part of the image,
# so the binary is copied out of them.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --bin credits \
    && install -D target/release/credits /out/credits

FROM debian:bookworm-slim
# Root certificates for TLS to the broker and the database.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /out/credits /usr/local/bin/credits
# A number, so that a cluster can verify that it is not root.
USER 10001:10001
WORKDIR /
EXPOSE 9464
ENTRYPOINT ["credits"]
CMD ["run"]
